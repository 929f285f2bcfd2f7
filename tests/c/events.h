// What the test programs share: short ways to report a buffer. Each test gives its buffers addresses that no
// other call uses, so that an event can be told from the others in the capture.
#ifndef EVENTS_H
#define EVENTS_H

#include "tt_memtrace.h"
#include <string.h>

static inline tt_memtrace_buffer buffer_at(uint64_t address, uint64_t size_bytes) {
    tt_memtrace_buffer buffer;
    memset(&buffer, 0, sizeof buffer);
    buffer.struct_size = sizeof buffer;
    buffer.buffer_type = TT_MEMTRACE_L1;
    buffer.address = address;
    buffer.size_bytes = size_bytes;
    buffer.page_size_bytes = size_bytes;
    buffer.per_bank_bytes = size_bytes;
    buffer.unique_id = TT_MEMTRACE_NONE64;
    buffer.allocator = TT_MEMTRACE_NONE64;
    return buffer;
}

static inline void allocate(uint64_t address) {
    tt_memtrace_buffer buffer = buffer_at(address, 64);
    tt_memtrace_track_allocate(&buffer);
}

static inline void deallocate(uint64_t address) {
    tt_memtrace_buffer buffer = buffer_at(address, 64);
    tt_memtrace_track_deallocate(&buffer);
}

#endif
