#include <buffer.hpp>
#include <graph_tracking.hpp>

#include "buffer_impl.hpp"

namespace tt::tt_metal {

using Status = BufferImpl::AllocationStatus;

BufferImpl::BufferImpl(IDevice* device, DeviceAddr size, bool owns_data) :
    device_(device), size_(size), owns_data_(owns_data) {}

Buffer::Buffer(IDevice* device, DeviceAddr size, bool owns_data, Private) :
    members_(std::make_unique<BufferImpl>(device, size, owns_data)) {}

DeviceAddr Buffer::address() const { return members_->address_; }
DeviceAddr Buffer::size() const { return members_->size_; }
bool Buffer::is_allocated() const { return members_->allocation_status_ == Status::ALLOCATED; }
IDevice* Buffer::device() const { return members_->device_; }

std::shared_ptr<Buffer> Buffer::create(
    IDevice* device,
    DeviceAddr size,
    DeviceAddr /*page_size*/,
    const BufferType /*buffer_type*/,
    const BufferShardingArgs& /*sharding_args*/,
    const std::optional<bool> /*bottom_up*/) {
    auto buffer = std::make_shared<Buffer>(device, size, true, Private());
    buffer->allocate_impl();
    return buffer;
}

std::shared_ptr<Buffer> Buffer::create(
    IDevice* device,
    DeviceAddr address,
    DeviceAddr size,
    DeviceAddr /*page_size*/,
    const BufferType /*buffer_type*/,
    const BufferShardingArgs& /*sharding_args*/,
    const std::optional<bool> /*bottom_up*/) {
    auto buffer = std::make_shared<Buffer>(device, size, false, Private());
    buffer->members_->address_ = address;
    buffer->members_->allocation_status_ = Status::ALLOCATED;
    return buffer;
}

void Buffer::allocate_impl() {
    members_->address_ = 64;
    members_->allocation_status_ = Status::ALLOCATED;
    GraphTracker::instance().track_allocate(this);
}

void Buffer::deallocate() {
    if (!members_->owns_data_) {
        return;
    }
    this->deallocate_impl();
}

void Buffer::mark_as_deallocated() { members_->allocation_status_ = Status::DEALLOCATED; }

void Buffer::deallocate_impl() {
    if (members_->allocation_status_ == Status::ALLOCATED && members_->size_ != 0) {
        GraphTracker::instance().track_deallocate(this);
    }
    members_->allocation_status_ = Status::DEALLOCATED;
}

Buffer::~Buffer() {
    if (members_->allocation_status_ != Status::DEALLOCATED) {
        this->deallocate();
    }
}

}  // namespace tt::tt_metal
