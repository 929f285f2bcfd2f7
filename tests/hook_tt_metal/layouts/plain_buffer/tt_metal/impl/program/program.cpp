#include <program.hpp>
#include "program/program_impl.hpp"

namespace tt::tt_metal {

detail::ProgramImpl::~ProgramImpl() noexcept {
    living--;
}

Program::Program() : internal_(std::make_shared<detail::ProgramImpl>()) {}

Program::~Program() noexcept = default;

}  // namespace tt::tt_metal
