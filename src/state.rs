//! Whether anything is recorded: one atomic word that every entry reads first.
//!
//! ```text
//!            first event          file is open
//!   Idle ------------------> Starting -------> Running ---> Stopped
//!    ^                                            |
//!    +----------------- in a forked child --------+
//! ```
//!
//! `Off` (the switch is not set) and `Stopped` (the end, or a fault) are final.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Loaded, but not switched on.
    Off = 0,
    /// Switched on; nothing has happened yet: no thread, no file.
    Idle = 1,
    /// One thread is starting the recording; others wait for it.
    Starting = 2,
    /// Recording.
    Running = 3,
    /// No longer recording.
    Stopped = 4,
}

static STATE: AtomicU8 = AtomicU8::new(State::Off as u8);

/// Changes whenever what a thread may have remembered stops being true: in a forked child.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The state at this moment.
pub fn get() -> State {
    match STATE.load(Ordering::Acquire) {
        1 => State::Idle,
        2 => State::Starting,
        3 => State::Running,
        4 => State::Stopped,
        _ => State::Off,
    }
}

/// Sets the state.
pub fn set(state: State) {
    STATE.store(state as u8, Ordering::Release);
}

/// Goes from one state to another if nobody was faster.
pub fn change(from: State, to: State) -> bool {
    STATE.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// Whether events are wanted.
pub fn is_on() -> bool {
    !matches!(get(), State::Off | State::Stopped)
}

/// The number that threads store beside what they remember.
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Makes every thread forget what it remembered.
pub fn next_generation() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
