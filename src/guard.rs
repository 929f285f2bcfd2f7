//! What every entry passes through, so that the host never notices us.

use crate::pipeline::{self, Pipeline};
use crate::state::{self, State};
use crate::{lifecycle, spool};
use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `record` unless recording is off or this thread is already inside: then the runtime is answering a
/// question of ours, or a signal handler interrupted us, and the event is counted as dropped.
///
/// `errno` is as before; a panic ends here. The function of the runtime that an entry stands for is never
/// called from within `record`: its exceptions must pass.
#[inline(always)]
pub fn enter(record: impl FnOnce()) {
    if let Some(errno) = begin() {
        run(record);
        end(errno);
    }
}

/// As [`enter`], with all its code where it is called: for the commonest events.
#[inline(always)]
pub fn enter_inlined(record: impl FnOnce()) {
    if let Some(errno) = begin_inlined() {
        run(record);
        end_inlined(errno);
    }
}

#[inline(always)]
fn run(record: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(record)) {
        forget(panic);
    }
}

#[inline(never)]
fn begin() -> Option<c_int> {
    begin_inlined()
}

#[inline(never)]
fn end(errno: c_int) {
    end_inlined(errno);
}

/// Gives `errno`, if the thread may go on.
#[inline(always)]
fn begin_inlined() -> Option<c_int> {
    if !state::is_on() && !lifecycle::load_early() {
        return None;
    }
    if !spool::enter() {
        pipeline::count_reentry();
        return None;
    }
    // SAFETY: always returns the address of the calling thread's own errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: that address is valid as long as the thread lives.
    Some(unsafe { *errno })
}

#[inline(always)]
fn end_inlined(before: c_int) {
    // SAFETY: always returns the address of the calling thread's own errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: that address is valid as long as the thread lives.
    unsafe { *errno = before };
    spool::leave();
}

#[cold]
#[inline(never)]
fn forget(panic: Box<dyn Any + Send>) {
    drop(panic);
}

/// The short way of the commonest events: as [`enter`], but with one look at the state, and without what only the
/// long way needs. `record` must keep `errno` and not panic; if it answers that it could not record the event, or
/// nothing is being recorded yet, `at_length` goes the long way, through [`enter`].
#[inline(always)]
pub fn enter_briefly(record: impl FnOnce(&'static Pipeline) -> bool, at_length: impl FnOnce()) {
    let state = state::get();
    if state == State::Running
        && let Some(pipeline) = pipeline::current()
        && spool::enter()
    {
        let is_recorded = record(pipeline);
        spool::leave();
        if is_recorded {
            return;
        }
    } else if matches!(state, State::Off | State::Stopped) && !lifecycle::load_early() {
        return;
    }
    at_length();
}

/// Marks the calling thread as one of ours for ever: nothing it does is recorded.
pub fn stay_inside() {
    spool::enter();
}
