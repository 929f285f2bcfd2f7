#pragma once

#include <memory>

namespace tt::tt_metal {
namespace detail {
class Program_;
}

class Program {
public:
    Program();
    ~Program() noexcept;

private:
    std::unique_ptr<detail::Program_> pimpl_;
};
}  // namespace tt::tt_metal
