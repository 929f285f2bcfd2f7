// What it costs to know the Python line of an event: calls of the C interface from a Python thread, beside the same
// calls from a thread that runs no Python. Loaded by `context.py`.
#include "tt_memtrace.h"
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

enum { MOST = 1 << 16 };
static uint64_t singles[MOST];
static int n_singles;
static tt_memtrace_buffer buffer;

static void prepare(void) {
    memset(&buffer, 0, sizeof buffer);
    buffer.struct_size = sizeof buffer;
    buffer.mesh_id = TT_MEMTRACE_NONE;
    buffer.size_bytes = buffer.per_bank_bytes = buffer.page_size_bytes = 64;
    buffer.unique_id = buffer.allocator = TT_MEMTRACE_NONE64;
}

// One call, whose ticks are kept.
void context_one(void) {
    unsigned core;
    uint64_t before = __rdtscp(&core);
    tt_memtrace_track_deallocate(&buffer);
    uint64_t after = __rdtscp(&core);
    if (n_singles < MOST) singles[n_singles++] = after - before;
}

void context_many(int n) {
    while (n--) context_one();
}

static void *elsewhere(void *n) { return context_many(*(int *)n), NULL; }

// The same on a thread without Python.
void context_many_elsewhere(int n) {
    pthread_t thread;
    pthread_create(&thread, NULL, elsewhere, &n);
    pthread_join(thread, NULL);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double ticks_per_ns(void) {
    struct timespec a, b;
    unsigned core;
    clock_gettime(CLOCK_MONOTONIC, &a);
    uint64_t from = __rdtscp(&core);
    do clock_gettime(CLOCK_MONOTONIC, &b);
    while ((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec < 20000000);
    return (__rdtscp(&core) - from) / (double)((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec);
}

// A quantile of the calls since the last answer, in nanoseconds; the last question of a row forgets them.
double context_quantile(double q, int forget) {
    static double rate;
    if (!rate) rate = ticks_per_ns();
    qsort(singles, n_singles, sizeof *singles, compare);
    double found = n_singles ? singles[(int)(q * (n_singles - 1))] / rate : 0;
    if (forget) n_singles = 0;
    return found;
}

__attribute__((constructor)) static void at_load(void) { prepare(); }
