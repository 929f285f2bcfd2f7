//! What cannot be true of one allocator: two live buffers in one range, more live bytes than a bank holds.

use crate::anomaly::What;
use crate::buffer::Buffer;
use crate::ledger::Ledger;
use crate::owners::Neighbours;
use crate::place::PlaceIndex;
use crate::recent::Where;
use crate::slots::Slot;

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
