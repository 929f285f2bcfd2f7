//! One memory type on one place: its figures, who owns which range of it, and what is free between.

use crate::holes::{Holes, Region};
use crate::owners::{Neighbours, Owner, Owners};
use crate::slots::Slot;
use crate::tally::{Moment, Tally};
use tt_memtrace_wire::{Address, Bank, BufferType};

#[derive(Debug, Clone)]
pub(crate) struct Space {
    pub(crate) buffer_type: BufferType,
    pub(crate) tally: Tally,
    pub(crate) owners: Owners,
    /// Absent until the bank's size and base are known.
    pub(crate) holes: Option<Holes>,
    /// Whether live bytes are above the bank's size, so that this is told once per excess.
    pub(crate) is_above_capacity: bool,
}

impl Space {
    pub(crate) fn new(buffer_type: BufferType, bank: Option<&Bank>, at: Moment) -> Self {
        let (tally, owners) = (Tally::default(), Owners::default());
        let mut new = Self { buffer_type, tally, owners, holes: None, is_above_capacity: false };
        new.learn(bank, at);
        new
    }

    /// Takes over what is known of the bank.
    pub(crate) fn learn(&mut self, bank: Option<&Bank>, at: Moment) {
        let Some((start, bank)) = bank.and_then(|bank| Some((bank.base_address?, bank))) else { return };
        let region = Region { start, end: start.saturating_add(bank.bank_size_bytes) };
        if self.holes.as_ref().is_none_or(|holes| holes.region != region) {
            self.holes = Some(Holes::new(region, &self.owners, at));
        }
    }

    pub(crate) fn insert(&mut self, new: Owner, at: Moment) -> Neighbours {
        let around = self.owners.insert(new);
        if let Some(holes) = &mut self.holes {
            holes.take(new, &around, &self.owners, at);
        }
        around
    }

    pub(crate) fn remove(&mut self, start: Address, slot: Slot) {
        if let Some(around) = self.owners.remove(start, slot)
            && let Some(holes) = &mut self.holes
        {
            holes.give_back(&around);
        }
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        self.tally.restart(at);
        if let Some(holes) = &mut self.holes {
            holes.restart(at);
        }
    }
}
