//! `tree`: who holds memory at an instant, by call stack.

use super::snapshot;
use crate::args::Tree as Args;
use crate::filters::Selection;
use crate::instant::Instant;
use crate::replay::Replay;
use crate::report::Report;
use crate::{json, origin, render};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use tt_memtrace_ledger::{CallSite, ContextId};

/// What stands for buffers whose allocation has no Python stack.
const UNKNOWN: &str = "no Python stack";
/// A frame that holds less of the whole than one part in so many is left out, unless all are wanted.
const LEAST_SHARE: u64 = 200;

/// Shows what was live at the instant, or when most was.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let at = args.at.as_deref().map_or(Instant::Peak, Instant::parse);
    let read = |path: &Path, selection: &Selection| snapshot::replay_to(path, Some(&at), selection);
    let mut report = Report::new("tree", &args.captures, &args.filters, None);
    if args.folded {
        let code = report.each(|report, path, selection| {
            let replay = read(path, selection)?;
            report.admit(&replay)?;
            print_folded(&replay, out)
        })?;
        return Ok(report.judge(code));
    }
    report.run(out, read, to_json, |replay, out| print(replay, args, out))
}

/// A sum of buffers: logical bytes on one chip of each.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    bytes: u64,
    n_buffers: u64,
}

impl Held {
    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.n_buffers += other.n_buffers;
    }
}

/// What each context holds that has buffers, most first.
fn by_context(replay: &Replay) -> Vec<(Option<ContextId>, Held)> {
    let snapshot = replay.ledger.snapshot();
    let mut sums: BTreeMap<Option<ContextId>, Held> = BTreeMap::new();
    for buffer in snapshot.live() {
        if snapshot.is_counted(buffer) && replay.selection.has_new(buffer, snapshot) {
            let held = Held { bytes: buffer.alloc.size_bytes, n_buffers: 1 };
            sums.entry(buffer.context).or_default().add(held);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(context, held)| (std::cmp::Reverse(held.bytes), *context));
    sums
}

/// The frames of a context, the outermost first.
fn path(replay: &Replay, context: Option<ContextId>) -> Vec<CallSite<'_>> {
    let contexts = replay.ledger.contexts();
    context.map(|context| contexts.frames(context).rev().collect()).unwrap_or_default()
}

/// A line that was being executed, and what was called from there.
#[derive(Default)]
struct Node<'a> {
    held: Held,
    below: BTreeMap<CallSite<'a>, Node<'a>>,
}

impl<'a> Node<'a> {
    fn of(replay: &'a Replay) -> (Self, Held) {
        let (mut root, mut unknown) = (Self::default(), Held::default());
        for (context, held) in by_context(replay) {
            let path = path(replay, context);
            root.held.add(held);
            if path.is_empty() {
                unknown.add(held);
            }
            path.into_iter().fold(&mut root, |node, site| {
                let below = node.below.entry(site).or_default();
                below.held.add(held);
                below
            });
        }
        (root, unknown)
    }

    /// Rows below this one, the most bytes first.
    fn rows(&self, depth: usize, least: u64, whole: u64, rows: &mut Vec<Vec<String>>) {
        let mut below: Vec<_> = self.below.iter().filter(|(_, node)| node.held.bytes >= least).collect();
        below.sort_by_key(|(site, node)| (std::cmp::Reverse(node.held.bytes), **site));
        for (site, node) in below {
            let name = format!("{}{}  {}", "  ".repeat(depth), site.function, origin::short(*site));
            rows.push(row(node.held, whole, name));
            node.rows(depth + 1, least, whole, rows);
        }
    }
}

fn row(held: Held, whole: u64, name: String) -> Vec<String> {
    vec![render::bytes(held.bytes), share(held.bytes, whole), render::count(held.n_buffers, ""), name]
}

/// Tenths of a percent, without floating point.
fn share(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

fn print(replay: &Replay, args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, args.captures.verbose) {
        writeln!(out, "{note}")?;
    }
    let (root, unknown) = Node::of(replay);
    let whole = root.held.bytes;
    let (bytes, n) = (render::bytes(whole), render::count(root.held.n_buffers, "buffer"));
    writeln!(out, "live at {}: {bytes} in {n}", render::moment(replay.at, &replay.header))?;
    let mut rows = Vec::new();
    root.rows(0, if args.all { 0 } else { whole / LEAST_SHARE }, whole, &mut rows);
    if unknown.n_buffers > 0 {
        rows.push(row(unknown, whole, UNKNOWN.to_owned()));
    }
    if rows.is_empty() {
        writeln!(out, "nothing is live")?;
    } else {
        render::table(out, &[">bytes", ">share", ">buffers", "by"], rows)?;
    }
    writeln!(out)?;
    Ok(())
}

/// A line for each stack, its frames from the outermost to the innermost, as flame graphs are made of.
fn print_folded(replay: &Replay, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for (context, held) in by_context(replay) {
        let name = |site: &CallSite<'_>| {
            format!("{} ({})", site.function, origin::short(*site)).replace([';', '\n'], "_")
        };
        let frames: Vec<String> = path(replay, context).iter().map(name).collect();
        let stack = if frames.is_empty() { UNKNOWN.to_owned() } else { frames.join(";") };
        let bytes = lines.entry(stack).or_default();
        *bytes = bytes.saturating_add(held.bytes);
    }
    for (stack, bytes) in lines {
        writeln!(out, "{stack} {bytes}")?;
    }
    Ok(())
}

fn to_json(replay: &Replay) -> Value {
    let stack = |(context, held): (Option<ContextId>, Held)| {
        let frame = |at: &CallSite<'_>| json!({"file": at.file, "line": at.line, "function": at.function});
        let frames: Vec<Value> = path(replay, context).iter().map(frame).collect();
        let fields = json!({
            "bytes": json::int(held.bytes),
            "n_buffers": json::int(held.n_buffers),
            "frames": frames,
            "is_cut": context.is_some_and(|context| replay.ledger.contexts().is_cut(context)),
        });
        json::with(fields, origin::Origin::of(replay.ledger.contexts(), context).json())
    };
    let stacks: Vec<Value> = by_context(replay).into_iter().map(stack).collect();
    json::process(replay, json!({"at": json::moment(replay.at, &replay.header), "stacks": stacks}))
}
