#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "device.hpp"

namespace tt::tt_metal {
using DeviceAddr = std::uint64_t;
enum class BufferType { DRAM, L1 };
enum class TensorMemoryLayout { INTERLEAVED };
struct ShardSpecBuffer {};

class Buffer {
    struct Private {};

public:
    static std::shared_ptr<Buffer> create(
        IDevice* device,
        DeviceAddr size,
        DeviceAddr page_size,
        BufferType buffer_type,
        TensorMemoryLayout buffer_layout = TensorMemoryLayout::INTERLEAVED,
        const std::optional<ShardSpecBuffer>& shard_parameters = std::nullopt,
        std::optional<bool> bottom_up = std::nullopt);
    static std::shared_ptr<Buffer> create(
        IDevice* device,
        DeviceAddr address,
        DeviceAddr size,
        DeviceAddr page_size,
        BufferType buffer_type,
        TensorMemoryLayout buffer_layout = TensorMemoryLayout::INTERLEAVED,
        const std::optional<ShardSpecBuffer>& shard_parameters = std::nullopt,
        std::optional<bool> bottom_up = std::nullopt);

    Buffer(IDevice* device, DeviceAddr size, bool owns_data, Private);
    ~Buffer();
    DeviceAddr address() const { return address_; }
    DeviceAddr size() const { return size_; }
    BufferType buffer_type() const { return BufferType::L1; }
    IDevice* device() const { return device_; }
    void mark_as_deallocated();

private:
    IDevice* const device_;
    const DeviceAddr size_;
    const bool owns_data_;
    std::atomic<bool> allocated_ = false;
    DeviceAddr address_ = 0;
};
}  // namespace tt::tt_metal
