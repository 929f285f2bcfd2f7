//! What every entry passes through, so that the host never notices us.

use crate::{pipeline, spool, state};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `record` unless recording is off or this thread is already inside: then the runtime is answering a
/// question of ours, or a signal handler interrupted us, and the event is counted as dropped.
///
/// `errno` is as before; a panic ends here. The function of the runtime that an entry stands for is never
/// called from within `record`: its exceptions must pass.
#[inline(always)]
pub fn enter(record: impl FnOnce()) {
    if !state::is_on() {
        return;
    }
    if !spool::enter() {
        return pipeline::count_reentry();
    }
    // SAFETY: always returns the address of the calling thread's own errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: that address is valid as long as the thread lives.
    let before = unsafe { *errno };
    let _ = catch_unwind(AssertUnwindSafe(record));
    // SAFETY: as above.
    unsafe { *errno = before };
    spool::leave();
}

/// Marks the calling thread as one of ours for ever: nothing it does is recorded.
pub fn stay_inside() {
    spool::enter();
}
