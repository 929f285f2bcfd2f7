//! Everything of ours that runs outside the host's own calls: load, fork, exit.

use crate::pipeline::{self, Pipeline};
use crate::state::{self, State};
use crate::{config, guard, process, server, spool};
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tt_memtrace_wire::{Ending, Event, Parent};

/// How long the end of a process may wait for the last records.
const EXIT_PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 2 });

/// Whether the switch was looked at.
static IS_LOADED: AtomicBool = AtomicBool::new(false);

/// The process that the pipeline belongs to. A `vfork` child shares our memory and must find out that it is
/// not that process before it ends.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// True from the beginning of the process's orderly end.
static IS_EXITING: AtomicBool = AtomicBool::new(false);

/// The inherited recording of the process this one was forked from, the fork's token, and the pid.
static PARENT: AtomicPtr<Pipeline> = AtomicPtr::new(std::ptr::null_mut());
static PARENT_PID: AtomicU32 = AtomicU32::new(0);
static PARENT_TOKEN: AtomicU64 = AtomicU64::new(0);

/// The last token that was given out.
static FORKS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The token of the fork that this thread is in; 0 if it was not recorded. The child's only thread is the
    /// one that forked, so each child finds its own, however many threads fork at once.
    static THIS_FORK: Cell<u64> = const { Cell::new(0) };
    /// Whether recording had stopped before the fork that this thread is in: then it has in the child, too.
    static WAS_STOPPED: Cell<bool> = const { Cell::new(false) };
}

/// Runs when the library is loaded, in every process of the run: compilers and shells, too. It starts no
/// thread, opens nothing and prints nothing; if the switch is off it does not even register anything.
#[ctor::ctor(unsafe)]
fn at_load() {
    load();
}

/// For a call that comes before [`at_load`]: from the constructor of another library of the host, which the loader
/// may run first. True if the switch is on and that was not known yet.
#[cold]
pub fn load_early() -> bool {
    load() && state::is_on()
}

/// True the first time.
fn load() -> bool {
    let is_first = !IS_LOADED.swap(true, Ordering::Relaxed);
    if is_first {
        look_at_switch();
    }
    is_first
}

fn look_at_switch() {
    // SAFETY: both arguments are strings that end in a zero byte; nobody changes the environment this early.
    let value = unsafe { libc::getenv(config::SWITCH.as_ptr()) };
    if value.is_null() {
        return;
    }
    // SAFETY: `getenv` returned a string that ends in a zero byte.
    let value = unsafe { CStr::from_ptr(value) }.to_bytes();
    // Any other value than 1 is complained about by the first event, not in every shell of the run.
    if matches!(value, b"" | b"0") {
        return;
    }
    OWNER.store(std::process::id(), Ordering::Relaxed);
    state::prepare();
    state::set(State::Idle);
    // SAFETY: the handlers are functions of this library, which is never unloaded (build.rs).
    unsafe { libc::pthread_atfork(Some(before_fork), None, Some(in_child)) };
    // SAFETY: as above. Without a library handle this runs after the destructors of every library, so that
    // buffers which those free are still recorded.
    unsafe { __cxa_atexit(at_very_end, std::ptr::null_mut(), std::ptr::null_mut()) };
}

unsafe extern "C" {
    fn __cxa_atexit(f: extern "C" fn(*mut c_void), argument: *mut c_void, library: *mut c_void) -> c_int;
}

/// Called when the recording starts: from now on the end of the process can be seen when it begins, before
/// the runtime's own destructors, because it was registered after theirs.
pub fn watch_exit() {
    extern "C" fn at_exit() {
        IS_EXITING.store(true, Ordering::Relaxed);
    }
    static IS_WATCHED: AtomicBool = AtomicBool::new(false);
    if !IS_WATCHED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler is a function of this library, which is never unloaded.
        unsafe { libc::atexit(at_exit) };
    }
}

/// Whether the process is on its way out: its exit handlers run, or Python is finalizing.
pub fn is_exiting() -> bool {
    IS_EXITING.load(Ordering::Relaxed) || is_python_finalizing()
}

fn is_python_finalizing() -> bool {
    // `_Py_IsFinalizing` up to CPython 3.12, `Py_IsFinalizing` from 3.13. Both only read a word.
    for name in [c"Py_IsFinalizing", c"_Py_IsFinalizing"] {
        // SAFETY: the name ends in a zero byte.
        let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        if !function.is_null() {
            // SAFETY: in every CPython that exports one of these names it takes nothing and returns an int.
            let function = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(function) };
            return function() != 0;
        }
    }
    false
}

/// The process this one was forked from, if that one was recording then.
pub fn parent() -> Option<Parent> {
    // SAFETY: null, or a leaked recording of the parent, of which only the path is read.
    let inherited = unsafe { PARENT.load(Ordering::Acquire).as_ref() }?;
    Some(Parent {
        capture: process::text(inherited.capture.as_os_str().as_encoded_bytes()),
        pid: PARENT_PID.load(Ordering::Relaxed),
        token: PARENT_TOKEN.load(Ordering::Relaxed),
    })
}

/// Whether this process was forked from one that was recording.
pub fn has_parent() -> bool {
    !PARENT.load(Ordering::Acquire).is_null()
}

