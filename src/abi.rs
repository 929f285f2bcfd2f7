//! Every function that `include/tt_memtrace.h` declares, and nothing else. Its numbers and structs are in `types`,
//! how arguments are read in `given`.
//!
//! For all functions: thread-safe; never fail; only `tt_memtrace_flush` waits for anything but another thread's few
//! instructions; keep `errno`; pointers are read during the call only and may be null; a no-op when tracking is off.
//! Values this version has no name for are recorded as given; a call that gives nothing to record, because its
//! struct or name cannot be read, is counted as refused.
//!
//! In the steady state only what has to be remembered allocates memory: mesh devices, devices, new sets of cores; and
//! in a Python process that records stacks, an event from a new line. All else may be called from a signal handler,
//! whatever that interrupted, but for the interpreter of such a process, whose frames would be read half-made.

mod given;
pub mod types;

use crate::pipeline::{self, Fact, Pipeline};
use crate::{guard, interpose, lifecycle, state};
use given::{place, read, some64};
use std::ffi::{c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use tt_memtrace_wire::record::{Kind, encode_text};
use tt_memtrace_wire::{
    Alloc, CbAlloc, CbDealloc, Dealloc, Device, Event, Kernel, Line, Mesh, Place, Range, SweepCause,
    TraceStep,
};
use types::{
    TT_MEMTRACE_ABI_VERSION, TT_MEMTRACE_NONE, TT_MEMTRACE_VIEW, tt_memtrace_buffer,
    tt_memtrace_circular_buffer, tt_memtrace_kernel,
};

/// More rectangles than a chip has cores, or more chips than a mesh has, are a mistake of the caller's: they are not
/// read.
const LONGEST_LIST: u64 = 4096;
/// The bytes of a mark that are kept.
const LONGEST_MARK: usize = 4096;

/// Records that a buffer occupies memory: call it after the allocator has answered. A buffer whose `unique_id` is
/// live already is the same one, told again.
///
/// Thread-safe; waits for nothing. `buffer` is read during the call only; if it is null, misaligned, or smaller than
/// this version's struct, the event is counted as refused. No-op when tracking is off.
///
/// # Safety
/// `buffer` is null or points to a struct of at least `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_allocate(buffer: *const tt_memtrace_buffer) {
    let briefly = |pipeline: &Pipeline, buffer: &_| pipeline.offer_alloc_briefly(&alloc(buffer));
    // SAFETY: the caller's contract.
    unsafe { offer_buffer(buffer, Kind::Alloc, briefly, |buffer| Event::Alloc(alloc(buffer))) };
}

/// Records that a buffer is about to give its memory back: call it before the allocator takes it. Only the place,
/// `buffer_type`, `address`, `size_bytes` and `unique_id` are read.
///
/// Thread-safe; waits for nothing. `buffer` is read during the call only; if it is null, misaligned, or smaller than
/// this version's struct, the event is counted as refused. No-op when tracking is off.
///
/// # Safety
/// `buffer` is null or points to a struct of at least `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_deallocate(buffer: *const tt_memtrace_buffer) {
    let briefly = |pipeline: &Pipeline, buffer: &_| pipeline.offer_dealloc_briefly(&dealloc(buffer));
    // SAFETY: the caller's contract.
    unsafe { offer_buffer(buffer, Kind::Dealloc, briefly, |buffer| Event::Dealloc(dealloc(buffer))) };
}

/// Records a circular buffer of a program: call it when the program is laid out. Without a `program`, it belongs to
/// the one that the runtime is laying out on this thread, where the library sees that.
///
/// Thread-safe; waits for nothing; allocates memory for a set of cores that is new, so call it from no signal handler.
/// `cb` and its `core_ranges` are read during the call only. If `cb` is null, misaligned, or smaller than this
/// version's struct, the event is counted as refused; more than 4096 rectangles, or none at all, are recorded as no
/// cores. No-op when tracking is off.
///
/// # Safety
/// `cb` is null or points to a struct of at least `struct_size` bytes whose `core_ranges` is null or points to
/// `n_core_ranges` rectangles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_allocate_cb(cb: *const tt_memtrace_circular_buffer) {
    guard::enter(|| {
        // SAFETY: the caller's contract.
        let Some(cb) = (unsafe { read(cb) }) else { return refuse(Kind::CbAlloc) };
        // SAFETY: the caller's contract.
        let ranges = unsafe { given::list(cb.core_ranges, cb.n_core_ranges, LONGEST_LIST) };
        let ranges = ranges.iter().map(|r| Range { x0: r.x0, y0: r.y0, x1: r.x1, y1: r.y1 }).collect();
        if let Some(pipeline) = pipeline::started() {
            interpose::circular_buffer(pipeline, ranges, |cores| CbAlloc {
                place: place(cb.mesh_id, cb.device_id),
                program: some64(cb.program).or_else(interpose::owner),
                cores,
                address: cb.address,
                size_bytes: cb.size_bytes,
                globally_allocated: cb.globally_allocated != 0,
            });
        }
    });
}

