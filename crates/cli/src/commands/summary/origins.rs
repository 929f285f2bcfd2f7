//! The table by operation or by line: what each allocated, held when most was held, and left; and how far up the circular
//! buffers of its programs reach.

mod circular;

use crate::args::By;
use crate::commands::snapshot;
use crate::filters::Selection;
use crate::instant::Instant;
use crate::left::Survivors;
use crate::origin::{self, Origin};
use crate::replay::Replay;
use crate::report::Report;
use crate::{json, render, replay};
use circular::Programs;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Buffer, Contexts, Effect};
use tt_memtrace_wire::{Event, Line};

/// What stands for allocations of which neither is known.
const UNKNOWN: &str = "not known";

/// What an operation or a line is known by: the operation's name, or file, line and function.
type Key = (String, u32, String);

/// What it did, in logical bytes on one chip of each buffer.
#[derive(Default)]
struct Row {
    n_allocations: u64,
    allocated_bytes: u64,
    n_at_peak: u64,
    peak_bytes: u64,
    n_left: u64,
    left_bytes: u64,
    n_programs: u64,
    n_of_launch: u64,
    circular_bytes: u64,
}

/// A capture by operation or by line.
struct Origins {
    replay: Replay,
    rows: BTreeMap<Key, Row>,
    programs: Programs,
    by: By,
}

impl AsRef<Replay> for Origins {
    fn as_ref(&self) -> &Replay {
        &self.replay
    }
}

/// Reports on each capture.
pub fn run(report: Report<'_>, by: By, is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let read = |path: &Path, selection: &Selection| Origins::read(path, selection, by);
    report.run(out, read, Origins::to_json, |origins, out| origins.print(is_verbose, out))
}

impl Origins {
    fn read(path: &Path, selection: &Selection, by: By) -> anyhow::Result<Self> {
        let (mut rows, mut programs): (BTreeMap<Key, Row>, _) = (BTreeMap::new(), Programs::default());
        let key_of = |contexts: &Contexts, buffer: &Buffer| key(by, &Origin::of_buffer(contexts, buffer));
        let mut replay = replay::selected(path, selection, &mut |_, line, effect, ledger| {
            if let Line::Event(stamp, event @ Event::Alloc(alloc)) = line
                && matches!(effect, Effect::Opened | Effect::Replaced(_))
                && alloc.owns_data != Some(false)
                && selection.keeps(*stamp, event, effect, ledger.snapshot())
            {
                let contexts = ledger.contexts();
                let row = rows.entry(key(by, &Origin::of(contexts, contexts.find(stamp.ctx)))).or_default();
                row.n_allocations += 1;
                row.allocated_bytes = row.allocated_bytes.saturating_add(alloc.size_bytes);
            }
            if let Line::Event(stamp, event) = line {
                let is_kept = || selection.keeps(*stamp, event, effect, ledger.snapshot());
                programs.see(event, is_kept, ledger.snapshot());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        replay.conclude();
        for survivor in Survivors::of(&replay).largest_first() {
            let row = rows.entry(key_of(replay.ledger.contexts(), survivor.buffer)).or_default();
            row.n_left += 1;
            row.left_bytes = row.left_bytes.saturating_add(survivor.buffer.alloc.size_bytes);
        }
        for program in programs.all() {
            let contexts = replay.ledger.contexts();
            let row = rows.entry(key(by, &Origin::of(contexts, program.maker.context()))).or_default();
            row.n_programs += 1;
            row.n_of_launch += u64::from(program.maker.is_of_launch());
            row.circular_bytes = row.circular_bytes.max(program.bytes());
        }
        let peak = snapshot::replay_to(path, Some(&Instant::Peak), selection)?;
        let live = peak.ledger.snapshot();
        for buffer in live.live() {
            if live.is_counted(buffer) && selection.has_new(buffer, live) {
                let row = rows.entry(key_of(live.contexts(), buffer)).or_default();
                row.n_at_peak += 1;
                row.peak_bytes = row.peak_bytes.saturating_add(buffer.alloc.size_bytes);
            }
        }
        Ok(Self { replay, rows, programs, by })
    }

    /// Those that held most first.
    fn sorted(&self) -> Vec<(&Key, &Row)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(key, row)| {
            (std::cmp::Reverse((row.peak_bytes, row.allocated_bytes, row.circular_bytes)), *key)
        });
        rows
    }

    fn print(&self, is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<()> {
        writeln!(out, "{}", render::first_line(&self.replay))?;
        for note in render::notes(&self.replay, is_verbose) {
            writeln!(out, "{note}")?;
        }
        writeln!(out)?;
        let has_programs = self.programs.all().next().is_some();
        let cells = |(key, row): (&Key, &Row)| {
            let (name, line, function) = key;
            let name = match (self.by, name.as_str()) {
                (_, "") => UNKNOWN.to_owned(),
                (By::Line, file) => format!("{}  {function}", origin::short_of(file, *line)),
                (_, op) => op.to_owned(),
            };
            let mut cells = vec![
                render::bytes(row.peak_bytes),
                render::count(row.n_at_peak, ""),
                render::count(row.n_allocations, ""),
                render::bytes(row.allocated_bytes),
                render::bytes(row.left_bytes),
            ];
            if has_programs {
                let reach = if row.n_programs == 0 { "-".into() } else { render::bytes(row.circular_bytes) };
                cells.push(reach);
            }
            cells.push(name);
            cells
        };
        let mut heads = vec![">at peak", ">buffers", ">allocs", ">in all", ">left"];
        heads.extend(has_programs.then_some(">circular"));
        heads.push("by");
        if self.rows.is_empty() {
            let nothing = render::nothing_shown(&self.replay);
            writeln!(out, "{}", nothing.unwrap_or_else(|| "no buffer was allocated".into()))?;
        } else {
            render::table(out, &heads, self.sorted().into_iter().map(cells).collect())?;
        }
        for note in self.programs.notes(&self.replay.header) {
            writeln!(out, "{note}")?;
        }
        writeln!(out)?;
        Ok(())
    }

    fn to_json(&self) -> Value {
        let row = |(key, row): (&Key, &Row)| {
            let (name, line, function) = key;
            let name = Some(name).filter(|name| !name.is_empty());
            let at = name.map(|file| json!({"file": file, "line": line, "function": function}));
            let (op, at) =
                if self.by == By::Line { (Value::Null, json!(at)) } else { (json!(name), Value::Null) };
            json!({
                "op": op,
                "where": at,
                "peak_bytes": json::int(row.peak_bytes),
                "n_at_peak": json::int(row.n_at_peak),
                "n_allocations": json::int(row.n_allocations),
                "allocated_bytes": json::int(row.allocated_bytes),
                "n_left": json::int(row.n_left),
                "left_bytes": json::int(row.left_bytes),
                "n_programs": json::int(row.n_programs),
                "n_programs_of_launch": json::int(row.n_of_launch),
                "circular_bytes": json::int(row.circular_bytes),
            })
        };
        let rows: Vec<Value> = self.sorted().into_iter().map(row).collect();
        json::process(&self.replay, json!({"origins": rows}))
    }
}

fn key(by: By, origin: &Origin<'_>) -> Key {
    match (by, origin.line()) {
        (By::Line, Some(at)) => (at.file.to_owned(), at.line, at.function.to_owned()),
        (By::Line, None) => Key::default(),
        _ => (origin.op().unwrap_or_default().to_owned(), 0, String::new()),
    }
}
