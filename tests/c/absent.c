// Linked with nothing of ours: every symbol must be null, and only that. Prints how many are not.
#include "tt_memtrace.h"
#include <stdio.h>

#define F(name) (void (*)(void)) tt_memtrace_##name

int main(void) {
    void (*const functions[])(void) = {
        F(track_allocate),       F(track_deallocate),  F(track_allocate_cb),  F(track_deallocate_cb),
        F(track_program),        F(track_kernel_load), F(track_kernel_unload), F(track_function_start),
        F(track_function_end),   F(phase_begin),       F(phase_end),          F(track_mesh_open),
        F(track_mesh_close),     F(track_device_open), F(track_device_close), F(track_sweep),
        F(track_trace_begin),    F(track_trace_end),   F(track_trace_release), F(mark),
        F(flush),                F(is_enabled),        F(abi_version),
    };
    int present = 0;
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++) present += functions[i] != 0;
    printf("%d\n", present);
    return 0;
}
