// Threads share a few addresses, so that each is given out again as soon as it is back: argv[1] threads, argv[2]
// pairs of events each. An allocation is told after the allocator has answered, a deallocation before it takes
// back. The size tells the thread and the pair.
#include "events.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { N_ADDRESSES = 12, PAIR_BITS = 21 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t start;
static uint64_t free_addresses[N_ADDRESSES];
static int n_free;
static uint64_t n_pairs;

static int take(uint64_t *address) {
    pthread_mutex_lock(&lock);
    int is_there = n_free > 0;
    // The one that came back last: no other order forces reuse as much.
    if (is_there) *address = free_addresses[--n_free];
    pthread_mutex_unlock(&lock);
    return is_there;
}

static void give_back(uint64_t address) {
    pthread_mutex_lock(&lock);
    free_addresses[n_free++] = address;
    pthread_mutex_unlock(&lock);
}

static void *reuse(void *thread) {
    uint64_t held[2], sizes[2], pair = 0;
    unsigned n_held = 0;
    uint32_t random = (uint32_t)(uintptr_t)thread + 1;
    pthread_barrier_wait(&start);
    while (pair < n_pairs || n_held > 0) {
        random = random * 1664525 + 1013904223;
        uint64_t address;
        if (pair < n_pairs && n_held < 2 && random >> 31 && take(&address)) {
            uint64_t size = ((uint64_t)(uintptr_t)thread << PAIR_BITS | pair++) + 1;
            tt_memtrace_buffer buffer = buffer_at(address, size);
            tt_memtrace_track_allocate(&buffer);
            held[n_held] = address, sizes[n_held++] = size;
        } else if (n_held > 0) {
            tt_memtrace_buffer buffer = buffer_at(held[0], sizes[0]);
            tt_memtrace_track_deallocate(&buffer);
            give_back(held[0]);
            held[0] = held[1], sizes[0] = sizes[1], n_held--;
            // Lets another thread take it while the worker may be looking.
            if (random >> 28 & 1) sched_yield();
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    unsigned n_threads = (unsigned)atoi(argv[1]);
    n_pairs = strtoull(argv[2], NULL, 10);
    if (n_pairs >> PAIR_BITS) return 2;
    for (; n_free < N_ADDRESSES; n_free++) free_addresses[n_free] = (uint64_t)(n_free + 1) << 32;
    uint32_t chip = 0;
    tt_memtrace_track_mesh_open(0, &chip, 1, 1, 1, 2);
    pthread_t threads[64];
    pthread_barrier_init(&start, NULL, n_threads);
    for (uintptr_t i = 0; i < n_threads; i++) pthread_create(&threads[i], NULL, reuse, (void *)i);
    for (unsigned i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
    tt_memtrace_track_mesh_close(0);
    // The end of the process waits two seconds, no longer.
    return tt_memtrace_flush && tt_memtrace_flush(100000) == 0 ? 0 : 3;
}
