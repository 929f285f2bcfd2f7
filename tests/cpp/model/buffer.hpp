// Buffers: those that own their memory, views at an address, and mesh buffers, which are one owner and many views.
#pragma once

#include "devices.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace tt::tt_metal {

enum class TensorMemoryLayout { INTERLEAVED, SINGLE_BANK, HEIGHT_SHARDED, WIDTH_SHARDED, BLOCK_SHARDED };

struct BufferShape {
    DeviceAddr size = 0, page_size = 0;
    BufferType type = BufferType::DRAM;
    TensorMemoryLayout layout = TensorMemoryLayout::INTERLEAVED;
    std::uint32_t n_cores = 0;  // of a sharded buffer
};

class Buffer final : public std::enable_shared_from_this<Buffer> {
    struct Private {};

public:
    // Asks the device's allocator.
    static std::shared_ptr<Buffer> create(IDevice* device, const BufferShape& shape);
    // At an address that is another's: it owns nothing.
    static std::shared_ptr<Buffer> create(IDevice* device, DeviceAddr address, const BufferShape& shape);

    Buffer(IDevice* device, const BufferShape& shape, bool owns_data, Private);
    ~Buffer();
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    // A part of this one, which it keeps alive.
    std::shared_ptr<Buffer> view(DeviceAddr size);
    void deallocate();
    // The memory is gone already.
    void mark_as_deallocated() { status_ = Status::Deallocated; }

    IDevice* device() const { return device_; }
    Allocator* allocator() const { return device_->allocator(); }
    DeviceAddr size() const { return shape_.size; }
    DeviceAddr page_size() const { return shape_.page_size; }
    BufferType buffer_type() const { return shape_.type; }
    TensorMemoryLayout buffer_layout() const { return shape_.layout; }
    DeviceAddr aligned_size_per_bank() const;
    bool is_allocated() const { return status_ == Status::Allocated; }
    // Throws if nothing was ever allocated.
    std::uint32_t address() const;
#ifndef MODEL_WITHOUT_IDS
    std::size_t unique_id() const { return unique_id_; }
#endif

private:
    enum class Status { Requested, Allocated, Deallocated };
    static inline std::atomic<std::size_t> next_id_{0};

    IDevice* const device_;
    const BufferShape shape_;
    const bool owns_data_;
    Status status_ = Status::Requested;
    DeviceAddr address_ = 0;
    [[maybe_unused]] const std::size_t unique_id_ = next_id_++;
    std::shared_ptr<Buffer> root_;
};

namespace distributed {

class MeshBuffer {
public:
    MeshBuffer(MeshDevice& mesh, const BufferShape& shape);
    ~MeshBuffer() { deallocate(); }
    MeshBuffer(const MeshBuffer&) = delete;
    MeshBuffer& operator=(const MeshBuffer&) = delete;

    // Gives the memory back; the views stay as objects until this one goes.
    void deallocate();
    const std::shared_ptr<Buffer>& owner() const { return owner_; }

private:
    MeshDevice& mesh_;
    std::vector<std::shared_ptr<Buffer>> views_;
    std::shared_ptr<Buffer> owner_;
};

}  // namespace distributed
}  // namespace tt::tt_metal
