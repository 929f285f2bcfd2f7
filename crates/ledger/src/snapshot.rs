//! A read-only view of a ledger for display: what is live, and every total, in a fixed order.

use crate::buffer::Buffer;
use crate::circular::{CircularFootprint, Maker, Resident};
use crate::contexts::Contexts;
use crate::headroom::LeastHeadroom;
use crate::l1::{self, L1Map};
use crate::ledger::Ledger;
use crate::tally::{ByClass, Gauge, Tally};
use std::collections::BTreeMap;
use tt_memtrace_wire::{Address, Bank, BufferType, Mesh, Place, Range};

/// The figures of one memory type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeTotals {
    /// The memory type.
    pub buffer_type: BufferType,
    /// Live and peak on one chip.
    pub tally: Tally,
    /// Its banks, if the runtime told.
    pub bank: Option<Bank>,
}

/// The figures of a mesh, or of chips that belong to the same meshes; they are the same on each of the chips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// The mesh or lone chip; absent for per-chip figures, which sum all meshes.
    pub place: Option<Place>,
    /// The chips.
    pub chips: Vec<u32>,
    /// By type, in the order of reports.
    pub types: Vec<TypeTotals>,
    /// Logical bytes of all types on one chip; absent for a mesh.
    pub total: Option<Gauge>,
    /// What the total was made of at its peak: logical bytes by type and class.
    pub at_peak: Vec<(BufferType, ByClass)>,
}

/// A ledger at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    ledger: &'a Ledger,
}

impl Ledger {
    /// What is live now, and the totals so far.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { ledger: self }
    }
}

