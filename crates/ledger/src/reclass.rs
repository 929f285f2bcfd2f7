//! Classes that become known after the allocation.

use crate::ledger::Ledger;
use crate::place::Reclassed;
use crate::slots::Slot;
use crate::tally::Moment;
use tt_memtrace_wire::Stamp;

impl Ledger {
    /// A buffer that is freed while the program cache is cleared was held by it.
    pub(crate) fn note_cache_clear(&mut self, slot: Slot, stamp: Stamp) {
        if self.ops.clears_cache(stamp.tid)
            && let Some(buffer) = self.slots.get_mut(slot)
        {
            buffer.facts.freed_in_cache_clear = true;
            self.reclassify(slot, stamp.into());
        }
    }

    /// The capture tells of ops after all: what came before the first of them can be judged now.
    pub(crate) fn reclassify_all(&mut self, at: Moment) {
        let live: Vec<Slot> = self.slots.iter().map(|(slot, _)| slot).collect();
        live.into_iter().for_each(|slot| self.reclassify(slot, at));
    }

    fn reclassify(&mut self, slot: Slot, at: Moment) {
        let Some(buffer) = self.slots.get_mut(slot) else { return };
        let to = self.rules.class(&buffer.alloc, buffer.facts, self.ops.are_recorded);
        let from = std::mem::replace(&mut buffer.class, to);
        if from == to {
            return;
        }
        let change = Reclassed { bytes: buffer.alloc.size_bytes, from, to };
        let (place, buffer_type) = (self.places.find_or_add(buffer.place()), buffer.alloc.buffer_type);
        if buffer.owns_memory() {
            self.places.reclassify(place, None, buffer_type, change, at);
        } else {
            let groups = self.aliases.groups(slot, buffer);
            if !groups.is_empty() {
                self.places.reclassify(place, Some(groups), buffer_type, change, at);
            }
        }
    }
}
