//! Whether what is live grows from one repetition to the next.
//!
//! A program that marks its iterations, by one name again and again or by a name with a number behind it, makes a
//! series: `step 1`, `step 2`, `step 3`. What is live at those marks should be the same.
//!
//! ```
//! # use tt_memtrace_ledger::{Growth, Ledger, Moment};
//! # use tt_memtrace_wire::{Event, Line};
//! # fn show(ledger: &mut Ledger, lines: &[Line]) {
//! let mut growth = Growth::default();
//! for line in lines {
//!     let _ = ledger.apply(line);
//!     if let Line::Event(stamp, Event::Mark { name }) = line {
//!         growth.note(name, (*stamp).into(), &ledger.snapshot());
//!     }
//! }
//! for trend in growth.trends() {
//!     for memory in trend.types.iter().filter(|memory| memory.line.grows) {
//!         println!("{}: {:+.0} bytes each", memory.buffer_type, memory.line.per_mark);
//!     }
//! }
//! # }
//! ```
//!
//! Memory and work are bounded, however many marks there are: a series keeps at most so many of its marks, evenly
//! spread, and what is live is looked at only for those.

mod fit;

pub use fit::Fit;

use crate::class::Class;
use crate::snapshot::{Snapshot, rank};
use crate::tally::Moment;
use fit::{LEAST_POINTS, real};
use std::collections::BTreeMap;
use tt_memtrace_wire::BufferType;

/// A series keeps at most so many marks: when there are more, every second of them is let go.
const MOST_POINTS: usize = 256;

/// So many series are followed. When there are more, those with one mark so far make room.
const MOST_SERIES: usize = 64;

/// So many groups of buffers are followed in a series: those that were seen first.
const MOST_GROUPS: usize = 1024;

/// Follows what is live at repeated marks.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    series: BTreeMap<String, Series>,
    n_left_out: u64,
}

/// A series of marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// What the names of its marks have in common: `step` for `step 1`, `step 2`. May be empty.
    pub name: String,
    /// How many marks it has.
    pub n_marks: u64,
    /// The first mark that was judged; those before are warm-up.
    pub from: Moment,
    /// The last.
    pub upto: Moment,
    /// Each memory type on the chips where it grows most, in the order of reports. Empty if there are too few marks.
    pub types: Vec<TypeTrend>,
    /// The groups of like buffers whose number grows, the fastest by bytes first.
    pub groups: Vec<GroupTrend>,
    /// False if there were more groups than are followed; then `groups` may miss some.
    pub has_all_groups: bool,
}

/// The growth of one memory type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeTrend {
    /// The memory type.
    pub buffer_type: BufferType,
    /// The chips; they are alike.
    pub chips: Vec<u32>,
    /// Logical bytes on one of them.
    pub line: Fit,
    /// Bytes in each bank.
    pub in_bank: Fit,
    /// Free bytes in each bank at the last mark, if its size is known.
    pub free_in_bank: Option<u64>,
}

impl TypeTrend {
    /// After how many more marks memory runs out; absent if it does not grow, or nobody knows how much there is.
    /// An upper bound: what is free is in pieces.
    pub fn marks_left(&self) -> Option<f64> {
        let free = real(self.free_in_bank?);
        self.in_bank.grows.then(|| (free / self.in_bank.per_mark).floor())
    }
}

/// Buffers that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alike {
    /// The memory type.
    pub buffer_type: BufferType,
    /// Logical bytes on one chip.
    pub size_bytes: u64,
    /// Whose they are.
    pub class: Class,
}

/// Like buffers that become more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupTrend {
    /// Which.
    pub of: Alike,
    /// How many, at the last mark. A buffer on a mesh is one.
    pub n_live: u64,
    /// How many more.
    pub line: Fit,
}

impl GroupTrend {
    /// Logical bytes on one chip that they become more from mark to mark.
    pub fn bytes_per_mark(&self) -> f64 {
        self.line.per_mark * real(self.of.size_bytes)
    }
}

