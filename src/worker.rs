//! The one thread of ours: takes what the spool holds, puts it into order, writes it, and only then gives the
//! room back.

use crate::pipeline::Pipeline;
use crate::report::{self, Level};
use crate::server::Server;
use crate::sink::{Sink, Spill};
use crate::spool::Spool;
use crate::state::{self, State};
use crate::{clock, guard, lifecycle};
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};
use tt_memtrace_wire::record::BYTES;
use tt_memtrace_wire::spool::{Batch, Clock, Journal, Merge, Moved, Writer};
use tt_memtrace_wire::spool::{DURABLE, IDLE, PENDING, PHASE, SPILLING, WRITING, segment};
use tt_memtrace_wire::{Ending, Event, Footer, Line, Lost};

/// As other threads of Rust's have it.
const STACK_BYTES: usize = 2 << 20;
/// The worker sleeps between these while nothing comes, longer each time.
const SHORTEST_SLEEP: Duration = Duration::from_micros(500);
const LONGEST_SLEEP: Duration = Duration::from_millis(5);
/// While no more than so many slots come between two rounds, a hundredth of the spool, it sleeps, too, but no longer than
/// this: each round costs as much as a few hundred events.
const FEW_SLOTS: usize = 512;
const CALM_SLEEP: Duration = Duration::from_millis(2);
/// Drops alone are told this often.
const LOST_AGE: Duration = Duration::from_millis(100);
/// After so many idle rounds the worker looks whether it is alone.
const IDLE_ROUNDS: u32 = 20;
/// How often the clock is compared with the kernel's at least; at the start, more often.
const ANCHOR_AGE: Duration = Duration::from_millis(200);
/// More than this in the spool goes to the spill file first, to keep the spool empty.
const MOST_BEFORE_SPILL: usize = 16 * 1024;
/// So much of the spool is copied, formatted and written at once: all the memory that the worker takes is a small
/// multiple of it.
const SLOTS_AT_ONCE: usize = 2 * 1024;
/// So many pieces of the spill file are written before the spool is looked through again.
const PIECES_A_ROUND: usize = 4;

/// Starts the thread, with all signals blocked: the host's handlers run on the host's threads. (The standard library's
/// own way takes 6 KB.)
pub fn spawn(pipeline: &'static Pipeline, sink: Sink, spill: Spill, server: Option<Server>) -> bool {
    let worker = Box::into_raw(Box::new(Worker::new(pipeline, sink, spill, server)));
    // SAFETY: `main` gets the worker that it takes.
    let error = lifecycle::with_signals_blocked(|| unsafe { start(main, worker.cast()) });
    if error != 0 {
        // SAFETY: no thread has it.
        drop(unsafe { Box::from_raw(worker) });
        let error = io::Error::from_raw_os_error(error);
        report::say(Level::Error, format_args!("cannot start a thread: {error}; nothing is recorded"));
    }
    error == 0
}

/// Starts a thread that nobody waits for. The answer is the error, or 0.
///
/// # Safety
/// `main` may be called with `argument` on another thread.
unsafe fn start(main: extern "C" fn(*mut c_void) -> *mut c_void, argument: *mut c_void) -> c_int {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: a valid place for attributes.
    unsafe { libc::pthread_attr_init(attributes) };
    // The host's own limit may be too low, or far too high.
    // SAFETY: they were initialized just now.
    unsafe { libc::pthread_attr_setstacksize(attributes, STACK_BYTES) };
    // SAFETY: as above.
    unsafe { libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED) };
    let mut thread = 0;
    // SAFETY: valid places, and the caller's contract.
    let error = unsafe { libc::pthread_create(&raw mut thread, attributes, main, argument) };
    // SAFETY: as above.
    unsafe { libc::pthread_attr_destroy(attributes) };
    error
}

extern "C" fn main(worker: *mut c_void) -> *mut c_void {
    // SAFETY: a text that ends in a zero byte.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"tt-memtrace".as_ptr()) };
    // SAFETY: `spawn` gave it away.
    let worker = unsafe { Box::from_raw(worker.cast::<Worker>()) };
    // A panic has been said by the time it gets here; the host goes on.
    let _ = catch_unwind(AssertUnwindSafe(|| worker.run()));
    std::ptr::null_mut()
}

