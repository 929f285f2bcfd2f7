//! Per-chip figures. A chip's figure sums all meshes that contain it; chips that belong to the same meshes have
//! the same figures for ever, so they share one group, and a buffer on 32 chips costs one addition, not 32.

use crate::tally::{Gauge, Moment, Tallies, Weight};
use tt_memtrace_wire::BufferType;

/// Names a group; groups are split, never removed.
pub(crate) type GroupIndex = usize;

/// Chips that belong to the same places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) chips: Vec<u32>,
    pub(crate) tallies: Tallies,
    /// Logical bytes of all types: what decides at which moment a chip held most.
    pub(crate) total: Gauge,
    /// The places that hold buffers on these chips.
    pub(crate) members: Vec<usize>,
}

impl Group {
    pub(crate) fn add(&mut self, buffer_type: BufferType, weight: Weight, at: Moment) {
        self.tallies.of(buffer_type).add(weight, at);
        self.total.add(weight.bytes, at);
    }

    pub(crate) fn take(&mut self, buffer_type: BufferType, weight: Weight) {
        self.tallies.of(buffer_type).take(weight);
        self.total.take(weight.bytes);
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
