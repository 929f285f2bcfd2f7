//! Makes the [`State`] of ledgers: one process after the other, so that each is held only while its own figures are
//! read. What two processes have on one chip is added up; only the present can be, so peaks are lower bounds there.

use super::{Chip, Holder, Memory, Note, Process, State};
use crate::anomalies;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use tt_memtrace_ledger::{Buffer, Ledger, Room, Snapshot, TypeTotals, rank};
use tt_memtrace_wire::Header;

const EXACT: &str = "exact";
const LOWER_BOUND: &str = "lower_bound";

/// What there is to say of one process.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// [`Process::id`].
    pub id: u64,
    /// Who it says it is.
    pub header: &'a Header,
    /// What it holds.
    pub ledger: &'a Ledger,
    /// [`Process::peer_pid`].
    pub peer_pid: Option<u32>,
    /// [`Process::uid`].
    pub uid: Option<u32>,
    /// [`Process::status`].
    pub status: &'static str,
    /// [`Process::protocol`].
    pub protocol: &'static str,
    /// [`Process::n_events`].
    pub n_events: u64,
    /// [`Process::n_dropped`].
    pub n_dropped: u64,
    /// [`Process::n_skipped`].
    pub n_skipped: u64,
    /// True for a forked child whose parent is told of as well: the memory it inherited is the parent's, and counts
    /// there.
    pub has_parent: bool,
}

/// Collects a state.
#[derive(Debug, Default)]
pub struct Builder {
    top: usize,
    processes: Vec<Process>,
    chips: BTreeMap<u32, OnChip>,
    holders: BinaryHeap<Reverse<Ranked>>,
    anomalies: Vec<Note>,
}

/// The smallest comes first: it is the one that makes room.
type Ranked = (u64, Reverse<u64>, Holder);

#[derive(Debug, Default)]
struct OnChip {
    arch: Option<String>,
    types: ByType,
    room: Room,
    /// Where circular buffers begin, from those there were.
    circular_base: Option<u64>,
    n_processes: u64,
}

/// By memory type, in the order of reports.
type ByType = BTreeMap<Order, Memory>;

type Order = (usize, u32);

/// What a child inherited on a chip: bytes, bytes per bank, buffers.
type Inherited = BTreeMap<(u32, Order), [u64; 3]>;

impl Builder {
    /// Nothing yet; of holders and anomalies it will keep `top` each.
    pub fn new(top: usize) -> Self {
        Self { top, ..Self::default() }
    }

    /// Adds a process.
    pub fn add(&mut self, told: &Told<'_>) {
        let snapshot = told.ledger.snapshot();
        let inherited = if told.has_parent { inherited(snapshot) } else { Inherited::new() };
        let chips = by_chip(told, snapshot, &inherited);
        self.processes.push(process(told, &chips, snapshot));
        self.add_rooms(snapshot);
        for mesh in snapshot.meshes() {
            for chip in mesh.chips.iter().filter(|chip| chips.contains_key(chip)) {
                self.chips.entry(*chip).or_default().arch.get_or_insert_with(|| mesh.arch.clone());
            }
        }
        for (chip, types) in chips {
            let on = self.chips.entry(chip).or_default();
            on.n_processes += 1;
            for (order, memory) in types {
                match on.types.get_mut(&order) {
                    Some(known) => join(known, &memory),
                    None => drop(on.types.insert(order, memory)),
                }
            }
        }
        let n_wanted = if self.top > 0 { usize::MAX } else { 0 };
        let is_here = |buffer: &&Buffer| !(told.has_parent && buffer.is_inherited);
        for buffer in snapshot.buffers().take(n_wanted).filter(is_here) {
            self.rank(told, snapshot, buffer);
        }
        let newest = told.ledger.anomalies().first().iter().rev().take(self.top);
        self.anomalies.extend(newest.map(|anomaly| Note {
            wall_ns: wall_ns(told.header, anomaly.at.t_ns),
            process: told.id,
            text: format!("{}: {}", anomaly.what.kind(), anomalies::describe(anomaly)),
        }));
    }

