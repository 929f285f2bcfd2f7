//! `snapshot`: the live buffers at an instant.

use crate::args::Snapshot as Args;
use crate::exit::Usage;
use crate::replay::Replay;
use crate::{json, render, replay, sources};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Buffer, Ledger, Moment, Snapshot};
use tt_memtrace_wire::{Event, Header, Line, Stamp};

/// Shows what was live at the instant, at every mark, or after the last event.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    if args.at_marks {
        return sources::each(&args.captures.captures, |path| at_marks(args, path, out));
    }
    let at = args.at.as_deref().map(Instant::parse);
    let (mut processes, mut is_reached, mut marks) = (Vec::new(), false, BTreeSet::new());
    let code = sources::each(&args.captures.captures, |path| {
        let Some(replay) = replay_to(path, at.as_ref(), &mut marks)? else { return Ok(()) };
        is_reached = true;
        if args.captures.json {
            processes.push(to_json(&replay));
        } else {
            print(&replay, args, out)?;
        }
        Ok(())
    })?;
    if let (Some(at), false, 0) = (&args.at, is_reached, code) {
        let marks = marks.into_iter().collect::<Vec<_>>().join(", ");
        let marks = if marks.is_empty() { "no marks".into() } else { format!("the marks {marks}") };
        return Err(Usage(format!("--at {at}: there is no such instant; there are {marks}")).into());
    }
    if args.captures.json {
        json::line(out, &json!({"schema": "tt-memtrace.snapshot/1", "processes": processes}))?;
    }
    Ok(code)
}

/// What `--at` names.
#[derive(Debug, Clone, PartialEq)]
enum Instant {
    Mark(String),
    Event(u64),
    Seconds(f64),
    Peak,
}

impl Instant {
    fn parse(text: &str) -> Self {
        let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
        match (text.strip_prefix("mark:"), text.parse(), seconds) {
            (Some(name), _, _) => Self::Mark(name.to_owned()),
            (_, Ok(n), _) => Self::Event(n),
            (_, _, Ok(seconds)) if seconds.is_finite() => Self::Seconds(seconds),
            _ if text == "peak" => Self::Peak,
            _ => Self::Mark(text.to_owned()),
        }
    }
}

