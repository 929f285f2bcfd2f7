//! Code objects that come to their end. A program that runs generated code makes and frees them all the time, and
//! another one at the same address must not be taken for the first.
//!
//! The end of every code object passes through one pointer in its type. We stand in there: who was read by us changes
//! the generation that every key begins with, before its memory can be used again.

use super::python::Object;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// `tp_dealloc` of a type object, the same in every release.
const TYPE_DEALLOC: usize = 48;
/// 65,536 addresses: two that share a bit cost some work, nothing else.
const WORDS: usize = 1024;

type Dealloc = extern "C" fn(*mut c_void);

static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// A bit for each address that was read.
static READ: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// The number that changes whenever a code object that was read has ended.
#[inline(always)]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Acquire)
}

/// From now on the end of this code object changes the generation.
pub fn note_read(code: Object) {
    let (word, bit) = bit(code.addr());
    READ[word].fetch_or(bit, Ordering::Relaxed);
}

/// Stands in for the end of code objects, once.
pub fn watch(code_type: *mut u8) {
    // SAFETY: inside the type object.
    let place = unsafe { code_type.add(TYPE_DEALLOC) };
    // SAFETY: an aligned pointer that Python reads anew for each object and never changes.
    let place = unsafe { AtomicPtr::<c_void>::from_ptr(place.cast()) };
    let before = place.load(Ordering::Acquire);
    let ours = code_ends as Dealloc as *mut c_void;
    if before != ours {
        REAL.store(before, Ordering::Release);
        place.store(ours, Ordering::Release);
    }
}

extern "C" fn code_ends(code: *mut c_void) {
    let (word, bit) = bit(code.addr());
    if READ[word].load(Ordering::Relaxed) & bit != 0 {
        GENERATION.fetch_add(1, Ordering::Release);
    }
    let real = REAL.load(Ordering::Acquire);
    // SAFETY: stored before this function was, and it is the function of a type: a `Dealloc`.
    let real = unsafe { std::mem::transmute::<*mut c_void, Dealloc>(real) };
    real(code);
}

/// The place of an address in [`READ`]; objects are 16 bytes apart at least.
fn bit(address: usize) -> (usize, u64) {
    let mixed = (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    (mixed / 64 % WORDS, 1 << (mixed % 64))
}
