//! What is known now, of every process that is looked at: what the tracking server answers, what the live view draws
//! and what the metrics are made of. `docs/schemas/state.schema.json` describes it.

pub mod build;
mod int;

use serde::{Deserialize, Serialize};

/// The schema's name.
pub const SCHEMA: &str = "tt-memtrace.state";
/// Its version; see [`State::version`].
pub const VERSION: &str = "1.0";

/// The whole picture at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// `tt-memtrace.state`.
    pub schema: String,
    /// Minor versions add fields, major ones may remove some.
    pub version: String,
    /// Where it comes from: the path of the server's socket, or of a capture that is being written.
    pub source: String,
    /// When it was taken, nanoseconds since 1970.
    #[serde(with = "int")]
    pub wall_ns: u64,
    /// When the server began, or the capture did.
    #[serde(with = "int")]
    pub since_wall_ns: u64,
    /// Events seen since then.
    #[serde(with = "int")]
    pub n_events: u64,
    /// Events that recorders had to drop.
    #[serde(with = "int")]
    pub n_dropped: u64,
    /// Events that are in no figure but those of the present: recorded while nobody listened, or while the server was
    /// too slow. What is live is exact all the same; peaks are lower bounds where this is not 0.
    #[serde(with = "int")]
    pub n_skipped: u64,
    /// The processes, those that run first, by pid.
    pub processes: Vec<Process>,
    /// The chips by number.
    pub chips: Vec<Chip>,
    /// The largest live buffers.
    pub holders: Vec<Holder>,
    /// The newest things that do not add up, oldest first.
    pub anomalies: Vec<Note>,
    /// When `ctl baseline` was said; absent if never.
    #[serde(with = "int::optional", default)]
    pub baseline_wall_ns: Option<u64>,
}

/// One process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// A number that the server gave it, from 1; never used again.
    #[serde(with = "int")]
    pub id: u64,
    /// Its pid as it says itself; in a container that is another than here.
    pub pid: u32,
    /// Its pid here, if the kernel tells.
    pub peer_pid: Option<u32>,
    /// The user it runs as.
    pub uid: Option<u32>,
    /// Its program's name.
    pub program: String,
    /// Its host.
    pub host: String,
    /// Its rank in a job of several processes.
    pub rank: Option<u32>,
    /// How it stands: `running`, `disconnected` (runs, but its connection ended), `stopped` (runs, but its recording
    /// ended), `exited`, `killed`, `unknown` (of another host, without an end).
    pub status: String,
    /// `tt-memtrace` or `legacy`: which protocol it speaks.
    pub protocol: String,
    /// When it was first seen, nanoseconds since 1970.
    #[serde(with = "int")]
    pub since_wall_ns: u64,
    /// Its events so far.
    #[serde(with = "int")]
    pub n_events: u64,
    /// Events it had to drop.
    #[serde(with = "int")]
    pub n_dropped: u64,
    /// Events that were not seen here, see [`State::n_skipped`].
    #[serde(with = "int")]
    pub n_skipped: u64,
    /// Things that do not add up.
    #[serde(with = "int")]
    pub n_anomalies: u64,
    /// The chips it uses.
    pub chips: Vec<u32>,
    /// By memory type: what it holds, over all its chips.
    pub memory: Vec<Memory>,
}

/// One chip, over all processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Chip {
    /// Its number.
    pub chip: u32,
    /// Its architecture, if it was told.
    pub arch: Option<String>,
    /// By memory type, in the order of reports.
    pub memory: Vec<Memory>,
    /// The least room between circular buffers and L1 buffers on a core, bytes; absent if there is nothing to compare.
    #[serde(with = "int::optional", default)]
    pub headroom_bytes: Option<u64>,
    /// The highest end of a circular buffer minus where they begin, bytes of one core.
    #[serde(with = "int")]
    pub circular_bytes: u64,
    /// How many processes use it.
    #[serde(with = "int")]
    pub n_processes: u64,
}

/// The figures of one memory type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// `DRAM`, `L1`, ...
    #[serde(rename = "type")]
    pub buffer_type: String,
    /// Logical bytes that are live.
    #[serde(with = "int")]
    pub live_bytes: u64,
    /// The most there were.
    #[serde(with = "int")]
    pub peak_bytes: u64,
    /// `exact`, or `lower_bound` where several processes share the chip or events were skipped.
    pub peak_basis: String,
    /// Live buffers; of a process over all its chips, one on several chips counts on each.
    #[serde(with = "int")]
    pub n_buffers: u64,
    /// Bytes that are live in each bank, rounded as the allocator does.
    #[serde(with = "int")]
    pub bank_live_bytes: u64,
    /// Bytes of one bank; absent if the runtime did not tell.
    #[serde(with = "int::optional", default)]
    pub bank_size_bytes: Option<u64>,
    /// How many banks there are on one chip.
    pub n_banks: Option<u32>,
    /// The largest hole of a bank.
    #[serde(with = "int::optional", default)]
    pub largest_hole_bytes: Option<u64>,
    /// `live_bytes` when `ctl baseline` was said; absent if never.
    #[serde(with = "int::optional", default)]
    pub baseline_bytes: Option<u64>,
}

impl Memory {
    /// Bytes of all banks of one chip.
    pub fn capacity_bytes(&self) -> Option<u64> {
        self.bank_size_bytes?.checked_mul(u64::from(self.n_banks?))
    }
}

/// A live buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// [`Process::id`].
    #[serde(with = "int")]
    pub process: u64,
    /// Its process's pid, as [`Process::pid`].
    pub pid: u32,
    /// The chips it is on.
    pub chips: Vec<u32>,
    /// Its memory type.
    #[serde(rename = "type")]
    pub buffer_type: String,
    /// Where it starts.
    #[serde(with = "int")]
    pub address: u64,
    /// Logical bytes on one chip.
    #[serde(with = "int")]
    pub size_bytes: u64,
    /// Since when, nanoseconds since 1970.
    #[serde(with = "int")]
    pub since_wall_ns: u64,
    /// Whose it is: `user`, `system`, ...
    pub class: String,
    /// The operation that allocated it, if that is known.
    pub op: Option<String>,
    /// The line of source that allocated it, as `file:line`, if that is known.
    pub at: Option<String>,
}

/// Something worth a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// When, nanoseconds since 1970.
    #[serde(with = "int")]
    pub wall_ns: u64,
    /// [`Process::id`].
    #[serde(with = "int")]
    pub process: u64,
    /// What.
    pub text: String,
}
