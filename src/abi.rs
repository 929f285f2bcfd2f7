//! Every symbol that `include/tt_memtrace.h` declares, and nothing else.
//!
//! For all of them: thread-safe; never fail; never block, but for `tt_memtrace_flush` and `tt_memtrace_mark`,
//! which wait a bounded time; keep `errno`; pointers are read during the call only and may be null; a no-op
//! when tracking is off. Values this version has no name for are recorded as given. Structs begin with their
//! own size, so that a later version can add fields at the end.

use crate::{guard, interpose, pipeline};
use std::ffi::{c_char, c_int};
use std::mem::size_of;
use std::time::Duration;
use tt_memtrace_wire::{
    Alloc, BufferType, CbAlloc, CbDealloc, Dealloc, Event, Line, Mesh, Place, Range, SweepCause,
};

/// Stands for "no number" where a field of 32 bits is optional.
pub const TT_MEMTRACE_NONE: u32 = u32::MAX;
/// Stands for "no number" where a field of 64 bits is optional.
pub const TT_MEMTRACE_NONE64: u64 = u64::MAX;

/// `buffer_type`: the DRAM banks.
pub const TT_MEMTRACE_DRAM: u32 = 0;
/// `buffer_type`: the L1 memory of the worker cores.
pub const TT_MEMTRACE_L1: u32 = 1;
/// `buffer_type`: host memory that the device can reach.
pub const TT_MEMTRACE_SYSTEM_MEMORY: u32 = 2;
/// `buffer_type`: the small region of L1.
pub const TT_MEMTRACE_L1_SMALL: u32 = 3;
/// `buffer_type`: the region for captured commands.
pub const TT_MEMTRACE_TRACE: u32 = 4;

/// `flags`: a view at another buffer's address, which holds nothing itself.
pub const TT_MEMTRACE_VIEW: u32 = 1;

/// How long `tt_memtrace_mark` waits at most.
const MARK_PATIENCE: Duration = Duration::from_secs(1);
/// A list longer than this is a mistake of the caller's: it is not read.
const LONGEST_LIST: u64 = 1 << 20;

/// A buffer on a mesh device, or on one device.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the name is the C name")]
pub struct tt_memtrace_buffer {
    /// `sizeof(tt_memtrace_buffer)`.
    pub struct_size: u32,
    /// The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
    pub mesh_id: u32,
    /// The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
    pub device_id: u32,
    /// One of the memory types above.
    pub buffer_type: u32,
    /// The runtime's TensorMemoryLayout: 0 interleaved, 1 single bank, 2 height, 3 width, 4 block sharded.
    pub buffer_layout: u32,
    /// TT_MEMTRACE_VIEW or 0.
    pub flags: u32,
    /// Where it starts, the same on each device.
    pub address: u64,
    /// Logical bytes on one device.
    pub size_bytes: u64,
    /// Bytes of one page.
    pub page_size_bytes: u64,
    /// Bytes in each bank, aligned to pages.
    pub per_bank_bytes: u64,
    /// The runtime's own number of the buffer, or TT_MEMTRACE_NONE64.
    pub unique_id: u64,
    /// Any number that tells one allocator from another, or TT_MEMTRACE_NONE64.
    pub allocator: u64,
}

/// A rectangle of cores; both corners belong to it.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the name is the C name")]
pub struct tt_memtrace_core_range {
    /// The column of the first corner.
    pub x0: u32,
    /// The row of the first corner.
    pub y0: u32,
    /// The column of the last corner.
    pub x1: u32,
    /// The row of the last corner.
    pub y1: u32,
}

/// A circular buffer of a program.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the name is the C name")]
pub struct tt_memtrace_circular_buffer {
    /// `sizeof(tt_memtrace_circular_buffer)`.
    pub struct_size: u32,
    /// The mesh device, or TT_MEMTRACE_NONE: then `device_id` counts.
    pub mesh_id: u32,
    /// The device (chip), if `mesh_id` is TT_MEMTRACE_NONE.
    pub device_id: u32,
    /// Not 0 if it lies inside an existing L1 buffer and takes no memory of its own.
    pub globally_allocated: u32,
    /// The owning program, or TT_MEMTRACE_NONE64.
    pub program: u64,
    /// Where it starts on each core.
    pub address: u64,
    /// Bytes on each core.
    pub size_bytes: u64,
    /// The cores.
    pub core_ranges: *const tt_memtrace_core_range,
    /// The number of rectangles at `core_ranges`.
    pub n_core_ranges: u64,
}

