//! From the host's threads to the worker: one order for all events of the process, batches, bounded memory.
//!
//! The order is decided under the lock that adds to the open batch. A full batch goes into a bounded channel;
//! when that is full, events are dropped and counted, never waited for. Definitions are never dropped: events
//! that name them may still come.
//!
//! This is the seam behind which the spool in shared memory will stand: `offer`, `define` and `flush` are all
//! that the front doors know.

use crate::state::{self, State};
use crate::{clock, lifecycle, report, worker};
use crossbeam_channel::{Receiver, Sender};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tt_memtrace_wire::{Ending, Event, Line, Place, Range};

/// Items in a batch.
const BATCH: usize = 256;
/// Full batches that may wait for the worker: with [`BATCH`], 32,768 items or about 5 MB.
const WAITING: usize = 128;
/// How long an event waits for another thread that is starting the recording.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// What goes to the worker, in order.
pub enum Item {
    /// An event; the worker numbers it.
    Event {
        /// When.
        t_ns: u64,
        /// On which thread.
        tid: u32,
        /// What.
        event: Event,
    },
    /// A definition that the events behind it use.
    Definition(Box<Line>),
}

/// The recording of one process.
pub struct Pipeline {
    open: Mutex<Open>,
    defined: Mutex<Defined>,
    waiting: Receiver<Vec<Item>>,
    written: AtomicU64,
    ending: Mutex<Option<Ending>>,
    is_finished: AtomicBool,
    worker: Mutex<Option<Thread>>,
    /// The capture, for a child that wants to name its parent's.
    pub capture: PathBuf,
}

struct Open {
    batch: Vec<Item>,
    full: Sender<Vec<Item>>,
    /// Items that were accepted since the start.
    accepted: u64,
    /// Events that were refused since the start.
    dropped: u64,
}

/// What the capture already defines, and what later events need to know of earlier ones.
#[derive(Default)]
pub struct Defined {
    /// Mesh devices.
    pub meshes: HashSet<u32>,
    /// Allocators, each with the mesh device it served.
    pub allocators: HashSet<(u64, u32)>,
    /// Sets of cores; the number is the position, from 1.
    pub cores: Vec<Vec<Range>>,
    /// The places of the devices that circular buffers were announced for, by the runtime's pointer.
    pub devices: HashMap<usize, Place>,
    /// Programs whose circular buffers are resident.
    pub programs_with_cbs: HashSet<u64>,
}

/// What the worker takes at once.
pub struct Taken {
    /// In order.
    pub items: Vec<Vec<Item>>,
    /// Events that were refused so far.
    pub dropped: u64,
    /// Items that were accepted so far; with `items` written, all of them are.
    pub accepted: u64,
}

/// Leaked on purpose: threads of the host may use it until the very end.
static CURRENT: AtomicPtr<Pipeline> = AtomicPtr::new(std::ptr::null_mut());

/// The running recording.
fn current() -> Option<&'static Pipeline> {
    // SAFETY: the pointer is null or came from `Box::leak` and is never freed.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// The running recording; the first call of a process starts it.
pub fn started() -> Option<&'static Pipeline> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match state::get() {
            State::Running => return current(),
            State::Idle if state::change(State::Idle, State::Starting) => start(),
            State::Idle | State::Starting if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_micros(50));
            }
            _ => return None,
        }
    }
}

/// The running recording, if there is one.
pub fn running() -> Option<&'static Pipeline> {
    if state::get() == State::Running { current() } else { None }
}

/// The running recording. A forked child that inherits buffers starts its own for this.
pub fn running_or_inherited() -> Option<&'static Pipeline> {
    if lifecycle::has_parent() { started() } else { running() }
}

/// In a forked child: leaves the parent's recording alone for good, and returns it to take its name from.
pub fn abandon() -> Option<&'static Pipeline> {
    let inherited = current();
    CURRENT.store(std::ptr::null_mut(), Ordering::Release);
    inherited
}

fn start() {
    match worker::open() {
        Ok((pipeline, run)) => {
            let pipeline: &'static Pipeline = Box::leak(Box::new(pipeline));
            CURRENT.store(std::ptr::from_ref(pipeline).cast_mut(), Ordering::Release);
            lifecycle::watch_exit();
            if run(pipeline) { state::set(State::Running) } else { state::set(State::Stopped) }
        }
        Err(line) => {
            report::say(report::Level::Error, line);
            state::set(State::Stopped);
        }
    }
}

