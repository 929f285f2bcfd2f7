#pragma once

#include <cstdint>

namespace tt::tt_metal {
struct IDevice;
namespace detail {
class ProgramImpl {
public:
    ~ProgramImpl() noexcept;
    std::uint64_t get_id() const { return 7; }
    void allocate_circular_buffers(const IDevice* device);
    void deallocate_circular_buffers();
    static inline int living = 1;

private:
    const IDevice* device_ = nullptr;
};
}  // namespace detail
}  // namespace tt::tt_metal
