//! The table of a process: a row per memory type and chip; chips with equal rows share one.

use super::Summary;
use crate::args::By;
use crate::left::{Left, Survivors};
use crate::render;
use std::io::Write;
use tt_memtrace_ledger::TypeTotals;
use tt_memtrace_wire::BufferType;

/// What a row shows of one type on one chip.
#[derive(PartialEq)]
struct Row {
    of: TypeTotals,
    bytes_at_start: u64,
    left: Left,
}

/// Prints the table; false if there is nothing to put into it.
pub fn print(summary: &Summary, by: By, out: &mut dyn Write) -> anyhow::Result<bool> {
    let groups = groups(summary);
    let mut rows: Vec<_> =
        groups.iter().flat_map(|(chips, rows)| rows.iter().map(move |row| (chips, row))).collect();
    if by == By::Type {
        // The order of types is the same in each group.
        rows.sort_by_key(|(_, row)| type_rank(row.of.buffer_type));
    }
    if rows.is_empty() {
        return Ok(false);
    }
    let is_interval = summary.replay.selection.interval.is_some();
    let cells = rows.iter().map(|(chips, row)| cells(summary, chips, row, is_interval)).collect();
    let ends =
        ["where", "type", ">live at end", ">peak", ">per bank", ">of bank", ">peak at", ">allocs", ">left"];
    let interval =
        ["where", "type", ">at start", ">peak", ">at end", ">per bank", ">of bank", ">peak at", ">allocs"];
    render::table(out, if is_interval { &interval } else { &ends }, cells)?;
    Ok(true)
}

fn cells(summary: &Summary, chips: &[u32], row: &Row, is_interval: bool) -> Vec<String> {
    let Row { of, bytes_at_start, left } = row;
    let tally = &of.tally;
    let place = render::cut(&render::each(chips), if is_interval { 20 } else { 28 });
    let peak_at = render::moment(tally.bytes.peak_at, &summary.replay.header);
    let (live, peak) = (render::bytes(tally.bytes.live), render::bytes(tally.bytes.peak));
    let (per_bank, share) = (render::bytes(tally.bank_bytes.peak), render::peak_share(of));
    let (name, allocs) = (of.buffer_type.to_string(), render::count(tally.n_allocations, ""));
    if is_interval {
        let start = render::bytes(*bytes_at_start);
        return vec![place, name, start, peak, live, per_bank, share, peak_at, allocs];
    }
    vec![place, name, live, peak, per_bank, share, peak_at, allocs, render::bytes(left.bytes)]
}

/// The rows of each chip; chips with equal ones come together.
fn groups(summary: &Summary) -> Vec<(Vec<u32>, Vec<Row>)> {
    let left = Survivors::of(&summary.replay).by_chip();
    let mut groups: Vec<(Vec<u32>, Vec<Row>)> = Vec::new();
    for (&chip, types) in &summary.at_end {
        let row = |of: &TypeTotals| Row {
            of: of.clone(),
            bytes_at_start: summary.bytes_at_start(chip, of.buffer_type),
            left: left.get(&(chip, of.buffer_type)).copied().unwrap_or_default(),
        };
        let rows: Vec<Row> = types.iter().map(row).collect();
        match groups.iter_mut().find(|(_, known)| *known == rows) {
            Some((chips, _)) => chips.push(chip),
            None => groups.push((vec![chip], rows)),
        }
    }
    groups
}

fn type_rank(buffer_type: BufferType) -> usize {
    BufferType::KNOWN.iter().position(|known| *known == buffer_type).unwrap_or(BufferType::KNOWN.len())
}
