#pragma once

#include <buffer.hpp>

namespace tt::tt_metal {
// The members of a Buffer, whose functions are its own.
struct BufferImpl {
    enum class AllocationStatus { ALLOCATION_REQUESTED, ALLOCATED, DEALLOCATED };

    BufferImpl(IDevice* device, DeviceAddr size, bool owns_data);

    IDevice* const device_;
    const DeviceAddr size_;
    const bool owns_data_;
    AllocationStatus allocation_status_ = AllocationStatus::ALLOCATION_REQUESTED;
    DeviceAddr address_ = 0;
};
}  // namespace tt::tt_metal
