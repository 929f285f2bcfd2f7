// Records on several threads until it dies, or ends. argv: the file of counters; threads; events of each thread
// before the burst is over; pause between later events, in rounds of an empty loop (between all, if it is
// negative); how it ends; what that needs.
//
//   timer US              the kernel kills it, US microseconds after the start
//   abort, segfault, _exit    a thread does, after the burst
//   return                main does, after the burst, and prints the most memory that was resident
//   held                  the same, with a worker that cannot write before the burst is over
//   throttled N MS        the same, with writes that take N times longer than they should; with MS, the burst is
//                         over after so many milliseconds
//   write K WHEN          killed in the worker's K-th write to the capture: WHEN is before, half or after
//   spill K WHEN          the same with the spill file
//   header 1 WHEN         killed in the write of the header, inside the first event
//   worker K              the worker's thread alone ends, in its K-th write; the program returns from main
//
// A counter is stored when the call has returned. For held and the last three, the worker's first write waits until the
// burst is over, so that what it finds then does not depend on speed. `write` and `pwrite64` stand before those
// of the C library, for us and for the library under test.
#define _GNU_SOURCE
#include "events.h"
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 64, LINE = 8 };

static volatile uint64_t *returned;
static uint64_t burst;
static int64_t deadline_ns;
static long pause_rounds;
static int pauses_always;
static const char *how, *call_of_death = "", *moment = "";
static long calls_to_death, throttle;
static pthread_barrier_t burst_is_over;
static sem_t gate;
static int is_gated;

static void killed(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int is_worker(void) {
    static __thread int known = -1;
    if (known < 0) {
        char name[16] = "";
        prctl(PR_GET_NAME, name);
        known = strcmp(name, "tt-memtrace") == 0;
    }
    return known;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static ssize_t put(int fd, const void *bytes, size_t n, off_t at) {
    return at < 0 ? syscall(SYS_write, fd, bytes, n) : syscall(SYS_pwrite64, fd, bytes, n, at);
}

static ssize_t put_slowly(int fd, const void *bytes, size_t n, off_t at) {
    int64_t start = now_ns();
    ssize_t result = put(fd, bytes, n, at);
    int64_t ns = (now_ns() - start) * throttle;
    struct timespec rest = {ns / 1000000000, ns % 1000000000};
    nanosleep(&rest, NULL);
    return result;
}

static ssize_t intercepted(const char *call, int fd, const void *bytes, size_t n, off_t at) {
    int is_header = strcmp(how, "header") == 0 && fd > STDERR_FILENO;
    if (!is_worker() && !is_header) return put(fd, bytes, n, at);
    if (is_gated) {
        while (sem_wait(&gate) != 0) {}
        is_gated = 0;
    }
    if (throttle > 0) return put_slowly(fd, bytes, n, at);
    if (strcmp(call, call_of_death) != 0 || --calls_to_death != 0) return put(fd, bytes, n, at);
    if (strcmp(how, "worker") == 0) syscall(SYS_exit, 0);
    if (strcmp(moment, "half") == 0) put(fd, bytes, n / 2, at);
    if (strcmp(moment, "after") == 0) put(fd, bytes, n, at);
    killed();
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t n) { return intercepted("write", fd, bytes, n, -1); }
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    return intercepted("spill", fd, bytes, n, at);
}

static void *record(void *argument) {
    uint64_t thread = (uint64_t)(uintptr_t)argument;
    int dies = strcmp(how, "abort") == 0 || strcmp(how, "segfault") == 0 || strcmp(how, "_exit") == 0;
    int ends = strcmp(how, "return") == 0 || strcmp(how, "held") == 0 || strcmp(how, "throttled") == 0 ||
        strcmp(how, "worker") == 0;
    for (uint64_t i = 0;; i++) {
        if (i == burst || (deadline_ns > 0 && i % 64 == 0 && now_ns() > deadline_ns)) {
            pthread_barrier_wait(&burst_is_over);
            if (ends) return NULL;
            if (dies && thread == 0) {
                if (strcmp(how, "abort") == 0) abort();
                if (strcmp(how, "_exit") == 0) _exit(4);
                *(volatile int *)8 = 0;
            }
        }
        tt_memtrace_buffer buffer = buffer_at(i, i + 1);
        buffer.mesh_id = (uint32_t)thread;
        buffer.unique_id = i;
        if (tt_memtrace_track_allocate) tt_memtrace_track_allocate(&buffer);
        returned[thread * LINE] = i + 1;
        for (volatile long k = 0; (i > burst || pauses_always) && k < pause_rounds; k++) {}
    }
}

static void arm(long microseconds) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec when = {.it_value = {microseconds / 1000000, microseconds % 1000000 * 1000 + 1}};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &when, NULL) != 0)
        _exit(9);
}

static void print_memory(void) {
    char line[200];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        long kilobytes;
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1) printf("kilobytes %ld\n", kilobytes);
    }
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    size_t bytes = MOST_THREADS * LINE * sizeof(uint64_t);
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) return 2;
    returned = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (returned == MAP_FAILED) return 2;
    unsigned n_threads = (unsigned)atoi(argv[2]);
    burst = strtoull(argv[3], NULL, 10);
    pause_rounds = labs(atol(argv[4]));
    pauses_always = argv[4][0] == '-';
    how = argv[5];
    long number = argc > 6 ? atol(argv[6]) : 0;
    moment = argc > 7 ? argv[7] : "";
    sem_init(&gate, 0, 0);
    if (strcmp(how, "header") == 0) call_of_death = "write", calls_to_death = number;
    if (strcmp(how, "write") == 0 || strcmp(how, "spill") == 0 || strcmp(how, "worker") == 0) {
        call_of_death = strcmp(how, "spill") == 0 ? "spill" : "write";
        calls_to_death = number;
        is_gated = 1;
    }
    is_gated |= strcmp(how, "held") == 0;
    if (strcmp(how, "throttled") == 0) {
        throttle = number;
        if (argc > 7) deadline_ns = now_ns() + atol(argv[7]) * 1000000;
    }
    pthread_barrier_init(&burst_is_over, NULL, n_threads + 1);
    if (strcmp(how, "timer") == 0) arm(number);
    pthread_t threads[MOST_THREADS];
    for (uintptr_t i = 0; i < n_threads; i++) pthread_create(&threads[i], NULL, record, (void *)i);
    pthread_barrier_wait(&burst_is_over);
    sem_post(&gate);
    for (unsigned i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
    print_memory();
    return 0;
}
