//! The whole picture at one moment, of all processes.

use super::hub::{Counts, Hub};
use super::kernels::KernelRow;
use crate::clock;
use crate::state::{Process, State};

/// What is known now, with the largest live buffers.
pub fn state(hub: &Hub, _top: usize) -> State {
    let counts = counts(hub);
    let all = hub.all();
    let processes = all.iter().map(|process| {
        let state = process.lock();
        let header = &process.info.header;
        Process {
            id: process.info.id,
            pid: header.pid,
            peer_pid: process.info.peer.pid,
            uid: Some(process.info.peer.uid),
            program: header.program.clone(),
            status: state.status.name().into(),
            n_events: state.n_events,
            ..Process::default()
        }
    });
    State {
        schema: "tt-memtrace.state".into(),
        version: "1.0".into(),
        source: hub.source.clone(),
        wall_ns: clock::wall_ns(),
        since_wall_ns: hub.since_wall_ns,
        n_events: counts.n_events,
        n_dropped: counts.n_dropped,
        n_skipped: counts.n_skipped,
        processes: processes.collect(),
        anomalies: hub.notes(),
        baseline_wall_ns: hub.baseline_wall_ns(),
        ..State::default()
    }
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
