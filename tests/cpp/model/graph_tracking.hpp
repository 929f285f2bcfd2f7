// Where the runtime tells what it does with memory: the functions that a patched build puts its calls into.
#pragma once

#include "generation.hpp"
#include "program.hpp"

namespace tt::tt_metal::GraphTracker {

void track_allocate(const Buffer* buffer);
void track_deallocate(Buffer* buffer);
void track_allocate_cb(
    const CoreRangeSet& cores, std::uint64_t address, std::uint64_t size, bool is_globally_allocated,
    const IDevice* device);
void track_deallocate_cb(const IDevice* device);
void track_program(Program* program, const IDevice* device);

}  // namespace tt::tt_metal::GraphTracker
