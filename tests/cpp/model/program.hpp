// Programs: circular buffers on cores, laid out upwards from the base of L1, and a buffer with their binaries.
#pragma once

#include "buffer.hpp"

#include <optional>
#include <string>

namespace tt::tt_metal {

struct CoreCoord {
    std::size_t x = 0, y = 0;
};
struct CoreRange {
    CoreCoord start_coord, end_coord;
};
class CoreRangeSet {
public:
    explicit CoreRangeSet(std::vector<CoreRange> ranges) : ranges_(std::move(ranges)) {}
    const std::vector<CoreRange>& ranges() const { return ranges_; }

private:
    std::vector<CoreRange> ranges_;
};

class Program {
public:
    Program() = default;
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    std::uint64_t get_id() const { return id_; }
    void add_circular_buffer(CoreRangeSet cores, DeviceAddr size, bool is_globally_allocated = false);
    // The first launch lays out the circular buffers and loads the binaries.
    void launch(distributed::MeshDevice& mesh);

private:
    struct CircularBuffer {
        CoreRangeSet cores;
        DeviceAddr size;
        bool is_globally_allocated;
    };
    void allocate_circular_buffers(const distributed::MeshDevice& mesh);
    void deallocate_circular_buffers();

    static inline std::atomic<std::uint64_t> next_id_{0};
    const std::uint64_t id_ = next_id_++;
    std::mutex launch_mutex_;
    std::vector<CircularBuffer> circular_buffers_;
    std::vector<const IDevice*> laid_out_on_;
    std::unique_ptr<distributed::MeshBuffer> binaries_;
};

}  // namespace tt::tt_metal
