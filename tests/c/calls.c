// Calls every function of the interface once or twice, with values that no two calls share.
#include "events.h"

int main(void) {
    uint32_t chips[] = {4, 5, 6, 7};
    tt_memtrace_track_mesh_open(3, chips, 4, 2, 2, 2);
    tt_memtrace_track_mesh_open(3, chips, 1, 1, 1, 3); // defined already: nothing

    tt_memtrace_buffer on_mesh = {sizeof on_mesh, 3, 0, TT_MEMTRACE_DRAM, 2, 0, 4096, 11001, 1100, 1376, 77, 99};
    tt_memtrace_track_allocate(&on_mesh);
    tt_memtrace_buffer view = {sizeof view, TT_MEMTRACE_NONE, 5, TT_MEMTRACE_L1_SMALL, 0, TT_MEMTRACE_VIEW,
                               8192, 11002, 1200, 1408, TT_MEMTRACE_NONE64, TT_MEMTRACE_NONE64};
    tt_memtrace_track_allocate(&view);
    tt_memtrace_track_deallocate(&on_mesh);
    tt_memtrace_track_deallocate(&view);

    tt_memtrace_core_range cores[] = {{0, 0, 7, 6}, {1, 7, 2, 7}};
    tt_memtrace_circular_buffer cb = {sizeof cb, TT_MEMTRACE_NONE, 6, 0, 42, 1000, 2048, cores, 2};
    tt_memtrace_track_allocate_cb(&cb);
    cb.globally_allocated = 1;
    cb.address = 5000;
    cb.program = TT_MEMTRACE_NONE64;
    tt_memtrace_track_allocate_cb(&cb); // the same cores: not defined again
    tt_memtrace_track_program(3, 0, 42);
    tt_memtrace_track_deallocate_cb(3, 0, 42);
    tt_memtrace_track_deallocate_cb(TT_MEMTRACE_NONE, 6, TT_MEMTRACE_NONE64);

    tt_memtrace_track_deallocate_cb(TT_MEMTRACE_NONE, TT_MEMTRACE_NONE, 43); // wherever they are

    tt_memtrace_phase_begin("prefill and more", 7); // cut by its length
    tt_memtrace_track_function_start("ttnn::matmul and more", 12, "(a, b) and more", 6);
    tt_memtrace_mark("after matmul");
    tt_memtrace_track_function_end();
    tt_memtrace_track_function_start("ttnn::add", 9, NULL, 0);
    tt_memtrace_track_function_end();
    tt_memtrace_phase_end();

    tt_memtrace_kernel kernel = {sizeof kernel, 3, 0, TT_MEMTRACE_KERNEL_DISPATCH, 42, 4321, 64};
    tt_memtrace_track_kernel_load(&kernel);
    tt_memtrace_track_kernel_unload(TT_MEMTRACE_NONE, 6, TT_MEMTRACE_NONE64);
    tt_memtrace_track_trace_begin(3, 0, 17);
    tt_memtrace_track_trace_end(3, 0, 17);
    tt_memtrace_track_trace_release(TT_MEMTRACE_NONE, 6, 17);

    tt_memtrace_track_sweep(99);
    tt_memtrace_track_mesh_close(3);
    tt_memtrace_track_mesh_close(3); // closed already: nothing
    tt_memtrace_track_device_open(8, 3);
    tt_memtrace_track_device_close(8);
    tt_memtrace_track_device_open(8, 2); // told already: nothing
    tt_memtrace_track_device_close(8);
    if (!tt_memtrace_is_enabled() || tt_memtrace_abi_version() < TT_MEMTRACE_ABI_VERSION) return 1;
    return tt_memtrace_flush(60000);
}