    /// All that was added. What no process tells is the caller's: where the state comes from, since when, and what
    /// was when a baseline was set.
    pub fn finish(mut self, source: String, now_wall_ns: u64) -> State {
        let is_over = |process: &Process| matches!(process.status.as_str(), "exited" | "killed");
        self.processes.sort_by_key(|process| (is_over(process), process.pid, process.id));
        self.anomalies.sort_by_key(|note| (note.wall_ns, note.process));
        self.anomalies.drain(..self.anomalies.len().saturating_sub(self.top));
        let sum = |of: fn(&Process) -> u64| self.processes.iter().map(of).fold(0, u64::saturating_add);
        State {
            schema: super::SCHEMA.into(),
            version: super::VERSION.into(),
            source,
            wall_ns: now_wall_ns,
            since_wall_ns: self
                .processes
                .iter()
                .map(|process| process.since_wall_ns)
                .min()
                .unwrap_or(now_wall_ns),
            n_events: sum(|process| process.n_events),
            n_dropped: sum(|process| process.n_dropped),
            n_skipped: sum(|process| process.n_skipped),
            chips: self.chips.into_iter().map(|(chip, on)| on.finish(chip)).collect(),
            holders: self.holders.into_sorted_vec().into_iter().map(|Reverse((.., holder))| holder).collect(),
            processes: self.processes,
            anomalies: self.anomalies,
            baseline_wall_ns: None,
        }
    }

    fn add_rooms(&mut self, snapshot: Snapshot<'_>) {
        for (chip, room) in snapshot.rooms() {
            self.chips.entry(chip).or_default().room.join(&room);
        }
        for (chip, footprint) in snapshot.circular_footprints() {
            let base = &mut self.chips.entry(chip).or_default().circular_base;
            *base = Some(base.map_or(footprint.base, |known| known.min(footprint.base)));
        }
    }

    fn rank(&mut self, told: &Told<'_>, snapshot: Snapshot<'_>, buffer: &Buffer) {
        let (bytes, n) = (buffer.alloc.size_bytes, Reverse(buffer.since.n));
        let is_among = |least: &Reverse<Ranked>| (bytes, n) > (least.0.0, least.0.1);
        let is_full = self.holders.len() >= self.top;
        if (is_full && !self.holders.peek().is_some_and(is_among)) || !snapshot.is_counted(buffer) {
            return;
        }
        if is_full {
            self.holders.pop();
        }
        self.holders.push(Reverse((bytes, n, holder(told, snapshot, buffer))));
    }
}

impl OnChip {
    fn finish(self, chip: u32) -> Chip {
        let base = self.room.bank.map(|bank| bank.start).or(self.circular_base);
        let above_base = self.room.highest_end.zip(base).map(|(end, base)| end.saturating_sub(base));
        let headroom = self.room.headroom().map(|room| u64::try_from(room.bytes()).unwrap_or(0));
        Chip {
            chip,
            arch: self.arch,
            memory: self.types.into_values().collect(),
            headroom_bytes: headroom,
            circular_bytes: above_base.unwrap_or(0),
            n_processes: self.n_processes,
        }
    }
}

fn inherited(snapshot: Snapshot<'_>) -> Inherited {
    let mut sums = Inherited::new();
    for buffer in snapshot.buffers().filter(|buffer| buffer.is_inherited && snapshot.is_counted(buffer)) {
        for chip in snapshot.chips_of(buffer.place()) {
            let sum = sums.entry((*chip, rank(buffer.alloc.buffer_type))).or_default();
            for (sum, more) in sum.iter_mut().zip([buffer.alloc.size_bytes, buffer.bank_bytes, 1]) {
                *sum = sum.saturating_add(more);
            }
        }
    }
    sums
}

/// What the process has on each chip that it ever had something on.
fn by_chip(told: &Told<'_>, snapshot: Snapshot<'_>, inherited: &Inherited) -> BTreeMap<u32, ByType> {
    let mut chips: BTreeMap<u32, ByType> = BTreeMap::new();
    for group in snapshot.chips() {
        for &chip in &group.chips {
            let types = chips.entry(chip).or_default();
            for of in group.types.iter().filter(|of| of.tally.n_allocations > 0 || of.tally.buffers.peak > 0)
            {
                let order = rank(of.buffer_type);
                let theirs = inherited.get(&(chip, order)).copied().unwrap_or_default();
                types.insert(order, memory(told, of, theirs));
            }
        }
    }
    for (place, buffer_type, bytes) in snapshot.largest_holes() {
        for chip in snapshot.chips_of(place) {
            let memory = chips.get_mut(chip).and_then(|types| types.get_mut(&rank(buffer_type)));
            if let Some(memory) = memory {
                note_hole(memory, Some(bytes));
            }
        }
    }
    chips
}

