//! What a `Buffer` of the runtime says about itself, in each of the runtime's generations.
//!
//! From 0.80 every fact has an exported accessor. Before, five of them were inline and are read from fields,
//! whose offsets were the same from 0.60 to 0.78. Nothing is trusted: the first buffer must prove that the
//! facts fit together, or recording ends there with one line.

use super::real::{self, real};
use super::symbols::asked;
use crate::report::{self, Level};
use crate::state::{self, State};
use once_cell::race::OnceBox;
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use tt_memtrace_wire::{BufferLayout, BufferType};

/// A `Buffer` of the runtime, valid for the length of the call that brought it.
pub type Buffer = *const c_void;

type Number = unsafe extern "C-unwind" fn(Buffer) -> u64;
type Small = unsafe extern "C-unwind" fn(Buffer) -> u32;
type Flag = unsafe extern "C-unwind" fn(Buffer) -> bool;
type Pointer = unsafe extern "C-unwind" fn(Buffer) -> *const c_void;

/// A function that every usable runtime has; its name is the error of the calling function.
macro_rules! must {
    ($name:path as $type:ty) => {
        real!($name as $type).get().ok_or($name)?
    };
}

/// The facts of one buffer that events need.
pub struct Facts {
    /// The mesh device or device it is on.
    pub device: *const c_void,
    /// The memory it is in.
    pub buffer_type: BufferType,
    /// How it is spread.
    pub layout: BufferLayout,
    /// Logical bytes on one chip.
    pub size_bytes: u64,
    /// 0 if there is no memory behind it.
    pub address: u64,
    /// The runtime's own number, from 0.80.
    pub unique_id: Option<u64>,
}

/// How to ask a buffer of the runtime that is loaded.
pub struct Readers {
    common: Common,
    generation: Generation,
}

/// The accessors that every version exports.
struct Common {
    address: Number,
    is_allocated: Flag,
    page_size: Number,
    num_pages: Number,
    per_bank: Number,
    num_cores: Option<Number>,
    is_dram: Flag,
    is_l1: Flag,
}

enum Generation {
    /// 0.80 and later.
    Accessors { size: Number, buffer_type: Small, layout: Small, device: Pointer, unique_id: Number },
    /// Up to 0.78: the offsets below.
    Offsets,
}

/// Offsets in a `Buffer` up to 0.78 (read in ten wheels, seen in runs of 0.66 to 0.78).
mod offset {
    pub const DEVICE: usize = 0x10;
    pub const SIZE: usize = 0x18;
    pub const TYPE: usize = 0x20;
    pub const LAYOUT: usize = 0x24;
}

static READERS: OnceBox<Option<Readers>> = OnceBox::new();
static IS_PROVEN: AtomicBool = AtomicBool::new(false);

