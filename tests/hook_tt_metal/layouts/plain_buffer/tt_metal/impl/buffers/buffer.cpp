#include <buffer.hpp>
#include <graph_tracking.hpp>

#include <cstdio>

namespace tt::tt_metal {
namespace {

#if defined(PROFILED)
void name_memory(const char* name) { std::puts(name); }
#endif

}  // namespace

Buffer::Buffer(IDevice* device, DeviceAddr size, bool owns_data, Private) :
    device_(device), size_(size), owns_data_(owns_data) {}

std::shared_ptr<Buffer> Buffer::create(
    IDevice* device,
    DeviceAddr size,
    DeviceAddr /*page_size*/,
    const BufferType /*buffer_type*/,
    const BufferShardingArgs& /*sharding_args*/,
    const std::optional<bool> /*bottom_up*/) {
    auto buffer = std::make_shared<Buffer>(device, size, true /* owns data */, Private());
    if (buffer->size_ == 0) {
        buffer->allocation_status_ = AllocationStatus::ALLOCATED;
        return buffer;
    }
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
    auto buffer = std::make_shared<Buffer>(device, size, false /* owns data */, Private());

    buffer->address_ = address;
    buffer->allocation_status_ = AllocationStatus::ALLOCATED;

    return buffer;
}

void Buffer::allocate_impl() {
#if defined(PROFILED)
    name_memory("buffer {");
#endif
    {
        // A brace in a literal, a comment or a directive is none: {
        const char* shape = R"(} "void Buffer::create(" {)";
        address_ = shape[0] == '}' ? 64 : 1'000;
    }
    allocation_status_ = AllocationStatus::ALLOCATED;
    GraphTracker::instance().track_allocate(this);
}

void Buffer::deallocate() {
    if (!owns_data_) {
        return;
    }
    this->deallocate_impl();
}

void Buffer::mark_as_deallocated() { allocation_status_ = AllocationStatus::DEALLOCATED; }

void Buffer::deallocate_impl() {
    if (allocation_status_ != AllocationStatus::ALLOCATED) {
        return;
    }
    if (size_ != 0) {
        GraphTracker::instance().track_deallocate(this);
    }
    allocation_status_ = AllocationStatus::DEALLOCATED;
}

Buffer::~Buffer() {
    if (this->allocation_status_ != AllocationStatus::DEALLOCATED) {
        this->deallocate();
    }
}

}  // namespace tt::tt_metal
