// Records, then becomes another program: itself, with an argument.
#include "events.h"
#include <unistd.h>

int main(int argc, char **argv) {
    allocate((uint64_t)argc);
    if (argc > 1) return 0;
    tt_memtrace_mark("before exec");
    tt_memtrace_flush(60000);
    char *words[] = {argv[0], "again", NULL};
    return execv("/proc/self/exe", words);
}
