//! What a live view asks many times a second: looked up where it is kept, without the sorting, the sweeping and the
//! copies that a report does once.

use crate::buffer::Buffer;
use crate::headroom::{Ceiling, Headroom, L1Bank};
use crate::snapshot::Snapshot;
use std::collections::BTreeMap;
use tt_memtrace_wire::{Address, BufferType, Mesh, Place};

/// What bounds the free room in the L1 of a chip. Of several processes on one chip each knows its own part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// What there is to take, if the runtime told.
    pub bank: Option<L1Bank>,
    /// The lowest address that an L1 buffer reserves.
    pub lowest_reserved: Option<Address>,
    /// The highest end of a circular buffer.
    pub highest_end: Option<Address>,
}

impl Room {
    /// The room that both leave.
    pub fn join(&mut self, other: &Self) {
        self.bank = self.bank.into_iter().chain(other.bank).max_by_key(|bank| bank.end);
        self.lowest_reserved = self.lowest_reserved.into_iter().chain(other.lowest_reserved).min();
        self.highest_end = self.highest_end.max(other.highest_end);
    }

    /// The room between. None where neither the bank nor a buffer is known, or neither the bank nor a circular buffer.
    pub fn headroom(&self) -> Option<Headroom> {
        Ceiling { bank: self.bank, lowest: self.lowest_reserved }.room(self.highest_end)
    }
}

impl<'a> Snapshot<'a> {
    /// The live buffers in no order. Views are among them, see [`Self::is_counted`].
    pub fn buffers(&self) -> impl Iterator<Item = &'a Buffer> + use<'a> {
        self.ledger().slots.iter().map(|(_, buffer)| buffer)
    }

    /// The definitions of all meshes.
    pub fn meshes(&self) -> impl Iterator<Item = &'a Mesh> + use<'a> {
        self.ledger().places.places.iter().filter_map(|state| state.mesh.as_ref())
    }

    /// The room in L1 of each chip that is in use. Lower ends of it: some programs announce no sizes.
    pub fn rooms(&self) -> BTreeMap<u32, Room> {
        let ledger = self.ledger();
        let mut rooms = BTreeMap::new();
        for (index, group) in ledger.places.groups.iter().enumerate().filter(|(_, of)| !of.members.is_empty())
        {
            let Ceiling { bank, lowest } = Ceiling::of(index, &ledger.places, &ledger.aliases);
            let room = Room { bank, lowest_reserved: lowest, highest_end: None };
            rooms.extend(group.chips.iter().map(|chip| (*chip, room)));
        }
        for chip in ledger.headrooms.chips() {
            rooms.entry(chip).or_default().highest_end = ledger.headrooms.highest_end(chip);
        }
        rooms
    }

    /// The largest hole in a bank of each memory that is in use, as far as its bank is known and its buffers never
    /// overlapped.
    pub fn largest_holes(&self) -> Vec<(Place, BufferType, u64)> {
        let open = self.ledger().places.places.iter().filter(|state| !state.groups.is_empty());
        let spaces = open.flat_map(|state| state.spaces.iter().map(|space| (state.place, space)));
        let largest = |(place, space): (Place, &crate::space::Space)| {
            Some((place, space.buffer_type, space.holes.as_ref()?.largest_bytes()?))
        };
        spaces.filter_map(largest).collect()
    }
}
