// Main ends in the way that argv[1] names while four threads record and will not stop. The address tells the thread and
// the position on it.
#include "events.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_barrier_t busy;

static void *record(void *thread) {
    for (uint64_t i = 0;; i++) {
        if (i == 1000) pthread_barrier_wait(&busy);
        allocate((uint64_t)(uintptr_t)thread << 32 | i);
        if (i >= 1000) usleep(10);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_barrier_init(&busy, NULL, 5);
    pthread_t thread;
    for (uintptr_t i = 0; i < 4; i++) pthread_create(&thread, NULL, record, (void *)i);
    pthread_barrier_wait(&busy);
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "exit")) exit(3);
    if (!strcmp(how, "_exit")) _exit(4);
    if (!strcmp(how, "quick_exit")) quick_exit(5);
    return 6;
}
