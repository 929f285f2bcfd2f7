// A handler that records interrupts a thread that is inside the C library's allocator, argv[1] times. The next signal
// comes when the last handler has returned, and the spool is emptied in between, so that on no machine there are more
// events than it has room for. Prints how many calls were made in all, and how many of them gave nothing to record.
#define _GNU_SOURCE
#include "events.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

// A handler takes about 80 slots of the spool.
enum { CALLS = 15, HANDLERS_PER_FLUSH = 100, PATIENCE_MS = 100000 };

// Blocks of more than a kilobyte lie beyond the allocator's caches: it takes its lock for each.
static char name[2000];

static unsigned long n;
static atomic_ulong n_taken;
static sem_t has_returned;

static void on_signal(int number) {
    (void)number;
    tt_memtrace_kernel kernel = {sizeof kernel, 1, 0, 0, 2, 3, 4};
    allocate(1);
    deallocate(1);
    tt_memtrace_track_deallocate_cb(1, 0, 1);
    tt_memtrace_track_program(1, 0, 1);
    tt_memtrace_track_kernel_load(&kernel);
    tt_memtrace_track_kernel_unload(1, 0, 2);
    tt_memtrace_phase_begin("phase", 5);
    tt_memtrace_track_function_start(name, sizeof name, name, sizeof name);
    tt_memtrace_mark("in the handler");
    tt_memtrace_track_function_end();
    tt_memtrace_phase_end();
    tt_memtrace_track_trace_begin(1, 0, 1);
    tt_memtrace_track_trace_end(1, 0, 1);
    tt_memtrace_track_sweep(1);
    tt_memtrace_track_allocate(NULL);
    atomic_fetch_add(&n_taken, 1);
    sem_post(&has_returned);
}

static void *interrupt(void *thread) {
    for (unsigned long i = 0; i < n; i++) {
        if (i % HANDLERS_PER_FLUSH == 0 && tt_memtrace_flush(PATIENCE_MS) != 0) abort();
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        while (sem_wait(&has_returned) != 0) {}
    }
    return NULL;
}

int main(int argc, char **argv) {
    n = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    sem_init(&has_returned, 0, 0);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    allocate(2); // the first event opens the capture
    pthread_t self = pthread_self(), other;
    pthread_create(&other, NULL, interrupt, &self);
    void *held[64] = {0};
    for (unsigned long i = 0; atomic_load(&n_taken) < n; i++) {
        free(held[i % 64]);
        held[i % 64] = malloc(2000 + i * 37 % 3000);
    }
    pthread_join(other, NULL);
    printf("produced %lu\nempty %lu\n", 1 + CALLS * n, n);
    return 0;
}
