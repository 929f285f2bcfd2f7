// The event of LTTng-UST that `lttng.c` measures: the fields of an allocation. LTTng adds the time, and the thread as
// a context.
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tt_memtrace_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "lttng_event.h"
#if !defined(LTTNG_EVENT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define LTTNG_EVENT_H
#include "tt_memtrace.h"
#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(tt_memtrace_bench, alloc, LTTNG_UST_TP_ARGS(const tt_memtrace_buffer *, buffer),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(uint32_t, mesh_id, buffer->mesh_id)
        lttng_ust_field_integer(uint32_t, device_id, buffer->device_id)
        lttng_ust_field_integer(uint8_t, buffer_type, (uint8_t)buffer->buffer_type)
        lttng_ust_field_integer(uint8_t, buffer_layout, (uint8_t)buffer->buffer_layout)
        lttng_ust_field_integer(uint8_t, flags, (uint8_t)buffer->flags)
        lttng_ust_field_integer(uint64_t, address, buffer->address)
        lttng_ust_field_integer(uint64_t, size_bytes, buffer->size_bytes)
        lttng_ust_field_integer(uint64_t, page_size_bytes, buffer->page_size_bytes)
        lttng_ust_field_integer(uint64_t, per_bank_bytes, buffer->per_bank_bytes)
        lttng_ust_field_integer(uint64_t, unique_id, buffer->unique_id)
        lttng_ust_field_integer(uint64_t, allocator, buffer->allocator)))
#endif
#include <lttng/tracepoint-event.h>
