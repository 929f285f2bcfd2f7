//! Per-chip figures. A chip's figure sums all meshes that contain it; chips that belong to the same meshes have
//! the same figures for ever, so they share one group, and a buffer on 32 chips costs one addition, not 32.

use crate::tally::{ByClass, Gauge, Moment, Tallies, Weight};
use tt_memtrace_wire::BufferType;

/// Names a group; groups are split, never removed.
pub(crate) type GroupIndex = usize;

/// Logical bytes of all types: what decides at which moment a chip held most.
#[derive(Debug, Clone, Default)]
pub(crate) struct Total {
    pub(crate) bytes: Gauge,
    /// What was live at the peak; of no meaning while that lasts.
    at_peak: Vec<(BufferType, ByClass)>,
    is_at_peak: bool,
}

impl Total {
    pub(crate) fn add(&mut self, bytes: u64, at: Moment) {
        self.is_at_peak |= self.bytes.add(bytes, at);
    }

    fn leave_peak(&mut self, tallies: &Tallies) {
        if self.is_at_peak {
            self.at_peak = tallies.live_classes();
            self.is_at_peak = false;
        }
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        self.bytes.restart(at);
        self.is_at_peak = true;
    }
}

/// Chips that belong to the same places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) chips: Vec<u32>,
    pub(crate) tallies: Tallies,
    pub(crate) total: Total,
    /// The places that hold buffers on these chips.
    pub(crate) members: Vec<usize>,
}

impl Group {
    pub(crate) fn add(&mut self, buffer_type: BufferType, weight: Weight, at: Moment) {
        self.tallies.of(buffer_type).add(weight, at);
        self.total.add(weight.bytes, at);
    }

    pub(crate) fn take(&mut self, buffer_type: BufferType, weight: Weight) {
        self.total.leave_peak(&self.tallies);
        self.tallies.of(buffer_type).take(weight);
        self.total.bytes.take(weight.bytes);
    }

    /// What the total was made of when it was at its peak.
    pub(crate) fn at_peak(&self) -> Vec<(BufferType, ByClass)> {
        if self.total.is_at_peak { self.tallies.live_classes() } else { self.total.at_peak.clone() }
    }

    fn n_chips(&self) -> u64 {
        u64::try_from(self.chips.len()).unwrap_or(u64::MAX)
    }

    /// Keeps the chips that are in `chips` and gives back a group of the others, with the same history.
    pub(crate) fn split_off_others(&mut self, chips: &[u32]) -> Option<Self> {
        let (inside, outside): (Vec<u32>, Vec<u32>) =
            self.chips.iter().partition(|chip| chips.contains(chip));
        if outside.is_empty() {
            return None;
        }
        let others = Self { chips: outside, ..self.clone() };
        self.chips = inside;
        Some(others)
    }
}

/// Logical bytes over all chips, by type and in all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Global {
    pub(crate) types: Vec<(BufferType, Gauge)>,
    pub(crate) total: Gauge,
}

impl Global {
    pub(crate) fn add(&mut self, buffer_type: BufferType, bytes: u64, on: &Group, at: Moment) {
        let bytes = bytes.saturating_mul(on.n_chips());
        self.of(buffer_type).add(bytes, at);
        self.total.add(bytes, at);
    }

    pub(crate) fn take(&mut self, buffer_type: BufferType, bytes: u64, on: &Group) {
        let bytes = bytes.saturating_mul(on.n_chips());
        self.of(buffer_type).take(bytes);
        self.total.take(bytes);
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        self.types.iter_mut().for_each(|(_, gauge)| gauge.restart(at));
        self.total.restart(at);
    }

    fn of(&mut self, buffer_type: BufferType) -> &mut Gauge {
        let index = self.types.iter().position(|(known, _)| *known == buffer_type).unwrap_or_else(|| {
            self.types.push((buffer_type, Gauge::default()));
            self.types.len() - 1
        });
        &mut self.types[index].1
    }
}
