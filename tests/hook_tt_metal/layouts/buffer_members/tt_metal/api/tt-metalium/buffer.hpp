#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace tt::tt_metal {
struct IDevice;
struct BufferImpl;
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
    DeviceAddr address() const;
    DeviceAddr size() const;
    BufferType buffer_type() const { return BufferType::L1; }
    IDevice* device() const;
    bool is_allocated() const;
    void deallocate();
    void mark_as_deallocated();

private:
    void allocate_impl();
    void deallocate_impl();

    std::unique_ptr<BufferImpl> members_;
};
}  // namespace tt::tt_metal
