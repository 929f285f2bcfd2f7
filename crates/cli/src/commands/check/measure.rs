//! The figures of one capture that gates ask for.

use super::gate::Gate;
use crate::figures::Figures;
use crate::filters::{PeakOf, Selection};
use crate::left::{Left, Survivors, Verdict};
use crate::replay::{Replay, Status};
use crate::{doubts, render, replay};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Moment, Totals};

/// A capture that was replayed to its end.
pub struct Measured {
    replay: Replay,
    chips: Vec<Totals>,
}

/// Where a figure was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The capture.
    pub capture: String,
    /// Its process.
    pub pid: u32,
    /// The chips of which it is the figure of each.
    pub chips: Vec<u32>,
    /// The event.
    pub n: u64,
    /// All that for people.
    pub words: String,
}

impl AsRef<Replay> for Measured {
    fn as_ref(&self) -> &Replay {
        &self.replay
    }
}

impl Measured {
    /// Replays the whole capture.
    pub fn read(path: &Path, selection: &Selection) -> anyhow::Result<Self> {
        let mut figures = Figures::new(selection);
        let mut replay = replay::selected(path, selection, &mut |_, line, effect, ledger| {
            figures.see(line, effect, ledger);
            Ok(ControlFlow::Continue(()))
        })?;
        figures.finish(&replay);
        let chips = figures.chips(&replay);
        replay.conclude();
        Ok(Self { replay, chips })
    }

    /// The most that a chip held, and where; 0 if it never held any.
    pub fn peak(&self, of: PeakOf) -> (Option<i64>, Option<At>) {
        let gauges = self.chips.iter().filter_map(|totals| {
            let gauge = match of {
                PeakOf::Total => totals.total?,
                PeakOf::Type(wanted) => {
                    totals.types.iter().find(|types| types.buffer_type == wanted)?.tally.bytes
                }
            };
            Some((gauge, &totals.chips))
        });
        let worst = gauges.max_by_key(|(gauge, _)| gauge.peak);
        match worst {
            Some((gauge, chips)) => (Some(signed(gauge.peak)), Some(self.at(chips, gauge.peak_at))),
            None => (Some(0), None),
        }
    }

    /// What the program should have freed, on the worst chip.
    pub fn leaks(&self) -> (Option<i64>, Option<At>) {
        let by_chip = self.left(Verdict::Leak);
        let Some(worst) = by_chip.values().max_by_key(|left| left.bytes) else { return (Some(0), None) };
        let chips: Vec<u32> =
            by_chip.iter().filter(|(_, left)| *left == worst).map(|(chip, _)| *chip).collect();
        let mut at = self.at(&chips, self.replay.last);
        at.words = format!("in {} on {}", render::count(worst.n_buffers, "buffer"), render::each(&chips));
        (Some(signed(worst.bytes)), Some(at))
    }

    /// The least room in L1.
    pub fn headroom(&self) -> (Option<i64>, Option<At>) {
        let least = self.replay.ledger.snapshot().least_headrooms();
        let least = least.iter().filter(|(chip, _)| self.replay.selection.has_chip(**chip));
        let worst = least.min_by_key(|(_, least)| least.room.bytes());
        match worst {
            Some((chip, least)) => (Some(least.room.bytes()), Some(self.at(&[*chip], least.at))),
            None => (None, None),
        }
    }

    /// Why figures of this capture may be too low.
    pub fn doubt(&self) -> Option<String> {
        let (replay, path) = (&self.replay, render::path(&self.replay.path));
        let losses = doubts::losses(replay);
        if !losses.is_empty() {
            return Some(format!("{path}: {}", losses.join(", ")));
        }
        match replay.status {
            Status::Stopped => Some(format!("{path}: the recording stopped before the process ended")),
            Status::Running => Some(format!("{path}: the process still runs")),
            _ => None,
        }
    }

    /// Why a gate that is not broken cannot be said to hold.
    pub fn why_not(&self, gate: Gate) -> Option<String> {
        if let Some(doubt) = self.doubt() {
            return Some(doubt);
        }
        match gate {
            Gate::Peak { .. } => None,
            Gate::Leaks { .. } => {
                let n: u64 = self.left(Verdict::Unattributed).values().map(|left| left.n_buffers).max()?;
                let buffers = render::count(n, "survivor");
                Some(format!(
                    "{buffers} unattributed: nobody can tell whether they leaked (tt-memtrace leaks)"
                ))
            }
            Gate::Headroom { .. } => {
                let is_known = !self.replay.ledger.snapshot().least_headrooms().is_empty();
                (!is_known).then(|| "the capture tells of no L1 with circular buffers or buffers".into())
            }
        }
    }

    /// What was left on each chip, so far as this is the verdict on it.
    fn left(&self, verdict: Verdict) -> BTreeMap<u32, Left> {
        Survivors::of(&self.replay).of_verdict(verdict)
    }

    fn at(&self, chips: &[u32], at: Moment) -> At {
        let replay = &self.replay;
        let words = format!("on {} at {}", render::chips(chips), render::moment(at, &replay.header));
        At {
            capture: render::path(&replay.path),
            pid: replay.header.pid,
            chips: chips.to_vec(),
            n: at.n,
            words,
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
