// Blocks a signal on its only thread and sends it to the process: nobody may take it.
#include "events.h"
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t was_taken;
static void handler(int number) { (void)number, was_taken = 1; }

int main(void) {
    sigset_t all, pending;
    allocate(1);
    signal(SIGUSR1, handler);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    kill(getpid(), SIGUSR1);
    tt_memtrace_flush(60000); // the worker ran meanwhile
    sigpending(&pending);
    return was_taken || !sigismember(&pending, SIGUSR1);
}
