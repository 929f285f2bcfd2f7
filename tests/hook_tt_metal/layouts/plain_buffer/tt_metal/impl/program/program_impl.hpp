#pragma once

namespace tt::tt_metal::detail {
class ProgramImpl {
public:
    ~ProgramImpl() noexcept;
    static inline int living = 1;
};
}  // namespace tt::tt_metal::detail
