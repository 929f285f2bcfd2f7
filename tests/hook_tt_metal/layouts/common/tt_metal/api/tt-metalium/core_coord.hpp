#pragma once

#include <vector>

namespace tt::tt_metal {
struct CoreCoord {
    int x;
    int y;
};

struct CoreRange {
    CoreCoord start_coord;
    CoreCoord end_coord;
};

class CoreRangeSet {
public:
    explicit CoreRangeSet(CoreRange range) : ranges_{range} {}
    const std::vector<CoreRange>& ranges() const { return ranges_; }

private:
    std::vector<CoreRange> ranges_;
};
}  // namespace tt::tt_metal
