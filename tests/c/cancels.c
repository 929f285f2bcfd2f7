// Threads that are cancelled while they call the library: the cancellation is pending when the call begins, and any
// function of the C library that may be cancelled would carry it out in the middle of our call. It has to wait until
// the call is over. "first": the first event of the process. Prints what the threads returned from.
#include "events.h"
#include <pthread.h>
#include <stdio.h>

static void *record(void *address) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    pthread_cancel(pthread_self());
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
    allocate((uint64_t)(uintptr_t)address);
    tt_memtrace_mark("a name that nobody used before");
    tt_memtrace_flush(10000);
    deallocate((uint64_t)(uintptr_t)address);
    pthread_testcancel();
    return NULL;
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc == 1) allocate(64);
    for (uintptr_t i = 1; i <= 4; i++) {
        pthread_t thread;
        void *result = NULL;
        pthread_create(&thread, NULL, record, (void *)(64 * (i + 1)));
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED) return 4;
    }
    return tt_memtrace_flush(100000);
}
