//! The filters as predicates on what a capture holds.

use super::{Between, Cores, Filters, IdRange, Memory, Size};
use crate::exit::Usage;
use crate::instant::{self, Instant};
use std::path::Path;
use tt_memtrace_ledger::{Buffer, Effect, Snapshot};
use tt_memtrace_wire::{Alloc, BufferType, CbAlloc, Event, Failure, Place, Range, Stamp};

/// The events of `--between` in one capture: after the first number, up to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The last event before it.
    pub after: u64,
    /// Its last event.
    pub to: u64,
}

/// The filters, as they apply to one capture.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// As given.
    pub filters: Filters,
    /// Which of the runtime's numbers.
    pub ids: Option<IdRange>,
    /// Which events; absent for all.
    pub interval: Option<Interval>,
}

impl Selection {
    /// The filters as they apply to a capture. Fails with [`Absent`] if it has not their instants.
    pub fn of_capture(&self, path: &Path) -> anyhow::Result<Self> {
        let mut selection = self.clone();
        let Some(Between { from, to }) = &self.filters.between else { return Ok(selection) };
        let instants: Vec<&Instant> = from.iter().chain(to).collect();
        let found = instant::resolve(path, &instants)?;
        let after = from.as_ref().map_or(0, |_| found[0]);
        let to = to.as_ref().map_or(u64::MAX, |_| found[found.len() - 1]);
        if to < after {
            return Err(Usage("--between: the second instant is before the first".into()).into());
        }
        selection.interval = Some(Interval { after, to });
        Ok(selection)
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.filters.between.is_none() && !self.is_partial()
    }

    /// Whether some of what concerns memory is left out, whenever it happened.
    pub fn is_partial(&self) -> bool {
        let Filters { device, memory, core, between: _, min_size } = &self.filters;
        let is_named = !device.is_empty() || !memory.is_empty();
        is_named || core.is_some() || min_size.is_some() || self.ids.is_some()
    }

    /// Whether the figures of a chip are shown.
    pub fn has_chip(&self, chip: u32) -> bool {
        let device = &self.filters.device;
        device.is_empty() || device.iter().any(|range| (range.0..=range.1).contains(&chip))
    }

    /// Whether something on these chips is shown.
    pub fn has_chips(&self, chips: &[u32]) -> bool {
        self.filters.device.is_empty() || chips.iter().any(|chip| self.has_chip(*chip))
    }

    /// Whether something on this place is shown.
    pub fn has_place(&self, place: Place, snapshot: Snapshot<'_>) -> bool {
        match place {
            Place::Chip(chip) => self.has_chip(chip),
            Place::Mesh(_) => self.has_chips(snapshot.chips_of(place)),
        }
    }

    /// Whether a memory type is shown.
    pub fn has_type(&self, buffer_type: BufferType) -> bool {
        self.has_memory(Memory::Buffers(buffer_type)) && self.has_cores_of(buffer_type)
    }

    /// Whether circular buffers are shown.
    pub fn has_circular(&self) -> bool {
        self.has_memory(Memory::Circular) && self.ids.is_none()
    }

    /// Whether nothing but circular buffers is shown.
    pub fn is_only_circular(&self) -> bool {
        !self.filters.memory.is_empty()
            && self.filters.memory.iter().all(|memory| *memory == Memory::Circular)
    }

    /// Whether circular buffers were asked for, by their name or by their cores.
    pub fn names_circular(&self) -> bool {
        self.filters.memory.contains(&Memory::Circular) || self.filters.core.is_some()
    }

    fn has_memory(&self, memory: Memory) -> bool {
        self.filters.memory.is_empty() || self.filters.memory.contains(&memory)
    }

    fn has_cores_of(&self, buffer_type: BufferType) -> bool {
        self.filters.core.is_none() || matches!(buffer_type, BufferType::L1 | BufferType::L1Small)
    }

    /// Whether a buffer is shown, whenever it was allocated.
    pub fn has_buffer(&self, buffer: &Buffer, snapshot: Snapshot<'_>) -> bool {
        self.has_alloc(&buffer.alloc, snapshot)
    }

    /// The same of its allocation.
    pub fn has_alloc(&self, alloc: &Alloc, snapshot: Snapshot<'_>) -> bool {
        let ranges = || snapshot.core_ranges(alloc.cores?);
        self.has_reserved(alloc, snapshot) && (self.filters.core.is_none() || self.has_cores(ranges()))
    }

    /// The same for whoever asks for what is reserved: L1 allocators work in lockstep, so a buffer takes its range on
    /// every core, also where it has no shard.
    pub fn has_reserved(&self, alloc: &Alloc, snapshot: Snapshot<'_>) -> bool {
        self.has_type(alloc.buffer_type)
            && self.has_size(alloc.size_bytes)
            && self.has_id(alloc.unique_id)
            && self.has_place(alloc.place, snapshot)
    }

