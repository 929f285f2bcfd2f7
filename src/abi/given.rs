//! What a caller of the C interface gave, read with as little trust as C allows.

use super::types::{TT_MEMTRACE_NONE, TT_MEMTRACE_NONE64};
use std::ffi::c_char;
use std::mem::size_of;
use tt_memtrace_wire::Place;

/// A text longer than this is a mistake of the caller's: it is not read.
const LONGEST_TEXT: u64 = 1 << 20;

/// The place that two numbers stand for.
#[inline(always)]
pub fn place(mesh_id: u32, device_id: u32) -> Place {
    if mesh_id == TT_MEMTRACE_NONE { Place::Chip(device_id) } else { Place::Mesh(mesh_id) }
}

/// A number, or none.
#[inline(always)]
pub fn some64(value: u64) -> Option<u64> {
    Some(value).filter(|value| *value != TT_MEMTRACE_NONE64)
}

/// Copies a struct that begins with its own size. `None` if the caller's is smaller than this version's.
///
/// # Safety
/// `at` is null or points to as many bytes as its first field, a u32, says.
#[inline(always)]
pub unsafe fn read<T: Copy>(at: *const T) -> Option<T> {
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

/// The bytes of a text. `None` if it is null or absurdly long.
///
/// # Safety
/// As for [`list`].
pub unsafe fn text<'a>(at: *const c_char, length: u64) -> Option<&'a [u8]> {
    // SAFETY: the caller's contract.
    let bytes = unsafe { list(at.cast(), length, LONGEST_TEXT) };
    (!at.is_null() && length <= LONGEST_TEXT).then_some(bytes)
}

/// The items of a list; none if it is null, misaligned or has more than `most`.
///
/// # Safety
/// `at` is null or points to `length` items that live as long as the call.
pub unsafe fn list<'a, T>(at: *const T, length: u64, most: u64) -> &'a [T] {
    if at.is_null() || !at.is_aligned() || length > most {
        return &[];
    }
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts(at, length) }
}