struct Worker {
    pipeline: &'static Pipeline,
    spool: &'static Spool,
    sink: Sink,
    spill: Spill,
    server: Option<Server>,
    /// The flush that waits for the server, and the event it waits for.
    asked: (u64, u64),
    /// The last flush that has what it wants.
    flushed: u64,
    /// The slots that the last round found.
    n_found: usize,
    /// What the files hold.
    journal: Journal,
    /// What the spool holds.
    merge: Merge,
    /// The piece that is being written, as records, as lines or as the spill file has it.
    batch: Batch,
    lines: Vec<u8>,
    raw: Vec<u8>,
    /// When drops were told last.
    told: Instant,
}

/// What a round found to do.
#[derive(PartialEq, Eq)]
enum Round {
    /// Nothing: all is in the file.
    Idle,
    /// All that was found is in the file.
    Written,
    /// Some of it waits in the spill file or the spool.
    Behind,
}

impl Worker {
    fn new(pipeline: &'static Pipeline, sink: Sink, spill: Spill, server: Option<Server>) -> Self {
        let spool = &pipeline.spool;
        let journal = Journal { capture_bytes: sink.length(), ..Journal::default() };
        Self {
            pipeline,
            spool,
            sink,
            spill,
            server,
            asked: (0, 0),
            flushed: 0,
            n_found: 0,
            journal,
            merge: Merge::new(spool.layout()),
            batch: Batch::default(),
            lines: Vec::new(),
            raw: Vec::new(),
            told: Instant::now(),
        }
    }

    fn run(mut self) {
        guard::stay_inside();
        self.pipeline.set_worker(thread::current());
        self.spool.prefault();
        let mut sleep = SHORTEST_SLEEP;
        let (mut n_idle, mut n_alone) = (0_u32, 0);
        let started = Instant::now();
        let mut anchored = started;
        loop {
            // Asked first: what is found afterwards is all that they can want.
            let (ending, ticket) = (self.pipeline.ending(), self.pipeline.flush_wanted());
            // Before anything is written: a server that is there sees every event.
            if let Some(server) = &mut self.server {
                server.turn(ticket > self.flushed);
            }
            if anchored.elapsed() > (started.elapsed() / 8).min(ANCHOR_AGE) {
                self.spool.renew_anchor();
                anchored = Instant::now();
            }
            let round = match self.round() {
                Ok(round) => round,
                Err(error) => return self.give_up(&error),
            };
            if round != Round::Behind {
                self.note_flushed(ticket);
            }
            match (round, ending) {
                // Other threads may go on recording until the very end; they are not waited for.
                (Round::Idle | Round::Written, Some(ending)) => return self.finish(ending),
                (Round::Idle, None) => {
                    thread::park_timeout(sleep);
                    sleep = (sleep * 2).min(LONGEST_SLEEP);
                    n_idle += 1;
                    if n_idle.is_multiple_of(IDLE_ROUNDS) {
                        // The process would end now if it were not for us. Asked twice: a thread may have started
                        // another one, and ended, while the list was read.
                        n_alone = if lifecycle::is_last_thread() { n_alone + 1 } else { 0 };
                        if n_alone == 2 {
                            state::set(State::Stopped);
                            return self.finish(Ending::Exit);
                        }
                    }
                }
                (Round::Written, None) if self.n_found <= FEW_SLOTS => {
                    thread::park_timeout(sleep);
                    (sleep, n_idle) = ((sleep * 2).min(CALM_SLEEP), 0);
                }
                _ => (sleep, n_idle) = (SHORTEST_SLEEP, 0),
            }
        }
    }

    /// What was asked for by that flush is in the file: it is done as soon as the server, if there is one, has it too.
    fn note_flushed(&mut self, ticket: u64) {
        let (asked, n) = self.asked;
        match &self.server {
            None => self.flushed = ticket,
            Some(server) if server.has(n) => (self.flushed, self.asked) = (asked, (ticket, self.journal.n)),
            Some(_) => return,
        }
        self.pipeline.set_flushed(self.flushed);
    }

