//! Which operation, Python line and test an event belongs to: the number of a context that the capture defines.
//!
//! The event's own thread is blocked inside a call, so its Python frames stand still: they are read where they lie,
//! without the GIL, without a reference count, and without a call that could make a Python object. An operation is
//! a frame as well, whose `self` knows its name; nothing in the program is replaced or wrapped for it.
//!
//! Each event folds its frames into a key. A key that was seen before has its number in a table that takes no lock
//! ([`known`]). Only a new one is resolved and defined ([`names`]).

mod calls;
mod codes;
mod frames;
mod known;
mod names;
mod objects;
mod python;
mod test;

use crate::pipeline::Pipeline;
use frames::Walk;
pub use names::Names;

/// Prepares for the frames of this process. False if it is no Python that this version can read.
pub fn begin() -> bool {
    python::find()
}

/// Whether events have contexts.
pub fn is_on() -> bool {
    python::found().is_some()
}

/// The context of the calling thread, if it has been defined: no lock, no allocation, no panic. 0 is none.
pub fn known() -> Option<u32> {
    let Some(python) = python::found() else { return Some(0) };
    let walk = Walk::here(python, test::current());
    if walk.is_empty() { Some(0) } else { known::find(walk.key) }
}

/// The context of the calling thread, which is defined if it is new. 0 is none.
#[inline(never)]
pub fn context(pipeline: &Pipeline) -> u32 {
    let Some(python) = python::found() else { return 0 };
    let mut walk = Walk::here(python, test::current());
    if walk.is_empty() {
        return 0;
    }
    known::find(walk.key).unwrap_or_else(|| names::define(pipeline, python, &mut walk))
}
