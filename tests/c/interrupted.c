// Signals arrive while a thread records, and their handler records, too: argv[1] events on each of two threads.
// `gettid` stands before the C library's: the library under test asks for it inside the first event of a thread,
// where a signal then arrives for certain. Others come at random. Prints how many calls were made in all.
#define _GNU_SOURCE
#include "events.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { N_THREADS = 2 };

static atomic_ulong n_produced, n_inside;
static atomic_int n_running;
static pthread_barrier_t begun;
static __thread int is_in_first_event;

pid_t gettid(void) {
    if (is_in_first_event) {
        is_in_first_event = 0;
        atomic_fetch_add(&n_inside, 1);
        raise(SIGUSR1);
    }
    return (pid_t)syscall(SYS_gettid);
}

static void on_signal(int signal) {
    (void)signal;
    allocate(atomic_fetch_add(&n_produced, 1));
}

static void *record(void *argument) {
    uint64_t n = (uint64_t)(uintptr_t)argument;
    is_in_first_event = 1;
    allocate(atomic_fetch_add(&n_produced, 1));
    pthread_barrier_wait(&begun);
    for (uint64_t i = 1; i < n; i++) allocate(atomic_fetch_add(&n_produced, 1));
    atomic_fetch_sub(&n_running, 1);
    // Alive until no more signals are sent.
    while (atomic_load(&n_running) >= 0) sched_yield();
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    allocate(atomic_fetch_add(&n_produced, 1));
    pthread_t threads[N_THREADS];
    pthread_barrier_init(&begun, NULL, N_THREADS + 1);
    atomic_store(&n_running, N_THREADS);
    for (int i = 0; i < N_THREADS; i++)
        pthread_create(&threads[i], NULL, record, (void *)(uintptr_t)strtoull(argv[1], NULL, 10));
    pthread_barrier_wait(&begun);
    while (atomic_load(&n_running) > 0)
        for (int i = 0; i < N_THREADS; i++) pthread_kill(threads[i], SIGUSR1);
    atomic_store(&n_running, -1);
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    if (tt_memtrace_flush && tt_memtrace_flush(100000) != 0) return 3;
    printf("produced %lu\ninside %lu\n", atomic_load(&n_produced), atomic_load(&n_inside));
    return 0;
}