    /// Takes everything that is in the spool and writes it, or, if that is too much at once, moves it to the
    /// spill file and writes the oldest of that.
    fn round(&mut self) -> io::Result<Round> {
        self.find();
        self.n_found = self.merge.n_slots();
        let n_dropped = self.spool.n_dropped();
        let is_behind = self.is_behind();
        if self.merge.is_empty() && !is_behind {
            // Only drops: they are told now and then, or a full spool would fill the disk with them.
            if n_dropped == self.journal.dropped || self.told.elapsed() < LOST_AGE {
                return Ok(Round::Idle);
            }
            self.batch.clear();
            self.write(self.journal, false, n_dropped)?;
            return Ok(Round::Written);
        }
        if !is_behind && self.merge.n_slots() <= MOST_BEFORE_SPILL {
            self.write_found(n_dropped)?;
            return Ok(Round::Written);
        }
        self.spill_found();
        if !self.is_behind() {
            // The spill file cannot be written: the slower way.
            self.find();
            self.write_found(n_dropped)?;
        }
        for _ in 0..PIECES_A_ROUND {
            if self.is_behind() {
                self.write_spilled(n_dropped)?;
            }
        }
        Ok(Round::Behind)
    }

    /// Whether something waits in the spill file.
    fn is_behind(&self) -> bool {
        self.journal.spilled_bytes > self.journal.unspilled_bytes
    }

    fn find(&mut self) {
        let spool = self.spool;
        self.merge.find(&|at| spool.load(at), &|| spool.n_used());
        if self.merge.is_empty() {
            // Segments of threads that ended with nothing left to read.
            self.free_segments();
        }
    }

    /// The next piece of what was found. False if there is none.
    fn take_piece(&mut self) -> bool {
        let spool = self.spool;
        self.batch.clear();
        self.merge.take(&|at| spool.load(at), SLOTS_AT_ONCE, &mut self.batch);
        !self.batch.is_empty()
    }

    fn write_found(&mut self, n_dropped: u64) -> io::Result<()> {
        while self.take_piece() {
            // Drops are newer than what the spool held then.
            let n_dropped = if self.merge.is_empty() { n_dropped } else { self.journal.dropped };
            self.write(self.journal, true, n_dropped)?;
        }
        Ok(())
    }

    /// Moves what was found to the spill file. If that is full or cannot be written, the rest stays in the spool,
    /// and when that is full, events are dropped and counted.
    fn spill_found(&mut self) {
        while self.take_piece() {
            self.raw.clear();
            self.batch.to_spill(&mut self.raw);
            let spilled_bytes = self.journal.spilled_bytes + self.raw.len() as u64;
            let journal = Journal { spilled_bytes, ..self.journal };
            self.announce(SPILLING, journal, true);
            if !self.spill.append(self.journal.spilled_bytes, &self.raw) {
                return self.withdraw();
            }
            self.settle(journal, true);
        }
    }

    /// Writes the oldest of what the spill file holds.
    fn write_spilled(&mut self, n_dropped: u64) -> io::Result<()> {
        let Journal { spilled_bytes, unspilled_bytes, .. } = self.journal;
        let length = (spilled_bytes - unspilled_bytes).min((SLOTS_AT_ONCE * BYTES) as u64);
        self.raw.resize(usize::try_from(length).unwrap_or(0), 0);
        self.spill.read(unspilled_bytes, &mut self.raw)?;
        self.batch.clear();
        let taken = self.batch.read_spilled(&self.raw, usize::MAX) as u64;
        let journal = Journal { unspilled_bytes: unspilled_bytes + taken, ..self.journal };
        self.write(journal, false, n_dropped)?;
        if !self.is_behind() {
            self.journal.spilled_bytes = 0;
            self.journal.unspilled_bytes = 0;
            self.store(DURABLE, self.journal);
            self.spill.empty();
        }
        Ok(())
    }

