// argv[1] threads come and go, 64 at a time, each with argv[2] events that are its only ones.
#include "events.h"
#include <pthread.h>
#include <stdlib.h>

enum { AT_A_TIME = 64 };

static uint64_t n_events;

static void *record(void *thread) {
    for (uint64_t i = 0; i < n_events; i++) allocate((uint64_t)(uintptr_t)thread << 32 | i);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    uintptr_t n_threads = (uintptr_t)atoi(argv[1]);
    n_events = strtoull(argv[2], NULL, 10);
    for (uintptr_t first = 0; first < n_threads; first += AT_A_TIME) {
        pthread_t threads[AT_A_TIME];
        uintptr_t n = n_threads - first < AT_A_TIME ? n_threads - first : AT_A_TIME;
        for (uintptr_t i = 0; i < n; i++) pthread_create(&threads[i], NULL, record, (void *)(first + i));
        for (uintptr_t i = 0; i < n; i++) pthread_join(threads[i], NULL);
        // What the threads left is taken away, so that the next ones find room.
        if (tt_memtrace_flush && tt_memtrace_flush(100000) == 1) return 3;
    }
    return 0;
}
