// Main ends the process in the way that argv[1] names while another thread is in the first event of all, in the middle
// of the start of the recording (our madvise stands before that of the C library).
#define _GNU_SOURCE
#include "events.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static sem_t is_starting;

// It takes a tenth of a second each time, by which main is at its end.
int madvise(void *at, size_t length, int advice) {
    sem_post(&is_starting);
    usleep(100000);
    return (int)syscall(SYS_madvise, at, length, advice);
}

static void *record(void *nothing) {
    allocate(1);
    pause();
    return nothing;
}

int main(int argc, char **argv) {
    sem_init(&is_starting, 0, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, record, NULL);
    while (sem_wait(&is_starting) != 0) {}
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "exit")) exit(3);
    if (!strcmp(how, "_exit")) _exit(4);
    if (!strcmp(how, "kill")) raise(SIGKILL);
    return 6;
}
