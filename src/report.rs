//! The few lines this library may ever print: on stderr, one `write` each, so that they never interleave.

use crate::lifecycle;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// How much is said; each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is not recorded.
    Error = 0,
    /// Something is probably not what the user meant.
    Warn = 1,
    /// What is being done.
    Info = 2,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);

/// From now on says `level` and what is more severe.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Prints `tt-memtrace[pid]: message`.
pub fn say(level: Level, message: fmt::Arguments<'_>) {
    if level as u8 > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let line = format!("tt-memtrace[{}]: {message}\n", std::process::id());
    lifecycle::without_signals_of_writing(|| {
        // SAFETY: the pointer and the length are those of a live string. A failed write has nobody to be told to.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    });
}
