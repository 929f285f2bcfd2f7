#ifndef TT_MEMTRACE_H
#define TT_MEMTRACE_H

// Generated from src/abi.rs by cbindgen. Do not edit.
//
// The C interface of tt-memtrace. All functions are weak: a program links and runs without the library, and
// tests a function before it calls it:
//
//     if (tt_memtrace_mark) tt_memtrace_mark("after warm-up");
//
// Compile with -fPIC or -fPIE, as compilers do by default: in other code a weak function is always null.
//
// All functions are thread-safe, never fail, keep errno, and do nothing when tracking is off. None of them
// blocks, but for tt_memtrace_flush and tt_memtrace_mark, which wait a bounded time.

#include <stdint.h>

// Stands for "no number" where a field of 32 bits is optional.
#define TT_MEMTRACE_NONE UINT32_MAX

// Stands for "no number" where a field of 64 bits is optional.
#define TT_MEMTRACE_NONE64 UINT64_MAX

// `buffer_type`: the DRAM banks.
#define TT_MEMTRACE_DRAM 0

// `buffer_type`: the L1 memory of the worker cores.
#define TT_MEMTRACE_L1 1

// `buffer_type`: host memory that the device can reach.
#define TT_MEMTRACE_SYSTEM_MEMORY 2

// `buffer_type`: the small region of L1.
#define TT_MEMTRACE_L1_SMALL 3

// `buffer_type`: the region for captured commands.
#define TT_MEMTRACE_TRACE 4

// `flags`: a view at another buffer's address, which holds nothing itself.
#define TT_MEMTRACE_VIEW 1

// A buffer on a mesh device, or on one device.
typedef struct tt_memtrace_buffer {
  // `sizeof(tt_memtrace_buffer)`.
  uint32_t struct_size;
  // The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
  uint32_t mesh_id;
  // The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
  uint32_t device_id;
  // One of the memory types above.
  uint32_t buffer_type;
  // The runtime's TensorMemoryLayout: 0 interleaved, 1 single bank, 2 height, 3 width, 4 block sharded.
  uint32_t buffer_layout;
  // TT_MEMTRACE_VIEW or 0.
  uint32_t flags;
  // Where it starts, the same on each device.
  uint64_t address;
  // Logical bytes on one device.
  uint64_t size_bytes;
  // Bytes of one page.
  uint64_t page_size_bytes;
  // Bytes in each bank, aligned to pages.
  uint64_t per_bank_bytes;
  // The runtime's own number of the buffer, or TT_MEMTRACE_NONE64.
  uint64_t unique_id;
  // Any number that tells one allocator from another, or TT_MEMTRACE_NONE64.
  uint64_t allocator;
} tt_memtrace_buffer;

// A rectangle of cores; both corners belong to it.
typedef struct tt_memtrace_core_range {
  // The column of the first corner.
  uint32_t x0;
  // The row of the first corner.
  uint32_t y0;
  // The column of the last corner.
  uint32_t x1;
  // The row of the last corner.
  uint32_t y1;
} tt_memtrace_core_range;

// A circular buffer of a program.
typedef struct tt_memtrace_circular_buffer {
  // `sizeof(tt_memtrace_circular_buffer)`.
  uint32_t struct_size;
  // The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
  uint32_t mesh_id;
  // The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
  uint32_t device_id;
  // Not 0 if it lies inside an existing L1 buffer and takes no memory of its own.
  uint32_t globally_allocated;
  // The owning program, or TT_MEMTRACE_NONE64.
  uint64_t program;
  // Where it starts on each core.
  uint64_t address;
  // Bytes on each core.
  uint64_t size_bytes;
  // The cores.
  const struct tt_memtrace_core_range *core_ranges;
  // The number of rectangles at `core_ranges`.
  uint64_t n_core_ranges;
} tt_memtrace_circular_buffer;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Records that a buffer occupies memory: call it after the allocator has answered.
//
// `buffer` is read during the call only.
//
// # Safety
// `buffer` is null or points to a struct of at least `struct_size` bytes.
__attribute__((weak)) void tt_memtrace_track_allocate(const struct tt_memtrace_buffer *buffer);

// Records that a buffer is about to give its memory back: call it before the allocator takes it.
//
// Only the place, `buffer_type`, `address`, `size_bytes` and `unique_id` are read.
//
// # Safety
// `buffer` is null or points to a struct of at least `struct_size` bytes.
__attribute__((weak)) void tt_memtrace_track_deallocate(const struct tt_memtrace_buffer *buffer);

// Records a circular buffer of a program: call it when the program is laid out.
//
// # Safety
// `cb` is null or points to a struct of at least `struct_size` bytes whose `core_ranges` is null or points to
// `n_core_ranges` rectangles.
__attribute__((weak)) void tt_memtrace_track_allocate_cb(const struct tt_memtrace_circular_buffer *cb);

// Records that the circular buffers of `program` (TT_MEMTRACE_NONE64: of every program) end on a device.
__attribute__((weak))
void tt_memtrace_track_deallocate_cb(uint32_t mesh_id,
                                     uint32_t device_id,
                                     uint64_t program);

// Records that a program is launched on a mesh device, or on one device.
__attribute__((weak)) void tt_memtrace_track_program(uint32_t mesh_id, uint32_t device_id, uint64_t program);

// Records that a named operation begins on this thread. `name` need not end in a zero byte.
//
// # Safety
// `name` is null or points to `length` bytes.
__attribute__((weak)) void tt_memtrace_track_function_start(const char *name, uint64_t length);

// Records that the operation which began last on this thread ends.
__attribute__((weak)) void tt_memtrace_track_function_end(void);

// Tells which devices a mesh device is made of: call it when it is opened, before its first buffer.
//
// `arch` is the runtime's number of the architecture: 2 Wormhole, 3 Blackhole.
//
// # Safety
// `device_ids` is null or points to `n_devices` numbers.
__attribute__((weak))
void tt_memtrace_track_mesh_open(uint32_t mesh_id,
                                 const uint32_t *device_ids,
                                 uint64_t n_devices,
                                 uint32_t rows,
                                 uint32_t cols,
                                 uint32_t arch);

// Records that a mesh device has been closed, and with it everything on it.
__attribute__((weak)) void tt_memtrace_track_mesh_close(uint32_t mesh_id);

// Records that an allocator gives up everything it holds, without a deallocation each.
__attribute__((weak)) void tt_memtrace_track_sweep(uint64_t allocator);

// Puts a named mark into the capture and waits, at most a second, until it and all before it are written.
//
// # Safety
// `name` is null or a string that ends in a zero byte; at most its first 4096 bytes are kept.
__attribute__((weak)) void tt_memtrace_mark(const char *name);

// Waits until everything recorded so far is written, at most `timeout_ms`. Returns 0 if it is, 1 if time ran
// out, 2 if nothing is being recorded.
__attribute__((weak)) int tt_memtrace_flush(uint32_t timeout_ms);

// Returns 1 if events are recorded, or would be from the first one on; else 0.
__attribute__((weak)) int tt_memtrace_is_enabled(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TT_MEMTRACE_H */