/// Records that the circular buffers of `program` (TT_MEMTRACE_NONE64: of every program) end on a mesh device, or on
/// one device if `mesh_id` is TT_MEMTRACE_NONE, or wherever they are if `device_id` is that, too. Inside a release by
/// the runtime that the library sees, TT_MEMTRACE_NONE64 stands for the program that is released.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_deallocate_cb(mesh_id: u32, device_id: u32, program: u64) {
    let is_somewhere = mesh_id != TT_MEMTRACE_NONE || device_id != TT_MEMTRACE_NONE;
    let place = is_somewhere.then(|| place(mesh_id, device_id));
    let program = some64(program).or_else(interpose::owner);
    offer(Event::CbDealloc(CbDealloc { place, program }));
}

/// Records that a program is launched on a mesh device, or on one device if `mesh_id` is TT_MEMTRACE_NONE.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_program(mesh_id: u32, device_id: u32, program: u64) {
    offer(Event::ProgramRun { program, place: place(mesh_id, device_id) });
}

/// Records that the kernel binaries of a program are loaded. They are not counted as memory: what the runtime loads
/// over time is not what a core holds.
///
/// Thread-safe; waits for nothing. `kernel` is read during the call only; if it is null, misaligned, or smaller than
/// this version's struct, the event is counted as refused. No-op when tracking is off.
///
/// # Safety
/// `kernel` is null or points to a struct of at least `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_kernel_load(kernel: *const tt_memtrace_kernel) {
    // SAFETY: the caller's contract.
    match unsafe { read(kernel) } {
        Some(kernel) => offer(Event::KernelLoad(Kernel {
            place: place(kernel.mesh_id, kernel.device_id),
            kind: kernel.kind.into(),
            program: some64(kernel.program),
            size_bytes: kernel.size_bytes,
            n_cores: kernel.n_cores,
        })),
        None => guard::enter(|| refuse(Kind::KernelLoad)),
    }
}

/// Records that the kernel binaries of `program` (TT_MEMTRACE_NONE64: of every program) are unloaded from a mesh
/// device, or from one device if `mesh_id` is TT_MEMTRACE_NONE.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_kernel_unload(mesh_id: u32, device_id: u32, program: u64) {
    offer(Event::KernelUnload { place: place(mesh_id, device_id), program: some64(program) });
}

/// Records that a named operation begins on this thread, with its arguments as text if `arguments` is not null. The
/// texts need not end in a zero byte; of both together, the first 15,296 bytes are kept.
///
/// Thread-safe; waits for nothing. Both texts are read during the call only; one that is null or longer than 1 MiB is
/// recorded as an empty name, or as no arguments. No-op when tracking is off.
///
/// # Safety
/// `name` is null or points to `name_length` bytes, `arguments` is null or points to `arguments_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_function_start(
    name: *const c_char,
    name_length: u64,
    arguments: *const c_char,
    arguments_length: u64,
) {
    // SAFETY: the caller's contract.
    let name = unsafe { given::text(name, name_length) };
    // SAFETY: the caller's contract.
    offer_text(Kind::OpBegin, name.unwrap_or_default(), unsafe { given::text(arguments, arguments_length) });
}

/// Records that the operation which began last on this thread, and has not ended, ends.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_function_end() {
    offer(Event::OpEnd);
}

/// Records that a named phase of this thread's work begins, such as "prefill". Phases nest. `name` need not end in a
/// zero byte; its first 15,296 bytes are kept.
///
/// Thread-safe; waits for nothing. `name` is read during the call only; if it is null or longer than 1 MiB the name
/// is empty. No-op when tracking is off.
///
/// # Safety
/// `name` is null or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_phase_begin(name: *const c_char, length: u64) {
    // SAFETY: the caller's contract.
    offer_text(Kind::PhaseBegin, unsafe { given::text(name, length) }.unwrap_or_default(), None);
}

/// Records that the phase which began last on this thread, and has not ended, ends.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_phase_end() {
    offer(Event::PhaseEnd);
}

