//! Refusals: allocations that do not fit, and programs whose buffers meet the L1 buffers.
//!
//! The runtime refuses with an exception. A value that is dropped only while the stack unwinds tells of it; the
//! exception itself is never looked at, and goes on as it was. So a refusal is recorded whether the caller swallows it
//! or not. Where nobody at all catches it, C++ ends the process without unwinding, and there is none.
//!
//! What the exception says is read before there is one: the runtime makes it from a finished text, and that constructor
//! is ours. The text has what nothing else tells: how far dataflow buffers reach.

use super::devices::{self, Device};
use super::fields::{Buffer, Readers};
use super::programs;
use super::real::{Real, real};
use super::symbols::{asked, interposed};
use crate::thread::seen;
use crate::{guard, pipeline};
use std::ffi::{c_int, c_void};
use tt_memtrace_wire::{BufferLayout, Clash, Event, Failure, Place, Request};

/// So much of a message is kept. What it says is in the first quarter.
const MOST_TEXT: usize = 1024;
/// Behind it, a message goes on with return addresses.
const ADDRESSES: &[u8] = b"\nbacktrace:";

/// The text of the exception that a thread made last during a call that may refuse. Each thread that makes one gets its
/// own, once: in a frame of the call, a jump out of it would leave a pointer to what is no longer there.
pub struct Message {
    length: usize,
    text: [u8; MOST_TEXT],
}

impl Message {
    /// Of the calling thread.
    fn here() -> Option<&'static mut Self> {
        // SAFETY: null, or what `keep` left there; nobody else has this thread's, and it is never freed.
        unsafe { seen().message.get().as_mut() }
    }

    #[cold]
    fn keep(text: &[u8]) {
        if Self::here().is_none() {
            seen().message.set(Box::into_raw(Box::new(Self { length: 0, text: [0; MOST_TEXT] })));
        }
        if let Some(message) = Self::here() {
            message.length = text.len().min(MOST_TEXT);
            message.text[..message.length].copy_from_slice(&text[..message.length]);
        }
    }

    /// Without the return addresses.
    fn text() -> Option<String> {
        let message = Self::here()?;
        let text = &message.text[..message.length];
        let end = text.windows(ADDRESSES.len()).position(|window| window == ADDRESSES).unwrap_or(text.len());
        (end > 0).then(|| crate::process::text(&text[..end]))
    }
}

/// Calls the runtime. If it throws, `refused` is called as the exception passes.
#[inline(always)]
pub fn watch<R>(call: impl FnOnce() -> R, refused: impl Fn()) -> R {
    struct Passing<F: Fn()>(F);
    impl<F: Fn()> Drop for Passing<F> {
        #[cold]
        fn drop(&mut self) {
            seen().n_watched.update(|n| n.wrapping_sub(1));
            if is_thrown() {
                (self.0)();
            }
        }
    }
    if let Some(message) = Message::here() {
        message.length = 0;
    }
    seen().n_watched.update(|n| n.wrapping_add(1));
    let passing = Passing(refused);
    let result = call();
    std::mem::forget(passing);
    seen().n_watched.update(|n| n.wrapping_sub(1));
    result
}

/// The beginning of a `std::string`, as libstdc++ lays it out.
#[repr(C)]
struct Text {
    data: *const u8,
    length: usize,
}

/// `std::runtime_error(std::string const&)` of the C++ library.
#[unsafe(export_name = "_ZNSt13runtime_errorC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE")]
unsafe extern "C-unwind" fn runtime_error(error: *mut c_void, text: *const Text) {
    static REAL: Real<unsafe extern "C-unwind" fn(*mut c_void, *const Text)> =
        real!(interposed::RUNTIME_ERROR as _);
    // Whoever calls it was linked to a library that has it. There is no way back to a caller without its object.
    let Some(real) = REAL.get() else { std::process::abort() };
    // SAFETY: the arguments are passed on as they came.
    unsafe { real(error, text) };
    if seen().n_watched.get() == 0 {
        return;
    }
    // SAFETY: the caller's string.
    let text = unsafe { &*text };
    // SAFETY: a string has so many bytes there.
    let text = unsafe { std::slice::from_raw_parts(text.data, text.length) };
    guard::enter(|| Message::keep(text));
}

/// Whether it is an exception that passes. A thread that is cancelled, or calls `pthread_exit`, unwinds its stack as
/// well, and C++ does not count that. (It does count an exception in whose clean-up the thread ends.)
#[cold]
fn is_thrown() -> bool {
    static UNCAUGHT: Real<unsafe extern "C" fn() -> c_int> = real!(asked::UNCAUGHT_EXCEPTIONS as _);
    // SAFETY: may be called at any time, on any thread.
    UNCAUGHT.get().is_none_or(|uncaught| unsafe { uncaught() } > 0)
}

