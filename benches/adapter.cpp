// What a call of include/tt_memtrace.hpp costs a function of the runtime, beside the same function without it, in
// alternating rounds. `scripts/bench` runs it without the library, with it switched off, and recording.
//
//   adapter NAME    one row: nanoseconds without the call, with it, and the difference; medians and quartiles
#include "model/graph_tracking.hpp"
#include "tt_memtrace.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

using tt::tt_metal::Buffer;

namespace {

constexpr int kRounds = 201, kCalls = 1'000;

// As small as a function of the runtime can be: all that is compared is the call.
[[gnu::noinline]] void without(const Buffer* buffer) { asm volatile("" : : "r"(buffer) : "memory"); }
[[gnu::noinline]] void with(const Buffer* buffer) {
    asm volatile("" : : "r"(buffer) : "memory");
    tt_memtrace::hooks::allocate(buffer);
}

double ns_per_call(void (*call)(const Buffer*), const Buffer* buffer) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) call(buffer);
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
    return time.count() / kCalls;
}

double quantile(std::vector<double> values, double at) {
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
    tt::tt_metal::current_generation = &tt::tt_metal::generation_named("stock");
    tt::tt_metal::distributed::MeshDevice mesh({std::make_shared<tt::tt_metal::Device>(0)}, 1, 1);
    const auto buffer = Buffer::create(&mesh, {64 * 2048, 2048});
    std::vector<double> bare, called, more;
    for (int round = 0; round < kRounds; ++round) {
        bare.push_back(ns_per_call(without, buffer.get()));
        called.push_back(ns_per_call(with, buffer.get()));
        more.push_back(called.back() - bare.back());
        // What waits is written before the next round.
        if (tt_memtrace_flush) tt_memtrace_flush(10'000);
    }
    std::printf(
        "%-38s %6.2f ns without the call, %6.2f with it: %.2f more (%.2f to %.2f)\n", argc > 1 ? argv[1] : "",
        quantile(bare, 0.5), quantile(called, 0.5), quantile(more, 0.5), quantile(more, 0.25), quantile(more, 0.75));
}