fn memory(told: &Told<'_>, of: &TypeTotals, inherited: [u64; 3]) -> Memory {
    let [bytes, bank_bytes, n_buffers] = inherited;
    let tally = &of.tally;
    let live_bytes = tally.bytes.live.saturating_sub(bytes);
    // What was inherited may have ended since, so the peak without it is not known.
    let peak_bytes = if told.has_parent { live_bytes } else { tally.bytes.peak };
    let is_exact = !told.has_parent && told.n_skipped == 0;
    Memory {
        buffer_type: of.buffer_type.to_string(),
        live_bytes,
        peak_bytes,
        peak_basis: (if is_exact { EXACT } else { LOWER_BOUND }).into(),
        n_buffers: tally.buffers.live.saturating_sub(n_buffers),
        bank_live_bytes: tally.bank_bytes.live.saturating_sub(bank_bytes),
        bank_size_bytes: of.bank.as_ref().map(|bank| bank.bank_size_bytes),
        n_banks: of.bank.as_ref().map(|bank| bank.n_banks),
        largest_hole_bytes: None,
        baseline_bytes: None,
    }
}

/// Adds what another process has on the same chip. Nobody knows how the peaks of two fell together, so the peak is
/// no less than the higher of them, nor than what is live now.
fn join(known: &mut Memory, more: &Memory) {
    known.live_bytes = known.live_bytes.saturating_add(more.live_bytes);
    known.peak_bytes = known.peak_bytes.max(more.peak_bytes).max(known.live_bytes);
    known.peak_basis = LOWER_BOUND.into();
    known.n_buffers = known.n_buffers.saturating_add(more.n_buffers);
    known.bank_live_bytes = known.bank_live_bytes.saturating_add(more.bank_live_bytes);
    known.bank_size_bytes = known.bank_size_bytes.max(more.bank_size_bytes);
    known.n_banks = known.n_banks.max(more.n_banks);
    note_hole(known, more.largest_hole_bytes);
}

/// Where several allocators share a bank, none has a larger hole than the smallest of theirs.
fn note_hole(memory: &mut Memory, bytes: Option<u64>) {
    memory.largest_hole_bytes = memory.largest_hole_bytes.into_iter().chain(bytes).min();
}

fn process(told: &Told<'_>, chips: &BTreeMap<u32, ByType>, snapshot: Snapshot<'_>) -> Process {
    let header = told.header;
    let mut memory = ByType::new();
    for (order, on_chip) in chips.values().flatten() {
        match memory.get_mut(order) {
            Some(known) => add_chip(known, on_chip),
            None => drop(memory.insert(*order, on_chip.clone())),
        }
    }
    for (buffer_type, gauge) in snapshot.global().1 {
        if let Some(memory) = memory.get_mut(&rank(buffer_type)) {
            memory.peak_bytes = if told.has_parent { memory.live_bytes } else { gauge.peak };
        }
    }
    Process {
        id: told.id,
        pid: header.pid,
        peer_pid: told.peer_pid,
        uid: told.uid,
        program: header.program.clone(),
        host: header.host.clone(),
        rank: header.rank,
        status: told.status.into(),
        protocol: told.protocol.into(),
        since_wall_ns: header.wall_ns,
        n_events: told.n_events,
        n_dropped: told.n_dropped,
        n_skipped: told.n_skipped,
        n_anomalies: told.ledger.anomalies().total(),
        chips: chips.keys().copied().collect(),
        memory: memory.into_values().collect(),
    }
}

/// Adds what the same process has on another chip. A bank's figures are those of the fullest chip.
fn add_chip(sum: &mut Memory, more: &Memory) {
    sum.live_bytes = sum.live_bytes.saturating_add(more.live_bytes);
    sum.n_buffers = sum.n_buffers.saturating_add(more.n_buffers);
    sum.bank_live_bytes = sum.bank_live_bytes.max(more.bank_live_bytes);
    sum.bank_size_bytes = sum.bank_size_bytes.max(more.bank_size_bytes);
    sum.n_banks = sum.n_banks.max(more.n_banks);
    note_hole(sum, more.largest_hole_bytes);
}

fn holder(told: &Told<'_>, snapshot: Snapshot<'_>, buffer: &Buffer) -> Holder {
    let (alloc, contexts) = (&buffer.alloc, told.ledger.contexts());
    Holder {
        process: told.id,
        pid: told.header.pid,
        chips: snapshot.chips_of(alloc.place).to_vec(),
        buffer_type: alloc.buffer_type.to_string(),
        address: alloc.address,
        size_bytes: alloc.size_bytes,
        since_wall_ns: wall_ns(told.header, buffer.since.t_ns),
        class: buffer.class.name().into(),
        op: buffer.context.and_then(|id| contexts.op(id)).map(str::to_owned),
        at: buffer
            .context
            .and_then(|id| contexts.line(id))
            .map(|site| format!("{}:{}", site.file, site.line)),
    }
}

/// Nanoseconds since 1970 of a moment of the monotonic clock.
fn wall_ns(header: &Header, t_ns: u64) -> u64 {
    header.wall_ns.saturating_add(t_ns).saturating_sub(header.t_ns)
}

#[cfg(test)]
mod tests;
