//! `l1`: who is where in the L1 of the cores, and how much room is left between.

mod json;
mod text;

use crate::args::L1 as Args;
use crate::capture::Capture;
use crate::failures::{self, Refused, Wanted};
use crate::filters::Selection;
use crate::instant::{self, Instant};
use crate::replay::{self, Replay};
use crate::report::Report;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Basis, Buffer, Headroom, L1Map, L1Program, LaidOut, Snapshot};
use tt_memtrace_wire::{CbAlloc, Event, Line, Place, Range};

/// Shows the L1 of each chip at an instant.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let report = Report::new("l1", &args.captures, &args.filters, None);
    let at = args.at.as_deref().map(Instant::parse);
    let read = |path: &Path, selection: &Selection| match args.clash {
        true => at_clash(path, selection),
        false => replay_to(path, at.as_ref(), selection),
    };
    report.run(out, read, json::process, |moment, out| text::print(moment, args, out))
}

/// A capture at a moment.
enum Moment {
    /// As it was asked for; and whether that was when the room was least.
    Instant(Box<Replay>, bool),
    /// When a program was refused, or at the end if none was.
    Clash(Box<Refused>),
}

impl AsRef<Replay> for Moment {
    fn as_ref(&self) -> &Replay {
        match self {
            Self::Instant(replay, _) => replay,
            Self::Clash(refused) => &refused.replay,
        }
    }
}

fn at_clash(path: &Path, selection: &Selection) -> anyhow::Result<Moment> {
    Ok(Moment::Clash(Box::new(failures::replay_to(path, selection, Wanted::Clashes, None)?)))
}

/// Without an instant: to the end of the interval, or to when the room was least.
fn replay_to(path: &Path, at: Option<&Instant>, selection: &Selection) -> anyhow::Result<Moment> {
    let (end, is_least) = match (at, selection.interval) {
        (Some(at), _) => (instant::resolve(path, &[at])?[0], false),
        (None, Some(interval)) => (interval.to, false),
        (None, None) => least(path, selection)?.map_or((u64::MAX, false), |n| (n, true)),
    };
    let replay = replay::selected(path, selection, &mut |_, line, _, _| {
        let n = if let Line::Event(stamp, _) = line { stamp.n } else { 0 };
        Ok(if n >= end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(Moment::Instant(Box::new(replay), is_least))
}

/// The event at which the room was least. Of chips that came to the same, the last: a program lays out its circular
/// buffers on one chip after the other. For the same reason all that is laid out directly behind it belongs to it.
fn least(path: &Path, selection: &Selection) -> anyhow::Result<Option<u64>> {
    let replay = replay::whole(path)?;
    let on_chips = replay.ledger.snapshot().least_headrooms().into_iter();
    let wanted = on_chips.filter(|(chip, _)| selection.has_chip(*chip)).map(|(_, least)| least);
    let least = wanted.min_by_key(|least| (least.room.bytes(), std::cmp::Reverse(least.at.n)));
    least.map(|least| through_layout(path, least.at.n)).transpose()
}

fn through_layout(path: &Path, n: u64) -> anyhow::Result<u64> {
    let (mut capture, mut end) = (Capture::open(path)?, n);
    while let Some(line) = capture.next_line()? {
        match line {
            Line::Event(stamp, _) if stamp.n <= n => {}
            Line::Event(stamp, Event::CbAlloc(_)) => end = stamp.n,
            Line::Event(..) => break,
            _ => {}
        }
    }
    Ok(end)
}

/// The L1 of some chips, as far as the filters keep it.
struct Shown<'a> {
    /// What the filters leave.
    map: L1Map<'a>,
    /// The room on the worst of the shown cores.
    room: Option<Headroom>,
    /// What its lower end is worth.
    basis: Basis,
    /// The circular buffers that bound the room from below.
    top: Option<Top>,
    /// The buffer that bounds it from above.
    lowest: Option<&'a Buffer>,
}

/// The highest end of a circular buffer.
struct Top {
    program: Option<u64>,
    is_of_several: bool,
    /// The cores on which it is reached.
    ranges: Vec<Range>,
}

fn shown<'a>(snapshot: Snapshot<'a>, selection: &Selection) -> Vec<Shown<'a>> {
    snapshot.l1().into_iter().filter_map(|map| Shown::of(map, selection, snapshot)).collect()
}

