//! Mesh devices, single devices and allocators of the runtime, defined in the capture before first use.

use super::real::{self, Real, real};
use super::symbols::{asked, interposed};
use crate::pipeline::{self, Fact, Pipeline};
use crate::{guard, lifecycle, state, thread};
use once_cell::race::OnceBox;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use tt_memtrace_wire::{Allocator, Bank, BufferType, Event, Line, Mesh, Place, SweepCause};

/// An `IDevice` of the runtime.
pub type Device = *const c_void;

/// The vtable slots that both classes have had in every version: architecture and number.
const SLOT_ARCH: usize = 2;
const SLOT_ID: usize = 3;

/// A `std::vector` that the runtime returns by value.
#[repr(C)]
struct Vector<T> {
    begin: *mut T,
    end: *mut T,
    end_of_storage: *mut T,
}

type AskInt = unsafe extern "C-unwind" fn(Device) -> c_int;
type AskSize = unsafe extern "C-unwind" fn(Device) -> usize;
type AskVector = unsafe extern "C-unwind" fn(*mut Vector<c_int>, Device) -> *mut Vector<c_int>;

struct Questions {
    mesh_id: Real<AskInt>,
    device_ids: Real<AskVector>,
    num_rows: Real<AskSize>,
    num_cols: Real<AskSize>,
    bank_size: Real<unsafe extern "C-unwind" fn(*const c_void, *const u32) -> u64>,
    num_banks: Real<unsafe extern "C-unwind" fn(*const c_void, *const u32) -> u32>,
    base_address: Real<unsafe extern "C-unwind" fn(*const c_void, *const u8) -> u64>,
}

static ASK: Questions = Questions {
    mesh_id: real!(asked::MESH_ID as AskInt),
    device_ids: real!(asked::MESH_DEVICE_IDS as AskVector),
    num_rows: real!(asked::MESH_NUM_ROWS as AskSize),
    num_cols: real!(asked::MESH_NUM_COLS as AskSize),
    bank_size: real!(asked::BANK_SIZE as unsafe extern "C-unwind" fn(*const c_void, *const u32) -> u64),
    num_banks: real!(asked::NUM_BANKS as unsafe extern "C-unwind" fn(*const c_void, *const u32) -> u32),
    base_address: real!(asked::BASE_ADDRESS as unsafe extern "C-unwind" fn(*const c_void, *const u8) -> u64),
};

/// What an `IDevice*` can point to. No other class was ever seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    MeshDevice,
    Device,
}

/// The addresses of the two type-info objects.
struct TypeInfos {
    mesh: usize,
    device: usize,
}

/// Which of the two classes the object has, by the type info before its vtable.
///
/// # Safety
/// `device` is null or a live object with a vtable.
unsafe fn class(device: Device) -> Option<Class> {
    static TYPE_INFOS: OnceBox<TypeInfos> = OnceBox::new();
    let infos = TYPE_INFOS.get_or_init(|| {
        let address = |name| real::object(name).addr();
        Box::new(TypeInfos { mesh: address(asked::MESH_TYPE_INFO), device: address(asked::DEVICE_TYPE_INFO) })
    });
    if device.is_null() || !device.cast::<usize>().is_aligned() {
        return None;
    }
    // SAFETY: the caller's contract; an object with a vtable begins with its address.
    let vtable = unsafe { device.cast::<*const usize>().read() };
    if vtable.is_null() || !vtable.is_aligned() {
        return None;
    }
    // SAFETY: the word before a vtable's first slot is the type info.
    let type_info = unsafe { vtable.sub(1) };
    // SAFETY: as above.
    let type_info = unsafe { type_info.read() };
    match type_info {
        0 => None,
        info if info == infos.mesh => Some(Class::MeshDevice),
        info if info == infos.device => Some(Class::Device),
        _ => None,
    }
}

/// Whether this is an object of one of the two classes.
///
/// # Safety
/// As for [`place`].
pub unsafe fn is_known_class(device: Device) -> bool {
    // SAFETY: the caller's contract.
    unsafe { class(device) }.is_some()
}

