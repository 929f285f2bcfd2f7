//! What a refused allocation would have needed: why it did not fit, and which buffers are in its way.
//!
//! Allocators are lockstep and give out one range of all banks, so a request fits if one hole is large enough, wherever
//! that is. A hole grows only by buffers that lie side by side: the best choice is a run of neighbours in the order of
//! addresses, and all runs can be looked at. So the sets here are the smallest there are, however many buffers live.

use crate::buffer::Buffer;
use crate::circular::Laid;
use crate::holes::{self, Hole, Region};
use crate::ledger::Ledger;
use crate::maps::AddressMap;
use crate::owners::{Owner, Owners};
use crate::snapshot::Snapshot;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tt_memtrace_wire::{Address, Bank, BufferType, Place, Request};

/// Why a request did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No bank is large enough, even if it were empty.
    TooLarge,
    /// Less is free in all than is needed.
    Exhausted,
    /// Enough is free in all, but in no one piece.
    Fragmented,
    /// A hole is large enough: the runtime refused for another reason.
    OtherReason,
}

/// Buffers without which a request would fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way<'a> {
    /// The buffers, neighbours of each other, from the lowest address.
    pub buffers: Vec<&'a Buffer>,
    /// Their bytes in each bank.
    pub bank_bytes: u64,
    /// The hole there would be without them.
    pub hole: Hole,
    /// Whether the other holes have room for all of them, so that moving them is enough. Looked for with the largest
    /// first; where that finds no room, there may be some all the same.
    pub can_be_moved: bool,
}

/// A refused allocation, in the memory that refused it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal<'a> {
    /// The memory.
    pub map: AddressMap<'a>,
    /// The bytes that are needed in each bank, rounded as the allocator rounds.
    pub needed_bytes: u64,
    /// Why it did not fit.
    pub verdict: Verdict,
    /// By how much the largest hole is too small.
    pub short_bytes: u64,
    /// The fewest buffers that would have to go; of equally many, the smallest. None where even all would not do, or
    /// the map is not sound.
    pub fewest: Option<Way<'a>>,
    /// The least bytes that would have to go, if those are other buffers.
    pub least: Option<Way<'a>>,
}

impl<'a> Snapshot<'a> {
    /// What the request would have needed now. None where its bank is not known.
    pub fn refusal(&self, request: &Request) -> Option<Refusal<'a>> {
        let ledger = self.ledger();
        let state = &ledger.places.places[ledger.places.find(request.place)?];
        let rounding = request.allocator.and_then(|number| ledger.rounding(number));
        let unit = rounding.or(state.rounding).unwrap_or(1).max(1);
        let needed_bytes = request.per_bank_bytes?.div_ceil(unit).saturating_mul(unit);
        let map = self.address_map_of(request.place, request.buffer_type)?;
        let largest = map.largest.map_or(0, |hole| hole.bytes);
        let verdict = match needed_bytes {
            _ if needed_bytes <= largest => Verdict::OtherReason,
            _ if needed_bytes > map.end - map.start => Verdict::TooLarge,
            _ if needed_bytes <= map.free_bytes => Verdict::Fragmented,
            _ => Verdict::Exhausted,
        };
        let owners = state.find_space(request.buffer_type).map(|space| &space.owners);
        let runs = owners.filter(|_| map.is_sound && needed_bytes > largest);
        let runs = runs.map(|owners| Runs::of(ledger, &map, owners));
        let way = |by: fn(&Run) -> (u64, u64)| runs.as_ref().and_then(|runs| runs.best(needed_bytes, by));
        let fewest = way(|run| (run.n_buffers(), run.bank_bytes));
        let least = way(|run| (run.bank_bytes, run.n_buffers()));
        Some(Refusal {
            needed_bytes,
            verdict,
            short_bytes: needed_bytes.saturating_sub(largest),
            least: least.filter(|least| fewest.as_ref().is_some_and(|way| way.bank_bytes > least.bank_bytes)),
            fewest,
            map,
        })
    }

    /// The map of a memory, also where no buffer ever was.
    fn address_map_of(&self, place: Place, buffer_type: BufferType) -> Option<AddressMap<'a>> {
        let places = &self.ledger().places;
        let state = &places.places[places.find(place)?];
        if let Some(space) = state.find_space(buffer_type) {
            return self.address_map(place, space);
        }
        let Bank { base_address, bank_size_bytes, .. } = state.bank(buffer_type)?;
        let region =
            Region { start: (*base_address)?, end: (*base_address)?.saturating_add(*bank_size_bytes) };
        let (holes, is_sound) = holes::sweep(region, &Owners::default());
        Some(AddressMap {
            place,
            buffer_type,
            start: region.start,
            end: region.end,
            free_bytes: *bank_size_bytes,
            largest: holes.first().copied(),
            holes,
            tightest: None,
            pins: Vec::new(),
            is_sound,
        })
    }

    /// Bytes that are held in each bank of that memory.
    pub fn held_bytes(&self, place: Place, buffer_type: BufferType) -> u64 {
        let places = &self.ledger().places;
        let space = places.find(place).and_then(|index| places.places[index].find_space(buffer_type));
        space.map_or(0, |space| space.tally.bank_bytes.live)
    }
}

