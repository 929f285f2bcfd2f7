//! The whole picture at one moment, of all processes: each by its own ledger, and what only the server knows of the
//! chips that they share.

use super::hub::{Counts, Hub};
use super::kernels::KernelRow;
use super::process::{Process, ProcessState};
use crate::clock;
use crate::state::build::{Builder, Told};
use crate::state::{self, State};
use std::collections::BTreeMap;
use tt_memtrace_ledger::rank;
use tt_memtrace_wire::BufferType;

/// What is known now, with so many of the largest live buffers and of the newest notes.
pub fn state(hub: &Hub, top: usize) -> State {
    let mut builder = Builder::new(top);
    let mut counts = hub.forgotten();
    let mut over = Vec::new();
    let mut own = BTreeMap::new();
    for process in hub.all() {
        let state = process.lock();
        counts.add(&state);
        match &state.last_word {
            Some(last) => over.push(last.clone()),
            None => {
                builder.add(&told(&process, &state));
                own.insert(process.info.id, Own::of(&process, &state));
            }
        }
    }
    let mut state = builder.finish(hub.source.clone(), clock::wall_ns());
    let baseline_wall_ns = hub.baseline_wall_ns();
    for process in &mut state.processes {
        if let Some(own) = own.get(&process.id) {
            own.complete(process, baseline_wall_ns.is_some());
        }
    }
    over.reverse();
    state.processes.extend(over);
    complete_chips(hub, &mut state, baseline_wall_ns.is_some());
    let mut notes = hub.notes();
    notes.append(&mut state.anomalies);
    notes.sort_by_key(|note| note.wall_ns);
    state.anomalies = notes.split_off(notes.len().saturating_sub(top));
    State {
        since_wall_ns: hub.since_wall_ns,
        n_events: counts.n_events,
        n_dropped: counts.n_dropped,
        n_skipped: counts.n_skipped,
        baseline_wall_ns,
        ..state
    }
}

/// What there is to say of one process alone.
pub fn process(process: &Process, of: &ProcessState) -> state::Process {
    let mut builder = Builder::new(0);
    builder.add(&told(process, of));
    let mut told = builder.finish(String::new(), 0).processes.pop().unwrap_or_default();
    Own::of(process, of).complete(&mut told, false);
    told
}

fn told<'a>(process: &'a Process, of: &'a ProcessState) -> Told<'a> {
    let info = &process.info;
    Told {
        id: info.id,
        header: &info.header,
        ledger: &of.ledger,
        peer_pid: info.peer.pid,
        uid: Some(info.peer.uid),
        status: of.status.name(),
        protocol: info.protocol.name(),
        n_events: of.n_events,
        n_dropped: of.n_dropped,
        n_skipped: of.n_skipped,
        has_parent: process.has_parent(),
    }
}

/// What the server knows of a process besides its ledger.
struct Own {
    since_wall_ns: u64,
    has_gaps: bool,
    earlier_peaks: BTreeMap<String, u64>,
    baseline: BTreeMap<String, u64>,
}

impl Own {
    fn of(process: &Process, of: &ProcessState) -> Self {
        let named = |figures: &BTreeMap<BufferType, u64>| {
            figures.iter().map(|(buffer_type, bytes)| (buffer_type.to_string(), *bytes)).collect()
        };
        Self {
            since_wall_ns: process.info.since_wall_ns,
            has_gaps: of.has_gaps(),
            earlier_peaks: named(&of.earlier_peaks),
            baseline: named(&of.baseline),
        }
    }

    fn complete(&self, process: &mut state::Process, has_baseline: bool) {
        process.since_wall_ns = self.since_wall_ns;
        for memory in &mut process.memory {
            let of = |figures: &BTreeMap<String, u64>| figures.get(&memory.buffer_type).copied().unwrap_or(0);
            let (peak, baseline) = (of(&self.earlier_peaks), of(&self.baseline));
            memory.peak_bytes = memory.peak_bytes.max(peak);
            if self.has_gaps {
                memory.peak_basis = LOWER_BOUND.into();
            }
            memory.baseline_bytes = has_baseline.then_some(baseline);
        }
    }
}

const EXACT: &str = "exact";
const LOWER_BOUND: &str = "lower_bound";

/// Chips keep their peaks when processes end, and the sums of several processes were looked at all the time.
fn complete_chips(hub: &Hub, state: &mut State, has_baseline: bool) {
    let board = hub.board();
    for ((number, buffer_type), cell) in board.cells() {
        let at = state.chips.binary_search_by_key(&number, |chip| chip.chip).unwrap_or_else(|at| {
            state.chips.insert(at, state::Chip { chip: number, ..state::Chip::default() });
            at
        });
        let name = buffer_type.to_string();
        let memory = &mut state.chips[at].memory;
        let at = memory.iter().position(|memory| memory.buffer_type == name).unwrap_or_else(|| {
            memory.push(state::Memory { buffer_type: name, ..state::Memory::default() });
            memory.len() - 1
        });
        let memory = &mut memory[at];
        memory.peak_bytes = cell.peak.max(memory.live_bytes);
        memory.peak_basis = (if cell.is_lower_bound { LOWER_BOUND } else { EXACT }).into();
        memory.baseline_bytes = has_baseline.then_some(cell.baseline);
    }
    let order = |memory: &state::Memory| BufferType::from_name(&memory.buffer_type).map(rank);
    state.chips.iter_mut().for_each(|chip| chip.memory.sort_by_key(order));
}

/// What was counted over all processes.
pub fn counts(hub: &Hub) -> Counts {
    let mut counts = hub.forgotten();
    hub.all().iter().for_each(|process| counts.add(&process.lock()));
    counts
}

/// The kernels that were loaded and not unloaded.
pub fn kernels(hub: &Hub) -> Vec<KernelRow> {
    let mut rows = Vec::new();
    for process in hub.all() {
        let state = process.lock();
        let snapshot = state.ledger.snapshot();
        rows.extend(state.kernels.iter().map(|(place, program, loaded)| KernelRow {
            process: process.info.id,
            pid: process.info.header.pid,
            chips: snapshot.chips_of(place).to_vec(),
            program,
            kernel: loaded.kind.to_string(),
            size_bytes: loaded.bytes,
            since_wall_ns: process.info.wall_ns(loaded.at.t_ns),
        }));
    }
    rows
}
