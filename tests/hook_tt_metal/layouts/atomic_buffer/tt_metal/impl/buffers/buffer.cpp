#include <buffer.hpp>
#include <graph_tracking.hpp>

#if defined(NEVER_DEFINED)
#include "never_there.hpp"
#endif

namespace tt {

namespace tt_metal {

Buffer::Buffer(IDevice* device, DeviceAddr size, bool owns_data, Private) :
    device_(device), size_(size), owns_data_(owns_data) {}

std::shared_ptr<Buffer> Buffer::create(
    IDevice* device,
    DeviceAddr size,
    DeviceAddr /*page_size*/,
    const BufferType /*buffer_type*/,
    const TensorMemoryLayout /*buffer_layout*/,
    const std::optional<ShardSpecBuffer>& /*shard_parameters*/,
    const std::optional<bool> /*bottom_up*/) {
    auto buffer = std::make_shared<Buffer>(device, size, true /* owns data */, Private());
    if (size == 0) {
        return buffer;
    }
    buffer->address_ = 64;
    buffer->allocated_ = true;
    GraphTracker::instance().track_allocate(buffer.get());
    return buffer;
}

std::shared_ptr<Buffer> Buffer::create(
    IDevice* device,
    DeviceAddr address,
    DeviceAddr size,
    DeviceAddr /*page_size*/,
    const BufferType /*buffer_type*/,
    const TensorMemoryLayout /*buffer_layout*/,
    const std::optional<ShardSpecBuffer>& /*shard_parameters*/,
    const std::optional<bool> /*bottom_up*/) {
    auto buffer = std::make_shared<Buffer>(device, size, false /* owns data */, Private());
    buffer->address_ = address;
    buffer->allocated_ = true;
    return buffer;
}

void Buffer::mark_as_deallocated() {
    allocated_ = false;
}

Buffer::~Buffer() {
    if (owns_data_ && allocated_ && size_ != 0) {
        GraphTracker::instance().track_deallocate(this);
    }
}

}  // namespace tt_metal
}  // namespace tt
