#include <program.hpp>

#include <core_coord.hpp>
#include <graph_tracking.hpp>

namespace tt::tt_metal {

namespace detail {
class Program_ {
public:
    ~Program_() noexcept = default;
    std::uint64_t get_id() const { return 7; }
    void allocate_circular_buffers(const IDevice* device);
};
}  // namespace detail

Program::Program() : pimpl_(std::make_unique<detail::Program_>()) {}

std::uint64_t Program::get_id() const { return pimpl_->get_id(); }

void detail::Program_::allocate_circular_buffers(const IDevice* device) {
    GraphTracker::instance().track_allocate_cb(CoreRangeSet(CoreRange{{0, 0}, {7, 0}}), 512, 256, false, device);
}

void Program::run(const IDevice* mesh, const IDevice* chip) {
    pimpl_->allocate_circular_buffers(chip);
    GraphTracker::instance().track_program(this, mesh);
    GraphTracker::instance().track_deallocate_cb(chip);
}

Program::~Program() noexcept = default;

}  // namespace tt::tt_metal
