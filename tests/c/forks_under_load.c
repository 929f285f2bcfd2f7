// Forks 200 times while four threads record. They wait for the file now and then, so that nothing is dropped.
#include "events.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int is_over;

static void *record(void *thread) {
    (void)thread;
    while (!is_over) {
        for (uint64_t i = 0; i < 8; i++) allocate(1);
        tt_memtrace_flush(100000);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[4];
    allocate(1);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, record, NULL);
    int failed = 0;
    for (uint64_t i = 0; i < 200; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            allocate(1000 + i);
            if (i % 2) _exit(0);
            return 0;
        }
        int status = 1;
        waitpid(pid, &status, 0);
        failed |= status;
    }
    is_over = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    return failed != 0;
}