/// Tells which devices a mesh device is made of, row by row: call it when it is opened, before its first buffer. A
/// number stands for one mesh device of the process: to open it again records nothing.
///
/// `arch` is the runtime's number of the architecture: 2 Wormhole, 3 Blackhole; others are kept as given.
///
/// Thread-safe; waits for nothing; allocates memory, so call it from no signal handler. `device_ids` is read during
/// the call only; if it is null or of more than 4096 devices, the mesh device is recorded without devices. No-op when
/// tracking is off.
///
/// # Safety
/// `device_ids` is null or points to `n_devices` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_mesh_open(
    mesh_id: u32,
    device_ids: *const u32,
    n_devices: u64,
    rows: u32,
    cols: u32,
    arch: u32,
) {
    guard::enter(|| {
        // SAFETY: the caller's contract.
        let chips = unsafe { given::list(device_ids, n_devices, LONGEST_LIST) }.to_vec();
        if let Some(pipeline) = pipeline::started() {
            pipeline.define(|defined| {
                let arch = interpose::arch_name(arch);
                let is_new = defined.add(Fact::Mesh(mesh_id));
                is_new.then_some(Line::Mesh(Mesh { mesh_id, chips, rows, cols, arch }))
            });
        }
    });
}

/// Records that a mesh device has been closed, and with it everything on it. Call it once: the close that the library
/// sees by itself in a stock runtime is the same one.
///
/// Thread-safe; waits for nothing; allocates memory, so call it from no signal handler. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_mesh_close(mesh_id: u32) {
    guard::enter(|| {
        if let Some(pipeline) = pipeline::started() {
            interpose::close_mesh(pipeline, mesh_id);
        }
    });
}

/// Tells that a device (chip) which belongs to no mesh device is opened. Without it, the device is known from its
/// first event on.
///
/// `arch` is the runtime's number of the architecture: 2 Wormhole, 3 Blackhole; others are kept as given.
///
/// Thread-safe; waits for nothing; allocates memory, so call it from no signal handler. To open a device again
/// records nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_device_open(device_id: u32, arch: u32) {
    guard::enter(|| {
        if let Some(pipeline) = pipeline::started() {
            pipeline.define(|defined| {
                let is_new = defined.add(Fact::LoneDevice(device_id));
                is_new.then(|| Line::Device(Device { chip: device_id, arch: interpose::arch_name(arch) }))
            });
        }
    });
}

/// Records that a device (chip) which belongs to no mesh device has been closed, and with it everything that was
/// recorded for it alone.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_device_close(device_id: u32) {
    offer(Event::Close { place: Place::Chip(device_id) });
}

/// Records that an allocator gives up everything it holds, without a deallocation each. `allocator` is the number
/// that its buffers were given.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_sweep(allocator: u64) {
    if !interpose::is_sweeping(allocator) {
        offer(Event::Sweep { allocator, cause: SweepCause::Call });
    }
}

/// Records that commands are captured into a trace from now on. `trace` is the runtime's number of the trace.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_trace_begin(mesh_id: u32, device_id: u32, trace: u64) {
    offer_trace(TraceStep::Begin, mesh_id, device_id, trace);
}

/// Records that the capture into a trace has ended: it can be replayed.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_trace_end(mesh_id: u32, device_id: u32, trace: u64) {
    offer_trace(TraceStep::End, mesh_id, device_id, trace);
}

/// Records that a trace is given up. Its buffers report their own deallocations.
///
/// Thread-safe; waits for nothing. No-op when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_trace_release(mesh_id: u32, device_id: u32, trace: u64) {
    offer_trace(TraceStep::Release, mesh_id, device_id, trace);
}

/// Puts a named mark into the capture. It survives the process from now on; to read it in the file, call
/// `tt_memtrace_flush` first.
///
/// Thread-safe; waits for nothing. `name` is read during the call only; its first 4096 bytes are kept. If it is null,
/// the event is counted as refused. No-op when tracking is off.
///
/// # Safety
/// `name` is null or a string that ends in a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_mark(name: *const c_char) {
    if name.is_null() {
        return guard::enter(|| refuse(Kind::Mark));
    }
    // SAFETY: the caller's contract; at most so many bytes are read.
    let length = unsafe { libc::strnlen(name, LONGEST_MARK) };
    // SAFETY: `strnlen` has just read that many bytes.
    offer_text(Kind::Mark, unsafe { std::slice::from_raw_parts(name.cast(), length) }, None);
}

/// Waits until everything recorded so far is written to the capture, at most `timeout_ms`. Returns 0 if it is, 1 if
/// time ran out, 2 if nothing is being recorded.
///
/// Thread-safe. The only function that waits. Returns 2 at once when tracking is off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_flush(timeout_ms: u32) -> c_int {
    let mut result = 2;
    guard::enter(|| {
        if let Some(pipeline) = pipeline::running() {
            result = c_int::from(!pipeline.flush(Duration::from_millis(u64::from(timeout_ms))));
        }
    });
    result
}

