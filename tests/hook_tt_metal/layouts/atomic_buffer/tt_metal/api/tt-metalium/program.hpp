#pragma once

#include <cstdint>
#include <memory>

namespace tt::tt_metal {
struct IDevice;
namespace detail {
class Program_;
}

class Program {
public:
    Program();
    ~Program() noexcept;
    std::uint64_t get_id() const;
    void run(const IDevice* mesh, const IDevice* chip);

private:
    std::unique_ptr<detail::Program_> pimpl_;
};
}  // namespace tt::tt_metal
