//! What was held over time: a ring of fixed size, drawn on an axis of true time. States come when they come; where
//! none came for long, there is a gap, not a line.

use crate::state::{Memory, State};
use std::collections::VecDeque;
use std::time::Duration;

/// So many samples are kept.
const KEPT: usize = 1200;
/// The axis is so many intervals long: a minute at ten pictures a second.
const INTERVALS: u64 = 600;
/// Samples that lie so many intervals apart have a gap between them.
const GAP_INTERVALS: u64 = 3;

/// The samples.
#[derive(Debug)]
pub struct History {
    every_ns: u64,
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    wall_ns: u64,
    /// Chip, memory type, live bytes.
    live: Vec<(u32, Box<str>, u64)>,
}

/// What the columns of a graph show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// For each column the most there was; none where nothing is known.
    pub columns: Vec<Option<u64>>,
    /// The most of all columns.
    pub most: u64,
}

impl History {
    /// Nothing yet, of states that come in this interval.
    pub fn new(every: Duration) -> Self {
        let every_ns = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { every_ns, samples: VecDeque::with_capacity(KEPT) }
    }

    /// The length of the axis.
    pub fn span_ns(&self) -> u64 {
        self.every_ns.saturating_mul(INTERVALS)
    }

    /// Takes what a state has.
    pub fn note(&mut self, state: &State) {
        if self.samples.back().is_some_and(|last| state.wall_ns < last.wall_ns) {
            self.samples.clear(); // The clock was set back.
        }
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        let of = |chip: u32, memory: &Memory| (chip, memory.buffer_type.as_str().into(), memory.live_bytes);
        let live = state.chips.iter().flat_map(|chip| chip.memory.iter().map(|memory| of(chip.chip, memory)));
        self.samples.push_back(Sample { wall_ns: state.wall_ns, live: live.collect() });
    }

    /// A memory type on a chip, or on all, in so many columns that end at `until`.
    pub fn graph(&self, buffer_type: &str, chip: Option<u32>, until_wall_ns: u64, n_columns: usize) -> Graph {
        let mut columns = vec![None; n_columns];
        let span = self.span_ns();
        let begin = until_wall_ns.saturating_sub(span);
        let n = u64::try_from(n_columns).unwrap_or(u64::MAX).max(1);
        let column = |wall_ns: u64| {
            let at = u128::from(wall_ns.saturating_sub(begin)) * u128::from(n) / u128::from(span);
            usize::try_from(at).unwrap_or(usize::MAX).min(n_columns.saturating_sub(1))
        };
        let mut samples = self.samples.iter().filter(|sample| sample.wall_ns <= until_wall_ns).peekable();
        while let Some(sample) = samples.next() {
            let next = samples.peek().map_or(until_wall_ns, |next| next.wall_ns);
            let is_gap = next - sample.wall_ns > self.every_ns.saturating_mul(GAP_INTERVALS);
            let end = if is_gap { sample.wall_ns } else { next };
            if end < begin || n_columns == 0 {
                continue;
            }
            let bytes = sample.bytes(buffer_type, chip);
            for most in &mut columns[column(sample.wall_ns)..=column(end)] {
                *most = Some(most.unwrap_or(0).max(bytes));
            }
        }
        Graph { most: columns.iter().flatten().copied().max().unwrap_or(0), columns }
    }
}

impl Sample {
    fn bytes(&self, buffer_type: &str, chip: Option<u32>) -> u64 {
        let is_meant =
            |of: &&(u32, Box<str>, u64)| *of.1 == *buffer_type && chip.is_none_or(|chip| chip == of.0);
        self.live.iter().filter(is_meant).fold(0, |sum, of| sum.saturating_add(of.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Chip;

    const SECOND: u64 = 1_000_000_000;

    fn history(every_s: u64, samples: &[(u64, u64)]) -> History {
        let mut history = History::new(Duration::from_secs(every_s));
        for (second, bytes) in samples {
            let memory = Memory { buffer_type: "DRAM".into(), live_bytes: *bytes, ..Memory::default() };
            let chips = vec![Chip { chip: 3, memory: vec![memory], ..Chip::default() }];
            history.note(&State { wall_ns: second * SECOND, chips, ..State::default() });
        }
        history
    }

    #[test]
    fn a_column_is_a_time_not_a_sample() {
        // 600 s in six columns: four samples fall into the first one, and the two others are where they belong.
        let history = history(1, &[(1000, 1), (1001, 9), (1002, 2), (1003, 3), (1350, 4), (1600, 5)]);
        let graph = history.graph("DRAM", None, 1600 * SECOND, 6);
        assert_eq!(graph.columns, [Some(9), None, None, Some(4), None, Some(5)]);
        assert_eq!(graph.most, 9);
        assert_eq!(history.graph("L1", None, 1600 * SECOND, 2).columns, [Some(0), Some(0)]);
        assert_eq!(history.graph("DRAM", Some(4), 1600 * SECOND, 1).columns, [Some(0)]);
    }

    #[test]
    fn a_value_lasts_until_the_next_sample_and_what_was_missed_is_a_gap() {
        // A column a minute; the last samples are 1, 1, 3, 7 and 1 minutes apart.
        let minutes =
            [(588, 1), (589, 2), (590, 0), (593, 4), (600, 5), (601, 6)].map(|(at, n)| (at * 60, n));
        let graph = history(60, &minutes).graph("DRAM", None, 601 * 60 * SECOND, 600);
        let last = &graph.columns[586..];
        let known = [None, Some(1), Some(2), Some(2), Some(0), Some(0), Some(4)];
        assert_eq!((&last[..7], &last[7..13], last[13]), (&known[..], &[None; 6][..], Some(6)), "{last:?}");
    }

    #[test]
    fn the_ring_has_a_fixed_size_and_a_clock_that_is_set_back_begins_anew() {
        let all: Vec<_> = (0..3000).map(|second| (second, 1)).collect();
        let mut history = history(1, &all);
        assert_eq!(history.samples.len(), KEPT);
        history.note(&State::default());
        assert_eq!(history.samples.len(), 1);
        assert_eq!(history.graph("DRAM", None, 0, 0).columns, []);
    }
}
