// A small extension of a stock ttnn: it reports buffers through the C interface, as one does that was written for a
// runtime without interposition. It has no marker, so the hooks of the stock runtime stay on.
#include "tt_memtrace.h"

#include <cstdint>

extern "C" {

void report(int is_end, std::uint32_t mesh_id, std::uint32_t type, std::uint64_t address, std::uint64_t size_bytes,
            std::uint64_t page_size_bytes, std::uint64_t per_bank_bytes, std::uint64_t unique_id) {
  tt_memtrace_buffer buffer = {};
  buffer.struct_size = sizeof buffer;
  buffer.mesh_id = mesh_id;
  buffer.buffer_type = type;
  buffer.address = address;
  buffer.size_bytes = size_bytes;
  buffer.page_size_bytes = page_size_bytes;
  buffer.per_bank_bytes = per_bank_bytes;
  buffer.unique_id = unique_id;
  buffer.allocator = TT_MEMTRACE_NONE64;
  if (is_end && tt_memtrace_track_deallocate) tt_memtrace_track_deallocate(&buffer);
  if (!is_end && tt_memtrace_track_allocate) tt_memtrace_track_allocate(&buffer);
}

void begin(const char* name, std::uint64_t length) {
  if (tt_memtrace_phase_begin) tt_memtrace_phase_begin(name, length);
}

void end() {
  if (tt_memtrace_phase_end) tt_memtrace_phase_end();
}
}
