/* A process that ends with its last thread, as one does whose main thread calls pthread_exit. With "fork" it is a
   child of a thread, whose only thread then returns. */
#include "events.h"
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int forks;

static void *work(void *unused) {
    tt_memtrace_mark("in a thread");
    if (forks) {
        pid_t child = fork();
        if (child == 0) {
            tt_memtrace_mark("in the child");
            return unused;
        }
        waitpid(child, 0, 0);
    }
    return unused;
}

int main(int argc, char **argv) {
    forks = argc > 1 && !strcmp(argv[1], "fork");
    tt_memtrace_mark("in main");
    pthread_t thread;
    pthread_create(&thread, 0, work, 0);
    pthread_exit(0);
}