/// Records that a buffer occupies memory: call it after the allocator has answered.
///
/// `buffer` is read during the call only.
///
/// # Safety
/// `buffer` is null or points to a struct of at least `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_allocate(buffer: *const tt_memtrace_buffer) {
    // SAFETY: the caller's contract.
    unsafe { offer_buffer(buffer, alloc) };
}

/// Records that a buffer is about to give its memory back: call it before the allocator takes it.
///
/// Only the place, `buffer_type`, `address`, `size_bytes` and `unique_id` are read.
///
/// # Safety
/// `buffer` is null or points to a struct of at least `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_deallocate(buffer: *const tt_memtrace_buffer) {
    // SAFETY: the caller's contract.
    unsafe { offer_buffer(buffer, dealloc) };
}

/// Records a circular buffer of a program: call it when the program is laid out.
///
/// # Safety
/// `cb` is null or points to a struct of at least `struct_size` bytes whose `core_ranges` is null or points to
/// `n_core_ranges` rectangles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_allocate_cb(cb: *const tt_memtrace_circular_buffer) {
    guard::enter(|| {
        // SAFETY: the caller's contract.
        let Some(cb) = (unsafe { read(cb) }) else { return };
        // SAFETY: the caller's contract.
        let ranges = unsafe { list(cb.core_ranges, cb.n_core_ranges) };
        let ranges = ranges.iter().map(|r| Range { x0: r.x0, y0: r.y0, x1: r.x1, y1: r.y1 }).collect();
        if let Some(pipeline) = pipeline::started() {
            interpose::circular_buffer(pipeline, ranges, |cores| CbAlloc {
                place: place(cb.mesh_id, cb.device_id),
                program: some64(cb.program),
                cores,
                address: cb.address,
                size_bytes: cb.size_bytes,
                globally_allocated: cb.globally_allocated != 0,
            });
        }
    });
}

/// Records that the circular buffers of `program` (TT_MEMTRACE_NONE64: of every program) end on a device.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_deallocate_cb(mesh_id: u32, device_id: u32, program: u64) {
    guard::enter(|| {
        let place = Some(place(mesh_id, device_id));
        offer(Event::CbDealloc(CbDealloc { place, program: some64(program) }));
    });
}

/// Records that a program is launched on a mesh device, or on one device.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_program(mesh_id: u32, device_id: u32, program: u64) {
    guard::enter(|| offer(Event::ProgramRun { program, place: place(mesh_id, device_id) }));
}

/// Records that a named operation begins on this thread. `name` need not end in a zero byte.
///
/// # Safety
/// `name` is null or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_track_function_start(name: *const c_char, length: u64) {
    guard::enter(|| {
        // SAFETY: the caller's contract.
        let name = unsafe { list(name.cast::<u8>(), length) };
        offer(Event::OpBegin { name: String::from_utf8_lossy(name).into_owned() });
    });
}

/// Records that the operation which began last on this thread ends.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_function_end() {
    guard::enter(|| offer(Event::OpEnd));
}

/// Tells which devices a mesh device is made of: call it when it is opened, before its first buffer.
///
/// `arch` is the runtime's number of the architecture: 2 Wormhole, 3 Blackhole.
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
        let chips = unsafe { list(device_ids, n_devices) }.to_vec();
        if let Some(pipeline) = pipeline::started() {
            pipeline.define(|defined| {
                let arch = interpose::arch_name(arch);
                let is_new = defined.meshes.insert(mesh_id);
                is_new.then_some(Line::Mesh(Mesh { mesh_id, chips, rows, cols, arch }))
            });
        }
    });
}

/// Records that a mesh device has been closed, and with it everything on it.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_mesh_close(mesh_id: u32) {
    guard::enter(|| offer(Event::Close { mesh_id }));
}

/// Records that an allocator gives up everything it holds, without a deallocation each.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_track_sweep(allocator: u64) {
    guard::enter(|| offer(Event::Sweep { allocator, cause: SweepCause::Call }));
}

