//! The processes that the server knows, and what they share. Every line that a process tells passes here, whichever
//! protocol it speaks: into that process's ledger, into the sums of the chips, and past the observer.

use super::board::{Board, inherited};
use super::legacy::Refused;
use super::peer::Peer;
use super::picture;
use super::process::{AtFork, Process, ProcessInfo, ProcessState, Protocol, Retold, Status};
use crate::clock::wall_ns;
use crate::orphans;
use crate::state::Note;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tt_memtrace_ledger::{Conclusion, Effect, Ledger};
use tt_memtrace_wire::{Ending, Event, Header, Line, LineError, Parent};

/// So many processes that are over are shown.
const N_OVER: usize = 64;
/// So many notes are kept.
const N_NOTES: usize = 100;
/// A child's hello may overtake its parent's line about the fork; so long it waits for that.
const FORK_PATIENCE: Duration = Duration::from_secs(2);
/// A process whose end cannot be seen from here is taken for dead so long after its connection ended.
const UNSEEN_PATIENCE: Duration = Duration::from_secs(10);

/// Sees what processes tell, and how they come and go. Called with that process locked: it must not wait.
pub trait Observer: Send + Sync {
    /// A process is seen for the first time, or its connection is back.
    fn connected(&self, process: &ProcessInfo, is_back: bool, is_orphan: bool);
    /// It told a line, which is in the ledger already.
    fn line(&self, process: &ProcessInfo, line: &Line, effect: &Effect, ledger: &Ledger);
    /// It told anew of all it holds; so many events were not seen here.
    fn retold(&self, process: &ProcessInfo, ledger: &Ledger, n_skipped: u64);
    /// Its connection ended, but it runs as far as is known; or why nothing more is taken from it.
    fn disconnected(&self, process: &ProcessInfo, why: Option<&str>);
    /// It is over; the ledger still has what it held.
    fn ended(&self, process: &ProcessInfo, how: End, ledger: &Ledger);
    /// Something about the server itself, worth a line.
    fn say(&self, text: &str);
    /// Something that a client of the earlier protocol sent is not taken.
    fn refused(&self, who: &str, refused: &Refused) {
        self.say(&format!("{who}: {refused}"));
    }
    /// A text that somebody asked to have printed here, with its last newline.
    fn print(&self, text: String);
    /// Whether it speaks as the earlier server did, so that answers shall, too.
    fn is_classic(&self) -> bool {
        false
    }
    /// Called about once a second.
    fn tick(&self, hub: &Hub);
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It said so.
    Exited(Ending),
    /// It is gone and did not say so.
    Killed,
    /// It is gone, and speaks a protocol in which nobody says so.
    Unsaid,
    /// Nothing was heard of it any more, and it cannot be seen from here.
    Vanished,
}

/// All that the server knows.
pub struct Hub {
    /// Where it listens.
    pub source: String,
    /// When it began, nanoseconds since 1970.
    pub since_wall_ns: u64,
    /// Who is told.
    pub observer: Box<dyn Observer>,
    processes: Mutex<Processes>,
    board: Mutex<Board>,
    notes: Mutex<VecDeque<Note>>,
    /// 0 if there is none.
    baseline_wall_ns: AtomicU64,
    /// Events of processes that are over and no longer shown.
    forgotten: Mutex<Counts>,
}

/// What is counted over all processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events seen.
    pub n_events: u64,
    /// Events recorders dropped.
    pub n_dropped: u64,
    /// Events not seen.
    pub n_skipped: u64,
}

impl Counts {
    /// Adds those of a process.
    pub fn add(&mut self, of: &ProcessState) {
        self.n_events = self.n_events.saturating_add(of.n_events);
        self.n_dropped = self.n_dropped.saturating_add(of.n_dropped);
        self.n_skipped = self.n_skipped.saturating_add(of.n_skipped);
    }
}

#[derive(Default)]
struct Processes {
    n_known: u64,
    running: Vec<Arc<Process>>,
    over: VecDeque<Arc<Process>>,
}

