//! Programs and their circular buffers.
//!
//! A circular-buffer event names no program. It comes on the same thread between the entry and the return of
//! the owning `ProgramImpl::allocate_circular_buffers`, so a thread-local tells the owner. The same holds for
//! the release, whose device may be gone already: it is looked up among those seen and never touched.

use super::devices::{self, Device, Restore};
use super::real::{Real, is_patched, real};
use super::symbols::{asked, interposed};
use crate::guard;
use crate::pipeline::{self, Fact, Pipeline};
use std::cell::Cell;
use std::ffi::c_void;
use tt_memtrace_wire::{CbAlloc, CbDealloc, Event, Place, Range};

type Tracker = *mut c_void;
type ProgramImpl = *mut c_void;

/// More rectangles than any chip has cores would mean that this is no `CoreRangeSet`.
const MOST_RANGES: usize = 4096;

thread_local! {
    /// The program whose circular buffers are being laid out or released on this thread.
    static OWNER: Cell<Option<u64>> = const { Cell::new(None) };
}

static PROGRAM_ID: Real<unsafe extern "C-unwind" fn(ProgramImpl) -> u64> = real!(asked::PROGRAM_ID as _);

/// The number of a program, unique in the process. A `Program*` is reused for different programs.
///
/// # Safety
/// `program` is a live `ProgramImpl`.
pub unsafe fn id(program: ProgramImpl) -> Option<u64> {
    let ask = PROGRAM_ID.get()?;
    let mut id = None;
    guard::enter(|| {
        // SAFETY: the caller's contract.
        id = Some(unsafe { ask(program) });
    });
    id
}

/// `GraphTracker::track_program(Program*, IDevice const*)`: on every launch, cached or not.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker13track_programEPNS0_7ProgramEPKNS0_7IDeviceE")]
extern "C-unwind" fn track_program(tracker: Tracker, program: *mut c_void, device: Device) {
    static REAL: Real<unsafe extern "C-unwind" fn(Tracker, *mut c_void, Device)> =
        real!(interposed::TRACK_PROGRAM as _);
    if let Some(real) = REAL.get() {
        // SAFETY: the arguments are passed on as they came.
        unsafe { real(tracker, program, device) };
    }
    record(|| {
        // SAFETY: the runtime calls us with a live program, which begins with a pointer to its `ProgramImpl`.
        let program = unsafe { program.cast::<ProgramImpl>().read() };
        // SAFETY: as above.
        let Some(program) = PROGRAM_ID.get().map(|ask| unsafe { ask(program) }) else { return };
        let Some(pipeline) = pipeline::started() else { return };
        // SAFETY: the runtime calls us with a live device.
        if let Some(place) = unsafe { devices::place(pipeline, device) } {
            pipeline.offer(&Event::ProgramRun { program, place });
        }
    });
}

/// `ProgramImpl::allocate_circular_buffers(IDevice const*)`.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl25allocate_circular_buffersEPKNS0_7IDeviceE")]
extern "C-unwind" fn allocate_circular_buffers(program: ProgramImpl, device: Device) {
    static REAL: Real<unsafe extern "C-unwind" fn(ProgramImpl, Device)> =
        real!(interposed::ALLOCATE_CBS as _);
    let Some(real) = REAL.get() else { return };
    // SAFETY: the runtime calls us with a live program.
    let _owner = Restore::set(&OWNER, unsafe { id(program) });
    // SAFETY: the arguments are passed on as they came.
    unsafe { real(program, device) };
}

/// `ProgramImpl::deallocate_circular_buffers()`, from 0.70.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl27deallocate_circular_buffersEv")]
extern "C-unwind" fn deallocate_circular_buffers(program: ProgramImpl) {
    static REAL: Real<unsafe extern "C-unwind" fn(ProgramImpl)> = real!(interposed::DEALLOCATE_CBS as _);
    let Some(real) = REAL.get() else { return };
    // SAFETY: the runtime calls us with a live program.
    let _owner = Restore::set(&OWNER, unsafe { id(program) });
    // SAFETY: the arguments are passed on as they came.
    unsafe { real(program) };
}

