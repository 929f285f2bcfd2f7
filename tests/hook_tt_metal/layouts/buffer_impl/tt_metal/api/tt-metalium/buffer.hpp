#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace tt::tt_metal {
struct IDevice;
class BufferImpl;
using DeviceAddr = std::uint64_t;
enum class BufferType { DRAM, L1 };
struct BufferShardingArgs {};

class Buffer final : public std::enable_shared_from_this<Buffer> {
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

    explicit Buffer(BufferImpl impl);
    ~Buffer();
    DeviceAddr address() const;
    DeviceAddr size() const;
    BufferType buffer_type() const { return BufferType::L1; }
    bool is_allocated() const;
    IDevice* device() const;
    BufferImpl& impl() { return *impl_; }

private:
    std::unique_ptr<BufferImpl> impl_;
};
}  // namespace tt::tt_metal
