#include <buffer.hpp>
#include <graph_tracking.hpp>

#include "impl/buffers/buffer_impl.hpp"

namespace tt::tt_metal {

BufferImpl::BufferImpl(IDevice* device, DeviceAddr size, bool owns_data) :
    device_(device), size_(size), owns_data_(owns_data) {}

Buffer::Buffer(BufferImpl impl) : impl_(std::make_unique<BufferImpl>(std::move(impl))) {}
DeviceAddr Buffer::address() const { return impl_->address_; }
DeviceAddr Buffer::size() const { return impl_->size_; }
bool Buffer::is_allocated() const { return impl_->allocated_; }
IDevice* Buffer::device() const { return impl_->device_; }

std::shared_ptr<Buffer> Buffer::create(
    IDevice* device,
    DeviceAddr size,
    DeviceAddr page_size,
    BufferType buffer_type,
    const BufferShardingArgs& sharding_args,
    std::optional<bool> bottom_up) {
    return BufferImpl::create(device, size, page_size, buffer_type, sharding_args, bottom_up);
}

std::shared_ptr<Buffer> Buffer::create(
    IDevice* device,
    DeviceAddr address,
    DeviceAddr size,
    DeviceAddr page_size,
    BufferType buffer_type,
    const BufferShardingArgs& sharding_args,
    std::optional<bool> bottom_up) {
    return BufferImpl::create(device, address, size, page_size, buffer_type, sharding_args, bottom_up);
}

std::shared_ptr<Buffer> BufferImpl::create(
    IDevice* device,
    DeviceAddr size,
    DeviceAddr /*page_size*/,
    BufferType /*buffer_type*/,
    const BufferShardingArgs& /*sharding_args*/,
    std::optional<bool> /*bottom_up*/) {
    auto buffer = std::make_shared<Buffer>(BufferImpl(device, size, true));
    if (size == 0) {
        return buffer;
    }
    buffer->impl().allocate_impl(*buffer);
    return buffer;
}

std::shared_ptr<Buffer> BufferImpl::create(
    IDevice* device,
    DeviceAddr address,
    DeviceAddr size,
    DeviceAddr /*page_size*/,
    BufferType buffer_type,
    const BufferShardingArgs& /*sharding_args*/,
    std::optional<bool> /*bottom_up*/) {
    auto buffer = std::make_shared<Buffer>(BufferImpl(device, size, false));
    buffer->impl().address_ = address;
    if (buffer_type == BufferType::L1) {
        buffer->impl().allocated_ = true;
    }
    return buffer;
}

void BufferImpl::allocate_impl(Buffer& self) {
    address_ = 64;
    allocated_ = true;
    GraphTracker::instance().track_allocate(&self);
}

void BufferImpl::deallocate(Buffer& self) {
    if (!owns_data_) {
        return;
    }
    deallocate_impl(self);
}

void BufferImpl::deallocate_impl(Buffer& self) {
    if (allocated_ && size_ != 0) {
        GraphTracker::instance().track_deallocate(&self);
    }
    allocated_ = false;
}

Buffer::~Buffer() {
    if (impl_ && impl_->allocated_) {
        impl_->deallocate(*this);
    }
}

}  // namespace tt::tt_metal