/// `GraphTracker::track_allocate_cb(CoreRangeSet const&, address, size, bool, IDevice const*)`: when a program
/// is compiled; nothing on a cache hit. One event per mesh up to 0.68, one per chip from 0.70.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker17track_allocate_cbERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE")]
extern "C-unwind" fn track_allocate_cb(
    tracker: Tracker,
    cores: *const c_void,
    address: u64,
    size_bytes: u64,
    globally_allocated: bool,
    device: Device,
) {
    type Function = unsafe extern "C-unwind" fn(Tracker, *const c_void, u64, u64, bool, Device);
    static REAL: Real<Function> = real!(interposed::TRACK_ALLOCATE_CB as _);
    if let Some(real) = REAL.get() {
        // SAFETY: the arguments are passed on as they came.
        unsafe { real(tracker, cores, address, size_bytes, globally_allocated, device) };
    }
    record(|| {
        let Some(pipeline) = pipeline::started() else { return };
        // SAFETY: the runtime calls us with a live device.
        let Some(place) = (unsafe { devices::place(pipeline, device) }) else { return };
        let program = OWNER.get();
        remember(pipeline, device, place, program);
        // SAFETY: the runtime calls us with a live set of cores.
        let ranges = unsafe { core_ranges(cores) };
        super::circular_buffer(pipeline, ranges, |cores| CbAlloc {
            place,
            program,
            cores,
            address,
            size_bytes,
            globally_allocated,
        });
    });
}

/// `GraphTracker::track_deallocate_cb(IDevice const*)`: all circular buffers of one program on one device,
/// possibly after that device was closed.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker19track_deallocate_cbEPKNS0_7IDeviceE")]
extern "C-unwind" fn track_deallocate_cb(tracker: Tracker, device: Device) {
    static REAL: Real<unsafe extern "C-unwind" fn(Tracker, Device)> =
        real!(interposed::TRACK_DEALLOCATE_CB as _);
    if let Some(real) = REAL.get() {
        // SAFETY: the arguments are passed on as they came.
        unsafe { real(tracker, device) };
    }
    record(|| {
        let Some(pipeline) = pipeline::running() else { return };
        let (place, program) = (seen_place(pipeline, device), OWNER.get());
        // With neither there is nothing to say: it would release everything everywhere.
        if place.is_some() || program.is_some() {
            forget(pipeline, program);
            pipeline.offer(&Event::CbDealloc(CbDealloc { place, program }));
        }
    });
}

/// `ProgramImpl::~ProgramImpl()`. Up to 0.68 circular buffers end here without any other sign.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImplD1Ev")]
extern "C-unwind" fn program_destructor(program: ProgramImpl) {
    static REAL: Real<unsafe extern "C-unwind" fn(ProgramImpl)> = real!(interposed::PROGRAM_DESTRUCTOR as _);
    let Some(real) = REAL.get() else { return };
    let is_recording = pipeline::running().is_some();
    // SAFETY: the runtime calls us with a program that is still whole.
    let id = is_recording.then(|| unsafe { id(program) }).flatten();
    // SAFETY: the arguments are passed on as they came.
    unsafe { real(program) };
    record(|| {
        // Empty programs end all the time: only those whose buffers nobody released are worth an event.
        if let (Some(pipeline), Some(_)) = (pipeline::running(), id)
            && forget(pipeline, id)
        {
            pipeline.offer(&Event::CbDealloc(CbDealloc { place: None, program: id }));
        }
    });
}

/// The program whose circular buffers are being laid out or released on this thread. A patched runtime reports these
/// through the C interface, from a place where the program is not known.
pub fn owner() -> Option<u64> {
    OWNER.get()
}

/// Records what a hook saw, unless the runtime reports it itself.
pub fn record(what: impl FnOnce()) {
    guard::enter(|| {
        if !is_patched() {
            what();
        }
    });
}

fn remember(pipeline: &Pipeline, device: Device, place: Place, program: Option<u64>) {
    pipeline.define(|defined| {
        defined.set_place(device.addr(), place);
        program.map(|program| defined.add(Fact::HasCbs(program)));
        None
    });
}

/// True if the program still had circular buffers.
fn forget(pipeline: &Pipeline, program: Option<u64>) -> bool {
    let mut had = false;
    pipeline.define(|defined| {
        had = program.is_some_and(|program| defined.remove(Fact::HasCbs(program)));
        None
    });
    had
}

fn seen_place(pipeline: &Pipeline, device: Device) -> Option<Place> {
    let mut place = None;
    pipeline.define(|defined| {
        place = defined.place(device.addr());
        None
    });
    place
}

/// A `CoreRangeSet` begins with a vector of ranges: first x, first y, last x, last y, 8 bytes each.
///
/// # Safety
/// `cores` is a live `CoreRangeSet`.
unsafe fn core_ranges(cores: *const c_void) -> Vec<Range> {
    // SAFETY: the caller's contract.
    narrow(unsafe { devices::vector_at(cores) })
}

/// Rectangles as events have them; none if they are too many to be cores.
pub fn narrow(ranges: &[[u64; 4]]) -> Vec<Range> {
    let narrow = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
    if ranges.len() > MOST_RANGES {
        return Vec::new();
    }
    let range = |[x0, y0, x1, y1]: &[u64; 4]| Range {
        x0: narrow(*x0),
        y0: narrow(*y0),
        x1: narrow(*x1),
        y1: narrow(*y1),
    };
    ranges.iter().map(range).collect()
}
