/* A library with the marker that a patched runtime has, which is no runtime. */
__attribute__((visibility("default"))) const unsigned tt_memtrace_patched_runtime = 1;
