// argv[1] threads, all alive until the end, record argv[2] events each, in turns: nobody begins the next turn before
// all have returned from this one. The address tells the turn and the thread.
#include "events.h"
#include <pthread.h>
#include <stdlib.h>

static uint64_t n_turns;
static pthread_barrier_t turn;

static void *record(void *thread) {
    for (uint64_t i = 0; i < n_turns; i++) {
        pthread_barrier_wait(&turn);
        allocate(i << 32 | (uint64_t)(uintptr_t)thread);
    }
    pthread_barrier_wait(&turn);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    unsigned n_threads = (unsigned)atoi(argv[1]);
    n_turns = strtoull(argv[2], NULL, 10);
    pthread_t *threads = calloc(n_threads, sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    pthread_barrier_init(&turn, NULL, n_threads);
    for (uintptr_t i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], &attributes, record, (void *)i) != 0) return 3;
    for (unsigned i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
    free(threads);
    return tt_memtrace_flush(100000) == 0 ? 0 : 4;
}
