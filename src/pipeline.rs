//! The recording of a process: where both front doors leave events, and what the capture already defines.
//!
//! Events go into the spool and are in the file soon after; nothing here waits for that but `flush` and
//! `finish`. Definitions go the same way, before the first event that needs them.

use crate::attribution::{self, Names};
use crate::spool::Spool;
use crate::state::{self, State};
use crate::table::{self, Table};
use crate::{lifecycle, opening, report};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tt_memtrace_wire::record::{
    self, Encoded, Slot, encode, encode_alloc, encode_dealloc, encode_definition, with_context,
};
use tt_memtrace_wire::{Alloc, Cores, Dealloc, Ending, Event, Line, Mesh, Place, Range};

/// How long an event waits for another thread that is starting the recording.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Definitions found no room: they have to go first.
const UNSENT: u8 = 1;
/// Each event has a context.
const STACKS: u8 = 2;

/// The recording of one process.
pub struct Pipeline {
    /// Where the events are until they are in the file.
    pub spool: Spool,
    /// The capture.
    pub capture: PathBuf,
    defined: Mutex<Defined>,
    names: Mutex<Names>,
    /// What an event has to wait for, or needs beside itself: [`UNSENT`], [`STACKS`]. 0 nearly always.
    extra: AtomicU8,
    flush_wanted: AtomicU64,
    flush_done: AtomicU64,
    ending: Mutex<Option<Ending>>,
    is_finished: AtomicBool,
    worker: Mutex<Option<Thread>>,
}

/// What the capture already defines, and what later events need to know of earlier ones.
#[derive(Default)]
pub struct Defined {
    facts: Table,
    /// Sets of cores; the number is the position, from 1.
    pub cores: Vec<Vec<Range>>,
    /// Definitions that found no room: no event may pass before them.
    unsent: Vec<Vec<u8>>,
}

/// What the recording remembers.
#[derive(Clone, Copy)]
pub enum Fact {
    /// A mesh device is defined.
    Mesh(u32),
    /// A mesh device was closed.
    Closed(u32),
    /// A device was opened to be used alone.
    LoneDevice(u32),
    /// An allocator is defined, with the mesh device it served.
    Allocator(u64, u32),
    /// The circular buffers of a program are resident.
    HasCbs(u64),
    /// A device, by the runtime's pointer, is at a place.
    IsAt(usize),
}

impl Fact {
    fn key(self) -> [u64; 2] {
        let (kind, which, number) = match self {
            Self::Mesh(mesh_id) => (0, 0, mesh_id),
            Self::Closed(mesh_id) => (1, 0, mesh_id),
            Self::LoneDevice(device_id) => (2, 0, device_id),
            Self::Allocator(allocator, mesh_id) => (3, allocator, mesh_id),
            Self::HasCbs(program) => (4, program, 0),
            Self::IsAt(device) => (5, device as u64, 0),
        };
        [which, kind << 32 | u64::from(number)]
    }
}

impl Defined {
    /// Remembers the fact. True if it is new.
    pub fn add(&mut self, fact: Fact) -> bool {
        self.facts.insert(fact.key(), [0; 4]).is_none()
    }

    /// Forgets the fact. True if it was known.
    pub fn remove(&mut self, fact: Fact) -> bool {
        self.facts.remove(&fact.key()).is_some()
    }

    /// Remembers the place of a device that circular buffers were announced for.
    pub fn set_place(&mut self, device: usize, place: Place) {
        let (is_mesh, number) = match place {
            Place::Chip(chip) => (0, chip),
            Place::Mesh(mesh_id) => (1, mesh_id),
        };
        self.facts.insert(Fact::IsAt(device).key(), [is_mesh, number, 0, 0]);
    }

    /// The place of a device, if it is remembered.
    pub fn place(&self, device: usize) -> Option<Place> {
        let [is_mesh, number, ..] = table::find(&self.facts, Fact::IsAt(device).key())?;
        Some(if is_mesh == 1 { Place::Mesh(number) } else { Place::Chip(number) })
    }
}

/// Leaked on purpose: threads of the host may use it until the very end.
static CURRENT: AtomicPtr<Pipeline> = AtomicPtr::new(std::ptr::null_mut());

