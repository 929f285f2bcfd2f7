// argv[1] threads record argv[2] events each. The address tells the thread and the position on it. Main starts
// them all at once, waits for the last, and then until all is written: the end of a process waits two seconds only.
#include "events.h"
#include <pthread.h>
#include <stdlib.h>

static uint64_t n_events;
static pthread_barrier_t start;

static void *record(void *thread) {
    pthread_barrier_wait(&start);
    for (uint64_t i = 0; i < n_events; i++) allocate((uint64_t)(uintptr_t)thread << 32 | i);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    unsigned n_threads = (unsigned)atoi(argv[1]);
    n_events = strtoull(argv[2], NULL, 10);
    pthread_t threads[64];
    pthread_barrier_init(&start, NULL, n_threads);
    for (uintptr_t i = 0; i < n_threads; i++) pthread_create(&threads[i], NULL, record, (void *)i);
    for (unsigned i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
    return tt_memtrace_flush(60000) == 0 ? 0 : 3;
}
