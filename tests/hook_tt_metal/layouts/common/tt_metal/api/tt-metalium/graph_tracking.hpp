#pragma once

#include <cstdint>

namespace tt::tt_metal {
class Buffer;
class Program;
struct IDevice;
class CoreRangeSet;

class GraphTracker {
public:
    static GraphTracker& instance();
    void track_allocate(const Buffer* buffer);
    void track_deallocate(Buffer* buffer);
    void track_allocate_cb(
        const CoreRangeSet& core_range_set, uint64_t addr, uint64_t size, bool in_buffer, const IDevice* device);
    void track_deallocate_cb(const IDevice* device);
    void track_program(Program* program, const IDevice* device);
    int calls = 0;
};
}  // namespace tt::tt_metal
