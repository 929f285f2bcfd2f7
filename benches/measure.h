// What the benchmarks in C share. Each row of a table is an event, measured beside the floor in the same rounds: a
// function that is called through a pointer, reads the clock and stores 64 bytes, the last eight with release ordering.
//
//   burst      calls back to back; the ratio to the floor is taken in each round, then its median and quartiles
//   p50 - max  of single calls, each between two readings of the clock, which are part of the figure: as large as the
//              row of a function that does nothing
//   cold       the same after walking through more memory than the core's own caches hold; the median
//   over 1 ms  of the single calls, and in how many of those the kernel had taken the core (an involuntary switch of
//              the thread); `waits` are the thread's voluntary switches: a call that blocks would be one
#ifndef MEASURE_H
#define MEASURE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tt_memtrace.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <x86intrin.h>

enum { ROUNDS = 41, SLOTS = 1 << 16, MOST_THREADS = 8, MOST_ROWS = 6, N_COLD = 500, EVICTED = 8 << 20 };

typedef void (*event_fn)(const tt_memtrace_buffer *);

struct row {
    const char *name;
    event_fn call;
    event_fn prepare;   // comes before each single call, untimed; may be null
    int is_off;         // with the library switched off for it, in a build with the feature `bench-switch`
};

// Only in a library with the feature `bench-switch`.
int tt_memtrace_bench_record(int) __attribute__((weak));

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

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double ns_per_tick(void) {
    static double known;
    if (known == 0) {
        double ns = now_ns();
        uint64_t ticks = __rdtsc();
        while (now_ns() - ns < 5e7) {}
        double more = now_ns();
        known = (more - ns) / (double)(__rdtsc() - ticks);
    }
    return known;
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

// Outliers of the single calls of one thread.
struct outliers {
    long n_over, n_taken, n_waits;
};

static struct {
    struct row rows[MOST_ROWS];
    int n_rows, n_threads, n_calls, n_singles;
    double bursts[MOST_ROWS][MOST_THREADS][ROUNDS];
    double *singles[MOST_ROWS][MOST_THREADS];
    double colds[MOST_ROWS][N_COLD];
    struct outliers outliers[MOST_ROWS][MOST_THREADS];
    pthread_barrier_t together;
} table;

static double burst(event_fn volatile event, tt_memtrace_buffer *buffer, int n) {
    double start = now_ns();
    for (int i = 0; i < n; i++) {
        buffer->unique_id = (uint64_t)i;
        event(buffer);
    }
    return (now_ns() - start) / n;
}

static void single(const struct row *row, tt_memtrace_buffer *buffer, double *ticks, int n, struct outliers *outliers) {
    event_fn volatile event = row->call;
    const double ms = 1e6 / ns_per_tick(), suspicious = ms / 50;
    struct rusage first, before, now;
    unsigned core;
    getrusage(RUSAGE_THREAD, &first);
    before = first;
    uint64_t last = __rdtscp(&core);
    for (int i = 0; i < n; i++) {
        buffer->unique_id = (uint64_t)i;
        if (row->prepare) row->prepare(buffer);
        uint64_t start = __rdtscp(&core);
        event(buffer);
        uint64_t end = __rdtscp(&core);
        ticks[i] = (double)(end - start);
        // Also between the calls: a switch there must not be taken for one in a later call.
        if ((double)(end - last) > suspicious) {
            getrusage(RUSAGE_THREAD, &now);
            if (ticks[i] > ms) {
                outliers->n_over++;
                outliers->n_taken += now.ru_nivcsw > before.ru_nivcsw;
            }
            before = now;
            end = __rdtscp(&core);
        }
        last = end;
    }
    getrusage(RUSAGE_THREAD, &now);
    if (!row->prepare) outliers->n_waits += now.ru_nvcsw - first.ru_nvcsw;
}

static double cold(const struct row *row, tt_memtrace_buffer *buffer, char *evicting) {
    unsigned core;
    if (row->prepare) row->prepare(buffer);
    for (size_t i = 0; i < EVICTED; i += 64) ((volatile char *)evicting)[i]++;
    _mm_mfence();
    uint64_t start = __rdtscp(&core);
    row->call(buffer);
    return (double)(__rdtscp(&core) - start);
}

// Called before each measurement; a benchmark may set more.
static void (*settle_more)(void);

// Before each measurement: what was recorded is written, so that it takes no processor time of the next one.
static void settle(int thread, const struct row *row) {
    pthread_barrier_wait(&table.together);
    if (thread == 0 && tt_memtrace_flush) {
        if (tt_memtrace_bench_record) tt_memtrace_bench_record(1);
        if (tt_memtrace_flush(20000) == 1) fprintf(stderr, "the library could not write in time\n");
        if (row && row->is_off) tt_memtrace_bench_record(0);
    }
    if (thread == 0 && settle_more) settle_more();
    pthread_barrier_wait(&table.together);
}

// Called by each thread before its first event; a benchmark may set more.
static void (*enter_thread)(int thread);

static void *run_thread(void *argument) {
    int thread = (int)(intptr_t)argument;
    ring = aligned_alloc(4096, SLOTS * sizeof *ring);
    memset(ring, 0, SLOTS * sizeof *ring);
    if (enter_thread) enter_thread(thread);
    tt_memtrace_buffer buffer = example();
    for (int round = -1; round < ROUNDS; round++) {
        for (int k = 0; k < table.n_rows; k++) {
            settle(thread, &table.rows[k]);
            double ns = burst(table.rows[k].call, &buffer, table.n_calls);
            if (round >= 0) table.bursts[k][thread][round] = ns;
        }
    }
    for (int done = 0; done < table.n_singles; done += table.n_calls) {
        int n = table.n_singles - done < table.n_calls ? table.n_singles - done : table.n_calls;
        for (int k = 0; k < table.n_rows; k++) {
            settle(thread, &table.rows[k]);
            single(&table.rows[k], &buffer, table.singles[k][thread] + done, n, &table.outliers[k][thread]);
        }
    }
    if (table.n_singles > 0 && table.n_threads == 1) {
        char *evicting = calloc(EVICTED, 1);
        for (int k = 0; k < table.n_rows; k++) {
            settle(thread, &table.rows[k]);
            for (int i = 0; i < N_COLD; i++) table.colds[k][i] = cold(&table.rows[k], &buffer, evicting);
        }
        free(evicting);
    }
    settle(thread, NULL);
    free(ring);
    return NULL;
}

static double over_threads(int k, int round) {
    double sum = 0;
    for (int i = 0; i < table.n_threads; i++) sum += table.bursts[k][i][round];
    return sum / table.n_threads;
}

// How many times as much as row `to` row `k` costs: the median of the rounds.
static inline double ratio(int k, int to) {
    double ratios[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) ratios[round] = over_threads(k, round) / over_threads(to, round);
    return quantile(ratios, ROUNDS, 0.5);
}

static inline void print_heading(void) {
    printf("%-38s %3s %9s %8s %-14s %6s %6s %7s %9s %6s  %s\n", "event, ns", "thr", "burst", "x floor", "(quartiles)",
        "p50", "p99", "p99.9", "max", "cold", "over 1 ms (core taken), waits");
}

// The single calls of a row, over all threads, in ns; the caller frees them.
static double *all_singles(int k, size_t *n) {
    *n = (size_t)table.n_singles * (size_t)table.n_threads;
    double *all = malloc(*n * sizeof *all);
    for (size_t i = 0; i < *n; i++)
        all[i] = table.singles[k][i / (size_t)table.n_singles][i % (size_t)table.n_singles] * ns_per_tick();
    return all;
}

static void print_row(int k) {
    double costs[ROUNDS], ratios[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        costs[round] = over_threads(k, round);
        ratios[round] = costs[round] / over_threads(0, round);
    }
    printf("%-38s %3d %9.1f %8.2f (%.2f to %.2f)", table.rows[k].name, table.n_threads, quantile(costs, ROUNDS, 0.5),
        quantile(ratios, ROUNDS, 0.5), quantile(ratios, ROUNDS, 0.25), quantile(ratios, ROUNDS, 0.75));
    if (table.n_singles > 0) {
        size_t n;
        double *all = all_singles(k, &n);
        struct outliers sum = {0};
        for (int i = 0; i < table.n_threads; i++) {
            sum.n_over += table.outliers[k][i].n_over;
            sum.n_taken += table.outliers[k][i].n_taken;
            sum.n_waits += table.outliers[k][i].n_waits;
        }
        printf(" %6.0f %6.0f %7.0f %9.0f", quantile(all, n, 0.5), quantile(all, n, 0.99), quantile(all, n, 0.999),
            quantile(all, n, 1));
        if (table.n_threads == 1) printf(" %6.0f", quantile(table.colds[k], N_COLD, 0.5) * ns_per_tick());
        else printf(" %6s", "");
        printf("  %ld (%ld), %ld", sum.n_over, sum.n_taken, sum.n_waits);
        free(all);
    }
    printf("\n");
}

// Measures the rows, the first of which is the floor, on so many threads at once. `n_singles` of each thread.
static void measure(const struct row *rows, int n_rows, int n_threads, int n_calls, int n_singles) {
    ns_per_tick();
    for (int k = 0; k < table.n_rows; k++)
        for (int i = 0; i < table.n_threads; i++) free(table.singles[k][i]);
    table.n_rows = n_rows, table.n_threads = n_threads, table.n_calls = n_calls, table.n_singles = n_singles;
    memcpy(table.rows, rows, (size_t)n_rows * sizeof *rows);
    memset(table.outliers, 0, sizeof table.outliers);
    pthread_barrier_init(&table.together, NULL, (unsigned)n_threads);
    for (int k = 0; k < n_rows; k++)
        for (int i = 0; i < n_threads; i++) table.singles[k][i] = calloc((size_t)n_singles + 1, sizeof(double));
    pthread_t ids[MOST_THREADS];
    for (intptr_t i = 0; i < n_threads; i++) pthread_create(&ids[i], NULL, run_thread, (void *)i);
    for (int i = 0; i < n_threads; i++) pthread_join(ids[i], NULL);
    for (int k = 0; k < n_rows; k++) print_row(k);
    fflush(stdout);
}
#endif
