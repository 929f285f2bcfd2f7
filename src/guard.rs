//! What every entry passes through, so that the host never notices us.

use crate::state;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `record` unless recording is off or this thread is already inside: then the runtime is answering a
/// question of ours, and whatever it does meanwhile is not the program's doing.
///
/// `errno` is as before; a panic ends here. The function of the runtime that an entry stands for is never
/// called from within `record`: its exceptions must pass.
pub fn enter(record: impl FnOnce()) {
    if !state::is_on() || INSIDE.replace(true) {
        return;
    }
    let errno = errno();
    let _ = catch_unwind(AssertUnwindSafe(record));
    set_errno(errno);
    INSIDE.set(false);
}

/// Marks the calling thread as one of ours for ever: nothing it does is recorded.
pub fn stay_inside() {
    INSIDE.set(true);
}

fn errno() -> i32 {
    // SAFETY: always returns the address of the calling thread's own errno.
    let at = unsafe { libc::__errno_location() };
    // SAFETY: that address is valid as long as the thread lives.
    unsafe { *at }
}

fn set_errno(value: i32) {
    // SAFETY: always returns the address of the calling thread's own errno.
    let at = unsafe { libc::__errno_location() };
    // SAFETY: that address is valid as long as the thread lives.
    unsafe { *at = value };
}
