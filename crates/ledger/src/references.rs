//! Buffers of which nobody says who owns their memory (`owns_data` is absent): the source reports a mesh buffer, the
//! devices' views and parts of them alike, by chip and address, and its deallocations tell no more than these. So
//! there is one entry per place, type and address, counted once at the largest size announced, and it lives until
//! it was freed as often as it was announced.

use crate::buffer::{Buffer, Ending};
use crate::ledger::{Effect, Ledger};
use crate::place::PlaceIndex;
use crate::recent::Where;
use crate::slots::Slot;
use tt_memtrace_wire::Stamp;

impl Ledger {
    /// Announces such a buffer, for the first time or again.
    pub(crate) fn refer(&mut self, stamp: Stamp, place: PlaceIndex, mut new: Buffer) -> Effect {
        new.alloc.unique_id = None; // Its address is all that can be found again.
        let is_entry = |known: &Buffer| !known.tells_owner();
        let entry = self.newest(self.views_at(&Where::of(&new)), is_entry);
        let Some((slot, known)) = entry.and_then(|slot| Some((slot, self.slots.get_mut(slot)?))) else {
            self.open(place, new, stamp.into(), 1);
            return Effect::Opened;
        };
        known.n_announced = known.n_announced.saturating_add(1);
        let (is_marked, is_outgrown) = (known.is_freed_by_owner, known.is_outgrown_by(&new));
        if is_marked {
            self.mark(self.entries_at(&new).collect(), false);
        }
        if is_outgrown && let Some(ended) = self.end(slot, Ending::Replaced, stamp) {
            let mut grown = ended.buffer;
            grown.grow(&new);
            grown.class = self.rules.class(&grown.alloc, grown.facts, self.ops.are_recorded);
            self.open(place, grown, stamp.into(), 0);
        }
        Effect::Merged
    }

    /// Takes one announcement of such a buffer back. What it is, if others are left; else it is to be ended.
    pub(crate) fn lower(&mut self, slot: Slot) -> Option<Buffer> {
        let buffer = self.slots.get_mut(slot).filter(|buffer| !buffer.tells_owner())?;
        buffer.n_freed = buffer.n_freed.saturating_add(1);
        if buffer.n_references() > 0 || buffer.is_freed_by_owner {
            self.judge_owner(slot);
        }
        self.slots.get(slot).filter(|buffer| buffer.n_references() > 0).cloned()
    }

    /// Some runtimes announce a mesh buffer on one chip and then a view of it on each, and free nothing but the
    /// buffer. That is what it looks like: on one chip it was freed once, though not as often as it was announced; on
    /// the others it was announced less often, and never freed.
    fn judge_owner(&mut self, slot: Slot) {
        let Some(freed) = self.slots.get(slot) else { return };
        let is_untouched = |view: &Buffer| {
            view.n_freed == 0
                && view.n_announced < freed.n_announced
                && view.alloc.size_bytes == freed.alloc.size_bytes
        };
        let entries: Vec<Slot> = self.entries_at(freed).collect();
        let mut others = entries.iter().filter(|entry| **entry != slot);
        let is_owners_end = freed.n_references() > 0
            && entries.len() > 1
            && others.all(|view| self.slots.get(*view).is_some_and(is_untouched));
        self.mark(entries, is_owners_end);
    }

    /// The buffers at this address of which nobody says who owns the memory, on all places.
    fn entries_at(&self, of: &Buffer) -> impl Iterator<Item = Slot> {
        let all = self.aliases.at(of.alloc.buffer_type, of.alloc.address);
        all.filter(|slot| self.slots.get(*slot).is_some_and(|view| !view.tells_owner()))
    }

    fn mark(&mut self, entries: Vec<Slot>, is_freed_by_owner: bool) {
        for entry in entries {
            if let Some(buffer) = self.slots.get_mut(entry) {
                buffer.is_freed_by_owner = is_freed_by_owner;
            }
        }
    }
}
