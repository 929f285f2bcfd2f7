// Prints how many threads and descriptors this process has; with an argument, after a few events.
#include "events.h"
#include <dirent.h>
#include <stdio.h>

static int entries(const char *path) {
    int n = 0;
    DIR *folder = opendir(path);
    while (readdir(folder)) n++;
    closedir(folder);
    return n - 2; // . and ..
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1 && tt_memtrace_track_allocate) {
        allocate(64);
        tt_memtrace_mark("here");
        tt_memtrace_flush(1000);
    }
    printf("threads %d, descriptors %d\n", entries("/proc/self/task"), entries("/proc/self/fd"));
    if (argc > 1 && tt_memtrace_is_enabled) fprintf(stderr, "%s", tt_memtrace_is_enabled() ? "enabled" : "");
    return 7;
}