/// Puts a named mark into the capture and waits, at most a second, until it and all before it are written.
///
/// # Safety
/// `name` is null or a string that ends in a zero byte; at most its first 4096 bytes are kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tt_memtrace_mark(name: *const c_char) {
    guard::enter(|| {
        if name.is_null() {
            return;
        }
        // SAFETY: the caller's contract; at most 4096 bytes are read.
        let length = unsafe { libc::strnlen(name, 4096) };
        // SAFETY: `strnlen` has just read that many bytes.
        let name = unsafe { std::slice::from_raw_parts(name.cast::<u8>(), length) };
        let name = String::from_utf8_lossy(name).into_owned();
        if let Some(pipeline) = pipeline::started() {
            pipeline.offer(&Event::Mark { name });
            pipeline.flush(MARK_PATIENCE);
        }
    });
}

/// Waits until everything recorded so far is written, at most `timeout_ms`. Returns 0 if it is, 1 if time ran
/// out, 2 if nothing is being recorded.
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

/// Returns 1 if events are recorded, or would be from the first one on; else 0.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_is_enabled() -> c_int {
    c_int::from(crate::state::is_on())
}

/// The two events that come by the million: no more is done for them than must be.
///
/// # Safety
/// `buffer` is null or points to a struct of at least `struct_size` bytes.
#[inline(always)]
unsafe fn offer_buffer(
    buffer: *const tt_memtrace_buffer,
    event: impl Fn(&tt_memtrace_buffer) -> Event + Copy,
) {
    guard::enter_briefly(
        // SAFETY: the caller's contract.
        |pipeline| unsafe { read(buffer) }.is_none_or(|buffer| pipeline.offer_briefly(&event(&buffer))),
        // SAFETY: the caller's contract.
        || unsafe { offer_buffer_at_length(buffer, event) },
    );
}

/// # Safety
/// As [`offer_buffer`].
#[cold]
#[inline(never)]
unsafe fn offer_buffer_at_length(
    buffer: *const tt_memtrace_buffer,
    event: impl Fn(&tt_memtrace_buffer) -> Event,
) {
    guard::enter(|| {
        // SAFETY: the caller's contract.
        if let Some(buffer) = unsafe { read(buffer) } {
            offer(event(&buffer));
        }
    });
}

#[inline(always)]
fn alloc(buffer: &tt_memtrace_buffer) -> Event {
    Event::Alloc(Alloc {
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
        owns_data: buffer.flags & TT_MEMTRACE_VIEW == 0,
        hooked: false,
    })
}

#[inline(always)]
fn dealloc(buffer: &tt_memtrace_buffer) -> Event {
    Event::Dealloc(Dealloc {
        place: place(buffer.mesh_id, buffer.device_id),
        buffer_type: BufferType::from(buffer.buffer_type),
        address: buffer.address,
        size_bytes: Some(buffer.size_bytes),
        unique_id: some64(buffer.unique_id),
        hooked: false,
    })
}

fn offer(event: Event) {
    if let Some(pipeline) = pipeline::started() {
        pipeline.offer(&event);
    }
}

fn place(mesh_id: u32, device_id: u32) -> Place {
    if mesh_id == TT_MEMTRACE_NONE { Place::Chip(device_id) } else { Place::Mesh(mesh_id) }
}

fn some64(value: u64) -> Option<u64> {
    Some(value).filter(|value| *value != TT_MEMTRACE_NONE64)
}

/// Copies a struct that begins with its own size. `None` if the caller's is smaller than this version's.
///
/// # Safety
/// `at` is null or points to as many bytes as its first field, a u32, says.
unsafe fn read<T: Copy>(at: *const T) -> Option<T> {
    if at.is_null() || !at.is_aligned() {
        return None;
    }
    // SAFETY: every struct begins with its size, which the caller's contract covers.
    let size = unsafe { at.cast::<u32>().read() };
    if usize::try_from(size).ok()? < size_of::<T>() {
        return None;
    }
    // SAFETY: the struct is at least as large as ours, and what it holds are plain numbers and pointers.
    Some(unsafe { at.read() })
}

/// The items of a list; none if it is null, misaligned or absurdly long.
///
/// # Safety
/// `at` is null or points to `length` items that live as long as the call.
unsafe fn list<'a, T>(at: *const T, length: u64) -> &'a [T] {
    if at.is_null() || !at.is_aligned() || length > LONGEST_LIST {
        return &[];
    }
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts(at, length) }
}
