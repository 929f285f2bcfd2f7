//! What is free in one memory type of one allocator, and the largest piece of it, as buffers come and go.
//!
//! Allocators are lockstep: a buffer reserves its range in every bank, so one bank stands for all.

use crate::owners::{Neighbours, Owner, Owners};
use crate::tally::Moment;
use std::collections::BinaryHeap;
use tt_memtrace_wire::Address;

/// A free range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Hole {
    /// Its bytes, in each bank.
    pub bytes: u64,
    /// Where it starts.
    pub address: Address,
}

/// The largest free range when it was smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tightest {
    /// Its bytes, in each bank.
    pub bytes: u64,
    /// The first moment of it.
    pub at: Moment,
}

/// The bank, from its first address to the first behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: Address,
    pub(crate) end: Address,
}

impl Region {
    /// What is free between two neighbours.
    fn between(self, around: &Neighbours) -> Hole {
        let floor = around.below.map_or(self.start, |below| below.end);
        let ceiling = around.above.map_or(self.end, |above| above.start);
        Hole { bytes: ceiling.saturating_sub(floor), address: floor }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Holes {
    pub(crate) region: Region,
    /// Every hole, and many that are no more; only the top is known to exist.
    by_size: BinaryHeap<Hole>,
    pub(crate) tightest: Option<Tightest>,
    /// Buffers overlapped or lay outside: then holes are no longer followed.
    is_lost: bool,
}

impl Holes {
    pub(crate) fn new(region: Region, owners: &Owners, at: Moment) -> Self {
        let mut holes = Self { region, by_size: BinaryHeap::new(), tightest: None, is_lost: false };
        holes.rebuild(owners);
        if owners.len() > 0 {
            holes.note_tightest(at);
        }
        holes
    }

    fn rebuild(&mut self, owners: &Owners) {
        let (holes, is_sound) = sweep(self.region, owners);
        self.is_lost |= !is_sound;
        self.by_size = holes.into();
    }

    /// Follows an owner that was just inserted between these neighbours.
    pub(crate) fn take(&mut self, new: Owner, around: &Neighbours, owners: &Owners, at: Moment) {
        if self.is_lost {
            return;
        }
        let before = self.region.between(around);
        let ceiling = before.address.saturating_add(before.bytes);
        if new.start < before.address || new.end > ceiling {
            (self.is_lost, self.tightest) = (true, None);
            self.by_size = BinaryHeap::new();
            return;
        }
        self.push(Hole { bytes: new.start - before.address, address: before.address });
        self.push(Hole { bytes: ceiling.saturating_sub(new.end), address: new.end });
        if self.by_size.len() > 1024 + 4 * owners.len() {
            self.rebuild(owners);
        }
        // The top exists, unless it was what the new owner was put in.
        if self.by_size.peek() == Some(&before) {
            while let Some(top) = self.by_size.peek()
                && self.region.between(&owners.around_free(top.address)) != *top
            {
                self.by_size.pop();
            }
        }
        self.note_tightest(at);
    }

    /// Follows an owner that was just removed from between these neighbours.
    pub(crate) fn give_back(&mut self, around: &Neighbours) {
        if !self.is_lost {
            self.push(self.region.between(around));
        }
    }

    /// The largest hole there is now; none if holes are no longer followed.
    pub(crate) fn largest_bytes(&self) -> Option<u64> {
        (!self.is_lost).then(|| self.by_size.peek().map_or(0, |top| top.bytes))
    }

    fn push(&mut self, hole: Hole) {
        if hole.bytes > 0 {
            self.by_size.push(hole);
        }
    }

    fn note_tightest(&mut self, at: Moment) {
        if let Some(bytes) = self.largest_bytes()
            && self.tightest.is_none_or(|tightest| bytes < tightest.bytes)
        {
            self.tightest = Some(Tightest { bytes, at });
        }
    }

    /// The tightest moment begins anew.
    pub(crate) fn restart(&mut self, at: Moment) {
        self.tightest = None;
        self.note_tightest(at);
    }
}

/// All holes from the lowest address, and whether the owners lie apart and inside the region.
pub(crate) fn sweep(region: Region, owners: &Owners) -> (Vec<Hole>, bool) {
    let (mut holes, mut is_sound, mut floor) = (Vec::new(), true, region.start);
    for owner in owners.iter() {
        is_sound &= floor <= owner.start && owner.end <= region.end;
        let ceiling = owner.start.min(region.end);
        if ceiling > floor {
            holes.push(Hole { bytes: ceiling - floor, address: floor });
        }
        floor = floor.max(owner.end);
    }
    if region.end > floor {
        holes.push(Hole { bytes: region.end - floor, address: floor });
    }
    (holes, is_sound)
}
