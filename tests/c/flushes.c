// Prints what flush and is_enabled answer before the first event, after it, and with no time to wait.
#include "events.h"
#include <stdio.h>

int main(void) {
    printf("enabled %d\n", tt_memtrace_is_enabled());
    printf("before %d\n", tt_memtrace_flush(1000));
    allocate(64);
    printf("after %d\n", tt_memtrace_flush(100000));
    // The worker sleeps for some time when it finds nothing: it cannot always be faster.
    int impatient = 0;
    for (int i = 0; i < 100000 && impatient == 0; i++) {
        allocate(64);
        impatient = tt_memtrace_flush(0);
    }
    printf("impatient %d\n", impatient);
    printf("enabled %d\n", tt_memtrace_is_enabled());
    return 0;
}
