// Everything a confused caller can pass. Whoever reads this line on stdout knows that the program lived on.
#include "events.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    tt_memtrace_track_allocate(NULL);
    tt_memtrace_track_deallocate(NULL);
    tt_memtrace_track_allocate_cb(NULL);
    tt_memtrace_mark(NULL);
    tt_memtrace_buffer small = buffer_at(1, 1);
    small.struct_size = sizeof small - 1;
    tt_memtrace_track_allocate(&small);
    small.struct_size = 0;
    tt_memtrace_track_deallocate(&small);
    char odd[sizeof small + 1];
    memcpy(odd + 1, &small, sizeof small);
    tt_memtrace_track_allocate((const tt_memtrace_buffer *)(void *)(odd + 1)); // misaligned
    // Up to here nothing was recorded. What follows is.
    tt_memtrace_track_function_start(NULL, 5);
    tt_memtrace_track_function_start("too long to be true", UINT64_MAX);
    tt_memtrace_track_mesh_open(9, NULL, UINT64_MAX, 0, UINT32_MAX, 77);

    tt_memtrace_buffer huge = buffer_at(UINT64_MAX - 1, (uint64_t)1 << 63);
    huge.struct_size = sizeof huge + 100; // of a later version
    huge.mesh_id = UINT32_MAX - 1;
    huge.buffer_type = 250;
    huge.buffer_layout = UINT32_MAX;
    huge.flags = UINT32_MAX;
    tt_memtrace_track_allocate(&huge);

    tt_memtrace_mark("caf\xe9 \xff\xfe \"quoted\" \\ \n \x01");
    char *name = malloc(10000);
    memset(name, 'x', 9999);
    name[9999] = 0;
    tt_memtrace_mark(name);

    uint64_t n = 1000000;
    tt_memtrace_core_range *cores = calloc(n, sizeof *cores);
    tt_memtrace_circular_buffer cb = {sizeof cb, 0, 0, 7, 1, 2, 3, cores, 1000};
    tt_memtrace_track_allocate_cb(&cb);
    cb.n_core_ranges = n;
    tt_memtrace_track_allocate_cb(&cb);
    cb.n_core_ranges = UINT64_MAX;
    tt_memtrace_track_allocate_cb(&cb);
    tt_memtrace_track_function_end(); // twice more than it began
    tt_memtrace_track_function_end();
    tt_memtrace_track_mesh_close(UINT32_MAX);
    puts("alive");
    return 0;
}
