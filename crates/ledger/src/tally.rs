//! Live and peak figures of one memory type, and when the peak was.

use crate::class::Class;
use tt_memtrace_wire::{BufferType, Stamp};

/// A position in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Moment {
    /// The number of the event, 0 for the beginning.
    pub n: u64,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub t_ns: u64,
}

impl From<Stamp> for Moment {
    fn from(stamp: Stamp) -> Self {
        Self { n: stamp.n, t_ns: stamp.t_ns }
    }
}

/// A figure that rises and falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauge {
    /// Now.
    pub live: u64,
    /// The most there ever was.
    pub peak: u64,
    /// The first moment at which the peak was reached.
    pub peak_at: Moment,
}

impl Gauge {
    /// Whether that made a new peak.
    pub(crate) fn add(&mut self, amount: u64, at: Moment) -> bool {
        self.live = self.live.saturating_add(amount);
        let is_peak = self.live > self.peak;
        if is_peak {
            self.peak = self.live;
            self.peak_at = at;
        }
        is_peak
    }

    pub(crate) fn take(&mut self, amount: u64) {
        self.live = self.live.saturating_sub(amount);
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        self.peak = self.live;
        self.peak_at = at;
    }
}

/// What one buffer adds to a tally.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weight {
    pub(crate) bytes: u64,
    pub(crate) bank_bytes: u64,
    /// 1 for a new buffer, 0 for one that is counted again.
    pub(crate) n_new: u64,
    pub(crate) class: Class,
}

/// Logical bytes by class, in the order of [`Class::ALL`].
pub type ByClass = [u64; Class::COUNT];

/// The figures of one memory type on one chip; they are the same on each chip they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Logical bytes, without padding.
    pub bytes: Gauge,
    /// Bytes in each bank, rounded as the allocator rounds.
    pub bank_bytes: Gauge,
    /// Live buffers: blocks of the allocator.
    pub buffers: Gauge,
    /// How many buffers ever took memory here.
    pub n_allocations: u64,
    /// Logical bytes of each class; each has a peak of its own, at a moment of its own.
    pub classes: [Gauge; Class::COUNT],
    /// What was live when `bytes` was first at its peak; of no meaning while that lasts.
    peak_classes: ByClass,
    /// The peak lasts: nothing ended since.
    is_at_peak: bool,
}

impl Tally {
    pub(crate) fn add(&mut self, weight: Weight, at: Moment) {
        self.is_at_peak |= self.bytes.add(weight.bytes, at);
        self.classes[weight.class.index()].add(weight.bytes, at);
        self.bank_bytes.add(weight.bank_bytes, at);
        self.buffers.add(1, at);
        self.n_allocations += weight.n_new;
    }

    pub(crate) fn take(&mut self, weight: Weight) {
        self.leave_peak();
        self.bytes.take(weight.bytes);
        self.classes[weight.class.index()].take(weight.bytes);
        self.bank_bytes.take(weight.bank_bytes);
        self.buffers.take(1);
    }

    pub(crate) fn reclassify(&mut self, bytes: u64, from: Class, to: Class, at: Moment) {
        self.classes[from.index()].take(bytes);
        self.classes[to.index()].add(bytes, at);
    }

    fn leave_peak(&mut self) {
        if self.is_at_peak {
            self.peak_classes = self.live_classes();
            self.is_at_peak = false;
        }
    }

    fn live_classes(&self) -> ByClass {
        self.classes.map(|gauge| gauge.live)
    }

    /// What `bytes` was made of at its peak.
    pub fn at_peak(&self) -> ByClass {
        if self.is_at_peak { self.live_classes() } else { self.peak_classes }
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        self.bytes.restart(at);
        self.bank_bytes.restart(at);
        self.buffers.restart(at);
        self.classes.iter_mut().for_each(|gauge| gauge.restart(at));
        self.is_at_peak = true;
        self.n_allocations = 0;
    }

    /// Puts all that is live in `other` on top of this.
    pub(crate) fn absorb(&mut self, other: &Self, at: Moment) {
        self.is_at_peak |= self.bytes.add(other.bytes.live, at);
        for (class, other) in self.classes.iter_mut().zip(other.classes) {
            class.add(other.live, at);
        }
        self.bank_bytes.add(other.bank_bytes.live, at);
        self.buffers.add(other.buffers.live, at);
        self.n_allocations += other.n_allocations;
    }
}

/// One tally per memory type that was ever used. There are at most a handful, so a list is the fastest map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tallies(Vec<(BufferType, Tally)>);

impl Tallies {
    pub(crate) fn of(&mut self, buffer_type: BufferType) -> &mut Tally {
        let at = self.0.iter().position(|(known, _)| *known == buffer_type).unwrap_or_else(|| {
            self.0.push((buffer_type, Tally::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(BufferType, Tally)> {
        self.0.iter()
    }

    pub(crate) fn live_classes(&self) -> Vec<(BufferType, ByClass)> {
        self.0.iter().map(|(buffer_type, tally)| (*buffer_type, tally.live_classes())).collect()
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        self.0.iter_mut().for_each(|(_, tally)| tally.restart(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_dated_by_the_first_moment_it_was_reached() {
        let mut gauge = Gauge::default();
        gauge.add(5, Moment { n: 1, t_ns: 10 });
        gauge.take(5);
        gauge.add(5, Moment { n: 3, t_ns: 30 });
        assert_eq!((gauge.live, gauge.peak, gauge.peak_at.n), (5, 5, 1));
        gauge.add(1, Moment { n: 4, t_ns: 40 });
        assert_eq!((gauge.peak, gauge.peak_at.n), (6, 4));
    }
}