/// Nothing if the capture does not have that instant.
fn replay_to(
    path: &Path,
    at: Option<&Instant>,
    marks: &mut BTreeSet<String>,
) -> anyhow::Result<Option<Replay>> {
    let at = match at {
        None => &Instant::Event(u64::MAX),
        Some(Instant::Peak) => &Instant::Event(peak(&replay::whole(path)?).n),
        Some(at) => at,
    };
    let end = last_event(path, at)?;
    let mut is_found = !matches!(at, Instant::Mark(_));
    let replay = replay::observed(path, &mut |_, line, _, _| {
        if matches!(line, Line::Header(_)) && end == 0 {
            return Ok(ControlFlow::Break(()));
        }
        if let Line::Event(stamp, event) = line {
            if let Event::Mark { name } = event {
                marks.insert(name.clone());
                is_found |= *at == Instant::Mark(name.clone());
            }
            if stamp.n >= end || (is_found && matches!(at, Instant::Mark(_))) {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(is_found.then_some(replay))
}

/// The last event of the instant, where that is known beforehand. A time is that of the last event before the
/// first later one, so it needs a look ahead.
fn last_event(path: &Path, at: &Instant) -> anyhow::Result<u64> {
    let seconds = match at {
        Instant::Event(n) => return Ok(*n),
        Instant::Seconds(seconds) => *seconds,
        Instant::Mark(_) | Instant::Peak => return Ok(u64::MAX),
    };
    let mut end = 0;
    let _ = replay::observed(path, &mut |header, line, _, _| {
        if let Line::Event(stamp, _) = line {
            if json::seconds(stamp.t_ns, header) > seconds {
                return Ok(ControlFlow::Break(()));
            }
            end = stamp.n;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(end)
}

/// When some chip held most, in logical bytes of all types.
fn peak(replay: &Replay) -> Moment {
    let gauges = replay.at_end.iter().filter_map(|totals| totals.total);
    let highest = gauges.max_by_key(|gauge| (gauge.peak, std::cmp::Reverse(gauge.peak_at)));
    highest.map_or(Moment::default(), |gauge| gauge.peak_at)
}

fn at_marks(args: &Args, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    replay::observed(path, &mut |header, line, _, ledger| {
        if let Line::Event(stamp, Event::Mark { name }) = line {
            if args.captures.json {
                json::line(out, &mark_line(header, name, *stamp, ledger))?;
            } else {
                let when = render::moment((*stamp).into(), header);
                writeln!(out, "{}: mark {name:?} at {when}", path.display())?;
                print_live(ledger.snapshot(), header, args.num_largest, out)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    })
    .map(drop)
}

fn mark_line(header: &Header, name: &str, stamp: Stamp, ledger: &Ledger) -> Value {
    json!({"mark": name, "pid": header.pid, "t_ns": json::int(stamp.t_ns), "live": live(ledger.snapshot())})
}

/// The live buffers that own their memory. Views hold nothing, and hooked buffers were never there.
fn live(snapshot: Snapshot<'_>) -> Vec<Value> {
    owners(snapshot).map(|buffer| json::buffer(buffer, snapshot.chips_in_order(buffer.place()))).collect()
}

fn owners(snapshot: Snapshot<'_>) -> impl Iterator<Item = &Buffer> {
    snapshot.live().into_iter().filter(|buffer| buffer.alloc.owns_data)
}

fn to_json(replay: &Replay) -> Value {
    let snapshot = replay.ledger.snapshot();
    let at = json::moment(replay.at, &replay.header);
    json::process(replay, json!({"at": at, "live": live(snapshot)}))
}

fn print(replay: &Replay, args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, args.captures.verbose) {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "live at {}", render::moment(replay.at, &replay.header))?;
    print_live(replay.ledger.snapshot(), &replay.header, args.num_largest, out)
}

fn print_live(
    snapshot: Snapshot<'_>,
    header: &Header,
    n_largest: usize,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut buffers: Vec<&Buffer> = owners(snapshot).collect();
    buffers.sort_by_key(|buffer| std::cmp::Reverse(buffer.alloc.size_bytes));
    let n_shown = if n_largest == 0 { buffers.len() } else { n_largest.min(buffers.len()) };
    let row = |buffer: &&Buffer| {
        let alloc = &buffer.alloc;
        vec![
            alloc.buffer_type.to_string(),
            format!("{:#x}", alloc.address),
            render::bytes(alloc.size_bytes),
            render::bytes(buffer.bank_bytes),
            buffer.class().to_string(),
            render::moment(buffer.since.into(), header),
            render::place(alloc.place, snapshot.chips_of(alloc.place)),
        ]
    };
    let heads = ["type", ">address", ">size", ">per bank", "class", ">since", "where"];
    if n_shown > 0 {
        render::table(out, &heads, buffers[..n_shown].iter().map(row).collect())?;
    }
    match buffers.len() - n_shown {
        0 if n_shown == 0 => writeln!(out, "nothing is live")?,
        0 => {}
        n_more => writeln!(out, "... and {n_more} more, -n 0 shows all")?,
    }
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_a_number_seconds_peak_or_a_mark() {
        assert_eq!(Instant::parse("12"), Instant::Event(12));
        assert_eq!(Instant::parse("2.5"), Instant::Seconds(2.5));
        assert_eq!(Instant::parse("10s"), Instant::Seconds(10.0));
        assert_eq!(Instant::parse("peak"), Instant::Peak);
        assert_eq!(Instant::parse("mark:12"), Instant::Mark("12".into()));
        assert_eq!(Instant::parse("after warmup"), Instant::Mark("after warmup".into()));
    }
}
