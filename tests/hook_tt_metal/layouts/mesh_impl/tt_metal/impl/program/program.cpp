#include <program.hpp>
#include "program/program_impl.hpp"

#include <core_coord.hpp>
#include <graph_tracking.hpp>

namespace tt::tt_metal {

detail::ProgramImpl::~ProgramImpl() noexcept { living--; }

Program::Program() : internal_(std::make_shared<detail::ProgramImpl>()) {}

void detail::ProgramImpl::allocate_circular_buffers(const IDevice* device) {
    device_ = device;
    GraphTracker::instance().track_allocate_cb(CoreRangeSet(CoreRange{{0, 0}, {7, 0}}), 512, 256, false, device);
}

void detail::ProgramImpl::deallocate_circular_buffers() {
    GraphTracker::instance().track_deallocate_cb(device_);
}

void Program::run(const IDevice* mesh, const IDevice* chip) {
    internal_->allocate_circular_buffers(chip);
    GraphTracker::instance().track_program(this, mesh);
    internal_->deallocate_circular_buffers();
}

Program::~Program() noexcept = default;

}  // namespace tt::tt_metal
