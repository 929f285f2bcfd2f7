// A daemon's habit: closes every descriptor it did not open, then uses the numbers for files of its own. With
// an argument it also removes the capture, argv[1], in between.
#include "events.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    allocate(1);
    tt_memtrace_flush(60000);
    for (int fd = 3; fd < 256; fd++) close(fd);
    if (argc > 1 && unlink(argv[1]) != 0) return 2;
    int fds[20];
    for (int i = 0; i < 20; i++) fds[i] = open("theirs", O_CREAT | O_WRONLY | O_APPEND, 0600);
    allocate(2);
    tt_memtrace_flush(60000);
    allocate(3);
    tt_memtrace_flush(60000);
    for (int i = 0; i < 20; i++)
        if (write(fds[i], "x", 1) != 1) return printf("our file %d was closed\n", i), 1;
    return 0;
}
