// After each mark and flush the program looks for the mark in the capture, argv[1], itself.
#include "events.h"
#include <stdio.h>
#include <string.h>

static char text[1 << 22];

int main(int argc, char **argv) {
    for (int i = 0; argc > 1 && i < 100; i++) {
        char name[32], wanted[64];
        for (int j = 0; j < 20; j++) allocate((uint64_t)i);
        snprintf(name, sizeof name, "mark %d", i);
        snprintf(wanted, sizeof wanted, "\"name\":\"%s\"}\n", name);
        tt_memtrace_mark(name);
        if (tt_memtrace_flush(60000) != 0) return 3;
        FILE *file = fopen(argv[1], "r");
        if (!file) return 2;
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
        if (!strstr(text, wanted)) return printf("%s is not in the file\n", name), 1;
    }
    return 0;
}
