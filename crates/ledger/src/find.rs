//! Which live buffer an event means.

use crate::buffer::Buffer;
use crate::ledger::Ledger;
use crate::place::PlaceIndex;
use crate::recent::Where;
use crate::slots::Slot;
use crate::space::Space;
use tt_memtrace_wire::{Address, BufferType, Place};

impl Ledger {
    /// By the number if there is one; else, or if the buffer was recorded without, the newest at the address.
    pub(crate) fn find(&self, wanted: &Where) -> Option<Slot> {
        if let Some(slot) = wanted.unique_id.and_then(|id| self.slots.by_id(id)) {
            return Some(slot);
        }
        let place = self.places.find(wanted.place)?;
        let may_be = |buffer: &Buffer| Where::of(buffer).may_be(wanted);
        let owner = self.newest(self.owners_at(place, wanted), may_be);
        owner.or_else(|| self.newest(self.views_at(wanted), may_be))
    }

    /// The type of the newest live buffer at an address of a place, over all types; else that of one that ended there.
    pub(crate) fn type_at(
        &self,
        place: Place,
        address: Address,
        unique_id: Option<u64>,
    ) -> Option<BufferType> {
        let spaces = &self.places.places[self.places.find(place)?].spaces;
        let wanted = |space: &Space| Where { place, buffer_type: space.buffer_type, address, unique_id };
        let live = spaces.iter().filter_map(|space| self.slots.get(self.find(&wanted(space))?));
        let live = live.max_by_key(|buffer| buffer.since.n).map(|buffer| buffer.alloc.buffer_type);
        let gone = || spaces.iter().filter_map(|space| Some((self.recent.gone(&wanted(space))?.n, space)));
        live.or_else(|| gone().max_by_key(|(n, _)| *n).map(|(_, space)| space.buffer_type))
    }

    pub(crate) fn newest(
        &self,
        slots: impl Iterator<Item = Slot>,
        is_wanted: impl Fn(&Buffer) -> bool,
    ) -> Option<Slot> {
        let found = slots.filter_map(|slot| Some((slot, self.slots.get(slot).filter(|b| is_wanted(b))?)));
        found.max_by_key(|(_, buffer)| buffer.since.n).map(|(slot, _)| slot)
    }

    pub(crate) fn owners_at<'a>(
        &'a self,
        place: PlaceIndex,
        wanted: &Where,
    ) -> impl Iterator<Item = Slot> + use<'a> {
        let space = self.places.places[place].find_space(wanted.buffer_type);
        let address = wanted.address;
        space.into_iter().flat_map(move |space| space.owners.at(address))
    }

    pub(crate) fn views_at<'a>(&'a self, wanted: &Where) -> impl Iterator<Item = Slot> + use<'a> {
        let place = wanted.place;
        let is_here = move |slot: &Slot| self.slots.get(*slot).is_some_and(|view| view.place() == place);
        self.aliases.at(wanted.buffer_type, wanted.address).filter(is_here)
    }
}
