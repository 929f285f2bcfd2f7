//! Views follow their owners: they end with them, and count where no owner covers them.

use crate::alias::{self, Counted};
use crate::buffer::{Buffer, Ending};
use crate::ledger::Ledger;
use crate::place::Split;
use crate::recent::Where;
use crate::slots::Slot;
use crate::tally::Moment;
use tt_memtrace_wire::Stamp;

impl Ledger {
    /// The views of an owner that ended end with it, unless another owner still covers them.
    pub(crate) fn end_views(&mut self, owner: &Buffer, stamp: Stamp) {
        let owner_place = self.places.find_or_add(owner.place());
        for slot in self.aliases.inside(owner) {
            let Some(view) = self.slots.get(slot) else { continue };
            let bare = alias::without_owner(view, &self.places, &self.slots);
            let owner_groups = &self.places.places[owner_place].groups;
            let lost_its_owner = !bare.is_empty() && bare.iter().all(|group| owner_groups.contains(group));
            if view.tells_owner()
                && lost_its_owner
                && owner.covers(view)
                && !self.aliases.is_counted(slot, view)
            {
                let view = Where::of(view);
                let _ = self.end(slot, Ending::WithOwner, stamp);
                self.recent.note_retired(&view);
            } else {
                self.to_recount.push(slot);
            }
        }
    }

    /// Counts views where they lost their owner; last, because in between their memory was counted by nobody.
    pub(crate) fn settle_views(&mut self, at: Moment) {
        while let Some(view) = self.to_recount.pop() {
            self.recount(view, at);
        }
    }

    pub(crate) fn recount_inside(&mut self, of: Slot, at: Moment) {
        let inside = self.slots.get(of).map(|of| self.affected_inside(of));
        inside.into_iter().flatten().filter(|view| *view != of).for_each(|view| self.recount(view, at));
    }

    /// The views inside a buffer that have a chip in common with it.
    pub(crate) fn affected_inside(&self, of: &Buffer) -> Vec<Slot> {
        let mut inside = self.aliases.inside(of);
        let place_of = |slot: &Slot| self.slots.get(*slot).map(Buffer::place);
        inside.retain(|view| place_of(view).is_some_and(|place| self.places.share_chips(place, of.place())));
        inside
    }

    pub(crate) fn recount(&mut self, slot: Slot, at: Moment) {
        let Some(view) = self.slots.get(slot) else { return };
        let mut wanted = alias::without_owner(view, &self.places, &self.slots);
        wanted.retain(|&group| !self.aliases.holds(slot, view, group, &self.slots, &self.places));
        let mut counted = Counted { places: &mut self.places, at };
        self.aliases.recount(slot, view, wanted, &mut counted);
    }

    /// A view that counts from its beginning took memory.
    pub(crate) fn note_new(&mut self, slot: Slot, n_new: u64) {
        let Some(view) = self.slots.get(slot) else { return };
        let groups = self.aliases.groups(slot, view);
        if !groups.is_empty() {
            self.places.note_new(view.place(), groups, view.alloc.buffer_type, n_new);
        }
    }

    pub(crate) fn follow(&mut self, splits: &[Split]) {
        if !splits.is_empty() {
            self.aliases.follow(splits);
        }
    }
}