#[derive(Debug, Clone, Default)]
struct Series {
    n_marks: u64,
    /// Every so many marks are kept, a power of two.
    stride: u64,
    points: Vec<Point>,
    known: BTreeMap<Alike, usize>,
    is_missing_groups: bool,
}

#[derive(Debug, Clone)]
struct Point {
    /// Which mark of the series, from 0.
    number: u64,
    at: Moment,
    live: Vec<Live>,
    /// How many buffers of each known group; absent for none.
    groups: BTreeMap<usize, u64>,
}

/// One memory type on chips that are alike.
#[derive(Debug, Clone)]
struct Live {
    chips: Vec<u32>,
    buffer_type: BufferType,
    bytes: u64,
    bank_bytes: u64,
    bank_size_bytes: Option<u64>,
}

impl Growth {
    /// Takes a mark and what is live there.
    pub fn note(&mut self, mark: &str, at: Moment, snapshot: &Snapshot<'_>) {
        let name = stem(mark);
        if !self.series.contains_key(name) {
            if self.series.len() == MOST_SERIES {
                self.n_left_out += 1;
                let Some(single) = self.oldest_single() else { return };
                self.series.remove(&single);
            }
            self.series.insert(name.to_owned(), Series { stride: 1, ..Series::default() });
        }
        if let Some(series) = self.series.get_mut(name) {
            series.note(at, snapshot);
        }
    }

    /// The series with at least two marks, by name.
    pub fn trends(&self) -> Vec<Trend> {
        let series = self.series.iter().filter(|(_, series)| series.n_marks > 1);
        series.map(|(name, series)| series.trend(name)).collect()
    }

    /// A name that came once and perhaps never comes again.
    fn oldest_single(&self) -> Option<String> {
        let singles = self.series.iter().filter(|(_, series)| series.n_marks == 1);
        let oldest = singles.min_by_key(|(_, series)| series.points.first().map(|point| point.at));
        oldest.map(|(name, _)| name.clone())
    }

    /// How many marks were left out, because there were too many names.
    pub fn n_left_out(&self) -> u64 {
        self.n_left_out
    }
}

impl Series {
    fn note(&mut self, at: Moment, snapshot: &Snapshot<'_>) {
        let number = self.n_marks;
        self.n_marks += 1;
        if !number.is_multiple_of(self.stride) {
            return;
        }
        if self.points.len() == MOST_POINTS {
            self.stride *= 2;
            self.points.retain(|point| point.number.is_multiple_of(self.stride));
            if !number.is_multiple_of(self.stride) {
                return;
            }
        }
        let groups = self.groups(snapshot);
        self.points.push(Point { number, at, live: live(snapshot), groups });
    }

    fn groups(&mut self, snapshot: &Snapshot<'_>) -> BTreeMap<usize, u64> {
        let mut counts = BTreeMap::new();
        for buffer in snapshot.live().into_iter().filter(|buffer| snapshot.is_counted(buffer)) {
            let (buffer_type, size_bytes) = (buffer.alloc.buffer_type, buffer.alloc.size_bytes);
            let n_known = self.known.len();
            let alike = Alike { buffer_type, size_bytes, class: buffer.class };
            if n_known == MOST_GROUPS && !self.known.contains_key(&alike) {
                self.is_missing_groups = true;
                continue;
            }
            *counts.entry(*self.known.entry(alike).or_insert(n_known)).or_default() += 1;
        }
        counts
    }

    fn trend(&self, name: &str) -> Trend {
        let points = warmed_up(&self.points);
        let moment = |point: Option<&Point>| point.map(|point| point.at).unwrap_or_default();
        let is_enough = points.len() >= LEAST_POINTS;
        Trend {
            name: name.to_owned(),
            n_marks: self.n_marks,
            from: moment(points.first()),
            upto: moment(points.last()),
            types: if is_enough { types(points) } else { Vec::new() },
            groups: if is_enough { self.growing_groups(points) } else { Vec::new() },
            has_all_groups: !self.is_missing_groups,
        }
    }

