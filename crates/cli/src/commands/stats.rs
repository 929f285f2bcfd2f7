//! `stats`: how many events of which kind, how large allocations are, and what does not add up.

use crate::args::Stats;
use crate::filters::Selection;
use crate::origin::{self, Origin};
use crate::replay::Replay;
use crate::report::Report;
use crate::{anomalies, json, render, replay};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Anomaly, Cause, ContextId, Effect, What};
use tt_memtrace_wire::{Alloc, Event, Line, Stamp};

/// So many anomalies are listed; all are counted.
const N_ANOMALIES: usize = 5;
/// The longest bar of the histogram.
const BAR: u64 = 40;

/// What one pass collects.
#[derive(Default)]
struct Counts {
    n_events: u64,
    events: BTreeMap<&'static str, u64>,
    /// By the power of two that a size is below.
    sizes: BTreeMap<u32, u64>,
    /// The largest allocations, in descending order.
    largest: Vec<Largest>,
}

/// An allocation among the largest.
struct Largest {
    at: Stamp,
    alloc: Alloc,
    context: Option<ContextId>,
}

/// A capture and its counts.
struct Counted {
    replay: Replay,
    counts: Counts,
}

impl AsRef<Replay> for Counted {
    fn as_ref(&self) -> &Replay {
        &self.replay
    }
}

/// Reports on each capture.
pub fn run(args: &Stats, out: &mut dyn Write) -> anyhow::Result<u8> {
    let report = Report::new("stats", &args.captures, &args.filters, args.id_range);
    report.run(
        out,
        |path, selection| collect(path, selection, args.num_largest),
        |Counted { replay, counts }| to_json(replay, counts),
        |Counted { replay, counts }, out| print(replay, counts, args.captures.verbose, out),
    )
}