/// Records that an allocator refused a buffer.
///
/// # Safety
/// Both are live objects of the runtime: an `AllocatorImpl`, and the `Buffer` that it was to serve.
#[cold]
pub unsafe fn record_allocation(allocator: *const c_void, buffer: Buffer) {
    guard::enter(|| {
        // SAFETY: the caller's contract.
        let _ = unsafe { refuse(allocator, buffer) };
    });
}

/// # Safety
/// As for [`record_allocation`].
unsafe fn refuse(allocator: *const c_void, buffer: Buffer) -> Option<()> {
    let readers = Readers::get()?;
    // SAFETY: the caller's contract.
    let facts = unsafe { readers.facts(buffer) }?;
    let pipeline = pipeline::started()?;
    // SAFETY: a live buffer's device is live.
    let place = unsafe { devices::place(pipeline, facts.device) }?;
    if let Place::Mesh(mesh_id) = place {
        // SAFETY: the allocator has been asked to serve this buffer, whose device is the mesh.
        unsafe { devices::define_allocator(pipeline, allocator, facts.device, mesh_id) };
    }
    let is_interleaved = facts.layout == BufferLayout::Interleaved;
    let (n_cores, n_banks) = if is_interleaved {
        // SAFETY: the caller's contract.
        (None, unsafe { devices::n_banks(allocator, facts.buffer_type) })
    } else {
        // SAFETY: the caller's contract.
        let n_cores = unsafe { readers.num_cores(buffer) };
        (n_cores, n_cores)
    };
    // The runtime divides by it.
    let has_banks = n_banks.is_some_and(|n| n > 0);
    // SAFETY: the caller's contract.
    let per_bank = || unsafe { readers.per_bank(buffer) };
    pipeline.offer(&Event::Failure(Failure::Allocation(Request {
        place,
        allocator: Some(devices::number(allocator)),
        buffer_type: facts.buffer_type,
        layout: facts.layout,
        size_bytes: facts.size_bytes,
        // SAFETY: the caller's contract.
        page_size_bytes: unsafe { readers.page_size(buffer) },
        per_bank_bytes: has_banks.then(per_bank),
        n_cores,
        message: Message::text(),
    })));
    Some(())
}

type Validate = unsafe extern "C-unwind" fn(*mut c_void, Device);

/// `ProgramImpl::validate_circular_buffer_region(IDevice const*)`: at each launch. It throws where they clash with
/// L1 buffers, or are more than L1 holds.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl31validate_circular_buffer_regionEPKNS0_7IDeviceE")]
extern "C-unwind" fn validate_circular_buffers(program: *mut c_void, device: Device) {
    static REAL: Real<Validate> = real!(interposed::VALIDATE_CBS as _);
    // SAFETY: the arguments are passed on as they came, to a function of this type.
    unsafe { validate(&REAL, program, device, false) };
}

/// `ProgramImpl::validate_dataflow_buffer_region(IDevice const*)`: the same for dataflow buffers, from 0.75.
#[unsafe(export_name = "_ZN2tt8tt_metal6detail11ProgramImpl31validate_dataflow_buffer_regionEPKNS0_7IDeviceE")]
extern "C-unwind" fn validate_dataflow_buffers(program: *mut c_void, device: Device) {
    static REAL: Real<Validate> = real!(interposed::VALIDATE_DATAFLOW_BUFFERS as _);
    // SAFETY: as above.
    unsafe { validate(&REAL, program, device, true) };
}

/// # Safety
/// `program` is a live `ProgramImpl`, `device` a live device.
unsafe fn validate(real: &Real<Validate>, program: *mut c_void, device: Device, is_dataflow: bool) {
    let Some(real) = real.get() else { return };
    // SAFETY: the caller's contract.
    let call = || unsafe { real(program, device) };
    watch(call, || {
        // SAFETY: the caller's contract.
        let program = unsafe { programs::id(program) };
        programs::record(|| {
            let Some(pipeline) = pipeline::started() else { return };
            // SAFETY: the caller's contract.
            let Some(place) = (unsafe { devices::place(pipeline, device) }) else { return };
            let clash = Clash { place, is_dataflow, program, message: Message::text() };
            pipeline.offer(&Event::Failure(Failure::Clash(clash)));
        });
    });
}
