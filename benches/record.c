// What one event costs, through the C interface of the preloaded library, next to the floor: a function that is
// called through a pointer, reads the clock and stores 64 bytes, the last eight with release ordering.
// `scripts/bench` compiles and runs it, each row a process of its own, and explains the columns.
//
//   record cost THREADS    burst and single calls: events, then the floor, in each of the rounds
//   record socket          the floor, and a blocking 128-byte write to a socket that another process reads
//   record passive         the floor, and calls that record nothing
//   record first           the first event of the process, then of 200 threads
//   record worker EVENTS ROUNDS    processor time of the library's thread for each event
#define _GNU_SOURCE
#include "tt_memtrace.h"
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { ROUNDS = 41, SLOTS = 1 << 16, MOST_THREADS = 8, MOST_CALLS = 40000, SINGLE = 400000 };

typedef void (*event_fn)(const tt_memtrace_buffer *);

static __thread uint64_t (*ring)[8];
static __thread uint64_t sequence;

static void floor_event(const tt_memtrace_buffer *buffer) {
    uint64_t *slot = ring[sequence & (SLOTS - 1)];
    slot[0] = __rdtsc();
    slot[1] = buffer->address;
    slot[2] = buffer->size_bytes;
    slot[3] = buffer->page_size_bytes;
    slot[4] = buffer->per_bank_bytes;
    slot[5] = buffer->unique_id;
    slot[6] = buffer->allocator;
    __atomic_store_n(&slot[7], ++sequence, __ATOMIC_RELEASE);
}

static int sockets[2];
static void socket_event(const tt_memtrace_buffer *buffer) {
    char message[128] = {0};
    memcpy(message, buffer, sizeof *buffer);
    if (write(sockets[0], message, sizeof message) != (ssize_t)sizeof message) abort();
}

static void nothing(const tt_memtrace_buffer *buffer) { (void)buffer; }

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double ns_per_tick(void) {
    double ns = now_ns();
    uint64_t ticks = __rdtsc();
    while (now_ns() - ns < 5e7) {}
    double more = now_ns();
    return (more - ns) / (double)(__rdtsc() - ticks);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *values, size_t n, double q) {
    qsort(values, n, sizeof *values, by_value);
    size_t at = (size_t)(q * (double)n);
    return values[at < n ? at : n - 1];
}

static tt_memtrace_buffer example(void) {
    return (tt_memtrace_buffer){.struct_size = sizeof(tt_memtrace_buffer), .address = 4096, .size_bytes = 2048,
        .page_size_bytes = 2048, .per_bank_bytes = 2048, .unique_id = 5, .allocator = 7};
}

static double burst(event_fn volatile event, tt_memtrace_buffer *buffer, int n) {
    double start = now_ns();
    for (int i = 0; i < n; i++) {
        buffer->unique_id = (uint64_t)i;
        event(buffer);
    }
    return (now_ns() - start) / n;
}

// Each call between two readings of the clock.
static void single(event_fn volatile event, tt_memtrace_buffer *buffer, double *ticks, int n) {
    unsigned core;
    for (int i = 0; i < n; i++) {
        buffer->unique_id = (uint64_t)i;
        uint64_t start = __rdtscp(&core);
        event(buffer);
        ticks[i] = (double)(__rdtscp(&core) - start);
    }
}

static int n_threads, n_calls;
static event_fn measured;
static pthread_barrier_t together;
static double bursts[2][MOST_THREADS][ROUNDS];
static double *singles[2][MOST_THREADS];
static int n_singles;

static void settle(int thread) {
    pthread_barrier_wait(&together);
    if (thread == 0 && measured == tt_memtrace_track_allocate && tt_memtrace_flush(20000) == 1)
        fprintf(stderr, "the library could not write in time\n");
    pthread_barrier_wait(&together);
}

static void *run(void *argument) {
    int thread = (int)(intptr_t)argument;
    ring = aligned_alloc(4096, SLOTS * sizeof *ring);
    memset(ring, 0, SLOTS * sizeof *ring);
    tt_memtrace_buffer buffer = example();
    event_fn events[2] = {floor_event, measured};
    for (int round = -1; round < ROUNDS; round++) {
        for (int which = 0; which < 2; which++) {
            settle(thread);
            double ns = burst(events[which], &buffer, n_calls);
            if (round >= 0) bursts[which][thread][round] = ns;
        }
    }
    for (int done = 0; done < n_singles; done += n_calls) {
        for (int which = 0; which < 2; which++) {
            settle(thread);
            int n = n_singles - done < n_calls ? n_singles - done : n_calls;
            single(events[which], &buffer, singles[which][thread] + done, n);
        }
    }
    settle(thread);
    return NULL;
}

static double over_threads(int which, int round) {
    double sum = 0;
    for (int i = 0; i < n_threads; i++) sum += bursts[which][i][round];
    return sum / n_threads;
}

