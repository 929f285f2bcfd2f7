// What one event costs, through the C interface of the preloaded library. `measure.h` explains the columns, and
// `scripts/bench` compiles and runs it, each row a process of its own.
//
//   record cost THREADS    allocations and deallocations; with one thread also a blocking 128-byte write to a
//                          socket that another process reads
//   record passive         calls that record nothing
//   record first           microseconds of the first event of the process, then the median and the most of 200 threads
//   record worker EVENTS ROUNDS    processor time of the library's thread for each event
#include "measure.h"
#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CALLS = 40000, SINGLE = 400000 };

static int sockets[2];
static void socket_event(const tt_memtrace_buffer *buffer) {
    char message[128] = {0};
    memcpy(message, buffer, sizeof *buffer);
    if (write(sockets[0], message, sizeof message) != (ssize_t)sizeof message) abort();
}

static void nothing(const tt_memtrace_buffer *buffer) { (void)buffer; }

// Whoever reads the other end of `sockets`.
static void start_reader(void) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) abort();
    if (fork() == 0) {
        char bytes[1 << 16];
        close(sockets[0]);
        while (read(sockets[1], bytes, sizeof bytes) > 0) {}
        _exit(0);
    }
    close(sockets[1]);
}

static void cost(int threads) {
    const struct row rows[] = {{"the floor", floor_event, NULL, 0},
        {"an allocation, C interface", tt_memtrace_track_allocate, NULL, 0},
        {"a deallocation, C interface", tt_memtrace_track_deallocate, NULL, 0},
        {"a blocking 128-byte socket write", socket_event, NULL, 0}};
    tt_memtrace_buffer buffer = example();
    if (threads == 1) start_reader();
    tt_memtrace_track_allocate(&buffer);
    measure(rows, threads == 1 ? 4 : 3, threads, MOST_CALLS / threads, SINGLE / threads);
    if (threads == 1) printf("%-38s     the socket write costs %.0f times as much as an allocation\n", "", ratio(3, 1));
}

static void passive(void) {
    const struct row rows[] = {{"the floor", floor_event, NULL, 0},
        {"switched off, C interface", tt_memtrace_track_allocate, NULL, 0}, {"an empty function", nothing, NULL, 0}};
    measure(rows, 3, 1, MOST_CALLS, SINGLE);
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
    printf("%.0f %.1f %.1f\n", process / 1e3, quantile(firsts, 200, 0.5) / 1e3, quantile(firsts, 200, 1) / 1e3);
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
    if (strcmp(what, "heading") == 0) {
        print_heading();
    } else if (tt_memtrace_track_allocate == NULL) {
        return 2;
    } else if (strcmp(what, "cost") == 0) {
        cost(atoi(argv[2]));
    } else if (strcmp(what, "passive") == 0) {
        passive();
    } else if (strcmp(what, "first") == 0) {
        first();
    } else if (strcmp(what, "worker") == 0) {
        worker(atol(argv[2]), atoi(argv[3]));
    } else {
        return 2;
    }
    return 0;
}
