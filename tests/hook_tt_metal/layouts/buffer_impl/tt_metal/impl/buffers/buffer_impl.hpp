#pragma once

#include <buffer.hpp>

namespace tt::tt_metal {
class BufferImpl {
public:
    BufferImpl(IDevice* device, DeviceAddr size, bool owns_data);
    static std::shared_ptr<Buffer> create(
        IDevice* device,
        DeviceAddr size,
        DeviceAddr page_size,
        BufferType buffer_type,
        const BufferShardingArgs& sharding_args,
        std::optional<bool> bottom_up);
    static std::shared_ptr<Buffer> create(
        IDevice* device,
        DeviceAddr address,
        DeviceAddr size,
        DeviceAddr page_size,
        BufferType buffer_type,
        const BufferShardingArgs& sharding_args,
        std::optional<bool> bottom_up);
    void mark_as_deallocated() { allocated_ = false; }
    void allocate_impl(Buffer& self);
    void deallocate(Buffer& self);
    void deallocate_impl(Buffer& self);

    IDevice* const device_;
    const DeviceAddr size_;
    const bool owns_data_;
    bool allocated_ = false;
    DeviceAddr address_ = 0;
};
}  // namespace tt::tt_metal
