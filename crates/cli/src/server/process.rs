//! One process: who it is, its ledger, and how it stands. What another process sends never reaches it.

use super::board::Share;
use super::kernels::Kernels;
use super::peer::Peer;
use crate::{rules, state};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tt_memtrace_ledger::{Ledger, Moment};
use tt_memtrace_wire::{BufferType, Ending, Header};

/// So many states at a fork are kept for children that have not said anything yet.
const N_FORKS: usize = 16;

/// What a process held at a fork. Its children may read it at the same time.
pub type AtFork = Arc<Mutex<Ledger>>;

/// Which protocol a process speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Our own.
    Native,
    /// That of the earlier tracking server.
    Legacy,
}

/// How a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is connected.
    Running,
    /// It runs as far as is known, but its connection ended. It holds what it held.
    Disconnected,
    /// It said that it ends.
    Exited,
    /// It is gone and did not say so.
    Killed,
}

impl Protocol {
    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "tt-memtrace",
            Self::Legacy => "legacy",
        }
    }
}

impl Status {
    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Disconnected => "disconnected",
            Self::Exited => "exited",
            Self::Killed => "killed",
        }
    }

    /// Whether the process is no more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Exited | Self::Killed)
    }
}

/// Who a process is.
#[derive(Debug)]
pub struct ProcessInfo {
    /// From 1; never used again.
    pub id: u64,
    /// What it says of itself.
    pub header: Header,
    /// What the kernel says of it.
    pub peer: Arc<Peer>,
    /// How it speaks.
    pub protocol: Protocol,
    /// When it was first seen, nanoseconds since 1970.
    pub since_wall_ns: u64,
}

impl ProcessInfo {
    /// Whether the same process speaks again.
    pub fn is(&self, header: &Header, peer: &Peer, protocol: Protocol) -> bool {
        let of_peer = |peer: &Peer| (peer.pid, peer.uid, peer.start);
        let of_header = |header: &Header| (header.pid, header.process_start);
        self.protocol == protocol
            && of_peer(&self.peer) == of_peer(peer)
            && of_header(&self.header) == of_header(header)
            && self.header.pid_namespace == header.pid_namespace
    }

    /// The moment of a time of its clock, nanoseconds since 1970.
    pub fn wall_ns(&self, t_ns: u64) -> u64 {
        let Header { wall_ns, t_ns: start, .. } = self.header;
        if t_ns >= start {
            wall_ns.saturating_add(t_ns - start)
        } else {
            wall_ns.saturating_sub(start - t_ns)
        }
    }
}

/// A process that the server knows.
pub struct Process {
    /// Who it is.
    pub info: ProcessInfo,
    /// The process that it is a forked child of.
    pub parent: Option<Arc<Self>>,
    is_over: AtomicBool,
    state: Mutex<ProcessState>,
}

/// What a process tells anew of all it holds, until that is complete.
pub struct Retold {
    /// What was told so far.
    pub ledger: Ledger,
    /// The event up to which it holds.
    pub n: u64,
    /// Events dropped by then.
    pub n_dropped: u64,
}

/// What changes of a process.
pub struct ProcessState {
    /// What it holds.
    pub ledger: Ledger,
    /// What it is telling anew.
    pub retold: Option<Retold>,
    /// How it stands.
    pub status: Status,
    /// Which of its connections may speak; a later one takes over.
    pub connection: u64,
    /// When its connection ended, if it did.
    pub disconnected_wall_ns: u64,
    /// How it said that it ended.
    pub ending: Option<Ending>,
    /// The number of its last event.
    pub n: u64,
    /// Events that were seen here.
    pub n_events: u64,
    /// Events that were not.
    pub n_skipped: u64,
    /// Events it had to drop.
    pub n_dropped: u64,
    /// Lines that this version could not read.
    pub n_unreadable: u64,
    /// Peaks of what it told before it told all anew: by type, over all its chips.
    pub earlier_peaks: BTreeMap<BufferType, u64>,
    /// What it held when the baseline was taken, by type.
    pub baseline: BTreeMap<BufferType, u64>,
    /// What of it is in the sums of the chips.
    pub share: Share,
    /// What it loaded.
    pub kernels: Kernels,
    /// What it held at its latest forks, by their tokens.
    forks: VecDeque<(u64, AtFork)>,
    /// What it inherited from its parent.
    inherited: Option<AtFork>,
    /// What of that it still holds; absent if it has to be looked up anew.
    pub inherited_share: Option<Share>,
    is_orphan: bool,
    /// What there is to say of it once it is over; its ledger is gone by then.
    pub last_word: Option<state::Process>,
}