fn collect(path: &Path, selection: &Selection, n_largest: usize) -> anyhow::Result<Counted> {
    let mut counts = Counts::default();
    let mut replay = replay::selected(path, selection, &mut |_, line, effect, ledger| {
        if let Line::Event(stamp, event) = line
            && selection.keeps(*stamp, event, effect, ledger.snapshot())
        {
            counts.n_events += 1;
            *counts.events.entry(event.kind()).or_default() += 1;
            if let Event::Alloc(alloc) = event
                && alloc.owns_data != Some(false)
                && !alloc.hooked
                && *effect != Effect::Merged
            {
                let context = ledger.contexts().find(stamp.ctx);
                counts.note(Largest { at: *stamp, alloc: alloc.clone(), context }, n_largest);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    replay.conclude();
    Ok(Counted { replay, counts })
}

impl Counts {
    fn note(&mut self, new: Largest, n_largest: usize) {
        let alloc = &new.alloc;
        *self.sizes.entry(u64::BITS - alloc.size_bytes.leading_zeros()).or_default() += 1;
        let at = self.largest.partition_point(|known| known.alloc.size_bytes >= alloc.size_bytes);
        if at < n_largest {
            self.largest.insert(at, new);
            self.largest.truncate(n_largest);
        }
    }
}

fn print(replay: &Replay, counts: &Counts, is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{}", render::first_line(replay))?;
    for note in render::notes(replay, is_verbose) {
        writeln!(out, "{note}")?;
    }
    writeln!(out)?;
    let rate = |n: u64| rate(n, replay).map_or(String::new(), |rate| format!("{rate:.1}"));
    let events =
        counts.events.iter().map(|(kind, n)| vec![(*kind).to_owned(), render::count(*n, ""), rate(*n)]);
    if counts.events.is_empty() {
        writeln!(out, "{}", render::nothing_shown(replay).unwrap_or_else(|| "no event was recorded".into()))?;
    } else {
        render::table(out, &["event", ">count", ">per second"], events.collect())?;
    }
    writeln!(out)?;
    print_sizes(counts, out)?;
    print_largest(replay, counts, out)?;
    print_anomalies(replay, out)
}

fn print_sizes(counts: &Counts, out: &mut dyn Write) -> anyhow::Result<()> {
    let most = counts.sizes.values().copied().max().unwrap_or(0);
    let row = |(bits, n): (&u32, &u64)| {
        let below = 1_u64.checked_shl(*bits).map_or_else(|| "16.00 EiB".to_owned(), render::bytes);
        let bar = usize::try_from((n * BAR).div_ceil(most.max(1))).unwrap_or(0);
        vec![format!("below {below}"), render::count(*n, ""), "#".repeat(bar)]
    };
    if most > 0 {
        render::table(out, &[">size", ">allocations", ""], counts.sizes.iter().map(row).collect())?;
        writeln!(out)?;
    }
    Ok(())
}

fn print_largest(replay: &Replay, counts: &Counts, out: &mut dyn Write) -> anyhow::Result<()> {
    let has_origins =
        counts.largest.iter().any(|one| Origin::of(replay.ledger.contexts(), one.context).is_known());
    let row = |Largest { at, alloc, context }: &Largest| {
        let chips = replay.ledger.snapshot().chips_of(alloc.place);
        let place = if has_origins {
            origin::place(alloc.place)
        } else {
            render::cut(&render::place(alloc.place, chips), 40)
        };
        let mut row = vec![
            alloc.buffer_type.to_string(),
            render::bytes(alloc.size_bytes),
            render::bytes(alloc.per_bank_bytes),
            render::moment((*at).into(), &replay.header),
            place,
        ];
        if has_origins {
            row.extend(Origin::of(replay.ledger.contexts(), *context).cells());
        }
        row
    };
    if !counts.largest.is_empty() {
        let mut heads = vec!["largest", ">size", ">per bank", ">at", "where"];
        if has_origins {
            heads.extend(origin::HEADS);
        }
        render::table(out, &heads, counts.largest.iter().map(row).collect())?;
        writeln!(out)?;
    }
    Ok(())
}

fn print_anomalies(replay: &Replay, out: &mut dyn Write) -> anyhow::Result<()> {
    let anomalies = replay.ledger.anomalies();
    for (kind, n) in anomalies.counts() {
        writeln!(out, "odd: {kind} {n}")?;
        for anomaly in
            anomalies.first().iter().filter(|anomaly| anomaly.what.kind() == kind).take(N_ANOMALIES)
        {
            writeln!(out, "  {}", describe(anomaly, replay))?;
        }
    }
    if anomalies.total() > 0 {
        writeln!(out)?;
    }
    Ok(())
}

fn describe(anomaly: &Anomaly, replay: &Replay) -> String {
    format!("{}: {}", render::moment(anomaly.at.into(), &replay.header), anomalies::describe(anomaly))
}

/// The event it does not agree with, if one is remembered.
fn earlier(anomaly: &Anomaly) -> Option<u64> {
    match anomaly.what {
        What::UnknownDealloc(Cause::AlreadyFreed { by_n }) => by_n,
        What::DoubleDealloc { first_n } => Some(first_n),
        What::Overlap { with_n } => Some(with_n),
        _ => None,
    }
}

/// Events per second, over the time from the first line, or from the beginning of the interval, to the last event.
#[expect(clippy::cast_precision_loss, reason = "a rate is for people")]
fn rate(n: u64, replay: &Replay) -> Option<f64> {
    let (from, to) = replay.range;
    let seconds = json::duration(to.t_ns.saturating_sub(from.t_ns));
    (seconds > 0.0).then(|| n as f64 / seconds)
}

fn to_json(replay: &Replay, counts: &Counts) -> Value {
    let snapshot = replay.ledger.snapshot();
    let sizes = counts.sizes.iter().map(|(bits, n)| {
        json!({"below_bytes": 1_u64.checked_shl(*bits).map(json::int), "n_allocations": json::int(*n)})
    });
    let largest = counts.largest.iter().map(|Largest { at, alloc, context }| {
        let row = json!({
            "mesh_id": json::mesh_id(alloc.place),
            "chips": snapshot.chips_in_order(alloc.place),
            "type": alloc.buffer_type.to_string(),
            "address": json::int(alloc.address),
            "size_bytes": json::int(alloc.size_bytes),
            "per_bank_bytes": json::int(alloc.per_bank_bytes),
            "unique_id": json::optional(alloc.unique_id),
            "at": json::moment((*at).into(), &replay.header),
        });
        json::with(row, Origin::of(replay.ledger.contexts(), *context).json())
    });
    let anomalies = replay.ledger.anomalies();
    let anomaly = |anomaly: &Anomaly| {
        json!({
            "kind": anomaly.what.kind(),
            "cause": if let What::UnknownDealloc(cause) = anomaly.what { json!(anomalies::cause_name(cause)) } else { Value::Null },
            "earlier_n": json::optional(earlier(anomaly)),
            "at": json::moment(anomaly.at.into(), &replay.header),
            "mesh_id": json::mesh_id(anomaly.place),
            "chips": snapshot.chips_in_order(anomaly.place),
            "type": anomaly.buffer_type.map(|of| of.to_string()),
            "address": json::int(anomaly.address),
            "unique_id": json::optional(anomaly.unique_id),
            "text": describe(anomaly, replay),
        })
    };
    let process = json!({
        "events": counts.events,
        "events_per_second": rate(counts.n_events, replay),
        "sizes": sizes.collect::<Vec<_>>(),
        "largest": largest.collect::<Vec<_>>(),
        "anomaly_counts": anomalies.counts().collect::<BTreeMap<_, _>>(),
        "anomalies": anomalies.first().iter().map(anomaly).collect::<Vec<_>>(),
    });
    json::process(replay, process)
}