impl Pipeline {
    /// A recording with nothing in it.
    pub fn new(capture: PathBuf) -> Self {
        let (full, waiting) = crossbeam_channel::bounded(WAITING);
        Self {
            open: Mutex::new(Open { batch: Vec::with_capacity(BATCH), full, accepted: 0, dropped: 0 }),
            defined: Mutex::new(Defined::default()),
            waiting,
            written: AtomicU64::new(0),
            ending: Mutex::new(None),
            is_finished: AtomicBool::new(false),
            worker: Mutex::new(None),
            capture,
        }
    }

    /// Records an event that happens now.
    pub fn offer(&self, event: Event) {
        let tid = clock::thread_id();
        let mut open = lock(&self.open);
        if !open.has_room() {
            open.dropped += 1;
            return;
        }
        // Read under the lock: within a capture the times then follow the order.
        let t_ns = clock::monotonic_ns();
        open.push(Item::Event { t_ns, tid, event });
    }

    /// Runs `define` with the definitions made so far; what it returns is added before any later event.
    ///
    /// The runtime may be asked questions in there: the guard keeps its answers from being recorded.
    pub fn define(&self, define: impl FnOnce(&mut Defined) -> Option<Line>) {
        let mut defined = lock(&self.defined);
        if let Some(line) = define(&mut defined) {
            lock(&self.open).push(Item::Definition(Box::new(line)));
        }
    }

    /// Waits until everything before this call is in the file, at most `patience`. True if it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let wanted = lock(&self.open).accepted;
        self.wait(patience, || self.written.load(Ordering::Acquire) >= wanted)
    }

    /// Ends the recording: the worker writes what is left and the footer. Waits at most `patience` for it.
    pub fn finish(&self, ending: Ending, patience: Duration) {
        lock(&self.ending).get_or_insert(ending);
        if !self.wait(patience, || self.is_finished.load(Ordering::Acquire)) {
            let left = lock(&self.open).accepted - self.written.load(Ordering::Acquire);
            report::say(report::Level::Error, format_args!("gave up at exit with {left} records unwritten"));
        }
        state::set(State::Stopped);
    }

    fn wait(&self, patience: Duration, done: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !done() {
            if Instant::now() >= deadline || state::get() == State::Stopped {
                return done();
            }
            if let Some(worker) = &*lock(&self.worker) {
                worker.unpark();
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        true
    }
}

/// The worker's side.
impl Pipeline {
    /// Who has to be woken for a flush.
    pub fn set_worker(&self, worker: Thread) {
        *lock(&self.worker) = Some(worker);
    }

    /// Everything that waits, in order.
    pub fn take(&self) -> Taken {
        // Under the lock: a batch that fills up meanwhile would overtake the open one.
        let mut open = lock(&self.open);
        let mut items: Vec<_> = self.waiting.try_iter().collect();
        if !open.batch.is_empty() {
            items.push(std::mem::replace(&mut open.batch, Vec::with_capacity(BATCH)));
        }
        Taken { items, dropped: open.dropped, accepted: open.accepted }
    }

    /// Says that the first `accepted` items are in the file.
    pub fn set_written(&self, accepted: u64) {
        self.written.store(accepted, Ordering::Release);
    }

    /// How the recording is to end, once it is.
    pub fn ending(&self) -> Option<Ending> {
        *lock(&self.ending)
    }

    /// Says that nothing more will be written.
    pub fn set_finished(&self) {
        self.is_finished.store(true, Ordering::Release);
    }
}

impl Open {
    /// One batch is always open: it takes the last events before the drops, and definitions beyond.
    fn has_room(&self) -> bool {
        self.batch.len() < BATCH
    }

    fn push(&mut self, item: Item) {
        self.accepted += 1;
        self.batch.push(item);
        if self.batch.len() >= BATCH && !self.full.is_full() {
            let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
            // It has room: only this side adds, and under the lock.
            let _ = self.full.try_send(batch);
        }
    }
}

/// A panic is caught in the guard and never leaves half a change behind, so poison means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
