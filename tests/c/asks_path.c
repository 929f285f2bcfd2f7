// Prints where this process is recorded to, before the first event and after it, and what it says for lack of room.
#include "events.h"
#include <stdio.h>
#include <string.h>

int main(void) {
    char path[4096] = "untouched";
    printf("before %d\n", (int)tt_memtrace_capture_path(path, sizeof path));
    allocate(64);
    uint64_t length = tt_memtrace_capture_path(NULL, 0);
    printf("short %d %s\n", tt_memtrace_capture_path(path, length - 1) == length, path);
    printf("after %d ", tt_memtrace_capture_path(path, length) == length);
    printf("%.*s\n", (int)length, path);
    return 0;
}