/// Where a device is, with its mesh defined. `None` for a class nobody knows.
///
/// # Safety
/// `device` is null or a live object with a vtable.
pub unsafe fn place(pipeline: &Pipeline, device: Device) -> Option<Place> {
    // SAFETY: the caller's contract.
    match unsafe { class(device) }? {
        Class::Device => {
            // SAFETY: it is a `Device`, whose slot for the number is known.
            let chip = unsafe { call_slot(device, SLOT_ID) };
            Some(Place::Chip(unsigned(chip)))
        }
        Class::MeshDevice => {
            let ask = ASK.mesh_id.get()?;
            // SAFETY: it is a live `MeshDevice`.
            let mesh_id = unsigned(unsafe { ask(device) });
            // SAFETY: as above.
            unsafe { define_mesh(pipeline, device, mesh_id) };
            Some(Place::Mesh(mesh_id))
        }
    }
}

/// # Safety
/// `device` is a live `MeshDevice` whose number is `mesh_id`.
unsafe fn define_mesh(pipeline: &Pipeline, device: Device, mesh_id: u32) {
    let (last, this) = (&thread::seen().mesh, (state::generation() + 1, mesh_id));
    if last.get() == this {
        return;
    }
    pipeline.define(|defined| {
        let is_new = defined.add(Fact::Mesh(mesh_id));
        // SAFETY: the caller's contract.
        is_new.then(|| Line::Mesh(unsafe { describe_mesh(device, mesh_id) }))
    });
    last.set(this);
}

/// # Safety
/// `device` is a live `MeshDevice`.
unsafe fn describe_mesh(device: Device, mesh_id: u32) -> Mesh {
    let count = |ask: &Real<AskSize>| {
        // SAFETY: the caller's contract.
        ask.get().map_or(0, |ask| u32::try_from(unsafe { ask(device) }).unwrap_or(0))
    };
    // SAFETY: the caller's contract.
    let arch = unsafe { call_slot(device, SLOT_ARCH) };
    Mesh {
        mesh_id,
        // SAFETY: the caller's contract.
        chips: unsafe { chips(device) },
        rows: count(&ASK.num_rows),
        cols: count(&ASK.num_cols),
        arch: arch_name(unsigned(arch)),
    }
}

/// The chips in mesh order.
///
/// # Safety
/// `device` is a live `MeshDevice`.
unsafe fn chips(device: Device) -> Vec<u32> {
    let Some(device_ids) = ASK.device_ids.get() else { return Vec::new() };
    let null = std::ptr::null_mut();
    let mut vector = Vector { begin: null, end: null, end_of_storage: null };
    // SAFETY: the vector is built in the place that is given; `device` is live.
    unsafe { device_ids(&raw mut vector, device) };
    // SAFETY: the vector was filled just now.
    let chips = unsafe { items(&raw const vector) }.iter().map(|chip| unsigned(*chip)).collect();
    // SAFETY: its storage came from `operator new`, which is `malloc`, and nobody else has it.
    unsafe { libc::free(vector.begin.cast()) };
    chips
}

/// The items of a `std::vector` that lies at the start of an object.
///
/// # Safety
/// `object` begins with a live `std::vector<T>`.
pub unsafe fn vector_at<'a, T>(object: *const c_void) -> &'a [T] {
    // SAFETY: the caller's contract.
    unsafe { items(object.cast()) }
}

/// The items of a `std::vector`.
///
/// # Safety
/// `vector` points to a live `std::vector<T>`.
unsafe fn items<'a, T>(vector: *const Vector<T>) -> &'a [T] {
    // SAFETY: the caller's contract.
    let Vector { begin, end, .. } = unsafe { vector.read() };
    let bytes = end.addr().saturating_sub(begin.addr());
    if begin.is_null() || !begin.is_aligned() || bytes % size_of::<T>() != 0 {
        return &[];
    }
    // SAFETY: begin and end bound the items of the vector.
    unsafe { std::slice::from_raw_parts(begin, bytes / size_of::<T>()) }
}

