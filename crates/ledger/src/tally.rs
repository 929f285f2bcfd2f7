//! Live and peak figures of one memory type, and when the peak was.

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
    pub(crate) fn add(&mut self, amount: u64, at: Moment) {
        self.live = self.live.saturating_add(amount);
        if self.live > self.peak {
            self.peak = self.live;
            self.peak_at = at;
        }
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
}

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
}

impl Tally {
    pub(crate) fn add(&mut self, weight: Weight, at: Moment) {
        self.bytes.add(weight.bytes, at);
        self.bank_bytes.add(weight.bank_bytes, at);
        self.buffers.add(1, at);
        self.n_allocations += weight.n_new;
    }

    pub(crate) fn take(&mut self, weight: Weight) {
        self.bytes.take(weight.bytes);
        self.bank_bytes.take(weight.bank_bytes);
        self.buffers.take(1);
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        self.bytes.restart(at);
        self.bank_bytes.restart(at);
        self.buffers.restart(at);
        self.n_allocations = 0;
    }

    /// Puts all that is live in `other` on top of this.
    pub(crate) fn absorb(&mut self, other: &Self, at: Moment) {
        self.bytes.add(other.bytes.live, at);
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