    /// Writes the piece to the capture.
    fn write(&mut self, mut journal: Journal, is_from_spool: bool, n_dropped: u64) -> io::Result<()> {
        self.lines.clear();
        let spool = self.spool;
        let allocator = |position| spool.allocator_number(position);
        let mut writer = Writer { n: journal.n, clock: Clock::load(|at| spool.load(at)), allocator };
        for record in self.batch.records() {
            let live = self.server.as_mut().map(Server::live);
            writer.write_and_tell(record, &mut self.lines, live);
        }
        if n_dropped > journal.dropped {
            let lost = Event::Lost(Lost { dropped: n_dropped - journal.dropped });
            writer.event(clock::monotonic_ns(), clock::thread_id(), 0, lost, &mut self.lines);
            journal.dropped = n_dropped;
            self.told = Instant::now();
        }
        journal.n = writer.n;
        journal.capture_bytes += self.lines.len() as u64;
        self.announce(WRITING, journal, is_from_spool);
        self.sink.write(&self.lines)?;
        self.settle(journal, is_from_spool);
        if let Some(server) = &mut self.server {
            server.take(&self.lines, journal.n, journal.dropped);
        }
        Ok(())
    }

    /// Writes down what will be true once the file has its new length.
    fn announce(&self, phase: u64, journal: Journal, is_from_spool: bool) {
        self.store(PENDING, journal);
        if is_from_spool {
            self.store_reads(segment::PENDING_READ);
        }
        self.spool.store(PHASE, phase);
    }

    /// The file has it: makes it true, and gives the room back.
    fn settle(&mut self, journal: Journal, is_from_spool: bool) {
        self.journal = journal;
        self.store(DURABLE, journal);
        if is_from_spool {
            self.store_reads(segment::READ);
        }
        self.spool.store(PHASE, IDLE);
        if is_from_spool {
            self.free_segments();
        }
    }

    /// The file does not have it: nothing has changed.
    fn withdraw(&self) {
        self.spool.store(PHASE, IDLE);
        let layout = self.spool.layout();
        for segment in 0..layout.n_segments {
            let read = self.spool.load(layout.segment_word(segment, segment::READ));
            self.spool.store(layout.segment_word(segment, segment::PENDING_READ), read);
        }
    }

    fn store(&self, at: usize, journal: Journal) {
        for (i, word) in journal.to_words().into_iter().enumerate() {
            self.spool.store(at + i, word);
        }
    }

    /// Of the segments that were touched. In all others both words say the same.
    fn store_reads(&self, word: usize) {
        for Moved { segment, generation, read, .. } in self.merge.moved() {
            self.spool.store(self.spool.layout().segment_word(segment, word), generation << 32 | read as u64);
        }
    }

    /// Each once: a segment that was freed may have another owner by now.
    fn free_segments(&mut self) {
        for Moved { segment, generation, .. } in self.merge.moved().filter(|moved| moved.is_done) {
            self.spool.free(segment, generation);
        }
        self.merge.forget_moved();
    }

    /// Recording stops; what is in the spool stays there for readers.
    fn give_up(&self, error: &io::Error) {
        let path = self.sink.path().display();
        report::say(Level::Error, format_args!("cannot write {path}: {error}; recording stops here"));
        if !self.sink.path().exists() {
            // Nothing names the spool any more.
            self.spill.remove();
            self.spool.remove();
        }
        state::set(State::Stopped);
        self.pipeline.set_finished();
    }

    fn finish(mut self, ended: Ending) {
        let n_dropped = self.spool.n_dropped();
        if n_dropped > self.journal.dropped {
            self.batch.clear();
            // If this fails, so will the footer.
            let _ = self.write(self.journal, false, n_dropped);
        }
        let Journal { n: recorded, dropped, .. } = self.journal;
        self.lines.clear();
        Line::Footer(Footer { t_ns: clock::monotonic_ns(), recorded, dropped, ended })
            .write_to(&mut self.lines);
        // A failure here loses the footer alone; the capture then reads as one of a killed process.
        if self.sink.write(&self.lines).is_ok() {
            // The spool last: as long as it is there, readers look for what else there is.
            self.spill.remove();
            self.spool.remove();
        }
        if let Some(server) = &mut self.server {
            server.finish(&self.lines);
        }
        self.pipeline.set_finished();
    }
}