    fn growing_groups(&self, points: &[Point]) -> Vec<GroupTrend> {
        let mut growing = Vec::new();
        for (of, group) in &self.known {
            let count = |point: &Point| point.groups.get(group).copied().unwrap_or_default();
            let line = line(points, count);
            if line.grows {
                growing.push(GroupTrend {
                    of: *of,
                    n_live: points.last().map(count).unwrap_or_default(),
                    line,
                });
            }
        }
        growing.sort_by(|a, b| b.bytes_per_mark().total_cmp(&a.bytes_per_mark()));
        growing
    }
}

fn live(snapshot: &Snapshot<'_>) -> Vec<Live> {
    let mut live = Vec::new();
    for totals in snapshot.chips() {
        live.extend(totals.types.iter().map(|of| Live {
            chips: totals.chips.clone(),
            buffer_type: of.buffer_type,
            bytes: of.tally.bytes.live,
            bank_bytes: of.tally.bank_bytes.live,
            bank_size_bytes: of.bank.as_ref().map(|bank| bank.bank_size_bytes),
        }));
    }
    live
}

/// Without the first fifth, and at least the first: what is made once is made there.
fn warmed_up(points: &[Point]) -> &[Point] {
    let most = points.len().saturating_sub(LEAST_POINTS);
    &points[(points.len() / 5).max(1).min(most)..]
}

/// Each memory type at the last point, where its line is steepest.
fn types(points: &[Point]) -> Vec<TypeTrend> {
    let mut types: Vec<TypeTrend> = Vec::new();
    for live in points.last().map_or(&[][..], |last| &last.live) {
        // Chips that are alike now were alike before, perhaps together with others.
        let chip = live.chips.first();
        let of = |point: &Point| {
            let is_it = |old: &&Live| {
                old.buffer_type == live.buffer_type && chip.is_some_and(|c| old.chips.contains(c))
            };
            point.live.iter().find(is_it).map_or((0, 0), |old| (old.bytes, old.bank_bytes))
        };
        let new = TypeTrend {
            buffer_type: live.buffer_type,
            chips: live.chips.clone(),
            line: line(points, |point| of(point).0),
            in_bank: line(points, |point| of(point).1),
            free_in_bank: live.bank_size_bytes.map(|size| size.saturating_sub(live.bank_bytes)),
        };
        match types.iter_mut().find(|known| known.buffer_type == new.buffer_type) {
            Some(known) if new.steepness() > known.steepness() => *known = new,
            Some(_) => {}
            None => types.push(new),
        }
    }
    types.sort_by_key(|of| rank(of.buffer_type));
    types
}

impl TypeTrend {
    fn steepness(&self) -> (bool, f64) {
        (self.line.grows, self.line.per_mark)
    }
}

/// The line through one figure of the points.
fn line(points: &[Point], figure: impl Fn(&Point) -> u64) -> Fit {
    let all: Vec<(f64, f64)> = points.iter().map(|point| (real(point.number), real(figure(point)))).collect();
    Fit::of(&all)
}

/// A mark's name without the number at its end.
fn stem(mark: &str) -> &str {
    let open = mark.trim_end_matches([')', ']']);
    let stem = open.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == open.len() {
        mark
    } else {
        stem.trim_end_matches([' ', '_', '-', ':', '#', '/', '.', '=', '(', '['])
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn marks_that_differ_by_the_number_behind_are_of_one_series() {
        for (mark, name) in [
            ("iter 1", "iter"),
            ("step-003", "step"),
            ("epoch=12", "epoch"),
            ("batch[7]", "batch"),
            ("call (2)", "call"),
            ("17", ""),
            ("after warm-up", "after warm-up"),
            ("fp16 load", "fp16 load"),
            ("done (all)", "done (all)"),
            ("", ""),
            ("schritt-\u{e4}9", "schritt-\u{e4}"),
        ] {
            assert_eq!(stem(mark), name, "{mark}");
        }
    }
}
