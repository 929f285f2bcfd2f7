#include <graph_tracking.hpp>

#include <program.hpp>
#include "impl/program/program_impl.hpp"

namespace tt::tt_metal {

GraphTracker& GraphTracker::instance() {
    static GraphTracker tracker;
    return tracker;
}

namespace internal {

int background_calls = 0;

}  // namespace internal

void GraphTracker::track_allocate(const Buffer* buffer) {
    for (int each = 0; each < 1; each++) {
        calls += buffer != nullptr;
    }
    // Others see every thread.
    internal::background_calls++;
}

void GraphTracker::track_deallocate(Buffer* buffer) {
    calls += buffer != nullptr;
    internal::background_calls++;
}

void GraphTracker::track_allocate_cb(
    const CoreRangeSet& core_range_set,
    uint64_t addr,
    uint64_t size,
    bool in_buffer,
    const IDevice* device) {
    (void)core_range_set, (void)addr, (void)size, (void)in_buffer, (void)device;
    calls++;
}

void GraphTracker::track_deallocate_cb(const IDevice* device) {
    calls += device != nullptr;
}

namespace {

void track_program_l1(GraphTracker& tracker, detail::ProgramImpl&) { tracker.calls += 0; }

}  // namespace

void GraphTracker::track_program(Program* program, const IDevice* device) {
    calls += program != nullptr && device != nullptr;
    track_program_l1(*this, program->impl());
}

}  // namespace tt::tt_metal
