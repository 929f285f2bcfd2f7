// A recorded program that allocates and deallocates at a given pace and knows what it holds, for `scripts/server-load` and
// `tests/serving.rs`.
//
//   paced HELD RATE    HELD buffers on four chips; then, from one line on its input to the next, RATE events a second: a
//                      buffer goes, and another one comes in its place
//
// Says `ready` before the first line, what it holds after the second, and ends with its input. A slice is what is due
// after a pause of two milliseconds.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tt_memtrace.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_HELD = 1 << 16, PATIENCE_MS = 120000 };

static tt_memtrace_buffer held[MOST_HELD];
static uint64_t n_events, next_id = 1;
static double slowest;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void told(void (*call)(const tt_memtrace_buffer *), const tt_memtrace_buffer *buffer) {
    call(buffer);
    n_events++;
}

static void allocate(int slot) {
    uint64_t id = next_id++, size = 2048 * (1 + id * 2654435761u % 31);
    held[slot] = (tt_memtrace_buffer){.struct_size = sizeof(tt_memtrace_buffer), .mesh_id = TT_MEMTRACE_NONE,
        .device_id = (uint32_t)slot % 4, .buffer_type = id % 3 ? TT_MEMTRACE_DRAM : TT_MEMTRACE_L1,
        .address = 0x100000 + (uint64_t)slot * 65536, .size_bytes = size, .page_size_bytes = 2048,
        .per_bank_bytes = size / 2, .unique_id = id, .allocator = 1 + (uint64_t)slot % 4};
    told(tt_memtrace_track_allocate, &held[slot]);
}

static void say_what_is_held(int n_held, double seconds) {
    uint64_t n[2] = {0, 0}, bytes[2] = {0, 0};
    for (int slot = 0; slot < n_held; slot++) {
        int is_l1 = held[slot].buffer_type == TT_MEMTRACE_L1;
        n[is_l1]++;
        bytes[is_l1] += held[slot].size_bytes;
    }
    int flushed = tt_memtrace_flush(PATIENCE_MS);
    printf("{\"pid\": %d, \"n_events\": %lu, \"seconds\": %.3f, \"flush\": %d, \"slowest_ms\": %.1f, "
           "\"memory\": {\"DRAM\": [%lu, %lu], \"L1\": [%lu, %lu]}}\n",
        getpid(), n_events, seconds, flushed, slowest * 1e3, n[0], bytes[0], n[1], bytes[1]);
}

int main(int argc, char **argv) {
    if (argc != 3 || !tt_memtrace_track_allocate) return 2;
    int n_held = atoi(argv[1]);
    double rate = atof(argv[2]);
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char line[8];
    if (n_held < 1 || n_held > MOST_HELD) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    for (int slot = 0; slot < n_held; slot++) allocate(slot);
    tt_memtrace_flush(PATIENCE_MS);
    puts("ready");
    if (!fgets(line, sizeof line, stdin)) return 2;
    // The paces of many programs do not meet.
    usleep((unsigned)getpid() * 7919u % 10000);
    uint64_t before = n_events;
    uint64_t random = (uint64_t)getpid();
    double start = now(), at = start;
    while (poll(&input, 1, 2) == 0) {
        at = now();
        uint64_t due = before + (uint64_t)((at - start) * rate);
        while (n_events + 2 <= due) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            int slot = (int)((random >> 33) % (uint64_t)n_held);
            told(tt_memtrace_track_deallocate, &held[slot]);
            allocate(slot);
        }
        double took = now() - at;
        slowest = took > slowest ? took : slowest;
    }
    if (!fgets(line, sizeof line, stdin)) return 2;
    say_what_is_held(n_held, at - start);
    while (fgets(line, sizeof line, stdin)) {}
    return 0;
}
