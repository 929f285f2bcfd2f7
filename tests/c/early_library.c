/* A library of the host whose constructor runs before that of a preloaded one. */
#include "events.h"

int was_enabled;

__attribute__((constructor)) static void early(void) {
    was_enabled = tt_memtrace_is_enabled && tt_memtrace_is_enabled();
    allocate(77);
}
