// Stands in for the preloaded library: tells on stderr what the calls report.
#include <cstdio>

#include "tt_memtrace.h"

extern "C" const uint32_t tt_memtrace_patched_runtime;
static const int is_patched = std::fprintf(stderr, "patched %u\n", tt_memtrace_patched_runtime);

static void place(uint32_t mesh_id, uint32_t device_id) {
    if (mesh_id != TT_MEMTRACE_NONE) std::fprintf(stderr, " mesh %u", mesh_id);
    if (device_id != TT_MEMTRACE_NONE) std::fprintf(stderr, " chip %u", device_id);
    std::fputc('\n', stderr);
}

void tt_memtrace_track_allocate(const tt_memtrace_buffer* buffer) {
    std::fprintf(stderr, "allocate %u bytes at %u", (unsigned)buffer->size_bytes, (unsigned)buffer->address);
    if (buffer->flags & TT_MEMTRACE_VIEW) std::fputs(" view", stderr);
    place(buffer->mesh_id, buffer->device_id);
}

void tt_memtrace_track_deallocate(const tt_memtrace_buffer* buffer) {
    std::fprintf(stderr, "deallocate %u bytes at %u\n", (unsigned)buffer->size_bytes, (unsigned)buffer->address);
}

void tt_memtrace_track_allocate_cb(const tt_memtrace_circular_buffer* cb) {
    std::fprintf(stderr, "allocate_cb %u bytes at %u", (unsigned)cb->size_bytes, (unsigned)cb->address);
    std::fprintf(stderr, " program %d to core %u", (int)cb->program, cb->core_ranges[0].x1);
    place(cb->mesh_id, cb->device_id);
}

void tt_memtrace_track_deallocate_cb(uint32_t mesh_id, uint32_t device_id, uint64_t program) {
    std::fprintf(stderr, "deallocate_cb program %d", (int)program);
    place(mesh_id, device_id);
}

void tt_memtrace_track_program(uint32_t mesh_id, uint32_t device_id, uint64_t program) {
    std::fprintf(stderr, "program %d", (int)program);
    place(mesh_id, device_id);
}

void tt_memtrace_track_mesh_open(
    uint32_t mesh_id, const uint32_t* ids, uint64_t n, uint32_t, uint32_t, uint32_t) {
    std::fprintf(stderr, "open %u chips from %u to %u", (unsigned)n, ids[0], ids[n - 1]);
    place(mesh_id, TT_MEMTRACE_NONE);
}

void tt_memtrace_track_mesh_close(uint32_t mesh_id) {
    std::fputs("close", stderr);
    place(mesh_id, TT_MEMTRACE_NONE);
}
