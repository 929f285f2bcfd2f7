//! Buffers: allocations and deallocations as the runtime's `GraphTracker` reports them.
//!
//! A buffer is reported once per mesh. `track_allocate` comes after the allocator has answered, and
//! `track_deallocate` before it takes back, so the order of events is the order of the memory.

use super::devices;
use super::failures;
use super::fields::{Buffer, Facts, Readers};
use super::grid;
use super::real::{Real, real};
use super::symbols::interposed;
use crate::thread::{Banked, banked, seen};
use crate::{guard, pipeline};
use std::ffi::c_void;
use std::ptr;
use tt_memtrace_wire::{Alloc, BufferLayout, BufferType, Dealloc, Event, Place};

type Tracker = *mut c_void;

/// `AllocatorImpl::allocate_buffer(Buffer*) -> address`: called right before `track_allocate`, on the same
/// thread, and never for a buffer that a capture swallowed. It throws when it refuses.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImpl15allocate_bufferEPNS0_6BufferE")]
extern "C-unwind" fn allocate_buffer(allocator: *mut c_void, buffer: *mut c_void) -> u64 {
    static REAL: Real<unsafe extern "C-unwind" fn(*mut c_void, *mut c_void) -> u64> =
        real!(interposed::ALLOCATE_BUFFER as _);
    let Some(real) = REAL.get() else { return 0 };
    // SAFETY: the arguments are passed on as they came.
    let ask = || unsafe { real(allocator, buffer) };
    // SAFETY: the runtime calls us with a live allocator and a live buffer.
    let address = failures::watch(ask, || unsafe { failures::record_allocation(allocator, buffer) });
    seen().served.set((buffer.cast_const(), allocator.cast_const()));
    address
}

/// `GraphTracker::track_allocate(Buffer const*)`.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker14track_allocateEPKNS0_6BufferE")]
extern "C-unwind" fn track_allocate(tracker: Tracker, buffer: Buffer) {
    static REAL: Real<unsafe extern "C-unwind" fn(Tracker, Buffer)> = real!(interposed::TRACK_ALLOCATE as _);
    if let Some(real) = REAL.get() {
        // SAFETY: the arguments are passed on as they came.
        unsafe { real(tracker, buffer) };
    }
    guard::enter_inlined(|| {
        // SAFETY: the runtime calls us with a live buffer.
        unsafe { record_alloc(buffer) };
    });
}

/// # Safety
/// `buffer` is a live `Buffer` of the runtime.
unsafe fn record_alloc(buffer: Buffer) -> Option<()> {
    let readers = Readers::get()?;
    // SAFETY: the caller's contract.
    let facts = unsafe { readers.facts(buffer) }?;
    let pipeline = pipeline::started()?;
    // SAFETY: a live buffer's device is live.
    let place = unsafe { devices::place(pipeline, facts.device) }?;
    let (served, allocator) = seen().served.replace((ptr::null(), ptr::null()));
    let allocator = Some(allocator).filter(|allocator| served == buffer && !allocator.is_null());
    if let (Some(allocator), Place::Mesh(mesh_id)) = (allocator, place) {
        // SAFETY: the allocator has just served this buffer, whose device is the mesh.
        unsafe { devices::define_allocator(pipeline, allocator, facts.device, mesh_id) };
    }
    // SAFETY: the caller's contract.
    let (page_size_bytes, per_bank_bytes) = unsafe { sizes(readers, buffer, &facts, place, allocator) };
    // Only sharded buffers have cores.
    let n_cores = if facts.layout == BufferLayout::Interleaved {
        None
    } else {
        // SAFETY: the caller's contract.
        unsafe { readers.num_cores(buffer) }
    };
    let is_l1 = matches!(facts.buffer_type, BufferType::L1 | BufferType::L1Small);
    let cores = if is_l1 && n_cores.is_some() {
        // SAFETY: the caller's contract.
        unsafe { grid::number(pipeline, buffer) }
    } else {
        None
    };
    pipeline.offer_alloc(&Alloc {
        place,
        allocator: allocator.map(devices::number),
        buffer_type: facts.buffer_type,
        layout: facts.layout,
        address: facts.address,
        size_bytes: facts.size_bytes,
        page_size_bytes,
        per_bank_bytes,
        n_cores,
        cores,
        unique_id: facts.unique_id,
        owns_data: Some(true),
        hooked: is_hooked(&facts),
    });
    Some(())
}

