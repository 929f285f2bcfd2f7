/* Linked with early_library.c. */
#include "events.h"
#include <stdio.h>

extern int was_enabled;

int main(void) {
    allocate(78);
    printf("enabled %d\n", was_enabled);
    return 0;
}