/// Calls a virtual function that takes nothing and returns an int.
///
/// # Safety
/// `object` is live and its class has such a function in that slot.
unsafe fn call_slot(object: Device, slot: usize) -> c_int {
    // SAFETY: the caller's contract; an object with a vtable begins with its address.
    let vtable = unsafe { object.cast::<*const unsafe extern "C-unwind" fn(Device) -> c_int>().read() };
    // SAFETY: the caller's contract.
    let entry = unsafe { vtable.add(slot) };
    // SAFETY: the caller's contract.
    let function = unsafe { entry.read() };
    // SAFETY: the caller's contract.
    unsafe { function(object) }
}

/// Defines an allocator that serves a mesh. Its answers are the runtime's own figures.
///
/// # Safety
/// `allocator` is a live `AllocatorImpl`; `device` is the live `MeshDevice` it serves.
pub unsafe fn define_allocator(pipeline: &Pipeline, allocator: *const c_void, device: Device, mesh_id: u32) {
    let number = number(allocator);
    let (last, this) = (&thread::seen().allocator, (state::generation() + 1, mesh_id, number));
    if last.get() == this {
        return;
    }
    pipeline.define(|defined| {
        // SAFETY: the caller's contract.
        let describe = || unsafe { describe_allocator(allocator, device, mesh_id) };
        defined.add(Fact::Allocator(number, mesh_id)).then(|| Line::Allocator(describe()))
    });
    last.set(this);
}

/// # Safety
/// As for [`define_allocator`].
unsafe fn describe_allocator(allocator: *const c_void, device: Device, mesh_id: u32) -> Allocator {
    let types = [BufferType::Dram, BufferType::L1, BufferType::L1Small, BufferType::Trace];
    let bank = |buffer_type: BufferType| {
        let number = buffer_type.number();
        // SAFETY: the caller's contract.
        let n_banks = unsafe { n_banks(allocator, buffer_type) }?;
        // SAFETY: the allocator is live; the type is passed by address as the C++ reference is.
        let bank_size_bytes = unsafe { ASK.bank_size.get()?(allocator, &raw const number) };
        // SAFETY: as above.
        let base_address = unsafe { base_address(allocator, buffer_type) };
        Some(Bank { buffer_type, n_banks, bank_size_bytes, base_address })
    };
    // SAFETY: the caller's contract.
    let arch = unsigned(unsafe { call_slot(device, SLOT_ARCH) });
    Allocator {
        allocator: number(allocator),
        mesh_id,
        bank_rounding_bytes: bank_rounding_bytes(arch),
        banks: types.into_iter().filter_map(bank).collect(),
    }
}

/// How many banks of that memory there are; none if its region was not reserved.
///
/// # Safety
/// `allocator` is a live `AllocatorImpl`.
pub unsafe fn n_banks(allocator: *const c_void, buffer_type: BufferType) -> Option<u32> {
    let number = buffer_type.number();
    // SAFETY: the caller's contract; the type is passed by address as the C++ reference is.
    Some(unsafe { ASK.num_banks.get()?(allocator, &raw const number) })
}

/// Where the banks of DRAM and L1 start. The other regions lie above, at places the runtime does not tell.
///
/// # Safety
/// `allocator` is a live `AllocatorImpl`.
unsafe fn base_address(allocator: *const c_void, buffer_type: BufferType) -> Option<u64> {
    // HalMemType of the runtime.
    let memory: u8 = match buffer_type {
        BufferType::L1 => 0,
        BufferType::Dram => 1,
        _ => return None,
    };
    // SAFETY: the caller's contract; the type is passed by address as the C++ reference is.
    Some(unsafe { ASK.base_address.get()?(allocator, &raw const memory) })
}

/// The unit in which a bank is given out, measured against `get_memory_view`: the same for every memory type.
fn bank_rounding_bytes(arch: u32) -> Option<u64> {
    match arch {
        2 => Some(32),
        3 => Some(64),
        _ => None,
    }
}

