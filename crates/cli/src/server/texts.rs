//! What `ctl` prints of the server's answers.

use super::kernels::KernelRow;
use crate::look::Tone;
use crate::render::{self, bytes, count};
use crate::state::{Chip, Holder, Memory, Process, State};
use crate::{clock, look};

/// One line on where things stand.
pub fn summary(state: &State) -> String {
    let n_running = state.processes.iter().filter(|process| process.status == "running").count();
    let mut parts = vec![count(n_running as u64, "process"), count(state.n_events, "event")];
    let mut held: Vec<(String, u64)> = Vec::new();
    for memory in state.chips.iter().flat_map(|chip| &chip.memory).filter(|memory| memory.live_bytes > 0) {
        match held.iter_mut().find(|(name, _)| *name == memory.buffer_type) {
            Some((_, sum)) => *sum = sum.saturating_add(memory.live_bytes),
            None => held.push((memory.buffer_type.clone(), memory.live_bytes)),
        }
    }
    parts.extend(held.into_iter().map(|(name, sum)| format!("{name} {}", bytes(sum))));
    parts.extend(losses(state));
    parts.join(", ")
}

/// What is not in the figures.
fn losses(state: &State) -> Vec<String> {
    let lost = [(state.n_dropped, "DROPPED by recorders"), (state.n_skipped, "not seen here")];
    let lost = lost.into_iter().filter(|(n, _)| *n > 0);
    lost.map(|(n, how)| format!("{} {how}", count(n, "event"))).collect()
}

/// Processes and chips.
pub fn stats(state: &State) -> String {
    let mut text = first_line(state);
    text.push_str(&processes(state));
    text.push_str(&chips(state));
    text
}

fn first_line(state: &State) -> String {
    let losses = losses(state);
    let losses = if losses.is_empty() {
        look::paint(Tone::Good, "complete")
    } else {
        look::paint(Tone::Bad, &losses.join(", "))
    };
    let since = clock::time_of_day(state.since_wall_ns);
    format!("{}: {} since {since}, {losses}\n", state.source, count(state.n_events, "event"))
}

fn processes(state: &State) -> String {
    if state.processes.is_empty() {
        return "no process has connected yet\n".into();
    }
    let row = |process: &Process| {
        let held = process.memory.iter().filter(|memory| memory.live_bytes > 0);
        let held: Vec<String> =
            held.map(|memory| format!("{} {}", memory.buffer_type, bytes(memory.live_bytes))).collect();
        vec![
            process.pid.to_string(),
            render::cut(&process.program, 24),
            process.status.clone(),
            render::chips(&process.chips).trim_start_matches("chips ").trim_start_matches("chip ").to_owned(),
            count(process.n_events, ""),
            if held.is_empty() { "nothing".into() } else { held.join(", ") },
        ]
    };
    let heads = [">pid", "program", "status", "chips", ">events", "holds"];
    table(&heads, state.processes.iter().map(row).collect())
}

fn chips(state: &State) -> String {
    let has_baseline = state.baseline_wall_ns.is_some();
    let row = |chip: &Chip, memory: &Memory| {
        let mut row = vec![
            chip.chip.to_string(),
            memory.buffer_type.clone(),
            bytes(memory.live_bytes),
            format!("{}{}", if memory.peak_basis == "exact" { "" } else { ">= " }, bytes(memory.peak_bytes)),
            memory
                .bank_size_bytes
                .map_or(String::new(), |size| render::percent(memory.bank_live_bytes, size)),
            count(memory.n_buffers, ""),
        ];
        if has_baseline {
            row.push(delta(memory.live_bytes, memory.baseline_bytes.unwrap_or(0)));
        }
        row
    };
    let mut heads = vec![">chip", "type", ">live", ">peak", ">of bank", ">buffers"];
    if has_baseline {
        heads.push(">since baseline");
    }
    let rows: Vec<_> =
        state.chips.iter().flat_map(|chip| chip.memory.iter().map(move |memory| row(chip, memory))).collect();
    if rows.is_empty() { String::new() } else { format!("\n{}", table(&heads, rows)) }
}

fn delta(now: u64, before: u64) -> String {
    match (now >= before, now.abs_diff(before)) {
        (_, 0) => "0 B".into(),
        (true, more) => format!("+{}", bytes(more)),
        (false, less) => format!("-{}", bytes(less)),
    }
}

/// All live buffers.
pub fn dump(buffers: &[Holder]) -> String {
    if buffers.is_empty() {
        return "nothing is held\n".into();
    }
    let row = |holder: &Holder| {
        vec![
            holder.pid.to_string(),
            render::chips(&holder.chips).trim_start_matches("chips ").trim_start_matches("chip ").to_owned(),
            holder.buffer_type.clone(),
            format!("{:#x}", holder.address),
            bytes(holder.size_bytes),
            holder.class.clone(),
            clock::time_of_day(holder.since_wall_ns),
        ]
    };
    let heads = [">pid", "chips", "type", ">address", ">size", "class", "since"];
    format!("{}\n{}", count(buffers.len() as u64, "buffer"), table(&heads, buffers.iter().map(row).collect()))
}

/// All loaded kernels.
pub fn kernels(kernels: &[KernelRow]) -> String {
    if kernels.is_empty() {
        return "no kernels are known to be loaded\n".into();
    }
    let row = |row: &KernelRow| {
        vec![
            row.pid.to_string(),
            render::chips(&row.chips).trim_start_matches("chips ").trim_start_matches("chip ").to_owned(),
            row.program.map_or("unknown".into(), |program| program.to_string()),
            row.kernel.to_lowercase(),
            bytes(row.size_bytes),
            clock::time_of_day(row.since_wall_ns),
        ]
    };
    let heads = [">pid", "chips", ">program", "kernel", ">loaded", "last at"];
    table(&heads, kernels.iter().map(row).collect())
}

fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = render::table(&mut out, heads, rows);
    String::from_utf8_lossy(&out).into_owned()
}
