//! Circular buffers: they belong to programs, not to the allocator. Each program lays them out upwards from one
//! base, so those of two programs overlap; a core's footprint is the highest end, never the sum.

use crate::tally::Moment;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use tt_memtrace_wire::{Address, CbAlloc, CbDealloc, Cores, Place, Range};

/// A circular buffer that was laid out and not released.
pub type Resident = CbAlloc;

/// How far up the circular buffers of one chip reach. Programs that announce no sizes are not in it, so it is
/// a lower bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircularFootprint {
    /// The lowest address a circular buffer had.
    pub base: Address,
    /// The highest end ever.
    pub peak_end: Address,
    /// When it was reached.
    pub peak_at: Moment,
}

impl CircularFootprint {
    /// Bytes above the base.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_end.saturating_sub(self.base)
    }

    fn join(&mut self, other: &Self) {
        self.base = self.base.min(other.base);
        let is_higher = other.peak_end > self.peak_end;
        if is_higher || (other.peak_end == self.peak_end && other.peak_at < self.peak_at) {
            (self.peak_end, self.peak_at) = (other.peak_end, other.peak_at);
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CircularBuffers {
    by_program: FxHashMap<Option<u64>, Vec<Resident>>,
    footprints: FxHashMap<Place, CircularFootprint>,
    last_run: FxHashMap<Place, u64>,
    cores: FxHashMap<u32, Vec<Range>>,
}

impl CircularBuffers {
    pub(crate) fn define_cores(&mut self, cores: &Cores) {
        self.cores.insert(cores.cores, cores.ranges.clone());
    }

    pub(crate) fn open(&mut self, cb: &CbAlloc, at: Moment) {
        if !cb.globally_allocated {
            let new = CircularFootprint {
                base: cb.address,
                peak_end: cb.address.saturating_add(cb.size_bytes),
                peak_at: at,
            };
            self.footprints.entry(cb.place).and_modify(|known| known.join(&new)).or_insert(new);
        }
        self.by_program.entry(cb.program).or_default().push(cb.clone());
    }

    /// `is_on` tells whether a place is, or is on a chip of, the deallocation's place. Gives how many ended.
    pub(crate) fn close(&mut self, dealloc: &CbDealloc, is_on: impl Fn(Place) -> bool) -> usize {
        let mut n_ended = 0;
        let mut release = |residents: &mut Vec<Resident>| {
            let n_before = residents.len();
            residents.retain(|cb| !is_on(cb.place));
            n_ended += n_before - residents.len();
            !residents.is_empty()
        };
        if dealloc.program.is_none() {
            self.by_program.retain(|_, residents| release(residents));
        } else if let Entry::Occupied(mut program) = self.by_program.entry(dealloc.program)
            && !release(program.get_mut())
        {
            program.remove();
        }
        n_ended
    }

    pub(crate) fn run(&mut self, program: u64, place: Place) {
        self.last_run.insert(place, program);
    }

    pub(crate) fn last_run(&self, place: Place) -> Option<u64> {
        self.last_run.get(&place).copied()
    }

    pub(crate) fn residents(&self) -> impl Iterator<Item = &Resident> {
        self.by_program.values().flatten()
    }

    pub(crate) fn ranges(&self, cores: u32) -> Option<&[Range]> {
        self.cores.get(&cores).map(Vec::as_slice)
    }

    /// Per chip; `chips_of` gives those of a place.
    pub(crate) fn footprints<'a>(
        &'a self,
        chips_of: impl Fn(Place) -> &'a [u32],
    ) -> BTreeMap<u32, CircularFootprint> {
        let mut by_chip: BTreeMap<u32, CircularFootprint> = BTreeMap::new();
        for (place, footprint) in &self.footprints {
            let lone = if let Place::Chip(chip) = place { Some(*chip) } else { None };
            for chip in lone.into_iter().chain(chips_of(*place).iter().copied().filter(|c| Some(*c) != lone))
            {
                by_chip.entry(chip).and_modify(|known| known.join(footprint)).or_insert(*footprint);
            }
        }
        by_chip
    }

    /// Peaks begin anew, from what is resident now.
    pub(crate) fn restart(&mut self, at: Moment) {
        self.footprints.clear();
        for cb in std::mem::take(&mut self.by_program).into_values().flatten() {
            self.open(&cb, at);
        }
    }
}
