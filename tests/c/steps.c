// Counts the instructions of calls in the steady state: a parent lets its child run instruction by instruction from
// one mark to the other. argv[1] is the fake runtime. Prints the least of several calls of each kind, less what an
// empty function takes. Nothing here depends on time or on what else the machine does.
#include "events.h"
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOTHING, ALLOCATE, DEALLOCATE, INTERPOSED, N_KINDS, N_CALLS = 8, WARM_UP = 20 };

static tt_memtrace_buffer buffer;
static int (*make_and_end_a_buffer)(void);

static __attribute__((noinline)) void first_mark(void) { __asm__ volatile(""); }
static __attribute__((noinline)) void last_mark(void) { __asm__ volatile(""); }

static void nothing(void) {}
static void track_allocate(void) { tt_memtrace_track_allocate(&buffer); }
static void track_deallocate(void) { tt_memtrace_track_deallocate(&buffer); }
static void interposed(void) { make_and_end_a_buffer(); }

static void (*const volatile calls[N_KINDS])(void) = {nothing, track_allocate, track_deallocate, interposed};

static void child(void) {
    buffer = buffer_at(4096, 2048);
    buffer.allocator = 7;
    buffer.unique_id = 5;
    for (int i = 0; i < WARM_UP; i++)
        for (int kind = 0; kind < N_KINDS; kind++) calls[kind]();
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(77);
    raise(SIGSTOP);
    for (int kind = 0; kind < N_KINDS; kind++) {
        for (int i = 0; i < N_CALLS; i++) {
            first_mark();
            calls[kind]();
            last_mark();
        }
    }
}

int main(int argc, char **argv) {
    void *runtime = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : 0;
    make_and_end_a_buffer = runtime ? (int (*)(void))dlsym(runtime, "make_and_end_a_buffer") : 0;
    if (!make_and_end_a_buffer || !tt_memtrace_track_allocate) return 2;
    pid_t pid = fork();
    if (pid == 0) {
        child();
        return 0;
    }
    long least[N_KINDS] = {0}, n = 0;
    int status, n_calls = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        struct user_regs_struct registers;
        if (ptrace(PTRACE_GETREGS, pid, 0, &registers) != 0) return 3;
        n++;
        if (registers.rip == (uintptr_t)first_mark) n = 0;
        if (registers.rip == (uintptr_t)last_mark) {
            int kind = n_calls++ / N_CALLS;
            if (least[kind] == 0 || n < least[kind]) least[kind] = n;
        }
        int is_over = n_calls == N_KINDS * N_CALLS;
        ptrace(is_over ? PTRACE_CONT : PTRACE_SINGLESTEP, pid, 0, 0);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return 77;
    if (n_calls != N_KINDS * N_CALLS) return 4;
    printf("allocate %ld\n", least[ALLOCATE] - least[NOTHING]);
    printf("deallocate %ld\n", least[DEALLOCATE] - least[NOTHING]);
    printf("interposed %ld\n", least[INTERPOSED] - least[NOTHING]);
    return 0;
}