    /// Whether a refusal is shown. A clash is one of circular buffers with L1 buffers.
    pub fn has_failure(&self, failure: &Failure, snapshot: Snapshot<'_>) -> bool {
        let has_memory = match failure {
            Failure::Allocation(request) => {
                self.has_type(request.buffer_type) && self.has_size(request.size_bytes)
            }
            Failure::Clash(_) => self.has_circular() || self.has_type(BufferType::L1),
        };
        has_memory && self.ids.is_none() && self.has_place(failure.place(), snapshot)
    }

    /// Whether a circular buffer is shown. One whose cores were never defined may be on any.
    pub fn has_circular_buffer(&self, cb: &CbAlloc, snapshot: Snapshot<'_>) -> bool {
        self.has_circular()
            && self.has_size(cb.size_bytes)
            && self.has_cores(snapshot.core_ranges(cb.cores))
            && self.has_place(cb.place, snapshot)
    }

    /// Whether something on these cores is shown. What lies on cores that nobody told may be on any.
    pub fn has_cores(&self, ranges: Option<&[Range]>) -> bool {
        let overlaps = |Cores(wanted)| ranges.is_none_or(|of| of.iter().any(|range| overlap(range, &wanted)));
        self.filters.core.is_none_or(overlaps)
    }

    /// Whether small buffers are left out.
    pub fn leaves_out_sizes(&self) -> bool {
        self.filters.min_size.is_some_and(|Size(least)| least > 0)
    }

    fn has_size(&self, size_bytes: u64) -> bool {
        self.filters.min_size.is_none_or(|Size(least)| size_bytes >= least)
    }

    fn has_id(&self, unique_id: Option<u64>) -> bool {
        self.ids.is_none_or(|IdRange(low, high)| unique_id.is_some_and(|id| (low..=high).contains(&id)))
    }

    /// Whether an event is in the interval.
    pub fn has_event(&self, n: u64) -> bool {
        self.interval.is_none_or(|interval| interval.after < n && n <= interval.to)
    }

    /// Whether an event is before the interval.
    pub fn is_before(&self, n: u64) -> bool {
        self.interval.is_some_and(|interval| n <= interval.after)
    }

    /// Whether a buffer is shown that was allocated in the interval. What a forked child inherited is older.
    pub fn has_new(&self, buffer: &Buffer, snapshot: Snapshot<'_>) -> bool {
        let is_new = self.interval.is_none() || (!buffer.is_inherited && self.has_event(buffer.since.n));
        is_new && self.has_buffer(buffer, snapshot)
    }

    /// Whether an event is shown: one in the interval that concerns memory which is shown. Where the filters
    /// leave some memory out, that is none of the events that concern no memory in particular.
    pub fn keeps(&self, stamp: Stamp, event: &Event, effect: &Effect, snapshot: Snapshot<'_>) -> bool {
        if !self.has_event(stamp.n) {
            return false;
        }
        match (event, effect) {
            _ if !self.is_partial() => true,
            (Event::Alloc(alloc), _) => self.has_alloc(alloc, snapshot),
            (Event::Dealloc(_), Effect::Closed(ended)) => self.has_buffer(&ended.buffer, snapshot),
            (Event::Dealloc(_), Effect::Lowered(buffer)) => self.has_buffer(buffer, snapshot),
            (Event::Dealloc(gone), _) => {
                gone.buffer_type.is_none_or(|of| self.has_type(of))
                    && self.has_size(gone.size_bytes.unwrap_or(0))
                    && self.has_id(gone.unique_id)
                    && self.has_place(gone.place, snapshot)
            }
            (Event::Retained { place, buffer_type, unique_id, .. }, _) => {
                self.has_type(*buffer_type) && self.has_id(*unique_id) && self.has_place(*place, snapshot)
            }
            (Event::CbAlloc(cb), _) => self.has_circular_buffer(cb, snapshot),
            (Event::CbDealloc(gone), _) => {
                self.has_circular() && gone.place.is_none_or(|place| self.has_place(place, snapshot))
            }
            (Event::Failure(failure), _) => self.has_failure(failure, snapshot),
            (Event::ProgramRun { place, .. }, _) => self.has_circular() && self.has_place(*place, snapshot),
            _ => false,
        }
    }
}

fn overlap(a: &Range, b: &Range) -> bool {
    a.x0 <= b.x1 && b.x0 <= a.x1 && a.y0 <= b.y1 && b.y0 <= a.y1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_overlap_in_a_corner() {
        let range = |x0, y0, x1, y1| Range { x0, y0, x1, y1 };
        assert!(overlap(&range(0, 0, 3, 3), &range(3, 3, 5, 5)));
        assert!(!overlap(&range(0, 0, 3, 3), &range(4, 0, 5, 5)));
    }
}