/// Writes the path of this process's capture to `buffer`, without a zero byte, if it has at most `capacity` bytes.
/// Returns how many it has; 0 if nothing was recorded yet, or not into a file.
///
/// Thread-safe; waits for nothing. `buffer` is written during the call only; it may be null if `capacity` is 0. Returns 0
/// when tracking is off.
///
/// # Safety
/// `buffer` is null, or `capacity` bytes may be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_capture_path(buffer: *mut c_char, capacity: u64) -> u64 {
    let mut length = 0;
    guard::enter(|| {
        if let Some(pipeline) = pipeline::running() {
            let path = pipeline.capture.as_os_str().as_bytes();
            length = path.len();
            if !buffer.is_null() && length as u64 <= capacity {
                // SAFETY: the caller's contract, and it fits.
                unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), buffer.cast(), length) };
            }
        }
    });
    length as u64
}

/// Returns 1 if events are recorded, or would be from the first one on; else 0.
///
/// Thread-safe; waits for nothing.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_is_enabled() -> c_int {
    c_int::from(state::is_on() || lifecycle::load_early())
}

/// Returns the TT_MEMTRACE_ABI_VERSION of the loaded library. A caller can use what the header of that version, or of
/// an earlier minor one, declares.
///
/// Thread-safe; waits for nothing; the same whether tracking is on or off.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_abi_version() -> u32 {
    TT_MEMTRACE_ABI_VERSION
}

/// The two events that come by the million: no more is done for them than must be.
///
/// # Safety
/// `buffer` is null or points to a struct of at least `struct_size` bytes.
#[inline(always)]
unsafe fn offer_buffer(
    buffer: *const tt_memtrace_buffer,
    kind: Kind,
    briefly: impl Fn(&Pipeline, &tt_memtrace_buffer) -> bool,
    event: impl Fn(&tt_memtrace_buffer) -> Event,
) {
    guard::enter_briefly(
        // SAFETY: the caller's contract.
        |pipeline| unsafe { read(buffer) }.is_some_and(|buffer| briefly(pipeline, &buffer)),
        // SAFETY: the caller's contract.
        || unsafe { offer_buffer_at_length(buffer, kind, event) },
    );
}

/// # Safety
/// As [`offer_buffer`].
#[cold]
#[inline(never)]
unsafe fn offer_buffer_at_length(
    buffer: *const tt_memtrace_buffer,
    kind: Kind,
    event: impl Fn(&tt_memtrace_buffer) -> Event,
) {
    // SAFETY: the caller's contract.
    match unsafe { read(buffer) } {
        Some(buffer) => offer(event(&buffer)),
        None => guard::enter(|| refuse(kind)),
    }
}

#[inline(always)]
fn alloc(buffer: &tt_memtrace_buffer) -> Alloc {
    Alloc {
        place: place(buffer.mesh_id, buffer.device_id),
        allocator: some64(buffer.allocator),
        buffer_type: buffer.buffer_type.into(),
        layout: buffer.buffer_layout.into(),
        address: buffer.address,
        size_bytes: buffer.size_bytes,
        page_size_bytes: buffer.page_size_bytes,
        per_bank_bytes: buffer.per_bank_bytes,
        n_cores: None,
        cores: None,
        unique_id: some64(buffer.unique_id),
        owns_data: Some(buffer.flags & TT_MEMTRACE_VIEW == 0),
        hooked: false,
    }
}

#[inline(always)]
fn dealloc(buffer: &tt_memtrace_buffer) -> Dealloc {
    Dealloc {
        place: place(buffer.mesh_id, buffer.device_id),
        buffer_type: Some(buffer.buffer_type.into()),
        address: buffer.address,
        size_bytes: Some(buffer.size_bytes),
        unique_id: some64(buffer.unique_id),
        hooked: false,
    }
}

fn offer_trace(step: TraceStep, mesh_id: u32, device_id: u32, trace: u64) {
    offer(Event::Trace { step, place: place(mesh_id, device_id), trace });
}

#[inline(never)]
fn offer(event: Event) {
    guard::enter(|| {
        if let Some(pipeline) = pipeline::started() {
            pipeline.offer(&event);
        }
    });
}

/// Records a named event without a copy of its name: signal handlers must not allocate memory. For the same reason it
/// has no context: the line of a mark is nearly always a new one, and to define it takes memory and a lock.
#[inline(never)]
fn offer_text(kind: Kind, name: &[u8], arguments: Option<&[u8]>) {
    guard::enter(|| {
        if let Some(pipeline) = pipeline::started() {
            pipeline.offer_encoded(&encode_text(kind, name, arguments));
        }
    });
}

/// Counts an event that gives nothing to record.
#[cold]
fn refuse(kind: Kind) {
    if let Some(pipeline) = pipeline::started() {
        pipeline.spool.count_dropped(kind as usize);
    }
}
