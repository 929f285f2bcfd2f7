// A stand-in for a ttnn model where ttnn cannot be had: it tells tt-memtrace, through the C interface, what a
// runtime would on a mesh of eight Wormhole chips. No memory is really allocated anywhere. One output of each
// iteration is never given back: that is the leak the reports are to find.
#include "tt_memtrace.h"

#include <cstdio>

namespace {

constexpr std::uint32_t kMesh = 0;
constexpr std::uint64_t kBanks = 12, kPage = 2048, kFirst = 1048640;

std::uint64_t next_address = kFirst, next_id = 0;

tt_memtrace_buffer allocate(std::uint64_t pages) {
  tt_memtrace_buffer buffer = {};
  buffer.struct_size = sizeof buffer;
  buffer.mesh_id = kMesh;
  buffer.buffer_type = TT_MEMTRACE_DRAM;
  buffer.size_bytes = pages * kPage;
  buffer.page_size_bytes = kPage;
  buffer.per_bank_bytes = (pages + kBanks - 1) / kBanks * kPage;
  buffer.address = next_address;
  buffer.unique_id = next_id++;
  buffer.allocator = 1;
  next_address += buffer.per_bank_bytes;
  if (tt_memtrace_track_allocate) tt_memtrace_track_allocate(&buffer);
  return buffer;
}

void deallocate(const tt_memtrace_buffer& buffer) {
  if (tt_memtrace_track_deallocate) tt_memtrace_track_deallocate(&buffer);
}

}  // namespace

int main() {
  const std::uint32_t chips[] = {4, 0, 2, 6, 5, 1, 3, 7};
  if (tt_memtrace_track_mesh_open) tt_memtrace_track_mesh_open(kMesh, chips, 8, 2, 4, 2);

  const tt_memtrace_buffer weights = allocate(256);
  for (int iteration = 0; iteration < 5; ++iteration) {
    if (tt_memtrace_mark) tt_memtrace_mark("iteration");
    const tt_memtrace_buffer hidden = allocate(64);
    allocate(16);  // the output, which nobody gives back
    deallocate(hidden);
  }
  deallocate(weights);

  if (tt_memtrace_track_mesh_close) tt_memtrace_track_mesh_close(kMesh);
  std::puts("the model is done");
  return 0;
}
