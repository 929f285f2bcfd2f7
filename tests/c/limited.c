// No file of this process may grow beyond argv[1] bytes. Records argv[2] events, then says that it is alive.
// With a third argument the signal of that limit keeps its deadly default.
#include "events.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    if (argc == 3) signal(SIGXFSZ, SIG_IGN);
    rlim_t most = strtoull(argv[1], NULL, 10);
    struct rlimit limit = {most, most};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 3;
    for (uint64_t i = 0; i < strtoull(argv[2], NULL, 10); i++) {
        allocate(i);
        if (i % 1000 == 0) tt_memtrace_flush(1000);
    }
    printf("alive\n");
    return 7;
}
