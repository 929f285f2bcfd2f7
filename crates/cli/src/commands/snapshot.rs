//! `snapshot`: what is live at an instant.

use crate::args::Snapshot as Args;
use crate::filters::Selection;
use crate::instant::{self, Instant};
use crate::origin::{self, Origin};
use crate::replay::Replay;
use crate::report::Report;
use crate::{json, memories, render, replay};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Buffer, Resident, Snapshot};
use tt_memtrace_wire::{Event, Header, Line, Place, Stamp};

/// Shows what was live at the instant, at every mark, or after the last event.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    if args.at_marks {
        let mut report = Report::new("snapshot-marks", &args.captures, &args.filters, None);
        let code = report.each(|report, path, selection| at_marks(args, report, path, selection, out))?;
        return Ok(report.judge(code));
    }
    let report = Report::new("snapshot", &args.captures, &args.filters, None);
    let at = args.at.as_deref().map(Instant::parse);
    let read = |path: &Path, selection: &Selection| replay_to(path, at.as_ref(), selection);
    report.run(out, read, to_json, |replay, out| print(replay, args, out))
}

/// Without an instant: to the end of the interval, or after the last event.
pub fn replay_to(path: &Path, at: Option<&Instant>, selection: &Selection) -> anyhow::Result<Replay> {
    let end = match at {
        Some(at) => instant::resolve(path, &[at])?[0],
        None => selection.interval.map_or(u64::MAX, |interval| interval.to),
    };
    replay::selected(path, selection, &mut |_, line, _, _| {
        let n = if let Line::Event(stamp, _) = line { stamp.n } else { 0 };
        Ok(if n >= end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
}

/// One line of JSON per mark, as they come; or a table per mark.
fn at_marks(
    args: &Args,
    report: &mut Report<'_>,
    path: &Path,
    selection: &Selection,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut text = Vec::new();
    let replay = replay::selected(path, selection, &mut |header, line, _, ledger| {
        if let Line::Event(stamp, Event::Mark { name }) = line
            && selection.has_event(stamp.n)
        {
            let live = Live { snapshot: ledger.snapshot(), selection };
            if args.captures.json {
                json::line(out, &mark_line(header, name, *stamp, live))?;
            } else {
                let when = render::moment((*stamp).into(), header);
                writeln!(text, "mark {name:?} at {when}")?;
                live.print(header, args.num_largest, &mut text)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    report.admit(&replay)?;
    if !args.captures.json {
        writeln!(out, "{}", render::first_line(&replay))?;
        for note in render::notes(&replay, args.captures.verbose) {
            writeln!(out, "{note}")?;
        }
        out.write_all(&text)?;
    }
    Ok(())
}

fn mark_line(header: &Header, name: &str, stamp: Stamp, live: Live<'_>) -> Value {
    let fields = json!({
        "mark": name,
        "pid": header.pid,
        "t_ns": json::int(stamp.t_ns),
        "live": live.buffers_json(),
        "memories": live.memories_json(header),
    });
    json::versioned("snapshot-marks", fields)
}

fn to_json(replay: &Replay) -> Value {
    let live = Live { snapshot: replay.ledger.snapshot(), selection: &replay.selection };
    let at = json::moment(replay.at, &replay.header);
    let fields = json!({
        "at": at,
        "live": live.buffers_json(),
        "circular_buffers": live.circular_json(),
        "memories": live.memories_json(&replay.header),
    });
    json::process(replay, fields)
}

fn print(replay: &Replay, args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, args.captures.verbose) {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "live at {}", render::moment(replay.at, &replay.header))?;
    let live = Live { snapshot: replay.ledger.snapshot(), selection: &replay.selection };
    live.print(&replay.header, args.num_largest, out)
}

/// What is live, so far as the filters keep it.
#[derive(Clone, Copy)]
struct Live<'a> {
    snapshot: Snapshot<'a>,
    selection: &'a Selection,
}

impl<'a> Live<'a> {
    /// The buffers that hold memory, largest first. Views do only where no owner is known, and hooked buffers were
    /// never there.
    fn buffers(self) -> Vec<&'a Buffer> {
        let mut buffers = self.snapshot.live();
        buffers.retain(|buffer| {
            self.snapshot.is_counted(buffer) && self.selection.has_new(buffer, self.snapshot)
        });
        buffers
    }

    /// The circular buffers, each with the chips on which it is the same.
    fn circular(self) -> Vec<(Resident, Vec<u32>)> {
        let mut on_chips: BTreeMap<_, (Resident, Vec<u32>)> = BTreeMap::new();
        for cb in self.snapshot.circular_buffers() {
            if !self.selection.has_circular_buffer(&cb, self.snapshot) {
                continue;
            }
            let chips = match cb.place {
                Place::Chip(chip) => vec![chip],
                Place::Mesh(_) => self.snapshot.chips_of(cb.place).to_vec(),
            };
            let key = (cb.program, cb.cores, cb.address, cb.size_bytes, cb.globally_allocated);
            on_chips.entry(key).or_insert_with(|| (cb, Vec::new())).1.extend(chips);
        }
        let mut all: Vec<_> = on_chips.into_values().collect();
        all.iter_mut().for_each(|(_, chips)| {
            chips.sort_unstable();
            chips.dedup();
        });
        all
    }

    fn buffers_json(self) -> Vec<Value> {
        let json = |buffer: &Buffer| {
            let origin = Origin::of_buffer(self.snapshot.contexts(), buffer).json();
            json::with(json::buffer(buffer, self.snapshot.chips_in_order(buffer.place())), origin)
        };
        self.buffers().into_iter().map(json).collect()
    }

    fn circular_json(self) -> Vec<Value> {
        let json = |(cb, chips): (Resident, Vec<u32>)| {
            let ranges = self.snapshot.core_ranges(cb.cores).unwrap_or_default();
            let ranges: Vec<_> = ranges.iter().map(|r| json!([r.x0, r.y0, r.x1, r.y1])).collect();
            json!({
                "chips": chips,
                "program": json::optional(cb.program),
                "cores": ranges,
                "address": json::int(cb.address),
                "size_bytes": json::int(cb.size_bytes),
                "globally_allocated": cb.globally_allocated,
            })
        };
        self.circular().into_iter().map(json).collect()
    }

    fn memories_json(self, header: &Header) -> Vec<Value> {
        let maps = memories::of(self.snapshot, self.selection);
        maps.iter().map(|map| memories::json(map, self.snapshot, header)).collect()
    }

    fn print(self, header: &Header, n_largest: usize, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut buffers = self.buffers();
        buffers.sort_by_key(|buffer| std::cmp::Reverse(buffer.alloc.size_bytes));
        let n_shown = if n_largest == 0 { buffers.len() } else { n_largest.min(buffers.len()) };
        let origin = |buffer: &Buffer| Origin::of_buffer(self.snapshot.contexts(), buffer);
        let has_origins = buffers[..n_shown].iter().any(|buffer| origin(buffer).is_known());
        let row = |buffer: &&Buffer| {
            let alloc = &buffer.alloc;
            let chips = self.snapshot.chips_of(alloc.place);
            let place =
                if has_origins { origin::place(alloc.place) } else { render::place(alloc.place, chips) };
            let mut row = vec![
                alloc.buffer_type.to_string(),
                format!("{:#x}", alloc.address),
                render::bytes(alloc.size_bytes),
                render::bytes(buffer.bank_bytes),
                buffer.class.to_string(),
                render::moment(buffer.since.into(), header),
                place,
            ];
            if has_origins {
                row.extend(origin(buffer).cells());
            }
            row
        };
        let mut heads = vec!["type", ">address", ">size", ">per bank", "class", ">since", "where"];
        if has_origins {
            heads.extend(origin::HEADS);
        }
        if n_shown > 0 {
            render::table(out, &heads, buffers[..n_shown].iter().map(row).collect())?;
        }
        match buffers.len() - n_shown {
            0 if n_shown == 0 && self.selection.is_all() => writeln!(out, "nothing is live")?,
            0 if n_shown == 0 && self.selection.is_only_circular() => {}
            0 if n_shown == 0 => writeln!(out, "nothing that the filters keep is live")?,
            0 => {}
            n_more => writeln!(out, "... and {n_more} more, -n 0 shows all")?,
        }
        self.print_circular(n_largest, out)?;
        writeln!(out)?;
        memories::print(&memories::of(self.snapshot, self.selection), self.snapshot, header, out)?;
        writeln!(out)?;
        Ok(())
    }

    /// Circular buffers are many: they are listed where they are asked for, and counted otherwise.
    fn print_circular(self, n_largest: usize, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut all = self.circular();
        if all.is_empty() {
            return Ok(());
        }
        if !self.selection.names_circular() {
            let n = render::count(all.len() as u64, "circular buffer");
            writeln!(out, "{n} of programs, --type cb lists them")?;
            return Ok(());
        }
        all.sort_by_key(|(cb, _)| std::cmp::Reverse(cb.address.saturating_add(cb.size_bytes)));
        let n_shown = if n_largest == 0 { all.len() } else { n_largest.min(all.len()) };
        let row = |(cb, chips): &(Resident, Vec<u32>)| {
            let program = cb.program.map_or("?".to_owned(), |program| program.to_string());
            let cores = self.snapshot.core_ranges(cb.cores).unwrap_or_default();
            let own = if cb.globally_allocated { "in a buffer" } else { "" };
            vec![
                format!("{:#x}", cb.address),
                format!("{:#x}", cb.address.saturating_add(cb.size_bytes)),
                render::bytes(cb.size_bytes),
                program,
                own.into(),
                render::cut(&render::chips(chips), 20),
                render::cores(cores),
            ]
        };
        writeln!(out)?;
        let heads = [">circular buffer", ">end", ">size per core", ">program", "", "on", "cores"];
        render::table(out, &heads, all[..n_shown].iter().map(row).collect())?;
        if all.len() > n_shown {
            writeln!(out, "... and {} more, -n 0 shows all", all.len() - n_shown)?;
        }
        Ok(())
    }
}
