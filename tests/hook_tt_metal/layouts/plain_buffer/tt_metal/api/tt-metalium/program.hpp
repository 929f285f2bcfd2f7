#pragma once

#include <memory>

namespace tt::tt_metal {
namespace detail {
class ProgramImpl;
}

class Program {
public:
    Program();
    ~Program() noexcept;
    detail::ProgramImpl& impl() { return *internal_; }

private:
    std::shared_ptr<detail::ProgramImpl> internal_;
};
}  // namespace tt::tt_metal
