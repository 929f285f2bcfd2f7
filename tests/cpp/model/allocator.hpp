// Addresses as the runtime gives them: all banks of a memory in lockstep, so an address is taken in each at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>

namespace tt::tt_metal {

using DeviceAddr = std::uint64_t;
enum class BufferType { DRAM, L1, SYSTEM_MEMORY, L1_SMALL, TRACE };
constexpr DeviceAddr kRounding = 32;  // bytes in each bank

inline DeviceAddr round_up(DeviceAddr bytes, DeviceAddr unit) { return (bytes + unit - 1) / unit * unit; }

// One memory of one bank, and so of all.
class Bank {
public:
    enum class Fit { First, Best };

    Bank(DeviceAddr base, DeviceAddr size, bool is_top_down, Fit fit) : is_top_down_(is_top_down), fit_(fit) {
        free_[base] = size;
    }

    std::optional<DeviceAddr> allocate(DeviceAddr bytes) {
        bytes = round_up(bytes, kRounding);
        auto chosen = free_.end();
        for (auto block = free_.begin(); block != free_.end(); ++block) {
            if (block->second < bytes) continue;
            const bool is_closer = chosen == free_.end() || block->second < chosen->second;
            const bool is_first = chosen == free_.end() || is_top_down_;
            if (fit_ == Fit::Best ? is_closer : is_first) chosen = block;
        }
        if (chosen == free_.end()) return std::nullopt;
        const auto [start, size] = *chosen;
        free_.erase(chosen);
        const DeviceAddr address = is_top_down_ ? start + size - bytes : start;
        if (size > bytes) free_[is_top_down_ ? start : start + bytes] = size - bytes;
        taken_[address] = bytes;
        return address;
    }

    void deallocate(DeviceAddr address) {
        const auto taken = taken_.find(address);
        if (taken == taken_.end()) throw std::logic_error("nothing is allocated there");
        auto [start, size] = *taken;
        taken_.erase(taken);
        const auto after = free_.find(start + size);
        if (after != free_.end()) {
            size += after->second;
            free_.erase(after);
        }
        auto before = free_.lower_bound(start);
        if (before != free_.begin() && (--before)->first + before->second == start) {
            before->second += size;
        } else {
            free_[start] = size;
        }
    }

private:
    bool is_top_down_;
    Fit fit_;
    std::map<DeviceAddr, DeviceAddr> free_, taken_;  // sizes by address
};

// What is allocated in one memory, on each chip that the allocator serves.
struct Totals {
    std::uint64_t n_buffers = 0, bytes = 0, per_bank_bytes = 0;

    void operator+=(const Totals& other) {
        n_buffers += other.n_buffers;
        bytes += other.bytes;
        per_bank_bytes += other.per_bank_bytes;
    }
};

class Buffer;

class Allocator {
public:
    // A Wormhole chip: 12 DRAM banks, 64 worker cores; L1 is filled from the top, L1_SMALL lies above it.
    explicit Allocator(DeviceAddr dram_base)
        : banks_{
              {BufferType::DRAM, Bank(dram_base, 500'000'000, false, Bank::Fit::Best)},
              {BufferType::L1, Bank(0x19d80, 1'300'000, true, Bank::Fit::Best)},
              {BufferType::L1_SMALL, Bank(0x158000, 32'768, false, Bank::Fit::First)},
              {BufferType::TRACE, Bank(0x3c000000, 50'000'000, false, Bank::Fit::First)}} {}

    std::uint32_t get_num_banks(BufferType type) const {
        return type == BufferType::DRAM || type == BufferType::TRACE ? 12 : 64;
    }

    // Throws when there is no room.
    DeviceAddr allocate_buffer(Buffer* buffer);
    void deallocate_buffer(Buffer* buffer);
    // Gives up everything, without a word about each.
    void deallocate_buffers();

    std::map<BufferType, Totals> totals() const;

private:
    mutable std::mutex mutex_;
    std::map<BufferType, Bank> banks_;
    std::map<Buffer*, DeviceAddr> allocated_;
};

}  // namespace tt::tt_metal