/// The name of an architecture by the runtime's number.
pub fn arch_name(arch: u32) -> String {
    match arch {
        1 => "grayskull".to_owned(),
        2 => "wormhole_b0".to_owned(),
        3 => "blackhole".to_owned(),
        other => format!("arch_{other}"),
    }
}

/// The number by which a capture names an allocator: its address, opaque to readers. A forked child has the
/// same ones.
pub fn number(allocator: *const c_void) -> u64 {
    allocator.addr() as u64
}

fn unsigned(value: c_int) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

thread_local! {
    static IS_CLOSING: Cell<bool> = const { Cell::new(false) };
    /// The allocator whose sweep is under way on this thread.
    static SWEEPING: Cell<Option<u64>> = const { Cell::new(None) };
}

/// `MeshDevice::close() -> bool`. Closed is only what returned: closing may throw.
#[unsafe(export_name = "_ZN2tt8tt_metal11distributed10MeshDevice5closeEv")]
extern "C-unwind" fn mesh_close(mesh: *mut c_void) -> bool {
    static REAL: Real<unsafe extern "C-unwind" fn(*mut c_void) -> bool> = real!(interposed::MESH_CLOSE as _);
    let Some(real) = REAL.get() else { return false };
    let mut mesh_id = None;
    guard::enter(|| {
        // SAFETY: the runtime calls us with a live mesh device.
        mesh_id = ASK.mesh_id.get().map(|ask| unsigned(unsafe { ask(mesh) }));
    });
    let closing = Restore::set(&IS_CLOSING, true);
    // SAFETY: the arguments are passed on as they came.
    let result = unsafe { real(mesh) };
    drop(closing);
    guard::enter(|| {
        if let (Some(pipeline), Some(mesh_id)) = (pipeline::running(), mesh_id) {
            close_mesh(pipeline, mesh_id);
        }
    });
    result
}

/// Records that a mesh device was closed, once: a patched runtime says it through the C interface as well.
pub fn close_mesh(pipeline: &Pipeline, mesh_id: u32) {
    let mut is_new = false;
    pipeline.define(|defined| {
        is_new = defined.add(Fact::Closed(mesh_id));
        None
    });
    if is_new {
        pipeline.offer(&Event::Close { place: Place::Mesh(mesh_id) });
    }
}

/// `AllocatorImpl::deallocate_buffers()`: everything of one allocator is gone, without a deallocation each.
#[unsafe(export_name = "_ZN2tt8tt_metal13AllocatorImpl18deallocate_buffersEv")]
extern "C-unwind" fn deallocate_buffers(allocator: *mut c_void) {
    static REAL: Real<unsafe extern "C-unwind" fn(*mut c_void)> = real!(interposed::DEALLOCATE_BUFFERS as _);
    let Some(real) = REAL.get() else { return };
    guard::enter(|| {
        // Before the real one: afterwards another thread could have taken the same address.
        if let Some(pipeline) = pipeline::running_or_inherited() {
            let cause = match (IS_CLOSING.get(), lifecycle::is_exiting()) {
                (true, _) => SweepCause::Close,
                (false, true) => SweepCause::Exit,
                (false, false) => SweepCause::Call,
            };
            pipeline.offer(&Event::Sweep { allocator: number(allocator), cause });
        }
    });
    let _sweeping = Restore::set(&SWEEPING, Some(number(allocator)));
    // SAFETY: the arguments are passed on as they came.
    unsafe { real(allocator) };
}

/// Whether that sweep has been recorded: a patched runtime says it through the C interface as well.
pub fn is_sweeping(allocator: u64) -> bool {
    SWEEPING.get() == Some(allocator)
}

/// Sets a thread-local for as long as it lives, also when an exception passes.
pub struct Restore<T: Copy + 'static> {
    cell: &'static std::thread::LocalKey<Cell<T>>,
    before: T,
}

impl<T: Copy> Restore<T> {
    /// Sets the value.
    pub fn set(cell: &'static std::thread::LocalKey<Cell<T>>, value: T) -> Self {
        Self { cell, before: cell.replace(value) }
    }
}

impl<T: Copy> Drop for Restore<T> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}
