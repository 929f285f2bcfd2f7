#pragma once

namespace tt::tt_metal {
struct CoreRangeSet {
    int cores;
};
}  // namespace tt::tt_metal