impl Readers {
    /// The readers for the loaded runtime. `None` if it reports its buffers itself, or if a symbol is missing: then
    /// recording is off, and the reason was said.
    pub fn get() -> Option<&'static Self> {
        let find = || if real::is_patched() { None } else { Self::find().map_err(missing).ok() };
        READERS.get_or_init(|| Box::new(find())).as_ref()
    }

    fn find() -> Result<Self, &'static CStr> {
        // `address` returns 32 bits in a 64-bit register and is cut down where it is called; `num_cores` is an
        // optional<u32> packed into one register.
        let common = Common {
            address: must!(asked::BUFFER_ADDRESS as Number),
            is_allocated: must!(asked::BUFFER_IS_ALLOCATED as Flag),
            page_size: must!(asked::BUFFER_PAGE_SIZE as Number),
            num_pages: must!(asked::BUFFER_NUM_PAGES as Number),
            per_bank: must!(asked::BUFFER_PER_BANK as Number),
            num_cores: real!(asked::BUFFER_NUM_CORES as Number).get(),
            is_dram: must!(asked::BUFFER_IS_DRAM as Flag),
            is_l1: must!(asked::BUFFER_IS_L1 as Flag),
        };
        let Some(size) = real!(asked::BUFFER_SIZE as Number).get() else {
            return Ok(Self { common, generation: Generation::Offsets });
        };
        let generation = Generation::Accessors {
            size,
            buffer_type: must!(asked::BUFFER_TYPE as Small),
            layout: must!(asked::BUFFER_LAYOUT as Small),
            device: must!(asked::BUFFER_DEVICE as Pointer),
            unique_id: must!(asked::BUFFER_UNIQUE_ID as Number),
        };
        Ok(Self { common, generation })
    }

    /// Asks a buffer. `None` if the first buffer's answers contradict each other: then recording is off.
    ///
    /// # Safety
    /// `buffer` is a live `Buffer` of the runtime.
    pub unsafe fn facts(&self, buffer: Buffer) -> Option<Facts> {
        // SAFETY: the caller's contract, for each call of this function.
        let facts = unsafe { self.read(buffer) };
        // SAFETY: as above.
        if IS_PROVEN.load(Ordering::Relaxed) || unsafe { self.prove(buffer, &facts) } {
            return Some(facts);
        }
        None
    }

    /// Bytes of a page.
    ///
    /// # Safety
    /// `buffer` is a live `Buffer` of the runtime.
    pub unsafe fn page_size(&self, buffer: Buffer) -> u64 {
        // SAFETY: the caller's contract.
        unsafe { (self.common.page_size)(buffer) }
    }

    /// Bytes in each bank.
    ///
    /// # Safety
    /// `buffer` is a live `Buffer` of the runtime.
    pub unsafe fn per_bank(&self, buffer: Buffer) -> u64 {
        // SAFETY: the caller's contract.
        unsafe { (self.common.per_bank)(buffer) }
    }

    /// On how many cores a sharded buffer resides.
    ///
    /// # Safety
    /// `buffer` is a live `Buffer` of the runtime.
    pub unsafe fn num_cores(&self, buffer: Buffer) -> Option<u32> {
        let ask = self.common.num_cores?;
        // SAFETY: the caller's contract.
        let packed = unsafe { ask(buffer) };
        let is_present = packed >> 32 & 1 == 1;
        is_present.then_some(low(packed))
    }

    /// # Safety
    /// `buffer` is a live `Buffer` of the runtime.
    unsafe fn read(&self, buffer: Buffer) -> Facts {
        // Each question is asked of a buffer that is live by the caller's contract.
        macro_rules! ask {
            ($accessor:expr) => {
                // SAFETY: the accessors take nothing but a live buffer.
                unsafe { ($accessor)(buffer) }
            };
        }
        macro_rules! field {
            ($offset:expr) => {
                // SAFETY: the field lies within the object; what it holds is proven before it is believed.
                unsafe { field(buffer, $offset) }
            };
        }
        // `address` throws where nothing was ever allocated.
        let is_allocated = ask!(self.common.is_allocated);
        let address = if is_allocated { u64::from(low(ask!(self.common.address))) } else { 0 };
        match self.generation {
            Generation::Accessors { size, buffer_type, layout, device, unique_id } => Facts {
                device: ask!(device),
                buffer_type: ask!(buffer_type).into(),
                layout: ask!(layout).into(),
                size_bytes: ask!(size),
                address,
                unique_id: Some(ask!(unique_id)),
            },
            Generation::Offsets => Facts {
                device: field!(offset::DEVICE),
                buffer_type: u32::into(field!(offset::TYPE)),
                layout: u32::into(field!(offset::LAYOUT)),
                size_bytes: field!(offset::SIZE),
                address,
                unique_id: None,
            },
        }
    }

    /// # Safety
    /// `buffer` is a live `Buffer` of the runtime.
    unsafe fn prove(&self, buffer: Buffer, facts: &Facts) -> bool {
        // SAFETY: the caller's contract, here and below.
        let page_size = unsafe { (self.common.page_size)(buffer) };
        // SAFETY: as above.
        let pages = page_size.checked_mul(unsafe { (self.common.num_pages)(buffer) });
        // SAFETY: as above.
        let is_dram = unsafe { (self.common.is_dram)(buffer) };
        // SAFETY: as above.
        let is_l1 = unsafe { (self.common.is_l1)(buffer) };
        // TRACE lies in DRAM, L1_SMALL in L1.
        let says_dram = matches!(facts.buffer_type, BufferType::Dram | BufferType::Trace);
        let says_l1 = matches!(facts.buffer_type, BufferType::L1 | BufferType::L1Small);
        let is_plausible = pages == Some(facts.size_bytes) && (says_dram, says_l1) == (is_dram, is_l1);
        // SAFETY: size and type were right, so the pointer beside them is one to a live object.
        let fits = is_plausible && unsafe { super::devices::is_known_class(facts.device) };
        if fits {
            IS_PROVEN.store(true, Ordering::Relaxed);
        } else {
            go_passive("the fields of its buffers do not fit together");
        }
        fits
    }
}

/// Ends recording because this runtime is not understood.
pub fn go_passive(why: &str) {
    state::set(State::Stopped);
    report::say(
        Level::Error,
        format_args!("cannot record this ttnn runtime: {why}; the program runs on, unrecorded"),
    );
}

fn missing(name: &CStr) {
    go_passive(&format!("its symbol {} is missing", name.to_string_lossy()));
}

/// # Safety
/// There is a `T` at that offset in the object.
unsafe fn field<T: Copy>(object: *const c_void, offset: usize) -> T {
    // SAFETY: the caller's contract.
    let at = unsafe { object.byte_add(offset) };
    // SAFETY: the caller's contract; `read_unaligned` asks for nothing more.
    unsafe { at.cast::<T>().read_unaligned() }
}

fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}
