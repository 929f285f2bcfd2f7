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
// All functions are thread-safe, never fail, keep errno, and do nothing when tracking is off. None of them waits,
// but for tt_memtrace_flush; the first event of a process also opens its capture. Whatever pointers point to is read
// during the call and stays the caller's. Unknown numbers are recorded as they are; what cannot be read at all is
// counted as refused in the capture.
//
// Once an event has been recorded, all may be called from signal handlers, but for those that say that they allocate
// memory; in a Python process that records stacks, only from those that cannot interrupt the interpreter. An event from
// a handler that interrupted the recording of another one is counted as refused.

#include <stdint.h>

// The version of this interface, major << 16 | minor. A minor version adds functions, and fields at the end of
// structs; a major one would change what is there.
#define TT_MEMTRACE_ABI_VERSION (1 << 16)

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

// `kind` of a kernel: of the program itself.
#define TT_MEMTRACE_KERNEL_APPLICATION 0

// `kind` of a kernel: of the fabric between chips.
#define TT_MEMTRACE_KERNEL_FABRIC 1

// `kind` of a kernel: of the command queues.
#define TT_MEMTRACE_KERNEL_DISPATCH 2

// A buffer on a mesh device, or on one device.
typedef struct tt_memtrace_buffer {
  // `sizeof(tt_memtrace_buffer)`.
  uint32_t struct_size;
  // The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
  uint32_t mesh_id;
  // The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
  uint32_t device_id;
  // One of the memory types above. Other numbers are kept as given.
  uint32_t buffer_type;
  // The runtime's TensorMemoryLayout: 0 interleaved, 1 single bank, 2 height, 3 width, 4 block sharded. Other
  // numbers are kept as given.
  uint32_t buffer_layout;
  // TT_MEMTRACE_VIEW or 0. Other bits are ignored.
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

// The kernel binaries of a program.
typedef struct tt_memtrace_kernel {
  // `sizeof(tt_memtrace_kernel)`.
  uint32_t struct_size;
  // The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
  uint32_t mesh_id;
  // The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
  uint32_t device_id;
  // One of the kinds above. Other numbers are kept as given.
  uint32_t kind;
  // The owning program, or TT_MEMTRACE_NONE64.
  uint64_t program;
  // Bytes of the binaries on one core.
  uint64_t size_bytes;
  // On how many cores.
  uint64_t n_cores;
} tt_memtrace_kernel;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Records that a buffer occupies memory: call it after the allocator has answered. A buffer whose `unique_id` is
// live already is the same one, told again.
//
// Thread-safe; waits for nothing. `buffer` is read during the call only; if it is null, misaligned, or smaller than
// this version's struct, the event is counted as refused. No-op when tracking is off.
//
// # Safety
// `buffer` is null or points to a struct of at least `struct_size` bytes.
__attribute__((weak))
void tt_memtrace_track_allocate(const struct tt_memtrace_buffer *buffer);

// Records that a buffer is about to give its memory back: call it before the allocator takes it. Only the place,
// `buffer_type`, `address`, `size_bytes` and `unique_id` are read.
//
// Thread-safe; waits for nothing. `buffer` is read during the call only; if it is null, misaligned, or smaller than
// this version's struct, the event is counted as refused. No-op when tracking is off.
//
// # Safety
// `buffer` is null or points to a struct of at least `struct_size` bytes.
__attribute__((weak))
void tt_memtrace_track_deallocate(const struct tt_memtrace_buffer *buffer);

// Records a circular buffer of a program: call it when the program is laid out. Without a `program`, it belongs to
// the one that the runtime is laying out on this thread, where the library sees that.
//
// Thread-safe; waits for nothing; allocates memory for a set of cores that is new, so call it from no signal handler.
// `cb` and its `core_ranges` are read during the call only. If `cb` is null, misaligned, or smaller than this
// version's struct, the event is counted as refused; more than 4096 rectangles, or none at all, are recorded as no
// cores. No-op when tracking is off.
//
// # Safety
// `cb` is null or points to a struct of at least `struct_size` bytes whose `core_ranges` is null or points to
// `n_core_ranges` rectangles.
__attribute__((weak))
void tt_memtrace_track_allocate_cb(const struct tt_memtrace_circular_buffer *cb);

// Records that the circular buffers of `program` (TT_MEMTRACE_NONE64: of every program) end on a mesh device, or on
// one device if `mesh_id` is TT_MEMTRACE_NONE, or wherever they are if `device_id` is that, too. Inside a release by
// the runtime that the library sees, TT_MEMTRACE_NONE64 stands for the program that is released.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_deallocate_cb(uint32_t mesh_id,
                                     uint32_t device_id,
                                     uint64_t program);

// Records that a program is launched on a mesh device, or on one device if `mesh_id` is TT_MEMTRACE_NONE.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak)) void tt_memtrace_track_program(uint32_t mesh_id, uint32_t device_id, uint64_t program);

// Records that the kernel binaries of a program are loaded. They are not counted as memory: what the runtime loads
// over time is not what a core holds.
//
// Thread-safe; waits for nothing. `kernel` is read during the call only; if it is null, misaligned, or smaller than
// this version's struct, the event is counted as refused. No-op when tracking is off.
//
// # Safety
// `kernel` is null or points to a struct of at least `struct_size` bytes.
__attribute__((weak))
void tt_memtrace_track_kernel_load(const struct tt_memtrace_kernel *kernel);

