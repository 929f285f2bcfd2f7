// Each function must leave errno as it was, in particular the first, which starts the recording.
#include "events.h"
#include <errno.h>
#include <stdio.h>

static int failed;

#define KEEPS(call)                                                                                            \
    do {                                                                                                       \
        errno = 4242;                                                                                          \
        call;                                                                                                  \
        int after = errno;                                                                                     \
        if (after != 4242) failed = 1, printf("%s: errno %d\n", #call, after);                                 \
    } while (0)

int main(void) {
    tt_memtrace_buffer buffer = buffer_at(64, 64);
    tt_memtrace_circular_buffer cb = {sizeof cb, 0, 0, 0, 1, 2, 3, NULL, 0};
    tt_memtrace_kernel kernel = {sizeof kernel, 0, 0, 0, 1, 2, 3};
    uint32_t chip = 0;
    KEEPS(tt_memtrace_track_allocate(&buffer));
    KEEPS(tt_memtrace_track_deallocate(&buffer));
    KEEPS(tt_memtrace_track_allocate_cb(&cb));
    KEEPS(tt_memtrace_track_deallocate_cb(0, 0, 1));
    KEEPS(tt_memtrace_track_program(0, 0, 1));
    KEEPS(tt_memtrace_track_kernel_load(&kernel));
    KEEPS(tt_memtrace_track_kernel_unload(0, 0, 1));
    KEEPS(tt_memtrace_phase_begin("x", 1));
    KEEPS(tt_memtrace_phase_end());
    KEEPS(tt_memtrace_track_trace_begin(0, 0, 1));
    KEEPS(tt_memtrace_track_trace_end(0, 0, 1));
    KEEPS(tt_memtrace_track_trace_release(0, 0, 1));
    KEEPS(tt_memtrace_track_device_open(0, 2));
    KEEPS(tt_memtrace_track_device_close(0));
    KEEPS(tt_memtrace_track_function_start("x", 1, "y", 1));
    KEEPS(tt_memtrace_track_function_end());
    KEEPS(tt_memtrace_track_mesh_open(0, &chip, 1, 1, 1, 2));
    KEEPS(tt_memtrace_track_mesh_close(0));
    KEEPS(tt_memtrace_track_sweep(1));
    KEEPS(tt_memtrace_mark("x"));
    KEEPS(tt_memtrace_flush(1000));
    KEEPS(tt_memtrace_is_enabled());
    KEEPS(tt_memtrace_capture_path(NULL, 0));
    KEEPS(tt_memtrace_abi_version());
    KEEPS(tt_memtrace_mark(NULL));
    return failed;
}
