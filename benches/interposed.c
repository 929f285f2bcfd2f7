// What one event costs through the interposed functions of the stock runtime, with all that is read of a real buffer.
// A library, preloaded in front of ours into a program with ttnn: `interposed.py` lets it see real buffers, one for
// each thread, then calls `interposed_measure`. `measure.h` explains the columns.
//
// Each call is made twice, to the library, which calls the runtime's own function and records, and to the runtime's
// own alone: the difference is ours. Before each single call the buffer's memory is given back and allocated again,
// through the runtime's allocator, as before each real event; the same address comes back, or the program ends.
#define _GNU_SOURCE
#include "measure.h"
#include <dlfcn.h>

#define TRACK_ALLOCATE "_ZN2tt8tt_metal12GraphTracker14track_allocateEPKNS0_6BufferE"
#define TRACK_DEALLOCATE "_ZN2tt8tt_metal12GraphTracker16track_deallocateEPNS0_6BufferE"
#define ALLOCATE_BUFFER "_ZN2tt8tt_metal13AllocatorImpl15allocate_bufferEPNS0_6BufferE"
#define DEALLOCATE_BUFFER "_ZN2tt8tt_metal13AllocatorImpl17deallocate_bufferEPNS0_6BufferE"

typedef void (*track_fn)(void *tracker, void *buffer);
typedef uint64_t (*allocate_fn)(void *allocator, void *buffer);

void track_allocate(void *tracker, void *buffer) __asm__(TRACK_ALLOCATE);
uint64_t allocate_buffer(void *allocator, void *buffer) __asm__(ALLOCATE_BUFFER);

// What was seen last: the buffers in the order of their allocation.
static void *tracker, *allocator, *buffers[MOST_THREADS];
static int n_buffers;

// Of the library.
static track_fn our_allocate, our_deallocate;
static allocate_fn our_allocate_buffer;
// Of the runtime.
static track_fn their_allocate, their_deallocate;
static void (*their_deallocate_buffer)(void *allocator, void *buffer);

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "%s is missing\n", name);
        exit(1);
    }
    return found;
}

void track_allocate(void *its_tracker, void *buffer) {
    if (!our_allocate) our_allocate = (track_fn)symbol(RTLD_NEXT, TRACK_ALLOCATE);
    tracker = its_tracker;
    if (n_buffers < MOST_THREADS) buffers[n_buffers++] = buffer;
    our_allocate(its_tracker, buffer);
}

uint64_t allocate_buffer(void *its_allocator, void *buffer) {
    if (!our_allocate_buffer) our_allocate_buffer = (allocate_fn)symbol(RTLD_NEXT, ALLOCATE_BUFFER);
    allocator = its_allocator;
    return our_allocate_buffer(its_allocator, buffer);
}

static __thread void *mine;
static void choose_buffer(int thread) { mine = buffers[thread]; }

static void ours(const tt_memtrace_buffer *ignored) { (void)ignored, our_allocate(tracker, mine); }
static void theirs(const tt_memtrace_buffer *ignored) { (void)ignored, their_allocate(tracker, mine); }
static void our_end(const tt_memtrace_buffer *ignored) { (void)ignored, our_deallocate(tracker, mine); }
static void their_end(const tt_memtrace_buffer *ignored) { (void)ignored, their_deallocate(tracker, mine); }

static void allocate_again(const tt_memtrace_buffer *ignored) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    static __thread uint64_t address;
    (void)ignored;
    pthread_mutex_lock(&one_at_a_time);
    their_deallocate_buffer(allocator, mine);
    uint64_t again = our_allocate_buffer(allocator, mine);
    pthread_mutex_unlock(&one_at_a_time);
    if (address && again != address) {
        fprintf(stderr, "the buffer moved from %llx to %llx\n", (unsigned long long)address, (unsigned long long)again);
        exit(1);
    }
    address = again;
}

// From now on the next buffers are seen, one for each thread.
void interposed_watch(void) { n_buffers = 0; }

// The difference of the medians, and of the 99th percentiles, of two rows' single calls.
static void print_difference(const char *name, int with, int without) {
    size_t n, m;
    double *more = all_singles(with, &n), *less = all_singles(without, &m);
    printf("%-38s %3d  beyond the runtime's own: p50 %.0f ns, p99 %.0f ns\n", name, table.n_threads,
        quantile(more, n, 0.5) - quantile(less, m, 0.5), quantile(more, n, 0.99) - quantile(less, m, 0.99));
    free(more), free(less);
}

void interposed_measure(int n_threads, int n_calls, int n_singles) {
    const struct row rows[] = {{"the floor", floor_event, NULL, 0},
        {"runtime's track_allocate alone", theirs, allocate_again, 0},
        {"the same, switched off", ours, allocate_again, 1},
        {"an allocation, interposed", ours, allocate_again, 0},
        {"runtime's track_deallocate alone", their_end, allocate_again, 0},
        {"a deallocation, interposed", our_end, allocate_again, 0}};
    void *runtime = dlopen("libtt_metal.so", RTLD_NOLOAD | RTLD_LAZY);
    if (!runtime || !allocator || n_buffers < n_threads || !tt_memtrace_bench_record) {
        fprintf(stderr, "the runtime, its buffers or the switch are missing\n");
        exit(1);
    }
    their_allocate = (track_fn)symbol(runtime, TRACK_ALLOCATE);
    their_deallocate = (track_fn)symbol(runtime, TRACK_DEALLOCATE);
    *(void **)&their_deallocate_buffer = symbol(runtime, DEALLOCATE_BUFFER);
    our_deallocate = (track_fn)symbol(RTLD_DEFAULT, TRACK_DEALLOCATE);
    if (their_allocate == our_allocate || their_deallocate == our_deallocate) exit(1);
    enter_thread = choose_buffer;
    measure(rows, 6, n_threads, n_calls, n_singles);
    print_difference("an allocation", 3, 1);
    print_difference("a deallocation", 5, 4);
    print_difference("switched off", 2, 1);
    fflush(stdout);
}
