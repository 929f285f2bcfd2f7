#pragma once

#include <memory>

namespace tt::tt_metal {
struct IDevice;
namespace detail {
class ProgramImpl;
}

class Program {
public:
    Program();
    ~Program() noexcept;
    void run(const IDevice* mesh, const IDevice* chip);
    const detail::ProgramImpl& impl() const { return *internal_; }
    detail::ProgramImpl& impl() { return *internal_; }

private:
    std::shared_ptr<detail::ProgramImpl> internal_;
};
}  // namespace tt::tt_metal
