// Linked with nothing of ours: every symbol must be null, and only that.
#include "tt_memtrace.h"
#include <stdio.h>

int main(void) {
    int present = !!tt_memtrace_track_allocate + !!tt_memtrace_track_deallocate + !!tt_memtrace_track_allocate_cb +
                  !!tt_memtrace_track_deallocate_cb + !!tt_memtrace_track_program +
                  !!tt_memtrace_track_function_start + !!tt_memtrace_track_function_end +
                  !!tt_memtrace_track_mesh_open + !!tt_memtrace_track_mesh_close + !!tt_memtrace_track_sweep +
                  !!tt_memtrace_mark + !!tt_memtrace_flush + !!tt_memtrace_is_enabled;
    printf("%d\n", present);
    return 0;
}
