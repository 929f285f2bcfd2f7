// An error of its own between two events.
#include "events.h"
#include <stdlib.h>

int main(int argc, char **argv) {
    (void)argv;
    char *bytes = malloc(8);
    allocate(1);
    memset(bytes, 1, (size_t)(8 + argc));
    allocate((uint64_t)bytes[0]);
    free(bytes);
    return 0;
}
