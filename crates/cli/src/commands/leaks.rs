//! `leaks`: what the program did not free, largest first.

use crate::args::Leaks;
use crate::left::{self, Group};
use crate::replay::Replay;
use crate::{json, render, replay, sources};
use serde_json::{Value, json};
use std::io::Write;
use tt_memtrace_ledger::{Class, Ended};

/// Reports on each capture. Whether leaks are wrong is for the reader to say, so they are no failure here.
pub fn run(args: &Leaks, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut processes = Vec::new();
    let code = sources::each(&args.captures.captures, |path| {
        let replay = replay::whole(path)?;
        if args.captures.json {
            processes.push(to_json(&replay));
            return Ok(());
        }
        print(&replay, args.captures.verbose, out)
    })?;
    if args.captures.json {
        json::line(out, &json!({"schema": "tt-memtrace.leaks/1", "processes": processes}))?;
    }
    Ok(code)
}

/// One process, for people.
pub fn print(replay: &Replay, is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, is_verbose) {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "{}\n", left::verdict(replay))?;
    let groups = left::groups(replay);
    if groups.is_empty() {
        return Ok(());
    }
    let heads = [">count", "type", ">each", ">in all", ">per bank", "class", "ending", ">since", "where"];
    render::table(out, &heads, groups.iter().map(|group| row(replay, group)).collect())?;
    writeln!(out)?;
    for (chips, line) in totals(replay) {
        writeln!(out, "{}: {line}", render::each(&chips))?;
    }
    if groups.iter().any(|group| group.kind.class == Class::Unattributed) {
        writeln!(
            out,
            "class is by type, layout and size alone: unattributed may be the program's or the runtime's"
        )?;
    }
    if groups.iter().any(|group| group.kind.is_inherited) {
        writeln!(out, "* inherited from the parent process, not this one's to free")?;
    }
    writeln!(out)?;
    Ok(())
}

fn row(replay: &Replay, group: &Group<'_>) -> Vec<String> {
    let kind = &group.kind;
    let inherited = if kind.is_inherited { "*" } else { "" };
    let since = render::seconds(group.first.buffer.since.t_ns, &replay.header);
    vec![
        render::count(group.left.n_buffers, ""),
        kind.buffer_type.to_string(),
        render::bytes(kind.size_bytes),
        render::bytes(group.left.bytes),
        render::bytes(group.left.bank_bytes),
        kind.class.to_string(),
        format!("{}{inherited}", kind.ending),
        since,
        render::cut(&render::place(kind.place, replay.ledger.snapshot().chips_of(kind.place)), 24),
    ]
}

/// The sums on each chip, a line per type; chips with the same sums come together.
fn totals(replay: &Replay) -> Vec<(Vec<u32>, String)> {
    let mut groups: Vec<(Vec<u32>, String)> = Vec::new();
    for ((chip, buffer_type), left) in left::by_chip(replay) {
        let (n, bytes) = (render::count(left.n_buffers, "buffer"), render::bytes(left.bytes));
        let bank = render::bytes(left.bank_bytes);
        let line = format!("{buffer_type} {bytes} in {n} ({bank} per bank)");
        match groups.iter_mut().find(|(_, known)| *known == line) {
            Some((chips, _)) => chips.push(chip),
            None => groups.push((vec![chip], line)),
        }
    }
    groups
}

fn to_json(replay: &Replay) -> Value {
    let snapshot = replay.ledger.snapshot();
    let survivor = |ended: &Ended| {
        let buffer = &ended.buffer;
        let mut value = json::buffer(buffer, snapshot.chips_in_order(buffer.place()));
        value["bank_bytes"] = json::int(buffer.bank_bytes);
        value["class"] = json!(buffer.class().to_string());
        value["ending"] = json!(ended.ending.to_string());
        value["since"] = json::moment(buffer.since.into(), &replay.header);
        value["ended_at"] = json::moment(ended.at.into(), &replay.header);
        value["tid"] = json!(buffer.since.tid);
        value["inherited"] = json!(buffer.is_inherited);
        value
    };
    let mut survivors: Vec<_> = replay.ledger.survivors().iter().collect();
    survivors
        .sort_by_key(|ended| (ended.buffer.is_inherited, std::cmp::Reverse(ended.buffer.alloc.size_bytes)));
    let chips = left::by_chip(replay).into_iter().map(|((chip, buffer_type), left)| {
        json!({
            "chip": chip,
            "type": buffer_type.to_string(),
            "n_buffers": json::int(left.n_buffers),
            "bytes": json::int(left.bytes),
            "bank_bytes": json::int(left.bank_bytes),
        })
    });
    let process = json!({
        "survivors": survivors.into_iter().map(survivor).collect::<Vec<_>>(),
        "chips": chips.collect::<Vec<_>>(),
    });
    json::process(replay, process)
}
