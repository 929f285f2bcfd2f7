//! The map of a memory: what is free in each bank, in which pieces, and which buffers keep the pieces apart.

use crate::buffer::Buffer;
use crate::holes::{self, Hole, Tightest};
use crate::snapshot::{Snapshot, rank};
use crate::space::Space;
use tt_memtrace_wire::{Address, BufferType, Place};

/// One memory type of one mesh at one moment. A buffer reserves its range in every bank, so one bank stands for all.
#[derive(Debug, Clone, PartialEq)]
pub struct AddressMap<'a> {
    /// Whose allocator it is.
    pub place: Place,
    /// The memory type.
    pub buffer_type: BufferType,
    /// The first address of a bank.
    pub start: Address,
    /// The first address behind it.
    pub end: Address,
    /// Free bytes in each bank.
    pub free_bytes: u64,
    /// The free ranges, from the lowest address.
    pub holes: Vec<Hole>,
    /// The largest of them; none if nothing is free.
    pub largest: Option<Hole>,
    /// When the largest hole was smallest, from the first buffer on. Absent if buffers overlapped: then it was not followed.
    pub tightest: Option<Tightest>,
    /// The buffers that, freed alone, would make the largest hole larger; the largest gain first.
    pub pins: Vec<Pin<'a>>,
    /// False if buffers overlap or lie outside the bank, so that the figures are only a sketch.
    pub is_sound: bool,
}

/// A buffer between two holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The buffer.
    pub buffer: &'a Buffer,
    /// The hole there would be without it, in bytes of each bank.
    pub joined_bytes: u64,
}

impl AddressMap<'_> {
    /// The share of the free bytes that is not in the largest hole: 0 is one piece.
    #[expect(clippy::cast_precision_loss, reason = "a share is for people")]
    pub fn fragmentation(&self) -> f64 {
        let largest = self.largest.map_or(0, |hole| hole.bytes);
        if self.free_bytes == 0 { 0.0 } else { 1.0 - largest as f64 / self.free_bytes as f64 }
    }
}

impl<'a> Snapshot<'a> {
    /// The maps of the memories whose bank is known, where a buffer ever was.
    pub fn address_maps(&self) -> Vec<AddressMap<'a>> {
        let places = &self.ledger().places.places;
        let mut maps: Vec<_> = places
            .iter()
            .flat_map(|state| state.spaces.iter().filter_map(|space| self.address_map(state.place, space)))
            .collect();
        maps.sort_by_key(|map| (map.place, rank(map.buffer_type)));
        maps
    }

    pub(crate) fn address_map(&self, place: Place, space: &'a Space) -> Option<AddressMap<'a>> {
        let followed = space.holes.as_ref()?;
        let (holes, is_sound) = holes::sweep(followed.region, &space.owners);
        // Of equal ones, the lowest.
        let largest = holes.iter().rev().max_by_key(|hole| hole.bytes).copied();
        Some(AddressMap {
            place,
            buffer_type: space.buffer_type,
            start: followed.region.start,
            end: followed.region.end,
            free_bytes: holes.iter().map(|hole| hole.bytes).sum(),
            pins: if is_sound { self.pins(space, &holes, largest) } else { Vec::new() },
            holes,
            largest,
            tightest: followed.tightest,
            is_sound,
        })
    }

    fn pins(&self, space: &'a Space, holes: &[Hole], largest: Option<Hole>) -> Vec<Pin<'a>> {
        let largest = largest.map_or(0, |hole| hole.bytes);
        let mut pins = Vec::new();
        let mut at = 0;
        for owner in space.owners.iter() {
            while holes.get(at).is_some_and(|hole| hole.address < owner.end) {
                at += 1;
            }
            let below = at.checked_sub(1).and_then(|at| holes.get(at));
            let below = below.filter(|hole| hole.address + hole.bytes == owner.start);
            let above = holes.get(at).filter(|hole| hole.address == owner.end);
            let (Some(below), Some(above)) = (below, above) else { continue };
            let joined_bytes = above.address + above.bytes - below.address;
            if joined_bytes > largest {
                pins.extend(self.ledger().slots.get(owner.slot).map(|buffer| Pin { buffer, joined_bytes }));
            }
        }
        pins.sort_by_key(|pin| (std::cmp::Reverse(pin.joined_bytes), pin.buffer.bank_bytes));
        pins
    }
}
