// Chips, and meshes of them. A mesh has an allocator of its own and numbers of its own.
#pragma once

#include "allocator.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <vector>

namespace tt {
enum class ARCH { WORMHOLE_B0 = 2, BLACKHOLE = 3 };
}

namespace tt::tt_metal {

class Program;

class IDevice {
public:
    virtual ~IDevice() = default;
    virtual int id() const = 0;
    virtual ARCH arch() const { return ARCH::WORMHOLE_B0; }
    Allocator* allocator() const { return allocator_.get(); }
    bool is_initialized() const { return is_initialized_; }

protected:
    explicit IDevice(DeviceAddr dram_base) : allocator_(std::make_unique<Allocator>(dram_base)) {}

    std::unique_ptr<Allocator> allocator_;
    std::atomic<bool> is_initialized_{true};
};

class Device final : public IDevice {
public:
    // What is allocated on a chip itself lies above what is allocated on its mesh.
    explicit Device(int id) : IDevice(0x20000000), id_(id) {}
    int id() const override { return id_; }
    void close();

private:
    int id_;
};

namespace distributed {

class MeshDevice final : public IDevice {
public:
    MeshDevice(std::vector<std::shared_ptr<Device>> devices, std::size_t rows, std::size_t cols);
    ~MeshDevice() override;

    int id() const override { return id_; }
    std::vector<int> get_device_ids() const;
    std::vector<IDevice*> get_devices() const;
    std::size_t num_rows() const { return rows_; }
    std::size_t num_cols() const { return cols_; }

    // A mesh of the first devices, with an allocator that gives the same addresses again.
    std::unique_ptr<MeshDevice> create_submesh(std::size_t rows, std::size_t cols) const;

    // What is still allocated is swept away. Also closes the chips, unless they are another mesh's.
    void close();

    // The program of that name, compiled when it is first asked for.
    Program& cached_program(const std::string& name);
    void clear_program_cache();

private:
    static inline std::atomic<int> next_id_{0};
    const int id_ = next_id_++;
    std::vector<std::shared_ptr<Device>> devices_;
    std::size_t rows_, cols_;
    bool owns_devices_ = true;
    std::mutex cache_mutex_;
    std::map<std::string, std::unique_ptr<Program>> program_cache_;
};

}  // namespace distributed
}  // namespace tt::tt_metal
