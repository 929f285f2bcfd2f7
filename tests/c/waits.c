// Takes argv[1] buffers, lets argv[2] others come and go, makes the file argv[3], and waits until the file argv[4] is
// there; if that is "-", it ends instead. Then takes one more, asks for a flush, and prints its answer. With a fifth argument, a child of its waits
// instead, and it is killed.
#include "events.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    uint64_t n_held = strtoull(argv[1], NULL, 10), n_others = strtoull(argv[2], NULL, 10);
    uint32_t chip = 0;
    tt_memtrace_track_mesh_open(0, &chip, 1, 1, 1, 2);
    for (uint64_t i = 0; i < n_held; i++) allocate(0x1000 + i);
    for (uint64_t i = 0; i < n_others; i++) {
        allocate(0x9000000);
        deallocate(0x9000000);
        // Slow enough for a spool in memory, however fast the machine is.
        if (i % 1000 == 999) usleep(2000);
    }
    if (argc > 5 && fork() != 0) {
        // The server has it all, and the child is where it waits.
        tt_memtrace_flush(60000);
        while (access(argv[3], F_OK) != 0) usleep(1000);
        kill(getpid(), SIGKILL);
    }
    if (strcmp(argv[4], "-") == 0) return 0;
    close(open(argv[3], O_CREAT | O_WRONLY, 0600));
    for (int i = 0; i < 300000 && access(argv[4], F_OK) != 0; i++) usleep(1000);
    if (argc > 5) return 0;
    allocate(0x8000000);
    printf("flush %d\n", tt_memtrace_flush(100000));
    return 0;
}