/// Bytes of a page, and in each bank. The latter follow from size, page and allocator for interleaved buffers, so
/// equal ones in a row are asked once.
///
/// # Safety
/// `buffer` is a live `Buffer` of the runtime with these facts.
#[inline(always)]
unsafe fn sizes(
    readers: &Readers,
    buffer: Buffer,
    facts: &Facts,
    place: Place,
    allocator: Option<*const c_void>,
) -> (u64, u64) {
    // SAFETY: the caller's contract.
    let page_size_bytes = unsafe { readers.page_size(buffer) };
    let (Some(allocator), Place::Mesh(mesh_id), BufferLayout::Interleaved) = (allocator, place, facts.layout)
    else {
        // SAFETY: the caller's contract.
        return (page_size_bytes, unsafe { readers.per_bank(buffer) });
    };
    let (buffer_type, size_bytes) = (facts.buffer_type.number(), facts.size_bytes);
    let last = banked().get();
    let this = Banked { allocator, mesh_id, buffer_type, size_bytes, page_size_bytes, ..last };
    if this != last {
        // SAFETY: the caller's contract.
        banked().set(Banked { per_bank_bytes: unsafe { readers.per_bank(buffer) }, ..this });
    }
    (page_size_bytes, banked().get().per_bank_bytes)
}

/// `GraphTracker::track_deallocate(Buffer*)`.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker16track_deallocateEPNS0_6BufferE")]
extern "C-unwind" fn track_deallocate(tracker: Tracker, buffer: *mut c_void) {
    static REAL: Real<unsafe extern "C-unwind" fn(Tracker, *mut c_void)> =
        real!(interposed::TRACK_DEALLOCATE as _);
    if let Some(real) = REAL.get() {
        // SAFETY: the arguments are passed on as they came.
        unsafe { real(tracker, buffer) };
    }
    guard::enter_inlined(|| {
        // SAFETY: the runtime calls us with a live buffer.
        unsafe { record_dealloc(buffer) };
    });
}

/// # Safety
/// `buffer` is a live `Buffer` of the runtime.
unsafe fn record_dealloc(buffer: Buffer) -> Option<()> {
    // SAFETY: the caller's contract.
    let facts = unsafe { Readers::get()?.facts(buffer) }?;
    let pipeline = pipeline::started()?;
    // SAFETY: a live buffer's device is live.
    let place = unsafe { devices::place(pipeline, facts.device) }?;
    let hooked = is_hooked(&facts);
    pipeline.offer_dealloc(&Dealloc {
        place,
        buffer_type: Some(facts.buffer_type),
        address: facts.address,
        size_bytes: Some(facts.size_bytes),
        unique_id: facts.unique_id,
        hooked,
    });
    seen().freed.set(if hooked { ptr::null() } else { buffer });
    Some(())
}

/// `GraphTracker::hook_deallocate(Buffer*) -> bool`: comes right after `track_deallocate`. If it answers true
/// for a buffer with memory, a capture that runs nothing swallowed the free and the runtime keeps the memory.
#[unsafe(export_name = "_ZN2tt8tt_metal12GraphTracker15hook_deallocateEPNS0_6BufferE")]
extern "C-unwind" fn hook_deallocate(tracker: Tracker, buffer: *mut c_void) -> bool {
    static REAL: Real<unsafe extern "C-unwind" fn(Tracker, *mut c_void) -> bool> =
        real!(interposed::HOOK_DEALLOCATE as _);
    let Some(real) = REAL.get() else { return false };
    // SAFETY: the arguments are passed on as they came.
    let is_swallowed = unsafe { real(tracker, buffer) };
    if is_swallowed {
        guard::enter(|| {
            // SAFETY: the runtime calls us with a live buffer.
            unsafe { record_retained(buffer) };
        });
    }
    seen().freed.set(ptr::null());
    is_swallowed
}

/// # Safety
/// `buffer` is a live `Buffer` of the runtime.
unsafe fn record_retained(buffer: Buffer) -> Option<()> {
    if seen().freed.get() != buffer {
        return None;
    }
    // SAFETY: the caller's contract.
    let facts = unsafe { Readers::get()?.facts(buffer) }?;
    let pipeline = pipeline::running()?;
    // SAFETY: a live buffer's device is live.
    let place = unsafe { devices::place(pipeline, facts.device) }?;
    let Facts { buffer_type, address, unique_id, .. } = facts;
    pipeline.offer(&Event::Retained { place, buffer_type, address, unique_id });
    Some(())
}

/// A buffer made inside a capture that runs nothing has no address.
fn is_hooked(facts: &Facts) -> bool {
    facts.address == 0
}