impl<'a> Shown<'a> {
    fn of(mut map: L1Map<'a>, selection: &Selection, snapshot: Snapshot<'a>) -> Option<Self> {
        map.chips.retain(|chip| selection.has_chip(*chip));
        let &chip = map.chips.first()?;
        map.cores.retain(|group| selection.has_cores(Some(&group.ranges)));
        let (room, basis) =
            if selection.filters.core.is_some() { room_on_cores(&map) } else { (map.room, map.basis) };
        let top = room.and_then(|room| Top::of(&map, room));
        let lowest = map.buffers.first().map(|of| of.buffer);
        let lowest = lowest.filter(|lowest| room.is_some_and(|r| r.lowest_reserved == lowest.alloc.address));
        map.buffers.retain(|of| selection.has_reserved(&of.buffer.alloc, snapshot));
        for L1Program { program, circular_buffers, .. } in &mut map.programs {
            let is_kept =
                |cb: &LaidOut<'_>| selection.has_circular_buffer(&resident(cb, *program, chip), snapshot);
            circular_buffers.retain(is_kept);
        }
        map.programs.retain(|program| !program.circular_buffers.is_empty());
        if !selection.has_circular() {
            map.cores.clear();
        }
        Some(Self { map, room, basis, top, lowest })
    }
}

impl Shown<'_> {
    /// The room above circular buffers that end here; above none, all that is below the buffers.
    fn room_at(&self, end: Option<u64>) -> Option<Headroom> {
        let highest_end = end.or(self.map.bank.map(|bank| bank.start))?;
        Some(Headroom { highest_end, ..self.room? })
    }
}

/// The room on the worst of the cores that the filters left, and what its lower end is worth.
fn room_on_cores(map: &L1Map<'_>) -> (Option<Headroom>, Basis) {
    let worst =
        map.cores.iter().filter_map(|group| Some((group.end?, group.basis))).max_by_key(|(end, _)| *end);
    let of_none = if map.unsized_programs.count() > 0 { Basis::LowerBound } else { Basis::Exact };
    let end = worst.map(|(end, _)| end).or(map.bank.map(|bank| bank.start));
    let room = map.room.zip(end).map(|(room, end)| Headroom { highest_end: end, ..room });
    (room, worst.map_or(of_none, |(_, basis)| basis))
}

impl Top {
    fn of(map: &L1Map<'_>, room: Headroom) -> Option<Self> {
        let highest: Vec<_> = map.cores.iter().filter(|group| group.end == Some(room.highest_end)).collect();
        let by_cores = highest.first().map(|group| group.program);
        let is_top = |program: Option<u64>| by_cores.is_none_or(|of| of == program);
        let program =
            map.programs.iter().find(|of| of.end == Some(room.highest_end) && is_top(of.program))?;
        let mut sets: Vec<&LaidOut<'_>> =
            program.circular_buffers.iter().filter(|cb| cb.own_end() == Some(room.highest_end)).collect();
        sets.sort_by_key(|cb| cb.cores);
        sets.dedup_by_key(|cb| cb.cores);
        let ranges = sets.iter().flat_map(|cb| cb.ranges.unwrap_or_default()).copied().collect();
        Some(Self { program: program.program, is_of_several: program.is_of_several, ranges })
    }
}

/// A circular buffer as the filters know it.
fn resident(cb: &LaidOut<'_>, program: Option<u64>, chip: u32) -> CbAlloc {
    CbAlloc {
        place: Place::Chip(chip),
        program,
        cores: cb.cores,
        address: cb.address,
        size_bytes: cb.size_bytes,
        globally_allocated: cb.globally_allocated,
    }
}
