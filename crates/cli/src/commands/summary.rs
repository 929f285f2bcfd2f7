//! `summary`: one screen on where memory was held, how much, and when it was most.

use crate::args::{By, Summary};
use crate::left::{self, Left};
use crate::replay::Replay;
use crate::{json, render, replay, sources};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use tt_memtrace_ledger::{CircularFootprint, Gauge, Totals, TypeTotals};
use tt_memtrace_wire::{BufferType, Header};

/// Reports on each capture.
pub fn run(args: &Summary, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut processes = Vec::new();
    let code = sources::each(&args.captures.captures, |path| {
        let replay = replay::whole(path)?;
        if args.captures.json {
            processes.push(to_json(&replay));
            return Ok(());
        }
        print(&replay, args.by, args.captures.verbose, out)
    })?;
    if args.captures.json {
        json::line(out, &json!({"schema": "tt-memtrace.summary/1", "processes": processes}))?;
    }
    Ok(code)
}

/// One process, for people.
pub fn print(replay: &Replay, by: By, is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, is_verbose) {
        writeln!(out, "{note}")?;
    }
    writeln!(out)?;
    let heads =
        ["where", "type", ">live at end", ">peak", ">per bank", ">of bank", ">peak at", ">allocs", ">left"];
    let rows = rows(replay, by);
    if rows.is_empty() {
        writeln!(out, "no buffer was allocated")?;
    } else {
        render::table(out, &heads, rows)?;
    }
    writeln!(out)?;
    for (chips, footprint) in circular(replay) {
        let size = render::bytes(footprint.peak_bytes());
        let place = render::chips(&chips);
        writeln!(out, "circular buffers: up to {size} above the base on {place} (lower bound)")?;
    }
    writeln!(out, "{}", left::verdict(replay))?;
    if replay.ledger.anomalies().total() > 0 {
        let kinds = replay.ledger.anomalies().counts().map(|(kind, n)| format!("{kind} {n}"));
        writeln!(out, "odd: {}; see tt-memtrace stats", kinds.collect::<Vec<_>>().join(", "))?;
    }
    writeln!(out)?;
    Ok(())
}

fn rows(replay: &Replay, by: By) -> Vec<Vec<String>> {
    let left = left::by_chip(replay);
    let groups = collapse(&replay.at_end, &left);
    let mut rows: Vec<_> =
        groups.iter().flat_map(|group| group.types.iter().map(move |of| (group, of))).collect();
    if by == By::Type {
        // The order of types is the same in each group.
        rows.sort_by_key(|(_, of)| type_rank(of.buffer_type));
    }
    let cells = |(group, of): &(&Totals, &TypeTotals)| {
        let left = left.get(&(group.chips[0], of.buffer_type)).copied().unwrap_or_default();
        row(&render::cut(&render::each(&group.chips), 28), of, left, &replay.header)
    };
    rows.iter().map(cells).collect()
}

/// Chips whose figures are equal come together, if what was left on them is equal too.
fn collapse(groups: &[Totals], left: &BTreeMap<(u32, BufferType), Left>) -> Vec<Totals> {
    let is_uniform = |group: &Totals| {
        let left_on =
            |chip: u32| group.types.iter().map(|of| left.get(&(chip, of.buffer_type))).collect::<Vec<_>>();
        group.chips.iter().all(|chip| left_on(*chip) == left_on(group.chips[0]))
    };
    let collapsed = render::collapse(groups);
    if collapsed.iter().all(is_uniform) { collapsed } else { groups.to_vec() }
}

fn type_rank(buffer_type: BufferType) -> usize {
    BufferType::KNOWN.iter().position(|known| *known == buffer_type).unwrap_or(BufferType::KNOWN.len())
}

fn row(place: &str, of: &TypeTotals, left: Left, header: &Header) -> Vec<String> {
    let tally = &of.tally;
    vec![
        place.to_owned(),
        of.buffer_type.to_string(),
        render::bytes(tally.bytes.live),
        render::bytes(tally.bytes.peak),
        render::bytes(tally.bank_bytes.peak),
        render::peak_share(of),
        render::moment(tally.bytes.peak_at, header),
        render::count(tally.n_allocations, ""),
        render::bytes(left.bytes),
    ]
}

/// The circular buffers' footprints; chips with the same one come together.
fn circular(replay: &Replay) -> Vec<(Vec<u32>, CircularFootprint)> {
    let mut groups: Vec<(Vec<u32>, CircularFootprint)> = Vec::new();
    for (chip, footprint) in replay.ledger.snapshot().circular_footprints() {
        match groups.iter_mut().find(|(_, known)| known.peak_bytes() == footprint.peak_bytes()) {
            Some((chips, _)) => chips.push(chip),
            None => groups.push((vec![chip], footprint)),
        }
    }
    groups
}

/// One process, for programs.
pub fn to_json(replay: &Replay) -> Value {
    let left = left::by_chip(replay);
    let header = &replay.header;
    let chips = replay.at_end.iter().flat_map(|group| {
        group.chips.iter().map(|chip| {
            let of = |of: &TypeTotals| {
                let left = left.get(&(*chip, of.buffer_type)).copied().unwrap_or_default();
                with(totals(of, header), "left", left_json(left))
            };
            json!({"chip": chip, "types": group.types.iter().map(of).collect::<Vec<_>>()})
        })
    });
    let meshes = replay.ledger.snapshot().places().into_iter().map(|place| {
        let types = place.types.iter().map(|of| totals(of, header)).collect::<Vec<_>>();
        json!({"mesh_id": place.place.map(json::mesh_id), "chips": place.chips, "types": types})
    });
    let circular = replay.ledger.snapshot().circular_footprints().into_iter().map(|(chip, of)| {
        json!({
            "chip": chip,
            "base": json::int(of.base),
            "peak_bytes": json::int(of.peak_bytes()),
            "peak_at": json::moment(of.peak_at, header),
            "basis": "lower_bound",
        })
    });
    let process = json!({
        "chips": chips.collect::<Vec<_>>(),
        "meshes": meshes.collect::<Vec<_>>(),
        "circular_buffers": circular.collect::<Vec<_>>(),
        "survivors": left::json(replay),
        "anomalies": replay.ledger.anomalies().counts().collect::<BTreeMap<_, _>>(),
    });
    json::process(replay, process)
}

fn totals(of: &TypeTotals, header: &Header) -> Value {
    let tally = &of.tally;
    let gauge = |gauge: &Gauge| {
        json!({
            "live": json::int(gauge.live),
            "peak": json::int(gauge.peak),
            "peak_at": json::moment(gauge.peak_at, header),
        })
    };
    json!({
        "type": of.buffer_type.to_string(),
        "bytes": gauge(&tally.bytes),
        "bank_bytes": gauge(&tally.bank_bytes),
        "buffers": gauge(&tally.buffers),
        "n_allocations": json::int(tally.n_allocations),
        "n_banks": of.bank.as_ref().map(|bank| bank.n_banks),
        "bank_size_bytes": json::optional(of.bank.as_ref().map(|bank| bank.bank_size_bytes)),
    })
}

fn left_json(left: Left) -> Value {
    json!({
        "n_buffers": json::int(left.n_buffers),
        "bytes": json::int(left.bytes),
        "bank_bytes": json::int(left.bank_bytes),
    })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}
