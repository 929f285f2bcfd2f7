// Everything a confused caller can pass. Whoever reads this line on stdout knows that the program lived on.
#include "events.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    // Nothing to record: each of these is counted as refused.
    tt_memtrace_track_allocate(NULL);
    tt_memtrace_track_deallocate(NULL);
    tt_memtrace_track_allocate_cb(NULL);
    tt_memtrace_track_kernel_load(NULL);
    tt_memtrace_mark(NULL);
    tt_memtrace_buffer small = buffer_at(1, 1);
    small.struct_size = sizeof small - 1;
    tt_memtrace_track_allocate(&small);
    small.struct_size = 0;
    tt_memtrace_track_deallocate(&small);
    char odd[sizeof small + 1];
    memcpy(odd + 1, &small, sizeof small);
    tt_memtrace_track_allocate((const tt_memtrace_buffer *)(void *)(odd + 1)); // misaligned
    tt_memtrace_flush(60000);

    // What follows is recorded, as far as it can be read.
    tt_memtrace_track_function_start(NULL, 5, NULL, UINT64_MAX);
    tt_memtrace_track_function_start("too long to be true", UINT64_MAX, "()", 2);
    tt_memtrace_track_mesh_open(9, NULL, UINT64_MAX, 0, UINT32_MAX, 77);

    tt_memtrace_buffer huge = buffer_at(UINT64_MAX - 1, (uint64_t)1 << 63);
    huge.struct_size = sizeof huge + 100; // of a later version
    huge.mesh_id = UINT32_MAX - 1;
    huge.buffer_type = 250;
    huge.buffer_layout = UINT32_MAX;
    huge.flags = UINT32_MAX;
    tt_memtrace_track_allocate(&huge);

    tt_memtrace_mark("caf\xe9 \xff\xfe \"quoted\" \\ \n \x01");
    char *name = malloc(40000);
    memset(name, 'x', 39999);
    name[39999] = 0;
    tt_memtrace_mark(name);
    tt_memtrace_track_function_start(name, 15000, name, 39999); // cut, both together
    tt_memtrace_phase_begin("\0\xf0\x9f", 3);

    uint64_t n = 1000000;
    tt_memtrace_core_range *cores = calloc(n, sizeof *cores);
    tt_memtrace_circular_buffer cb = {sizeof cb, 0, 0, 7, 1, 2, 3, cores, 1000};
    tt_memtrace_track_allocate_cb(&cb);
    cb.n_core_ranges = n;
    tt_memtrace_track_allocate_cb(&cb);
    cb.n_core_ranges = UINT64_MAX;
    tt_memtrace_track_allocate_cb(&cb);
    tt_memtrace_kernel kernel = {sizeof kernel, 0, 0, 250, (uint64_t)1 << 63, (uint64_t)1 << 63, UINT64_MAX};
    tt_memtrace_track_kernel_load(&kernel);
    tt_memtrace_track_trace_release(UINT32_MAX, UINT32_MAX, UINT64_MAX);
    tt_memtrace_track_function_end(); // more often than it began
    for (int i = 0; i < 4; i++) tt_memtrace_track_function_end();
    tt_memtrace_phase_end();
    tt_memtrace_phase_end();
    tt_memtrace_track_mesh_close(UINT32_MAX);
    free(cores);
    free(name);
    puts("alive");
    return 0;
}