/// The recording, whether it runs or has ended.
#[inline(always)]
pub fn current() -> Option<&'static Pipeline> {
    // SAFETY: the pointer is null or came from `Box::leak` and is never freed.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// The running recording; the first call of a process starts it.
#[inline(always)]
pub fn started() -> Option<&'static Pipeline> {
    if state::get() == State::Running { current() } else { start_or_wait() }
}

/// The same, where it is not expected to run already.
#[cold]
pub fn start_or_wait() -> Option<&'static Pipeline> {
    lifecycle::without_cancellation(start_or_poll)
}

fn start_or_poll() -> Option<&'static Pipeline> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match state::get() {
            State::Running => return current(),
            // A signal handler that left a start by a jump would leave all other threads waiting for its end.
            State::Idle => lifecycle::with_signals_blocked(|| {
                if state::change(State::Idle, State::Starting) {
                    start();
                }
            }),
            State::Starting if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_micros(50));
            }
            _ => return None,
        }
    }
}

/// The running recording, if there is one.
#[inline(always)]
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

/// Counts an event that came while its thread was inside another one: from a signal handler.
#[cold]
pub fn count_reentry() {
    if let Some(pipeline) = running() {
        pipeline.spool.count_dropped(0);
    }
}

fn start() {
    match opening::open() {
        Ok((pipeline, run)) => {
            let pipeline: &'static Pipeline = Box::leak(Box::new(pipeline));
            CURRENT.store(std::ptr::from_ref(pipeline).cast_mut(), Ordering::Release);
            lifecycle::watch_exit();
            state::set(if run(pipeline) { State::Running } else { State::Stopped });
        }
        Err(line) => {
            report::say(report::Level::Error, format_args!("{line}"));
            state::set(State::Stopped);
        }
    }
}

impl Pipeline {
    /// A recording with nothing in it.
    pub fn new(spool: Spool, capture: PathBuf) -> Self {
        Self {
            spool,
            capture,
            defined: Mutex::default(),
            names: Mutex::default(),
            extra: AtomicU8::new(if attribution::is_on() { STACKS } else { 0 }),
            flush_wanted: AtomicU64::new(0),
            flush_done: AtomicU64::new(0),
            ending: Mutex::new(None),
            is_finished: AtomicBool::new(false),
            worker: Mutex::new(None),
        }
    }

    /// Records an allocation that happens now.
    #[inline(always)]
    pub fn offer_alloc(&self, alloc: &Alloc) {
        if !self.offer_alloc_briefly(alloc) {
            self.offer(&Event::Alloc(alloc.clone()));
        }
    }

    /// Records a deallocation that happens now.
    #[inline(always)]
    pub fn offer_dealloc(&self, dealloc: &Dealloc) {
        if !self.offer_dealloc_briefly(dealloc) {
            self.offer(&Event::Dealloc(dealloc.clone()));
        }
    }

    /// Records an allocation if nothing has to be done before and the thread's segment has room: no lock, no system
    /// call, no panic. Else nothing is recorded or counted, and the answer is false.
    #[inline(always)]
    pub fn offer_alloc_briefly(&self, alloc: &Alloc) -> bool {
        let slot = encode_alloc(alloc, 0, |number| self.spool.known_allocator(number));
        slot.is_some_and(|slot| self.offer_slot(slot))
    }

    /// The same for a deallocation.
    #[inline(always)]
    pub fn offer_dealloc_briefly(&self, dealloc: &Dealloc) -> bool {
        self.offer_slot(encode_dealloc(dealloc, 0))
    }

    #[inline(always)]
    fn offer_slot(&self, slot: Slot) -> bool {
        match self.extra.load(Ordering::Relaxed) {
            0 => self.spool.push_here(&slot),
            extra => extra & UNSENT == 0 && self.offer_slot_in_context(slot),
        }
    }

    #[inline(never)]
    fn offer_slot_in_context(&self, slot: Slot) -> bool {
        attribution::known().is_some_and(|ctx| self.spool.push_here(&with_context(slot, ctx)))
    }

    fn has_unsent(&self) -> bool {
        self.extra.load(Ordering::Relaxed) & UNSENT != 0
    }

    /// Records any event that happens now: one call, no code of its own where it is made.
    #[inline(never)]
    pub fn offer(&self, event: &Event) {
        let ctx = attribution::context(self);
        self.offer_encoded(&encode(event, ctx, |number| self.spool.allocator_position(number)));
    }

