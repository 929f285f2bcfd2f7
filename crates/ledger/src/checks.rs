//! What cannot be true of one allocator: two live buffers in one range, more live bytes than a bank holds; and of one
//! core: circular buffers that end outside its L1.

use crate::anomaly::What;
use crate::buffer::Buffer;
use crate::headroom::L1Bank;
use crate::ledger::Ledger;
use crate::owners::Neighbours;
use crate::place::PlaceIndex;
use crate::recent::Where;
use crate::slots::Slot;
use tt_memtrace_wire::{Address, BufferType, CbAlloc, Stamp};

impl Ledger {
    pub(crate) fn check_overlap(&mut self, slot: Slot, around: &Neighbours) {
        let Some(new) = self.slots.get(slot) else { return };
        let clashes = |other: &&Buffer| other.alloc.allocator == new.alloc.allocator && other.overlaps(new);
        let mut neighbours =
            [around.below, around.above].into_iter().flatten().filter_map(|other| self.slots.get(other.slot));
        if let Some(other) = neighbours.find(clashes) {
            let what = What::Overlap { with_n: other.since.n };
            self.anomalies.note(new.since, &Where::of(new), what);
        }
    }

    /// Circular buffers may reach into the region of small buffers, but not out of L1. Told once, until one ends still
    /// higher.
    pub(crate) fn check_circular(&mut self, stamp: Stamp, cb: &CbAlloc, end: Address, risen: &[u32]) {
        let Some(group) = risen.first().and_then(|chip| self.places.group_of(*chip)) else { return };
        let members = || self.places.groups[group].members.iter().map(|&member| &self.places.places[member]);
        let banks = |of| members().filter_map(move |place| place.bank(of)).filter_map(L1Bank::of);
        let Some(start) = banks(BufferType::L1).map(|bank| bank.start).min() else { return };
        let ends = banks(BufferType::L1).chain(banks(BufferType::L1Small)).map(|bank| bank.end);
        if let Some(top) = ends.max().filter(|top| end > *top) {
            let (live_bytes, bank_size_bytes) = (end.saturating_sub(start), top.saturating_sub(start));
            let (place, address, unique_id) = (cb.place, cb.address, None);
            let subject = Where { place, buffer_type: BufferType::L1, address, unique_id };
            self.anomalies.note(stamp, &subject, What::AboveCapacity { live_bytes, bank_size_bytes });
        }
    }

    pub(crate) fn check_capacity(&mut self, place: PlaceIndex, slot: Slot) {
        let Some(new) = self.slots.get(slot) else { return };
        let buffer_type = new.alloc.buffer_type;
        let state = &mut self.places.places[place];
        let Some(bank_size_bytes) = state.bank(buffer_type).map(|bank| bank.bank_size_bytes) else { return };
        let Some(space) = state.known_space(buffer_type) else { return };
        let live_bytes = space.tally.bank_bytes.live;
        let is_above = live_bytes > bank_size_bytes;
        let was_above = std::mem::replace(&mut space.is_above_capacity, is_above);
        if is_above && !was_above {
            let what = What::AboveCapacity { live_bytes, bank_size_bytes };
            self.anomalies.note(new.since, &Where::of(new), what);
        }
    }
}
