//! What each thread keeps from event to event: three cache lines of initial-exec thread-local storage, which are reached
//! with two instructions. A library's ordinary thread-locals cost a call each.
//!
//! There is no more of it than this, because a library that is loaded late takes it from a small reserve.

use crate::interpose::Message;
use std::cell::Cell;
use std::ffi::c_void;

/// The first line: what a push needs. `spool` knows what is in it.
#[repr(C, align(64))]
pub struct Hot {
    /// The next free slot of the thread's segment; null before the first.
    pub next: *mut u64,
    /// The end of the segment.
    pub end: *mut u64,
    /// The commit word of the next slot.
    pub commit: u64,
    /// The calling thread.
    pub tid: u32,
    /// Not 0 while this thread is in a hook.
    pub inside: u32,
    /// The segment.
    pub segment: u32,
    /// 1 once the thread's end is watched.
    pub is_watched: u32,
}

/// The second line: what the hooks of the runtime remember. All zero at first.
#[repr(C, align(64))]
pub struct Seen {
    /// The buffer that the allocator served last on this thread, and the allocator.
    pub served: Cell<(*const c_void, *const c_void)>,
    /// The buffer of this thread's last deallocation that had memory behind it.
    pub freed: Cell<*const c_void>,
    /// The mesh that was defined last: 1 + the process's generation, and the number.
    pub mesh: Cell<(u32, u32)>,
    /// The allocator that was defined last: as for the mesh it serves, and its number.
    pub allocator: Cell<(u32, u32, u64)>,
    /// The text of the last exception that was made while `n_watched` was not 0; null before the first.
    pub message: Cell<*mut Message>,
    /// How many calls that may refuse this thread is inside of.
    pub n_watched: Cell<u32>,
}

/// The third line: the last interleaved buffer's bytes in each bank, and what they follow from. The runtime takes
/// longer for this answer than for all others together, and a loop asks it of equal buffers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Banked {
    /// The allocator; null at first.
    pub allocator: *const c_void,
    /// The mesh it serves: its number is never used again, while a pointer may be.
    pub mesh_id: u32,
    /// The memory, by the runtime's number.
    pub buffer_type: u32,
    /// Logical bytes.
    pub size_bytes: u64,
    /// Bytes of a page.
    pub page_size_bytes: u64,
    /// The answer.
    pub per_bank_bytes: u64,
}

const _: () = assert!(size_of::<Hot>() == 64 && size_of::<Seen>() == 64 && size_of::<Banked>() == 64);

std::arch::global_asm!(
    ".section .tbss.tt_memtrace_thread,\"awT\",@nobits",
    ".globl tt_memtrace_thread",
    ".hidden tt_memtrace_thread",
    ".type tt_memtrace_thread,@object",
    ".size tt_memtrace_thread,192",
    ".p2align 6",
    "tt_memtrace_thread:",
    ".zero 192",
    ".text"
);

/// The calling thread's first line.
#[inline(always)]
pub fn hot() -> *mut Hot {
    let hot: *mut Hot;
    // SAFETY: adds a link-time offset to the thread pointer; no memory of anybody is touched.
    unsafe {
        std::arch::asm!(
            "mov {0}, qword ptr [rip + tt_memtrace_thread@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) hot,
            options(pure, nomem, nostack),
        );
    }
    hot
}

/// The calling thread's second line. It is not `Sync`, so the reference stays on the thread.
#[inline(always)]
pub fn seen<'a>() -> &'a Seen {
    // SAFETY: the second of the lines.
    let seen = unsafe { hot().add(1) }.cast::<Seen>();
    // SAFETY: all zero is a valid value, and nobody else has a mutable reference to it.
    unsafe { &*seen }
}

/// The calling thread's third line.
#[inline(always)]
pub fn banked<'a>() -> &'a Cell<Banked> {
    // SAFETY: the third of the lines.
    let banked = unsafe { hot().add(2) }.cast::<Cell<Banked>>();
    // SAFETY: as for the second.
    unsafe { &*banked }
}