    /// Records an event that happens now, from its record.
    #[inline(never)]
    pub fn offer_encoded(&self, encoded: &Encoded<'_>) {
        if self.has_unsent() && !self.send_definitions() {
            self.spool.count_dropped(record::kind_number(&encoded.slot));
            return;
        }
        self.spool.push(encoded);
    }

    /// Runs `define` with the definitions made so far; what it returns is added before any later event.
    ///
    /// The runtime may be asked questions in there: the guard keeps its answers from being recorded.
    #[inline(always)]
    pub fn define(&self, define: impl FnOnce(&mut Defined) -> Option<Line>) {
        let mut defined = lock(&self.defined);
        let line = define(&mut defined);
        self.add_definition(defined, line);
    }

    #[inline(never)]
    fn add_definition(&self, mut defined: MutexGuard<'_, Defined>, line: Option<Line>) {
        if let Some(line) = line {
            self.send_definition(&mut defined, line);
        }
    }

    /// What contexts are defined. Taken before what [`Self::define`] takes.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }

    #[inline(never)]
    fn send_definition(&self, defined: &mut Defined, line: Line) {
        let mut bytes = Vec::new();
        line.write_to(&mut bytes);
        if bytes.len() > record::MOST_TAIL {
            bytes.clear();
            without_list(line).write_to(&mut bytes);
        }
        if !defined.unsent.is_empty() || !self.spool.push(&encode_definition(&bytes)) {
            defined.unsent.push(bytes);
            self.extra.fetch_or(UNSENT, Ordering::Relaxed);
        }
    }

    /// Tries again to add the definitions that found no room.
    #[cold]
    fn send_definitions(&self) -> bool {
        let mut defined = lock(&self.defined);
        while let Some(line) = defined.unsent.first() {
            if !self.spool.push(&encode_definition(line)) {
                return false;
            }
            defined.unsent.remove(0);
        }
        self.extra.fetch_and(!UNSENT, Ordering::Relaxed);
        true
    }

    /// Waits until everything before this call is in the file, at most `patience`. True if it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let ticket = self.flush_wanted.fetch_add(1, Ordering::AcqRel) + 1;
        let is_over = || self.is_finished.load(Ordering::Acquire);
        let is_done = || self.flush_done.load(Ordering::Acquire) >= ticket;
        self.wait(patience, || is_done() || is_over()) && is_done()
    }

    /// Ends the recording: the worker writes what is left and the footer. Waits at most `patience` for it; what
    /// is not written by then stays in the spool, where readers find it. Other threads that go on until the very
    /// end are no longer recorded, or the worker might never catch up with them.
    pub fn finish(&self, ending: Ending, patience: Duration) {
        lock(&self.ending).get_or_insert(ending);
        state::set(State::Stopped);
        let is_finished = self.wait(patience, || self.is_finished.load(Ordering::Acquire));
        // `_exit` may come from a signal handler that interrupted the allocator: nothing may be formatted then.
        if !is_finished && ending == Ending::Exit {
            let spool = self.spool.path().display();
            report::say(report::Level::Warn, format_args!("the last records are still in {spool}"));
        }
    }

    fn wait(&self, patience: Duration, is_done: impl Fn() -> bool) -> bool {
        lifecycle::without_cancellation(|| self.poll(patience, is_done))
    }

    fn poll(&self, patience: Duration, is_done: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !is_done() {
            if Instant::now() >= deadline {
                return false;
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

    /// The last flush that was asked for. All that it wants is in the spool.
    pub fn flush_wanted(&self) -> u64 {
        self.flush_wanted.load(Ordering::Acquire)
    }

    /// Says that this flush, and all before it, have what they want.
    pub fn set_flushed(&self, ticket: u64) {
        self.flush_done.store(ticket, Ordering::Release);
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

/// A list that no record can hold is a mistake of the caller's: the definition is made without it.
fn without_list(line: Line) -> Line {
    match line {
        Line::Cores(cores) => Line::Cores(Cores { ranges: Vec::new(), ..cores }),
        Line::Mesh(mesh) => Line::Mesh(Mesh { chips: Vec::new(), ..mesh }),
        other => other,
    }
}

/// A panic is caught in the guard and never leaves half a change behind, so poison means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
