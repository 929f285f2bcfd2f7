// One event, a mark, both in the file, one event more, and the end that argv[1] names.
#include "events.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    allocate(1);
    tt_memtrace_mark("last words");
    tt_memtrace_flush(60000);
    allocate(2);
    if (!strcmp(how, "exit")) exit(3);
    if (!strcmp(how, "_exit")) _exit(4);
    if (!strcmp(how, "_Exit")) _Exit(5);
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
    return 6;
}
