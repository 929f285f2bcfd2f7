//! `leaks`: what the program did not free, largest first; and what becomes more from mark to mark.

mod growth;

use crate::args::Leaks;
use crate::exit::Usage;
use crate::filters::Selection;
use crate::left::{Group, Survivor, Survivors, is_judged};
use crate::origin::{self, Origin};
use crate::replay::Replay;
use crate::report::Report;
use crate::{json, render, replay};
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Class, Growth, Trend};
use tt_memtrace_wire::{Event, Line};

/// Reports on each capture. Whether leaks are wrong is for the reader to say, so they are no failure here.
pub fn run(args: &Leaks, out: &mut dyn Write) -> anyhow::Result<u8> {
    let report = Report::new("leaks", &args.captures, &args.filters, args.id_range);
    if report.selection().is_only_circular() {
        let why = "--type cb: circular buffers belong to programs and are not judged; try snapshot or l1";
        return Err(Usage(why.into()).into());
    }
    report.run(out, Judged::read, to_json, |judged, out| print(judged, args.captures.verbose, out))
}

/// A capture, and what grew in it.
pub struct Judged {
    replay: Replay,
    trends: Vec<Trend>,
}

impl AsRef<Replay> for Judged {
    fn as_ref(&self) -> &Replay {
        &self.replay
    }
}

impl Judged {
    /// Replays to the end of the interval, or of the process.
    pub fn read(path: &Path, selection: &Selection) -> anyhow::Result<Self> {
        let end = selection.interval.map_or(u64::MAX, |interval| interval.to);
        let mut growth = Growth::default();
        let mut replay = replay::selected(path, selection, &mut |_, line, _, ledger| {
            let Line::Event(stamp, event) = line else { return Ok(ControlFlow::Continue(())) };
            if let Event::Mark { name } = event
                && selection.has_event(stamp.n)
            {
                growth.note(name, (*stamp).into(), &ledger.snapshot());
            }
            Ok(if stamp.n >= end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if !replay.is_stopped {
            replay.conclude();
        }
        Ok(Self { trends: growth::trends(&growth, selection), replay })
    }
}

/// One process, for people.
pub fn print(judged: &Judged, is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let replay = &judged.replay;
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, is_verbose) {
        writeln!(out, "{note}")?;
    }
    let survivors = Survivors::of(replay);
    writeln!(out, "{}", survivors.verdict())?;
    growth::print(&judged.trends, &replay.header, out)?;
    let groups = survivors.groups();
    if groups.is_empty() {
        let is_left_out = !replay.ledger.survivors().is_empty();
        if let Some(note) = render::nothing_shown(replay).filter(|_| is_left_out) {
            writeln!(out, "{note}")?;
        }
        writeln!(out)?;
        return Ok(());
    }
    let mut heads =
        vec![">count", "type", ">each", ">in all", ">per bank", "class", "ending", ">since", "where"];
    let has_origins = groups.iter().any(|group| group.kind.origin.is_known());
    if has_origins {
        heads.extend(origin::HEADS);
    }
    writeln!(out)?;
    render::table(out, &heads, groups.iter().map(|group| row(replay, group, has_origins)).collect())?;
    writeln!(out)?;
    for (chips, line) in totals(&survivors) {
        writeln!(out, "{}: {line}", render::each(&chips))?;
    }
    let is_unattributed = |group: &Group<'_>| group.kind.class == Class::Unattributed;
    if groups.iter().any(|group| is_unattributed(group) && !group.kind.is_freed_by_owner) {
        writeln!(out, "unattributed: the capture tells of no ops, so it is not known who holds it")?;
    }
    if groups.iter().any(|group| group.kind.is_inherited) {
        writeln!(out, "* inherited from the parent process, not this one's to free")?;
    }
    if groups.iter().any(|group| group.kind.is_freed_by_owner) {
        writeln!(
            out,
            "+ freed by its owner only: the runtime announced it on more chips than it freed it on"
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn row(replay: &Replay, group: &Group<'_>, has_origin: bool) -> Vec<String> {
    let kind = &group.kind;
    let apart = match (kind.is_inherited, kind.is_freed_by_owner) {
        (true, _) => "*",
        (false, true) => "+",
        (false, false) => "",
    };
    let chips = replay.ledger.snapshot().chips_of(kind.place);
    let place = if has_origin {
        origin::place(kind.place)
    } else {
        render::cut(&render::place(kind.place, chips), 24)
    };
    let mut row = vec![
        render::count(group.left.n_buffers, ""),
        kind.buffer_type.to_string(),
        render::bytes(kind.size_bytes),
        render::bytes(group.left.bytes),
        render::bytes(group.left.bank_bytes),
        kind.class.to_string(),
        format!("{}{apart}", kind.fate.name()),
        render::seconds(group.first.since.t_ns, &replay.header),
        place,
    ];
    if has_origin {
        row.extend(kind.origin.cells());
    }
    row
}

/// The sums on each chip, a line per type; chips with the same sums come together.
fn totals(survivors: &Survivors<'_>) -> Vec<(Vec<u32>, String)> {
    let mut groups: Vec<(Vec<u32>, String)> = Vec::new();
    for ((chip, buffer_type), left) in survivors.by_chip() {
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

fn to_json(judged: &Judged) -> Value {
    let replay = &judged.replay;
    let (snapshot, header) = (replay.ledger.snapshot(), &replay.header);
    let survivor = |Survivor { buffer, fate, at }: Survivor<'_>| {
        let more = json!({
            "bank_bytes": json::int(buffer.bank_bytes),
            "class": buffer.class.to_string(),
            "is_leak": replay.ledger.rules().is_leak(buffer.class) && is_judged(buffer),
            "ending": fate.name(),
            "since": json::moment(buffer.since.into(), header),
            "ended_at": json::moment(at, header),
            "tid": buffer.since.tid,
            "inherited": buffer.is_inherited,
            "freed_by_owner": buffer.is_freed_by_owner,
        });
        let more = json::with(more, Origin::of_buffer(replay.ledger.contexts(), buffer).json());
        json::with(json::buffer(buffer, snapshot.chips_in_order(buffer.place())), more)
    };
    let survivors = Survivors::of(replay);
    let chips = survivors.by_chip().into_iter().map(|((chip, buffer_type), left)| {
        json::with(left.json(), json!({"chip": chip, "type": buffer_type.to_string()}))
    });
    let process = json!({
        "left": survivors.json(),
        "growth": judged.trends.iter().map(|trend| growth::json(trend, header)).collect::<Vec<_>>(),
        "survivors": survivors.largest_first().into_iter().map(survivor).collect::<Vec<_>>(),
        "chips": chips.collect::<Vec<_>>(),
    });
    json::process(replay, process)
}