/// Whether every other thread of the process has ended. A process without `exit` ends with its last thread, and
/// that must not be ours: `main` may have called `pthread_exit`.
pub fn is_last_thread() -> bool {
    let Ok(stat) = std::fs::read("/proc/self/stat") else { return false };
    // Of ended threads only the main one stays: it is a zombie until the process ends.
    let has_main_ended = matches!(process::field_of(&stat, 3), Some(b"Z" | b"X"));
    has_main_ended && process::field_of(&stat, 20) == Some(b"2")
}

/// Runs `wait`, which may block, with cancellation of the thread put off: it would unwind through us, and end the
/// host. A thread that is to be cancelled is, at its next own call that may block.
pub fn without_cancellation<T>(wait: impl FnOnce() -> T) -> T {
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    const DISABLE: c_int = 1;
    let mut before = 0;
    // SAFETY: `before` is a valid place for the answer.
    unsafe { pthread_setcancelstate(DISABLE, &raw mut before) };
    let result = wait();
    // SAFETY: gives back what was there.
    unsafe { pthread_setcancelstate(before, std::ptr::null_mut()) };
    result
}

/// Runs `spawn` with all signals blocked, which a new thread inherits.
pub fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` is a valid place for a set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was filled just now, `before` is a valid place for a set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let result = spawn();
    // SAFETY: `before` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result
}

/// Runs `write` so that the host does not get the signals of a failed write, which end a process by default:
/// SIGPIPE if nobody reads its standard error, SIGXFSZ at a limit on the size of files.
pub fn without_signals_of_writing<T>(write: impl FnOnce() -> T) -> T {
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let signals = set_of(&[libc::SIGPIPE, libc::SIGXFSZ]);
    // SAFETY: both are valid places for a set, and `signals` holds one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, before.as_mut_ptr()) };
    let waiting_before = [libc::SIGPIPE, libc::SIGXFSZ].map(is_pending);
    let result = write();
    for (signal, was_waiting) in [libc::SIGPIPE, libc::SIGXFSZ].into_iter().zip(waiting_before) {
        if !was_waiting {
            let (ours, at_once) = (set_of(&[signal]), libc::timespec { tv_sec: 0, tv_nsec: 0 });
            // SAFETY: `ours` holds a set; nothing is asked about the signal. With no time it never waits.
            unsafe { libc::sigtimedwait(&raw const ours, std::ptr::null_mut(), &raw const at_once) };
        }
    }
    // SAFETY: `before` was filled by the first call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result
}

fn set_of(signals: &[c_int]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: it is a valid place for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set was filled just now.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: as above.
    unsafe { set.assume_init() }
}

fn is_pending(signal: c_int) -> bool {
    let mut pending = set_of(&[]);
    // SAFETY: it is a valid place for a set.
    unsafe { libc::sigpending(&raw mut pending) };
    // SAFETY: `pending` holds a set.
    unsafe { libc::sigismember(&raw const pending, signal) == 1 }
}

/// In the parent, just before it forks: the child's ledger begins as the parent's at this event.
extern "C" fn before_fork() {
    THIS_FORK.set(0);
    WAS_STOPPED.set(state::get() == State::Stopped);
    guard::enter(|| {
        if let Some(pipeline) = pipeline::running() {
            let token = FORKS.fetch_add(1, Ordering::Relaxed) + 1;
            pipeline.offer(&Event::Fork { token });
            THIS_FORK.set(token);
        }
    });
}

/// In the child, on its only thread. Takes no lock and frees nothing: the parent's recording is left alone,
/// and the first event starts the child's own.
extern "C" fn in_child() {
    let parent = OWNER.swap(std::process::id(), Ordering::Relaxed);
    let token = THIS_FORK.get();
    if let Some(inherited) = pipeline::abandon() {
        inherited.spool.disown_thread();
        if token > 0 {
            PARENT.store(std::ptr::from_ref(inherited).cast_mut(), Ordering::Release);
            PARENT_PID.store(parent, Ordering::Relaxed);
            PARENT_TOKEN.store(token, Ordering::Relaxed);
        }
    }
    server::close_inherited();
    spool::forget_segment();
    state::next_generation();
    state::set(if WAS_STOPPED.get() { State::Stopped } else { State::Idle });
}

extern "C" fn at_very_end(_: *mut c_void) {
    end(Ending::Exit);
}

/// Finishes the recording of this very process.
fn end(ending: Ending) {
    if OWNER.load(Ordering::Relaxed) != std::process::id() {
        return;
    }
    guard::enter(|| {
        // If another thread is starting the recording, that is waited for: its capture would have no header, and
        // nobody would know whose its spool is.
        if state::get() != State::Idle
            && let Some(pipeline) = pipeline::start_or_wait()
        {
            pipeline.finish(ending, EXIT_PATIENCE);
        }
    });
}

/// Ends the process without destructors, once the last records are in the file: forked workers of Python's
/// `multiprocessing` end this way.
#[unsafe(no_mangle)]
pub extern "C" fn _exit(status: c_int) -> ! {
    end(Ending::ImmediateExit);
    // SAFETY: ends every thread of the process; nothing of ours is waited for any more.
    unsafe { libc::syscall(libc::SYS_exit_group, status) };
    std::process::abort()
}

/// The same under its C99 name.
#[unsafe(no_mangle)]
pub extern "C" fn _Exit(status: c_int) -> ! {
    _exit(status)
}
