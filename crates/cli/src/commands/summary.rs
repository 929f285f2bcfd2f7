//! `summary`: one screen on where memory was held, how much, and when it was most.

mod origins;
mod peaks;
mod pressure;
mod processes;
mod rows;

use crate::args::{By, Summary as Args};
use crate::figures::{ByChip, Figures};
use crate::filters::Selection;
use crate::left::{Left, Survivors};
use crate::look::{Tone, paint};
use crate::replay::Replay;
use crate::report::Report;
use crate::{json, render, replay};
use peaks::Peaks;
use pressure::Pressure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{CircularFootprint, Gauge, Totals, TypeTotals};
use tt_memtrace_wire::{BufferType, Header};

/// Reports on each capture.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    if matches!(args.by, By::Op | By::Line) {
        let report = Report::new("summary-origins", &args.captures, &args.filters, None);
        return origins::run(report, args.by, args.captures.verbose, out);
    }
    let report = Report::new("summary", &args.captures, &args.filters, None);
    if args.by == By::Process && !args.captures.json {
        return processes::run(report, out);
    }
    let print = |summary: &Summary, out: &mut dyn Write| summary.print(args.by, args.captures.verbose, out);
    report.run(out, Summary::read, Summary::to_json, print)
}

/// A capture, and the figures of what is shown of it.
pub struct Summary {
    replay: Replay,
    at_start: ByChip,
    at_end: ByChip,
    places: Vec<Totals>,
    peaks: Peaks,
    circular: BTreeMap<u32, CircularFootprint>,
}

impl AsRef<Replay> for Summary {
    fn as_ref(&self) -> &Replay {
        &self.replay
    }
}

impl Summary {
    /// Replays the whole capture: what was left in an interval is known at the end.
    pub fn read(path: &Path, selection: &Selection) -> anyhow::Result<Self> {
        let mut figures = Figures::new(selection);
        let mut replay = replay::selected(path, selection, &mut |_, line, effect, ledger| {
            figures.see(line, effect, ledger);
            Ok(ControlFlow::Continue(()))
        })?;
        figures.finish(&replay);
        let (at_start, at_end) = (figures.at_start(), figures.at_end(&replay));
        let (places, circular) = (figures.places(&replay), figures.circular_footprints(&replay));
        let peaks = Peaks::of(&figures, &replay);
        replay.conclude();
        Ok(Self { replay, at_start, at_end, places, peaks, circular })
    }

    /// One process, for people.
    pub fn print(&self, by: By, is_verbose: bool, out: &mut dyn Write) -> anyhow::Result<()> {
        let replay = &self.replay;
        writeln!(out, "{}", render::first_line(replay))?;
        for note in render::notes(replay, is_verbose) {
            writeln!(out, "{note}")?;
        }
        writeln!(out)?;
        let circular = self.circular();
        if rows::print(self, by, out)? {
            writeln!(out)?;
        } else if circular.is_empty() {
            let nothing = render::nothing_shown(replay);
            writeln!(out, "{}\n", nothing.unwrap_or_else(|| "no buffer was allocated".into()))?;
        }
        if by == By::Chip {
            for pressure in self.pressures() {
                writeln!(out, "{}", pressure.words(&self.replay.header))?;
            }
        }
        if by == By::Chip {
            self.peaks.print(&replay.header, out)?;
        }
        for (chips, footprint) in circular {
            let size = render::bytes(footprint.peak_bytes());
            let place = render::chips(&chips);
            writeln!(out, "circular buffers: up to {size} above the base on {place} (lower bound)")?;
        }
        writeln!(out, "{}", Survivors::of(replay).verdict())?;
        if replay.ledger.anomalies().total() > 0 {
            let kinds = replay.ledger.anomalies().counts().map(|(kind, n)| format!("{kind} {n}"));
            let odd = format!("odd: {}; see tt-memtrace stats", kinds.collect::<Vec<_>>().join(", "));
            writeln!(out, "{}", paint(Tone::Odd, &odd))?;
        }
        writeln!(out)?;
        Ok(())
    }

    /// None where only some of the buffers of a chip are shown.
    fn pressures(&self) -> Vec<Pressure> {
        if self.replay.selection.leaves_out_sizes() {
            return Vec::new();
        }
        pressure::of(&self.at_end, &self.shown_chips(), self.replay.ledger.snapshot())
    }

    /// The chips of the capture, also those that held nothing.
    fn shown_chips(&self) -> Vec<u32> {
        let chips = self.replay.chips.iter().copied();
        chips.filter(|chip| self.replay.selection.has_chip(*chip)).collect()
    }

    /// The circular buffers' footprints; chips with the same one come together.
    fn circular(&self) -> Vec<(Vec<u32>, CircularFootprint)> {
        let mut groups: Vec<(Vec<u32>, CircularFootprint)> = Vec::new();
        for (chip, footprint) in &self.circular {
            match groups.iter_mut().find(|(_, known)| known.peak_bytes() == footprint.peak_bytes()) {
                Some((chips, _)) => chips.push(*chip),
                None => groups.push((vec![*chip], *footprint)),
            }
        }
        groups
    }

    /// One process, for programs.
    pub fn to_json(&self) -> Value {
        let replay = &self.replay;
        let header = &replay.header;
        let survivors = Survivors::of(replay);
        let left = survivors.by_chip();
        let chips = self.at_end.iter().map(|(chip, types)| {
            let of = |of: &TypeTotals| self.type_json(*chip, of, &left);
            json!({"chip": chip, "types": types.iter().map(of).collect::<Vec<_>>()})
        });
        let meshes = self.places.iter().map(|place| {
            let types = place.types.iter().map(|of| totals(of, header)).collect::<Vec<_>>();
            json!({"mesh_id": place.place.map(json::mesh_id), "chips": place.chips, "types": types})
        });
        let circular = self.circular.iter().map(|(chip, of)| {
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
            "pressure": self.pressures().iter().map(|pressure| pressure.json(header)).collect::<Vec<_>>(),
            "meshes": meshes.collect::<Vec<_>>(),
            "circular_buffers": circular.collect::<Vec<_>>(),
            "survivors": survivors.json(),
            "anomalies": replay.ledger.anomalies().counts().collect::<BTreeMap<_, _>>(),
        });
        json::process(replay, json::with(process, self.peaks.json(header)))
    }

    /// A type on a chip: its totals, what it held when an interval began, and what was left of it.
    fn type_json(&self, chip: u32, of: &TypeTotals, left: &BTreeMap<(u32, BufferType), Left>) -> Value {
        let mut value = totals(of, &self.replay.header);
        let left = left.get(&(chip, of.buffer_type)).copied().unwrap_or_default();
        value["left"] = left.json();
        if self.replay.selection.interval.is_some() {
            value["at_start"] = json!({"bytes": json::int(self.bytes_at_start(chip, of.buffer_type))});
        }
        value
    }

    /// Logical bytes that were live when the interval began.
    fn bytes_at_start(&self, chip: u32, buffer_type: BufferType) -> u64 {
        let types = self.at_start.get(&chip).map(Vec::as_slice).unwrap_or_default();
        types.iter().find(|of| of.buffer_type == buffer_type).map_or(0, |of| of.tally.bytes.live)
    }
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
        "by_class": peaks::classes(tally, header),
        "n_banks": of.bank.as_ref().map(|bank| bank.n_banks),
        "bank_size_bytes": json::optional(of.bank.as_ref().map(|bank| bank.bank_size_bytes)),
    })
}
