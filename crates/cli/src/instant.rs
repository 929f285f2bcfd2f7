//! Instants: a moment of a capture, as `--at` and `--between` name it, and the event it stands for.

use crate::capture::Capture;
use crate::filters::Absent;
use crate::{json, replay};
use std::fmt;
use std::path::Path;
use tt_memtrace_ledger::Moment;
use tt_memtrace_wire::{Event, Line};

/// A moment, as the user names it.
#[derive(Debug, Clone, PartialEq)]
pub enum Instant {
    /// After the mark of this name.
    Mark(String),
    /// After the event of this number.
    Event(u64),
    /// So many seconds after the capture began.
    Seconds(f64),
    /// When some chip held most.
    Peak,
}

impl Instant {
    /// Any text is an instant; what is no number and not `peak` is a mark's name.
    pub fn parse(text: &str) -> Self {
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

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(name) => write!(f, "{name}"),
            Self::Event(n) => write!(f, "n {n}"),
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Peak => f.write_str("peak"),
        }
    }
}

/// The last event of each instant. Of several marks of one name the first is meant that comes after the
/// instant before it in the list, so that two marks of one name bound an interval. Fails with [`Absent::Mark`].
pub fn resolve(path: &Path, instants: &[&Instant]) -> anyhow::Result<Vec<u64>> {
    let needs_scan = |instant: &&Instant| matches!(instant, Instant::Mark(_) | Instant::Seconds(_));
    let seen = if instants.iter().any(needs_scan) { Seen::of(path, instants)? } else { Seen::default() };
    let mut found = Vec::new();
    for (i, instant) in instants.iter().enumerate() {
        let after = found.last().copied().unwrap_or(0);
        found.push(match instant {
            Instant::Event(n) => *n,
            Instant::Peak => peak(&replay::whole(path)?).n,
            Instant::Seconds(_) => seen.at_seconds[i],
            Instant::Mark(name) => seen.mark_after(name, after)?,
        });
    }
    Ok(found)
}

/// What one look through a capture finds.
#[derive(Default)]
struct Seen {
    marks: Vec<(String, u64)>,
    /// For each instant: the last event before the first one that is later.
    at_seconds: Vec<u64>,
}

impl Seen {
    fn of(path: &Path, instants: &[&Instant]) -> anyhow::Result<Self> {
        let mut capture = Capture::open(path)?;
        let mut seen = Self { marks: Vec::new(), at_seconds: vec![0; instants.len()] };
        let mut is_past = vec![false; instants.len()];
        while let Some(line) = capture.next_line()? {
            let Line::Event(stamp, event) = line else { continue };
            for (i, instant) in instants.iter().enumerate() {
                let Instant::Seconds(seconds) = instant else { continue };
                is_past[i] |= json::seconds(stamp.t_ns, &capture.header) > *seconds;
                if !is_past[i] {
                    seen.at_seconds[i] = stamp.n;
                }
            }
            if let Event::Mark { name } = event {
                seen.marks.push((name, stamp.n));
            }
        }
        Ok(seen)
    }

    fn mark_after(&self, name: &str, after: u64) -> Result<u64, Absent> {
        let mark = self.marks.iter().find(|(known, n)| known == name && *n > after);
        let after = if after > 0 { format!(" after n {after}") } else { String::new() };
        mark.map(|(_, n)| *n).ok_or_else(|| Absent::Mark {
            wanted: format!("mark {name:?}{after}"),
            there: self.marks.iter().map(|(name, _)| name.clone()).collect(),
        })
    }
}

/// When some chip held most, in logical bytes of all types.
fn peak(replay: &replay::Replay) -> Moment {
    let gauges = replay.at_end.iter().filter_map(|totals| totals.total);
    let highest = gauges.max_by_key(|gauge| (gauge.peak, std::cmp::Reverse(gauge.peak_at)));
    highest.map_or(Moment::default(), |gauge| gauge.peak_at)
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
