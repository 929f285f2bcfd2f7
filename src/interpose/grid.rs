//! On which cores the shards of a buffer may lie: the grid of its shard spec, from ttnn 0.80.
//!
//! `Buffer::shard_spec()` tells it, but by a copy on the heap, which a hook must not make each time. So one copy is
//! made, to prove where in the buffer the grid lies; from then on it is read there. It was the grid of
//! `memory_config()` for every height-, width- and block-sharded tensor of 0.80 and 0.81 that was tried. Tensors
//! sharded in more dimensions have no such grid.

use super::devices;
use super::fields::Buffer;
use super::real::real;
use super::symbols::asked;
use crate::pipeline::Pipeline;
use crate::state;
use once_cell::race::OnceBox;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A rectangle as the runtime has it: first column and row, last column and row.
type Rectangle = [u64; 4];

/// `ShardSpecBuffer` takes 7 words and begins with the grid, which is a vector of rectangles.
type ShardSpec = [usize; 16];

/// From 0.80 a `Buffer` points to its data; there lies the grid (read in the wheels 0.80 and 0.81, proven at run time).
const DATA: usize = 0x10;
const GRID: usize = 0x50;

/// The grids that were seen last: the number in the low bits, and the grid's hash in the others.
static KNOWN: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
const NUMBER_BITS: u32 = 20;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;

struct Questions {
    has_shard_spec: unsafe extern "C-unwind" fn(Buffer) -> bool,
    shard_spec: unsafe extern "C-unwind" fn(*mut ShardSpec, Buffer) -> *mut ShardSpec,
}

static ASK: OnceBox<Option<Questions>> = OnceBox::new();
/// Whether the proof was tried, and whether it held.
static IS_TRIED: AtomicBool = AtomicBool::new(false);
static IS_PROVEN: AtomicBool = AtomicBool::new(false);

impl Questions {
    fn get() -> Option<&'static Self> {
        let find = || {
            Some(Self {
                has_shard_spec: real!(
                    asked::BUFFER_HAS_SHARD_SPEC as unsafe extern "C-unwind" fn(Buffer) -> bool
                )
                .get()?,
                shard_spec: real!(
                    asked::BUFFER_SHARD_SPEC
                        as unsafe extern "C-unwind" fn(*mut ShardSpec, Buffer) -> *mut ShardSpec
                )
                .get()?,
            })
        };
        ASK.get_or_init(|| Box::new(find())).as_ref()
    }
}

/// The number of the set of cores on which the shards of the buffer may lie, defined if it is new.
///
/// # Safety
/// `buffer` is a live `Buffer` of the runtime.
pub unsafe fn number(pipeline: &Pipeline, buffer: Buffer) -> Option<u32> {
    // SAFETY: the caller's contract.
    let grid = unsafe { of(buffer) }?;
    let hash = hash(grid);
    let place = &KNOWN[usize::try_from(hash).unwrap_or(0) % KNOWN.len()];
    let known = place.load(Ordering::Acquire);
    if (known ^ hash) >> NUMBER_BITS == 0 {
        return u32::try_from(known & NUMBER).ok();
    }
    let cores = super::define_cores(pipeline, super::programs::narrow(grid));
    if u64::from(cores) <= NUMBER {
        place.store(hash & !NUMBER | u64::from(cores), Ordering::Release);
    }
    Some(cores)
}

/// # Safety
/// `buffer` is a live `Buffer` of the runtime.
unsafe fn of<'a>(buffer: Buffer) -> Option<&'a [Rectangle]> {
    let ask = Questions::get()?;
    if IS_TRIED.load(Ordering::Acquire) && !IS_PROVEN.load(Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the caller's contract.
    let is_sharded = unsafe { (ask.has_shard_spec)(buffer) };
    if !is_sharded {
        return None;
    }
    if !IS_PROVEN.load(Ordering::Relaxed) {
        // SAFETY: the buffer is live and has a shard spec, without which the runtime would throw.
        let holds = unsafe { prove(ask, buffer) };
        IS_PROVEN.store(holds, Ordering::Relaxed);
        IS_TRIED.store(true, Ordering::Release);
        if !holds {
            return None;
        }
    }
    // SAFETY: the caller's contract.
    let place = unsafe { place(buffer) };
    // SAFETY: the grid of a live buffer with a shard spec lies there, as was proven.
    Some(unsafe { devices::vector_at(place) })
}

/// # Safety
/// `buffer` is a live `Buffer` of the runtime, from 0.80.
unsafe fn place(buffer: Buffer) -> *const c_void {
    // SAFETY: the caller's contract; the handle holds a pointer there.
    let field = unsafe { buffer.byte_add(DATA) };
    // SAFETY: as above.
    let data = unsafe { field.cast::<*const c_void>().read() };
    data.wrapping_byte_add(GRID)
}

/// Compares the grid in its place with the runtime's own copy: first the length, which is read without following a
/// pointer, then the rectangles.
///
/// # Safety
/// `buffer` is a live `Buffer` of the runtime that has a shard spec.
#[cold]
unsafe fn prove(ask: &Questions, buffer: Buffer) -> bool {
    let mut spec: ShardSpec = [0; 16];
    // SAFETY: the spec is built in the place that is given, which has room for it.
    unsafe { (ask.shard_spec)(&raw mut spec, buffer) };
    // SAFETY: the spec begins with a vector of rectangles, just made.
    let copy: &[Rectangle] = unsafe { devices::vector_at((&raw const spec).cast()) };
    // SAFETY: the caller's contract.
    let place = unsafe { place(buffer) };
    // SAFETY: the data of a buffer is larger than that (0x218 bytes at least).
    let [begin, end] = unsafe { place.cast::<[usize; 2]>().read() };
    let is_as_long = !copy.is_empty() && end.wrapping_sub(begin) == size_of_val(copy);
    // SAFETY: it looks like a vector of that length.
    let holds = is_as_long && unsafe { devices::vector_at::<Rectangle>(place) } == copy;
    // SAFETY: the storage of the copy came from `operator new`, which is `malloc`, and nobody else has it.
    unsafe { libc::free(std::ptr::with_exposed_provenance_mut(spec[0])) };
    holds
}

/// Never 0. A forked child numbers anew, so its generation is part of it.
fn hash(grid: &[Rectangle]) -> u64 {
    let words = grid.iter().flatten();
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    words.fold(u64::from(state::generation()) + 1, |hash, word| mix(hash, *word)) | 1 << 63
}