// Records that the kernel binaries of `program` (TT_MEMTRACE_NONE64: of every program) are unloaded from a mesh
// device, or from one device if `mesh_id` is TT_MEMTRACE_NONE.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_kernel_unload(uint32_t mesh_id,
                                     uint32_t device_id,
                                     uint64_t program);

// Records that a named operation begins on this thread, with its arguments as text if `arguments` is not null. The
// texts need not end in a zero byte; of both together, the first 15,296 bytes are kept.
//
// Thread-safe; waits for nothing. Both texts are read during the call only; one that is null or longer than 1 MiB is
// recorded as an empty name, or as no arguments. No-op when tracking is off.
//
// # Safety
// `name` is null or points to `name_length` bytes, `arguments` is null or points to `arguments_length` bytes.
__attribute__((weak))
void tt_memtrace_track_function_start(const char *name,
                                      uint64_t name_length,
                                      const char *arguments,
                                      uint64_t arguments_length);

// Records that the operation which began last on this thread, and has not ended, ends.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak)) void tt_memtrace_track_function_end(void);

// Records that a named phase of this thread's work begins, such as "prefill". Phases nest. `name` need not end in a
// zero byte; its first 15,296 bytes are kept.
//
// Thread-safe; waits for nothing. `name` is read during the call only; if it is null or longer than 1 MiB the name
// is empty. No-op when tracking is off.
//
// # Safety
// `name` is null or points to `length` bytes.
__attribute__((weak))
void tt_memtrace_phase_begin(const char *name,
                             uint64_t length);

// Records that the phase which began last on this thread, and has not ended, ends.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak)) void tt_memtrace_phase_end(void);

// Tells which devices a mesh device is made of, row by row: call it when it is opened, before its first buffer. A
// number stands for one mesh device of the process: to open it again records nothing.
//
// `arch` is the runtime's number of the architecture: 2 Wormhole, 3 Blackhole; others are kept as given.
//
// Thread-safe; waits for nothing; allocates memory, so call it from no signal handler. `device_ids` is read during
// the call only; if it is null or of more than 4096 devices, the mesh device is recorded without devices. No-op when
// tracking is off.
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

// Records that a mesh device has been closed, and with it everything on it. Call it once: the close that the library
// sees by itself in a stock runtime is the same one.
//
// Thread-safe; waits for nothing; allocates memory, so call it from no signal handler. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_mesh_close(uint32_t mesh_id);

// Tells that a device (chip) which belongs to no mesh device is opened. Without it, the device is known from its
// first event on.
//
// `arch` is the runtime's number of the architecture: 2 Wormhole, 3 Blackhole; others are kept as given.
//
// Thread-safe; waits for nothing; allocates memory, so call it from no signal handler. To open a device again
// records nothing. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_device_open(uint32_t device_id,
                                   uint32_t arch);

// Records that a device (chip) which belongs to no mesh device has been closed, and with it everything that was
// recorded for it alone.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_device_close(uint32_t device_id);

// Records that an allocator gives up everything it holds, without a deallocation each. `allocator` is the number
// that its buffers were given.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_sweep(uint64_t allocator);

// Records that commands are captured into a trace from now on. `trace` is the runtime's number of the trace.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_trace_begin(uint32_t mesh_id,
                                   uint32_t device_id,
                                   uint64_t trace);

// Records that the capture into a trace has ended: it can be replayed.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak)) void tt_memtrace_track_trace_end(uint32_t mesh_id, uint32_t device_id, uint64_t trace);

// Records that a trace is given up. Its buffers report their own deallocations.
//
// Thread-safe; waits for nothing. No-op when tracking is off.
__attribute__((weak))
void tt_memtrace_track_trace_release(uint32_t mesh_id,
                                     uint32_t device_id,
                                     uint64_t trace);

// Puts a named mark into the capture. It survives the process from now on; to read it in the file, call
// `tt_memtrace_flush` first.
//
// Thread-safe; waits for nothing. `name` is read during the call only; its first 4096 bytes are kept. If it is null,
// the event is counted as refused. No-op when tracking is off.
//
// # Safety
// `name` is null or a string that ends in a zero byte.
__attribute__((weak))
void tt_memtrace_mark(const char *name);

// Waits until everything recorded so far is written to the capture, at most `timeout_ms`. Returns 0 if it is, 1 if
// time ran out, 2 if nothing is being recorded.
//
// Thread-safe. The only function that waits. Returns 2 at once when tracking is off.
__attribute__((weak))
int tt_memtrace_flush(uint32_t timeout_ms);

// Writes the path of this process's capture to `buffer`, without a zero byte, if it has at most `capacity` bytes.
// Returns how many it has; 0 if nothing was recorded yet, or not into a file.
//
// Thread-safe; waits for nothing. `buffer` is written during the call only; it may be null if `capacity` is 0. Returns 0
// when tracking is off.
//
// # Safety
// `buffer` is null, or `capacity` bytes may be written there.
__attribute__((weak))
uint64_t tt_memtrace_capture_path(char *buffer,
                                  uint64_t capacity);

// Returns 1 if events are recorded, or would be from the first one on; else 0.
//
// Thread-safe; waits for nothing.
__attribute__((weak)) int tt_memtrace_is_enabled(void);

// Returns the TT_MEMTRACE_ABI_VERSION of the loaded library. A caller can use what the header of that version, or of
// an earlier minor one, declares.
//
// Thread-safe; waits for nothing; the same whether tracking is on or off.
__attribute__((weak))
uint32_t tt_memtrace_abi_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TT_MEMTRACE_H */