impl Process {
    /// A process that has told nothing yet; a forked child begins with what its parent held, if that is known.
    pub fn new(info: ProcessInfo, parent: Option<(Arc<Self>, AtFork)>) -> Self {
        let (parent, inherited) = parent.unzip();
        let is_orphan = info.header.parent.is_some() && inherited.is_none();
        let mut state = ProcessState {
            ledger: Ledger::default(),
            retold: None,
            status: Status::Running,
            connection: 0,
            disconnected_wall_ns: 0,
            ending: None,
            n: 0,
            n_events: 0,
            n_skipped: 0,
            n_dropped: 0,
            n_unreadable: 0,
            earlier_peaks: BTreeMap::new(),
            baseline: BTreeMap::new(),
            share: Share::new(),
            kernels: Kernels::default(),
            forks: VecDeque::new(),
            inherited,
            inherited_share: None,
            is_orphan,
            last_word: None,
        };
        state.ledger = state.first_ledger(&info.header);
        Self { info, parent, is_over: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Whether what it inherited counts for its parent: as long as that runs.
    pub fn has_parent(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| !parent.is_over.load(Ordering::Relaxed))
    }

    /// Nothing more will be told of it.
    pub fn set_over(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Its state, for a moment. A thread that failed while it had it leaves it usable.
    pub fn lock(&self) -> MutexGuard<'_, ProcessState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProcessState {
    /// What the process held before its first event.
    pub fn first_ledger(&self, header: &Header) -> Ledger {
        let mut ledger = match &self.inherited {
            Some(inherited) => inherited.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => rules::ledger(),
        };
        if self.inherited.is_some() {
            ledger.enter_child(Moment { n: 0, t_ns: header.t_ns });
        }
        if self.is_orphan {
            ledger.enter_orphan();
        }
        ledger
    }

    /// Whether it is a forked child of a parent that nobody knows here.
    pub fn is_orphan(&self) -> bool {
        self.is_orphan
    }

    /// Keeps what it holds at a fork.
    pub fn note_fork(&mut self, token: u64) {
        if self.forks.len() >= N_FORKS {
            self.forks.pop_front();
        }
        self.forks.push_back((token, Arc::new(Mutex::new(self.ledger.clone()))));
    }

    /// What it held at a fork.
    pub fn at_fork(&self, token: u64) -> Option<AtFork> {
        self.forks.iter().find(|(known, _)| *known == token).map(|(_, ledger)| Arc::clone(ledger))
    }

    /// Puts what was told anew in the place of what was known. Peaks of before stay.
    pub fn take_retold(&mut self) -> bool {
        let Some(Retold { ledger, n, n_dropped }) = self.retold.take() else { return false };
        for (buffer_type, bytes) in self.ledger.snapshot().global().1 {
            let peak = self.earlier_peaks.entry(buffer_type).or_default();
            *peak = (*peak).max(bytes.peak);
        }
        self.ledger = ledger;
        self.inherited_share = None;
        self.n_skipped = self.n_skipped.saturating_add(n.saturating_sub(self.n));
        self.n = self.n.max(n);
        self.n_dropped = n_dropped;
        true
    }

    /// Forgets what it held, as it is over; what it held at its forks stays for its children.
    pub fn forget(&mut self) {
        self.ledger = Ledger::default();
        self.retold = None;
        self.inherited = None;
        self.inherited_share = None;
        self.kernels = Kernels::default();
    }

    /// Whether its peaks may have been higher.
    pub fn has_gaps(&self) -> bool {
        self.n_skipped > 0 || self.n_dropped > 0 || self.n_unreadable > 0
    }
}
