// Signal handlers that leave calls of the library by siglongjmp. "first": out of the first event of the process, in
// the middle of its start (our madvise stands before that of the C library). Else: out of calls of 50 threads, each
// interrupted a few times at random. A thread that left a call so can record no more; others can, and the program
// goes on. Prints how many calls began, and how many were left.
#define _GNU_SOURCE
#include "events.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread sigjmp_buf before;
static __thread volatile sig_atomic_t is_in_call;
static atomic_ulong n_begun, n_left;
static atomic_int is_over;
static volatile sig_atomic_t jumps_in_start;

int madvise(void *at, size_t length, int advice) {
    if (jumps_in_start) {
        jumps_in_start = 0;
        raise(SIGUSR1);
    }
    return (int)syscall(SYS_madvise, at, length, advice);
}

static void on_signal(int signal) {
    (void)signal;
    if (is_in_call) siglongjmp(before, 1);
}

static void call(uint64_t address) {
    if (sigsetjmp(before, 1) != 0) {
        is_in_call = 0;
        atomic_fetch_add(&n_left, 1);
        return;
    }
    atomic_fetch_add(&n_begun, 1);
    is_in_call = 1;
    allocate(address);
    is_in_call = 0;
}

static void *record(void *thread) {
    for (uint64_t i = 0; !is_over && i < 5000; i++) call((uint64_t)(uintptr_t)thread << 32 | i);
    while (!is_over) sched_yield();
    return NULL;
}

static void *record_one(void *unused) {
    call(1);
    return unused;
}

int main(int argc, char **argv) {
    (void)argv;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    jumps_in_start = argc > 1;
    call(0);
    pthread_t thread;
    for (uintptr_t i = 1; argc == 1 && i <= 50; i++) {
        is_over = 0;
        pthread_create(&thread, NULL, record, (void *)i);
        for (int k = 0; k < 20; k++) {
            pthread_kill(thread, SIGUSR1);
            sched_yield();
        }
        is_over = 1;
        pthread_join(thread, NULL);
    }
    pthread_create(&thread, NULL, record_one, NULL);
    pthread_join(thread, NULL);
    // The end of the process waits two seconds, no longer. (After "first" this thread is inside a call for ever.)
    if (argc == 1 && tt_memtrace_flush(100000) != 0) return 3;
    printf("begun %lu\nleft %lu\n", n_begun, n_left);
    return 0;
}
