// Every kind of call before main and after it: from a constructor, from an exit handler, from a destructor.
#include "events.h"
#include <stdlib.h>

static void call_all(uint64_t number) {
    uint32_t chip = 1;
    tt_memtrace_core_range cores = {0, 0, 1, 1};
    tt_memtrace_circular_buffer cb = {sizeof cb, 0, 0, 0, number, 64, 64, &cores, 1};
    tt_memtrace_track_mesh_open((uint32_t)number, &chip, 1, 1, 1, 2);
    allocate(number);
    tt_memtrace_track_allocate_cb(&cb);
    tt_memtrace_track_function_start("call", 4, NULL, 0);
    tt_memtrace_track_function_end();
    tt_memtrace_mark("here");
    tt_memtrace_track_mesh_close((uint32_t)number);
}

__attribute__((constructor(101))) static void before_main(void) { call_all(1); }
__attribute__((destructor(101))) static void after_exit_handlers(void) { call_all(4); }
static void at_exit(void) { call_all(3); }

int main(void) {
    atexit(at_exit);
    call_all(2);
    return 0;
}
