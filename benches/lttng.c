// What LTTng-UST pays for an event with the fields of an allocation, beside the library's own and the floor, in the
// same rounds: a session of LTTng records it, as `scripts/bench` sets one up. `measure.h` explains the columns.
#define _GNU_SOURCE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_event.h"
#include "measure.h"
#include <unistd.h>

static void lttng_event(const tt_memtrace_buffer *buffer) { lttng_ust_tracepoint(tt_memtrace_bench, alloc, buffer); }

// LTTng's consumer empties its buffers in its own time, and drops what does not fit.
static void wait_for_consumer(void) { usleep(10000); }

int main(void) {
    const struct row rows[] = {{"the floor", floor_event, NULL, 0},
        {"an allocation, C interface", tt_memtrace_track_allocate, NULL, 0},
        {"the same fields, LTTng-UST", lttng_event, NULL, 0}};
    if (tt_memtrace_track_allocate == NULL || !lttng_ust_tracepoint_enabled(tt_memtrace_bench, alloc)) return 2;
    tt_memtrace_buffer buffer = example();
    tt_memtrace_track_allocate(&buffer);
    settle_more = wait_for_consumer;
    for (int threads = 1; threads <= 2; threads++) {
        measure(rows, 3, threads, 20000 / threads, 100000 / threads);
        printf("%-38s     LTTng-UST costs %.1f times as much as the library\n", "", ratio(2, 1));
    }
    return 0;
}