/// A guard that nothing can poison: what a failed thread leaves is a whole number of changes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Without a process.
    pub fn new(source: String, observer: Box<dyn Observer>) -> Self {
        Self {
            source,
            since_wall_ns: wall_ns(),
            observer,
            processes: Mutex::default(),
            board: Mutex::default(),
            notes: Mutex::default(),
            baseline_wall_ns: AtomicU64::new(0),
            forgotten: Mutex::default(),
        }
    }

    /// A process connects, for the first time or again. The number is that of the connection: an earlier one of the
    /// same process may say nothing from now on.
    pub fn enter(&self, header: Header, peer: Arc<Peer>, protocol: Protocol) -> (Arc<Process>, u64) {
        if let Some(found) = self.reenter(&header, &peer, protocol) {
            return found;
        }
        let parent = header.parent.as_ref().and_then(|parent| self.at_fork(&header, parent));
        let mut processes = lock(&self.processes);
        processes.n_known += 1;
        let info = ProcessInfo { id: processes.n_known, header, peer, protocol, since_wall_ns: wall_ns() };
        let process = Arc::new(Process::new(info, parent));
        processes.running.push(Arc::clone(&process));
        let mut state = process.lock();
        drop(processes);
        self.settle(&process, &mut state);
        state.connection = 1;
        self.observer.connected(&process.info, false, state.is_orphan());
        drop(state);
        (process, 1)
    }

    fn reenter(&self, header: &Header, peer: &Peer, protocol: Protocol) -> Option<(Arc<Process>, u64)> {
        let processes = lock(&self.processes);
        let process = processes.running.iter().find(|known| known.info.is(header, peer, protocol))?;
        let (process, mut state) = (Arc::clone(process), process.lock());
        if state.status.is_over() {
            return None;
        }
        state.connection += 1;
        state.retold = None;
        state.status = Status::Running;
        let connection = state.connection;
        self.observer.connected(&process.info, true, state.is_orphan());
        drop(state);
        Some((process, connection))
    }

    /// The parent of a forked child, and what it held at the fork.
    fn at_fork(&self, child: &Header, parent: &Parent) -> Option<(Arc<Process>, AtFork)> {
        let deadline = Instant::now() + FORK_PATIENCE;
        loop {
            let parents: Vec<Arc<Process>> = self.all().into_iter().rev().collect();
            let mut may_come = false;
            for process in parents {
                let Header { pid, pid_namespace, boot_id, .. } = &process.info.header;
                if (*pid, pid_namespace, boot_id) != (parent.pid, &child.pid_namespace, &child.boot_id) {
                    continue;
                }
                let state = process.lock();
                may_come |= !state.status.is_over();
                let found = state.at_fork(parent.token);
                drop(state);
                if let Some(ledger) = found {
                    return Some((process, ledger));
                }
            }
            if !may_come || Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Those that run, then those that are over, each in the order in which they came.
    pub fn all(&self) -> Vec<Arc<Process>> {
        let processes = lock(&self.processes);
        processes.running.iter().chain(&processes.over).cloned().collect()
    }

    /// Lets one connection of a process speak. `None` if a later one took over, or the process is over.
    pub fn batch<'a>(&'a self, process: &'a Process, connection: u64) -> Option<Batch<'a>> {
        let state = process.lock();
        (state.connection == connection && !state.status.is_over()).then_some(Batch {
            hub: self,
            process,
            state,
        })
    }

    /// A connection of a process ended. If the process is dead, so are its buffers.
    pub fn leave(&self, process: &Arc<Process>, connection: u64, why: Option<&str>) {
        let mut state = process.lock();
        if state.connection != connection || state.status.is_over() {
            return;
        }
        state.retold = None;
        state.status = Status::Disconnected;
        state.disconnected_wall_ns = wall_ns();
        let is_known_dead = process.info.peer.is_dead() == Some(true);
        if why.is_some() || !is_known_dead {
            self.observer.disconnected(&process.info, why);
        }
        drop(state);
        if is_known_dead {
            self.end(process, silent_end(process));
        }
    }

    /// Looks after those whose connection ended. To be called several times a second.
    pub fn look_after(&self) {
        for process in self.all() {
            let state = process.lock();
            if state.status != Status::Disconnected {
                continue;
            }
            let since = Duration::from_nanos(wall_ns().saturating_sub(state.disconnected_wall_ns));
            drop(state);
            match process.info.peer.is_dead() {
                Some(true) => self.end(&process, silent_end(&process)),
                None if since > UNSEEN_PATIENCE => self.end(&process, End::Vanished),
                _ => {}
            }
        }
    }

    /// A process is over: what it held is gone from every sum.
    pub fn end(&self, process: &Arc<Process>, how: End) {
        let mut state = process.lock();
        if state.status.is_over() {
            return;
        }
        self.end_locked(process, &mut state, how);
        drop(state);
        if let (End::Killed, Some(spool)) = (how, &process.info.header.spool) {
            orphans::remove_untold(Path::new(spool));
        }
        let mut processes = lock(&self.processes);
        processes.running.retain(|known| !Arc::ptr_eq(known, process));
        processes.over.push_back(Arc::clone(process));
        if processes.over.len() > N_OVER
            && let Some(oldest) = processes.over.pop_front()
        {
            drop(processes);
            lock(&self.forgotten).add(&oldest.lock());
        }
    }

    fn end_locked(&self, process: &Process, state: &mut ProcessState, how: End) {
        self.settle(process, state);
        self.observer.ended(&process.info, how, &state.ledger);
        let (status, conclusion) = match how {
            End::Exited(ending) => {
                state.ending = Some(ending);
                (Status::Exited, Conclusion::Exit)
            }
            End::Unsaid => (Status::Exited, Conclusion::Exit),
            End::Killed | End::Vanished => (Status::Killed, Conclusion::Death),
        };
        state.status = status;
        state.ledger.finish(conclusion);
        state.last_word = Some(picture::process(process, state));
        state.forget();
        process.set_over();
        lock(&self.board).clear(&mut state.share);
    }

    fn settle(&self, process: &Process, state: &mut ProcessState) {
        let has_gaps = state.has_gaps();
        let ProcessState { ledger, share, inherited_share, .. } = state;
        let inherited =
            process.has_parent().then(|| &*inherited_share.get_or_insert_with(|| inherited(ledger)));
        lock(&self.board).settle(share, ledger, inherited, has_gaps);
    }

    /// Keeps a note; `process` 0 stands for all.
    pub fn note(&self, process: u64, text: String) {
        let mut notes = lock(&self.notes);
        if notes.len() >= N_NOTES {
            notes.pop_front();
        }
        notes.push_back(Note { wall_ns: wall_ns(), process, text });
    }

    /// The newest notes, oldest first.
    pub fn notes(&self) -> Vec<Note> {
        lock(&self.notes).iter().cloned().collect()
    }

    /// The sums of the chips, for a moment.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// What was counted of processes that are no longer shown.
    pub fn forgotten(&self) -> Counts {
        *lock(&self.forgotten)
    }

    /// When the baseline was taken.
    pub fn baseline_wall_ns(&self) -> Option<u64> {
        Some(self.baseline_wall_ns.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// Later figures are compared with those of now, or with none.
    pub fn set_baseline(&self, is_cleared: bool) {
        for process in self.all() {
            let state = &mut *process.lock();
            let live = state.ledger.snapshot().global().1;
            let live = live.into_iter().map(|(buffer_type, bytes)| (buffer_type, bytes.live));
            state.baseline = if is_cleared { Default::default() } else { live.collect() };
        }
        self.board().set_baseline(is_cleared);
        self.baseline_wall_ns.store(if is_cleared { 0 } else { wall_ns() }, Ordering::Relaxed);
    }
}

/// How a process ended that did not say so.
fn silent_end(process: &Process) -> End {
    if process.info.protocol == Protocol::Legacy { End::Unsaid } else { End::Killed }
}

/// Lines of one process that are applied together. The sums of the chips follow when it is dropped.
pub struct Batch<'a> {
    hub: &'a Hub,
    process: &'a Process,
    state: MutexGuard<'a, ProcessState>,
}

impl Batch<'_> {
    /// Its state.
    pub fn state(&self) -> &ProcessState {
        &self.state
    }

    /// The next line.
    pub fn apply(&mut self, line: &Line) {
        let state = &mut *self.state;
        if let Some(retold) = &mut state.retold {
            let _ = retold.ledger.apply(line);
            return;
        }
        let effect = state.ledger.apply(line);
        if let Line::Event(stamp, event) = line {
            state.n_events += 1;
            state.n_skipped =
                state.n_skipped.saturating_add(stamp.n.saturating_sub(state.n.saturating_add(1)));
            state.n = state.n.max(stamp.n);
            match event {
                Event::Fork { token } => state.note_fork(*token),
                Event::KernelLoad(kernel) => state.kernels.load(*stamp, kernel),
                Event::KernelUnload { place, program } => drop(state.kernels.unload(*place, *program)),
                Event::Lost(lost) => state.n_dropped = state.n_dropped.saturating_add(lost.dropped),
                _ => {}
            }
            if may_end_inherited(&effect) {
                state.inherited_share = None;
            }
        }
        self.hub.observer.line(&self.process.info, line, &effect, &state.ledger);
        if matches!(effect, Effect::Swept(_)) {
            state.ledger.forget_survivors();
        }
    }

    /// A line that this version cannot read is passed over; the first one is noted.
    pub fn pass_over(&mut self, error: &LineError) {
        self.state.n_unreadable += 1;
        if self.state.n_unreadable == 1 {
            self.hub.note(self.process.info.id, format!("{error} is passed over, and others of its kind"));
        }
    }

    /// The process begins to tell anew of all it held after its event `n`.
    pub fn begin_state(&mut self, n: u64, n_dropped: u64) {
        let ledger = self.state.first_ledger(&self.process.info.header);
        self.state.retold = Some(Retold { ledger, n, n_dropped });
    }

    /// It told all of it.
    pub fn end_state(&mut self) {
        let before = self.state.n_skipped;
        if self.state.take_retold() {
            let state = &mut *self.state;
            self.hub.board().clear(&mut state.share);
            self.hub.observer.retold(&self.process.info, &state.ledger, state.n_skipped - before);
        }
    }

    /// The process said that it dropped so many events in all.
    pub fn set_dropped(&mut self, n_dropped: u64) {
        self.state.n_dropped = self.state.n_dropped.max(n_dropped);
    }
}

/// Whether a buffer that a child inherited may have ended by that.
fn may_end_inherited(effect: &Effect) -> bool {
    match effect {
        Effect::Closed(ended) | Effect::Replaced(ended) => ended.buffer.is_inherited,
        Effect::Swept(_) | Effect::Odd(_) => true,
        Effect::Nothing
        | Effect::Opened
        | Effect::Merged
        | Effect::Lowered(_)
        | Effect::Retained
        | Effect::Expected
        | Effect::Circular(_) => false,
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.hub.settle(self.process, &mut self.state);
    }
}
