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
//!
//! The word lies on a page that the kernel empties in a forked child, so that a child whose fork ran no handlers
//! finds `Off` and no hook has to ask for its pid.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

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

/// The word; null means `Off`.
static STATE: AtomicPtr<AtomicU8> = AtomicPtr::new(ptr::null_mut());

/// Changes whenever what a thread may have remembered stops being true: in a forked child.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Makes the page for the word. Until then, and if there is no memory for it, the state is `Off`.
pub fn prepare() {
    const PAGE: usize = 4096;
    let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at a place the kernel chooses.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, kind, -1, 0) };
    if page != libc::MAP_FAILED {
        // SAFETY: the page just made.
        unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) };
        STATE.store(page.cast(), Ordering::Release);
    }
}

#[inline]
fn word() -> Option<&'static AtomicU8> {
    // SAFETY: null or the start of a page that stays mapped.
    unsafe { STATE.load(Ordering::Relaxed).as_ref() }
}

/// The state at this moment.
#[inline]
pub fn get() -> State {
    match word().map_or(0, |word| word.load(Ordering::Acquire)) {
        1 => State::Idle,
        2 => State::Starting,
        3 => State::Running,
        4 => State::Stopped,
        _ => State::Off,
    }
}

/// Sets the state.
pub fn set(state: State) {
    if let Some(word) = word() {
        word.store(state as u8, Ordering::Release);
    }
}

/// Goes from one state to another if nobody was faster.
pub fn change(from: State, to: State) -> bool {
    let change = |word: &AtomicU8| {
        word.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    };
    word().is_some_and(change)
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
