#include <program.hpp>

namespace tt::tt_metal {

namespace detail {
class Program_ {
public:
    ~Program_() noexcept = default;
};
}  // namespace detail

Program::Program() : pimpl_(std::make_unique<detail::Program_>()) {}

Program::~Program() noexcept = default;

}  // namespace tt::tt_metal