/// The owners of a memory in the order of their addresses.
struct Runs<'a, 'b> {
    ledger: &'a Ledger,
    map: &'b AddressMap<'a>,
    owners: Vec<Owner>,
}

/// Neighbours: from the first owner up to, and without, the last.
#[derive(Clone, Copy)]
struct Run {
    from: usize,
    to: usize,
    bank_bytes: u64,
    hole: Hole,
}

impl Run {
    fn n_buffers(&self) -> u64 {
        (self.to - self.from) as u64
    }
}

impl<'a, 'b> Runs<'a, 'b> {
    fn of(ledger: &'a Ledger, map: &'b AddressMap<'a>, owners: &Owners) -> Self {
        let owners = owners.iter().filter(|owner| owner.start < owner.end).copied().collect();
        Self { ledger, map, owners }
    }

    /// The best of the runs that leave a hole of so many bytes. Each begins somewhere, and there the shortest is best.
    fn best<K: Ord>(&self, needed_bytes: u64, by: impl Fn(&Run) -> K) -> Option<Way<'a>> {
        let mut best: Option<Run> = None;
        let (mut to, mut bank_bytes) = (0, 0);
        for (from, owner) in self.owners.iter().enumerate() {
            while self.hole(from, to).bytes < needed_bytes && to < self.owners.len() {
                bank_bytes += self.owners[to].end - self.owners[to].start;
                to += 1;
            }
            let run = Run { from, to, bank_bytes, hole: self.hole(from, to) };
            if run.hole.bytes < needed_bytes {
                break;
            }
            if best.is_none_or(|best| by(&run) < by(&best)) {
                best = Some(run);
            }
            bank_bytes -= owner.end - owner.start;
        }
        best.map(|run| self.way(run))
    }

    /// What there would be without the owners in between.
    fn hole(&self, from: usize, to: usize) -> Hole {
        let address = from.checked_sub(1).map_or(self.map.start, |below| self.owners[below].end);
        let end = self.owners.get(to).map_or(self.map.end, |above| above.start);
        Hole { bytes: end.saturating_sub(address), address }
    }

    fn way(&self, run: Run) -> Way<'a> {
        let owners = &self.owners[run.from..run.to];
        let end = run.hole.address + run.hole.bytes;
        let is_elsewhere = |hole: &&Hole| hole.address >= end || hole.address < run.hole.address;
        let mut rooms: BTreeMap<u64, usize> = BTreeMap::new();
        for hole in self.map.holes.iter().filter(is_elsewhere) {
            *rooms.entry(hole.bytes).or_default() += 1;
        }
        let mut sizes: Vec<u64> = owners.iter().map(|owner| owner.end - owner.start).collect();
        sizes.sort_unstable_by_key(|bytes| Reverse(*bytes));
        Way {
            can_be_moved: sizes.iter().all(|bytes| take_room(&mut rooms, *bytes)),
            buffers: owners.iter().filter_map(|owner| self.ledger.slots.get(owner.slot)).collect(),
            bank_bytes: run.bank_bytes,
            hole: run.hole,
        }
    }
}

/// Takes so many bytes of the smallest room that has them. The rooms are counted by their sizes.
fn take_room(rooms: &mut BTreeMap<u64, usize>, bytes: u64) -> bool {
    let Some((&room, n)) = rooms.range_mut(bytes..).next() else { return false };
    *n -= 1;
    if *n == 0 {
        rooms.remove(&room);
    }
    *rooms.entry(room - bytes).or_default() += 1;
    true
}

impl<'a> Snapshot<'a> {
    /// The L1 buffers of a place that start below an address, from the lowest.
    pub fn l1_below(&self, place: Place, end: Address) -> Vec<&'a Buffer> {
        let ledger = self.ledger();
        let space = ledger.places.find(place);
        let space = space.and_then(|index| ledger.places.places[index].find_space(BufferType::L1));
        let owners = space.into_iter().flat_map(|space| space.owners.iter());
        let below = owners.take_while(|owner| owner.start < end);
        below.filter_map(|owner| ledger.slots.get(owner.slot)).collect()
    }

    /// Where a program was launched, and the highest end of its circular buffers there. None if it announced none that
    /// take memory of their own.
    pub fn program_end(&self, program: u64) -> Option<(Place, Address)> {
        let program = self.ledger().circular.program(Some(program))?;
        Some((program.place()?, program.laid.iter().filter_map(Laid::own_end).max()?))
    }

    /// The lowest L1 buffer of a place.
    pub fn lowest_l1(&self, place: Place) -> Option<&'a Buffer> {
        let ledger = self.ledger();
        let space = ledger.places.places[ledger.places.find(place)?].find_space(BufferType::L1)?;
        ledger.slots.get(space.owners.iter().next()?.slot)
    }
}