static void compare(const char *name, event_fn event, int threads, int calls, int with_singles) {
    measured = event, n_threads = threads, n_calls = calls, n_singles = with_singles / threads;
    pthread_barrier_init(&together, NULL, (unsigned)threads);
    for (int which = 0; which < 2; which++)
        for (int i = 0; i < threads; i++) singles[which][i] = calloc((size_t)n_singles + 1, sizeof(double));
    pthread_t ids[MOST_THREADS];
    for (intptr_t i = 0; i < threads; i++) pthread_create(&ids[i], NULL, run, (void *)i);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);

    double floors[ROUNDS], costs[ROUNDS], ratios[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        floors[round] = over_threads(0, round), costs[round] = over_threads(1, round);
        ratios[round] = costs[round] / floors[round];
    }
    printf("%-34s %2d thr  burst %7.1f ns  floor %5.1f ns  ratio %5.2f (quartiles %.2f to %.2f)", name, threads,
        quantile(costs, ROUNDS, 0.5), quantile(floors, ROUNDS, 0.5), quantile(ratios, ROUNDS, 0.5),
        quantile(ratios, ROUNDS, 0.25), quantile(ratios, ROUNDS, 0.75));
    if (n_singles > 0) {
        double tick = ns_per_tick();
        for (int which = 1; which >= 0; which--) {
            size_t n = (size_t)n_singles * (size_t)threads;
            double *all = malloc(n * sizeof *all);
            for (int i = 0; i < threads; i++)
                memcpy(all + (size_t)i * (size_t)n_singles, singles[which][i], (size_t)n_singles * sizeof *all);
            printf("\n  %-32s         single calls, ns: p50 %.0f  p99 %.0f  p99.9 %.0f  max %.0f",
                which ? "" : "the floor's", quantile(all, n, 0.5) * tick, quantile(all, n, 0.99) * tick,
                quantile(all, n, 0.999) * tick, quantile(all, n, 1) * tick);
            free(all);
        }
    }
    printf("\n");
}

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static double firsts[200];

static void *first_of_thread(void *at) {
    tt_memtrace_buffer buffer = example();
    pthread_mutex_lock(&one_at_a_time);
    double start = now_ns();
    tt_memtrace_track_allocate(&buffer);
    *(double *)at = now_ns() - start;
    pthread_mutex_unlock(&one_at_a_time);
    return NULL;
}

static void first(void) {
    tt_memtrace_buffer buffer = example();
    double start = now_ns();
    tt_memtrace_track_allocate(&buffer);
    double process = now_ns() - start;
    tt_memtrace_flush(10000);
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, first_of_thread, &firsts[i]);
        pthread_join(thread, NULL);
    }
    printf("first event of the process %.0f us; of a thread, of 200: median %.1f us, max %.1f us\n", process / 1e3,
        quantile(firsts, 200, 0.5) / 1e3, quantile(firsts, 200, 1) / 1e3);
}

// Processor time of the thread of that name so far.
static double cpu_ns(const char *name) {
    char path[300], text[64];
    double ns = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        int is_it = fgets(text, sizeof text, file) && strncmp(text, name, strlen(name)) == 0;
        fclose(file);
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", task->d_name);
        if (is_it && (file = fopen(path, "r"))) {
            if (fscanf(file, "%lf", &ns) != 1) ns = 0;
            fclose(file);
        }
    }
    closedir(tasks);
    return ns;
}

static void worker(long n_events, int rounds) {
    double rates[ROUNDS];
    tt_memtrace_buffer buffer = example();
    tt_memtrace_track_allocate(&buffer);
    tt_memtrace_flush(10000);
    for (int round = 0; round < rounds; round++) {
        double before = cpu_ns("tt-memtrace");
        for (long i = 0; i < n_events; i++) {
            buffer.unique_id = (uint64_t)i;
            buffer.address = (uint64_t)i * 2048;
            tt_memtrace_track_allocate(&buffer);
        }
        if (tt_memtrace_flush(60000) != 0) abort();
        rates[round] = (double)n_events / (cpu_ns("tt-memtrace") - before) * 1e3;
    }
    printf("worker, bursts of %-8ld  %.2f M events/s of its processor time (%d bursts, quartiles %.2f to %.2f)\n",
        n_events, quantile(rates, (size_t)rounds, 0.5), rounds, quantile(rates, (size_t)rounds, 0.25),
        quantile(rates, (size_t)rounds, 0.75));
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "cost") == 0) {
        int threads = atoi(argv[2]);
        tt_memtrace_buffer buffer = example();
        tt_memtrace_track_allocate(&buffer);
        compare("an event of the C interface", tt_memtrace_track_allocate, threads, 40000 / threads, SINGLE);
    } else if (strcmp(what, "socket") == 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) return 2;
        if (fork() == 0) {
            char bytes[1 << 16];
            close(sockets[0]);
            while (read(sockets[1], bytes, sizeof bytes) > 0) {}
            _exit(0);
        }
        close(sockets[1]);
        compare("a blocking 128-byte socket write", socket_event, 1, 10000, 0);
    } else if (strcmp(what, "passive") == 0) {
        if (tt_memtrace_track_allocate == NULL) return 2;
        compare("switched off", tt_memtrace_track_allocate, 1, MOST_CALLS, 0);
        compare("an empty function", nothing, 1, MOST_CALLS, 0);
    } else if (strcmp(what, "first") == 0) {
        first();
    } else if (strcmp(what, "worker") == 0) {
        worker(atol(argv[2]), atoi(argv[3]));
    } else {
        return 2;
    }
    return 0;
}