impl<'a> Snapshot<'a> {
    /// The live buffers by place, type and address. Views are among them, see [`Self::is_counted`].
    pub fn live(&self) -> Vec<&'a Buffer> {
        let mut live: Vec<&Buffer> = self.ledger.slots.iter().map(|(_, buffer)| buffer).collect();
        live.sort_by_key(|buffer| {
            (buffer.place(), rank(buffer.alloc.buffer_type), buffer.alloc.address, buffer.since.n)
        });
        live
    }

    /// What threads were doing when buffers were allocated.
    pub fn contexts(&self) -> &'a Contexts {
        &self.ledger.contexts
    }

    /// How many buffers and views are live.
    pub fn n_live(&self) -> usize {
        self.ledger.slots.len()
    }

    pub(crate) fn ledger(&self) -> &'a Ledger {
        self.ledger
    }

    /// Logical bytes over all chips: in all, and by type in the order of reports.
    pub fn global(&self) -> (Gauge, Vec<(BufferType, Gauge)>) {
        let global = &self.ledger.places.global;
        let mut types = global.types.clone();
        types.sort_by_key(|(buffer_type, _)| rank(*buffer_type));
        (global.total, types)
    }

    /// The figures of each mesh and lone chip that ever held a buffer.
    pub fn places(&self) -> Vec<Totals> {
        let mut all: Vec<Totals> = Vec::new();
        for state in self.ledger.places.places.iter().filter(|state| !state.spaces.is_empty()) {
            let types = state.spaces.iter().map(|space| TypeTotals {
                buffer_type: space.buffer_type,
                tally: space.tally,
                bank: state.bank(space.buffer_type).cloned(),
            });
            let types = in_order(types.collect());
            all.push(Totals {
                place: Some(state.place),
                chips: state.chips.clone(),
                types,
                total: None,
                at_peak: Vec::new(),
            });
        }
        all.sort_by_key(|totals| totals.place);
        all
    }

    /// The figures of each chip that ever held a buffer; chips of the same meshes come together.
    pub fn chips(&self) -> Vec<Totals> {
        let mut all: Vec<Totals> = Vec::new();
        for group in &self.ledger.places.groups {
            let mut chips = group.chips.clone();
            chips.sort_unstable();
            let types = group.tallies.iter().map(|(buffer_type, tally)| TypeTotals {
                buffer_type: *buffer_type,
                tally: *tally,
                bank: self.bank(&chips, *buffer_type),
            });
            let types = in_order(types.collect());
            all.push(Totals {
                place: None,
                chips,
                types,
                total: Some(group.total.bytes),
                at_peak: group.at_peak(),
            });
        }
        all.sort_by(|a, b| a.chips.cmp(&b.chips));
        all
    }

    /// The largest bank of that type that an allocator of these chips told.
    fn bank(&self, chips: &[u32], buffer_type: BufferType) -> Option<Bank> {
        let states = self.ledger.places.places.iter();
        let states = states.filter(|state| chips.iter().any(|chip| state.chips.contains(chip)));
        let banks = states.filter_map(|state| state.bank(buffer_type));
        banks.max_by_key(|bank| bank.bank_size_bytes).cloned()
    }

    /// The chips of a place, in ascending order; none for a mesh that was never defined.
    pub fn chips_of(&self, place: Place) -> &'a [u32] {
        let places = &self.ledger.places;
        places.find(place).map_or(&[], |index| places.places[index].chips.as_slice())
    }

    /// The chips of a place as its definition lists them: those of a mesh row by row.
    pub fn chips_in_order(&self, place: Place) -> &'a [u32] {
        let mesh = if let Place::Mesh(mesh_id) = place { self.mesh(mesh_id) } else { None };
        mesh.map_or_else(|| self.chips_of(place), |mesh| mesh.chips.as_slice())
    }

    /// The definition of a mesh.
    pub fn mesh(&self, mesh_id: u32) -> Option<&'a Mesh> {
        let places = &self.ledger.places;
        places.places[places.find(Place::Mesh(mesh_id))?].mesh.as_ref()
    }

    /// Whether a live buffer counts: it owns its memory, or no live owner covers it on some chip.
    pub fn is_counted(&self, buffer: &Buffer) -> bool {
        let (aliases, slots) = (&self.ledger.aliases, &self.ledger.slots);
        buffer.owns_memory()
            || aliases
                .at(buffer.alloc.buffer_type, buffer.alloc.address)
                .any(|slot| slots.get(slot) == Some(buffer) && aliases.is_counted(slot, buffer))
    }

    /// How far up circular buffers reached, by chip. Lower bounds: some programs announce no sizes.
    pub fn circular_footprints(&self) -> BTreeMap<u32, CircularFootprint> {
        self.ledger.circular.footprints(|place| self.chips_of(place))
    }

    /// Who made a program lay out its circular buffers. None if it neither announced any nor was launched.
    pub fn maker(&self, program: Option<u64>) -> Option<Maker> {
        Some(self.ledger.circular.program(program)?.maker)
    }

    /// The circular buffers that were laid out and not released.
    pub fn circular_buffers(&self) -> Vec<Resident> {
        let mut residents: Vec<Resident> = self.ledger.circular.residents().collect();
        residents.sort_by_key(|cb| (cb.place, cb.program, cb.address, cb.cores));
        residents
    }

    /// Bytes of one core of all circular buffers that are laid out on a place, summed as if none lay over another. No
    /// core holds that much: it is the figure of trackers that know nothing of programs.
    pub fn circular_bytes(&self, place: Place) -> u64 {
        self.ledger.circular.laid_bytes(place)
    }

    /// The places that ever had circular buffers, in no order.
    pub fn circular_places(&self) -> impl Iterator<Item = Place> + use<'a> {
        self.ledger.circular.places()
    }

    /// How many references there are to an address of a chip: live buffers and views of any place with that chip. One
    /// of which nobody says who owns the memory counts as often as it was announced and not freed.
    pub fn n_references_at(&self, chip: u32, buffer_type: BufferType, address: Address) -> u32 {
        let Ledger { places, aliases, slots, .. } = self.ledger;
        let here = places.places.iter().filter(|state| state.chips.binary_search(&chip).is_ok());
        let owners = here.filter_map(|state| state.find_space(buffer_type));
        let owners = owners.flat_map(|space| space.owners.at(address));
        let views = aliases.at(buffer_type, address);
        let views =
            views.filter(|slot| slots.get(*slot).is_some_and(|view| places.has_chip(view.place(), chip)));
        let references = owners.chain(views).filter_map(|slot| slots.get(slot)).map(Buffer::n_references);
        references.fold(0, u32::saturating_add)
    }

    /// The rectangles of a set of cores.
    pub fn core_ranges(&self, cores: u32) -> Option<&'a [Range]> {
        self.ledger.circular.ranges(cores)
    }

    /// The program that was launched last on a place.
    pub fn last_program(&self, place: Place) -> Option<u64> {
        self.ledger.circular.last_launch(place).map(|launch| launch.program)
    }

    /// The L1 of each chip that is in use, chips that are alike together.
    pub fn l1(&self) -> Vec<L1Map<'a>> {
        l1::maps(self.ledger)
    }

    /// The least room in L1 that each chip had so far, between its circular buffers and its buffers.
    pub fn least_headrooms(&self) -> BTreeMap<u32, LeastHeadroom> {
        l1::least(self.ledger)
    }
}

fn in_order(mut types: Vec<TypeTotals>) -> Vec<TypeTotals> {
    types.sort_by_key(|totals| rank(totals.buffer_type));
    types
}

/// The order of reports: by size of the memory, unknown types last.
pub fn rank(buffer_type: BufferType) -> (usize, u32) {
    let known = BufferType::KNOWN.into_iter().position(|known| known == buffer_type);
    (known.unwrap_or(BufferType::KNOWN.len()), buffer_type.number())
}
