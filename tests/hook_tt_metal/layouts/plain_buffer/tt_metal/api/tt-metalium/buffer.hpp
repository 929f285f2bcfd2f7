#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace tt::tt_metal {
struct IDevice;
using DeviceAddr = std::uint64_t;
enum class BufferType { DRAM, L1 };
struct BufferShardingArgs {};

class Buffer final : public std::enable_shared_from_this<Buffer> {
    struct Private {};

public:
    static std::shared_ptr<Buffer> create(
        IDevice* device,
        DeviceAddr size,
        DeviceAddr page_size,
        BufferType buffer_type,
        const BufferShardingArgs& sharding_args = {},
        std::optional<bool> bottom_up = std::nullopt);
    static std::shared_ptr<Buffer> create(
        IDevice* device,
        DeviceAddr address,
        DeviceAddr size,
        DeviceAddr page_size,
        BufferType buffer_type,
        const BufferShardingArgs& sharding_args = {},
        std::optional<bool> bottom_up = std::nullopt);

    Buffer(IDevice* device, DeviceAddr size, bool owns_data, Private);
    ~Buffer();
    DeviceAddr address() const { return address_; }
    DeviceAddr size() const { return size_; }
    BufferType buffer_type() const { return BufferType::L1; }
    IDevice* device() const { return device_; }
    bool is_allocated() const { return allocation_status_ == AllocationStatus::ALLOCATED; }
    void deallocate();
    void mark_as_deallocated();

private:
    enum class AllocationStatus { ALLOCATION_REQUESTED, ALLOCATED, DEALLOCATED };
    void allocate_impl();
    void deallocate_impl();

    IDevice* const device_;
    const DeviceAddr size_;
    const bool owns_data_;
    AllocationStatus allocation_status_ = AllocationStatus::ALLOCATION_REQUESTED;
    DeviceAddr address_ = 0;
};
}  // namespace tt::tt_metal
