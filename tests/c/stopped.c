// A debugger that stops a thread inside a call of the library: after each single instruction of the call ("each"), or
// once in the middle of it, where it is let go ("detach"). While that thread stands, another one has to record and to
// flush as ever. Prints at how many places the thread stood. Ends with 77 where nobody may trace a child.
#define _GNU_SOURCE
#include "events.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    atomic_ulong n_recorded;
    atomic_int is_traced, is_let_go, is_over, has_failed;
} *shared;

static void *record(void *unused) {
    for (uint64_t i = 0; !shared->is_over; i++) {
        allocate(64 * (i + 1));
        if (i % 16 == 0 && tt_memtrace_flush(30000) != 0) shared->has_failed = 1;
        deallocate(64 * (i + 1));
        shared->n_recorded++;
    }
    return unused;
}

static int be_traced(void) {
    pthread_t other;
    allocate(1ULL << 40);
    pthread_create(&other, NULL, record, NULL);
    while (!shared->is_traced) sched_yield();
    __asm__ volatile("int3");
    allocate(2ULL << 40);
    if (!shared->is_let_go) __asm__ volatile("int3");
    shared->is_over = 1;
    pthread_join(other, NULL);
    return tt_memtrace_flush(30000) != 0 || shared->has_failed;
}

// The other thread goes twice round its loop, flushes and all.
static int goes_on(void) {
    unsigned long seen = shared->n_recorded;
    time_t deadline = time(NULL) + 60;
    while (shared->n_recorded < seen + 2) {
        if (time(NULL) > deadline) return 0;
        sched_yield();
    }
    return 1;
}

int main(int argc, char **argv) {
    int detaches = argc > 1 && strcmp(argv[1], "detach") == 0;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) return be_traced();
    if (ptrace(PTRACE_SEIZE, child, 0, 0) != 0) return 77;
    shared->is_traced = 1;
    int status, n_steps = 0;
    if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) return 3;
    for (;; n_steps++) {
        if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) != 0) return 4;
        if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) return 5;
        siginfo_t info;
        if (ptrace(PTRACE_GETSIGINFO, child, 0, &info) != 0) return 6;
        if (info.si_code == SI_KERNEL || (detaches && n_steps == 60)) break; // int3 again, or far enough
        if (!goes_on()) return 7;
    }
    shared->is_let_go = 1;
    if (ptrace(PTRACE_DETACH, child, 0, 0) != 0) return 8;
    printf("steps %d\n", n_steps);
    fflush(stdout);
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 9;
    return WEXITSTATUS(status);
}
