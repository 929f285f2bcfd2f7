//! The places that hold buffers: mesh devices and lone chips. Each has its own allocator, so equal addresses on
//! two of them never mix, also where both contain the same chip.

use crate::chips::{Global, Group, GroupIndex};
use crate::class::Class;
use crate::space::Space;
use crate::tally::{Moment, Weight};
use rustc_hash::FxHashMap;
use tt_memtrace_wire::{Address, Allocator, Bank, BufferType, Mesh, Place};

/// Names a place; places are never removed.
pub(crate) type PlaceIndex = usize;

/// A group that was split: who counted in the first counts in the second as well.
pub(crate) type Split = (GroupIndex, GroupIndex);

/// A change of class of so many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reclassed {
    pub(crate) bytes: u64,
    pub(crate) from: Class,
    pub(crate) to: Class,
}

/// A mesh device or a lone chip.
#[derive(Debug, Clone)]
pub(crate) struct PlaceState {
    pub(crate) place: Place,
    pub(crate) chips: Vec<u32>,
    pub(crate) mesh: Option<Mesh>,
    pub(crate) spaces: Vec<Space>,
    pub(crate) banks: Vec<Bank>,
    pub(crate) rounding: Option<u64>,
    /// The groups of its chips, from its first buffer until it is closed.
    pub(crate) groups: Vec<GroupIndex>,
    /// How often ops and marks had put things to use when it was first named.
    pub(crate) n_uses_before: u64,
    /// Whether a program ran on it, or a buffer was made on it inside an op.
    pub(crate) is_used: bool,
}

impl PlaceState {
    fn new(place: Place) -> Self {
        let chips = match place {
            Place::Chip(chip) => vec![chip],
            Place::Mesh(_) => Vec::new(),
        };
        Self {
            place,
            chips,
            mesh: None,
            spaces: Vec::new(),
            banks: Vec::new(),
            rounding: None,
            groups: Vec::new(),
            n_uses_before: 0,
            is_used: false,
        }
    }

    pub(crate) fn find_space(&self, buffer_type: BufferType) -> Option<&Space> {
        self.spaces.iter().find(|space| space.buffer_type == buffer_type)
    }

    /// The space of that type; if it is new, it begins now.
    pub(crate) fn space(&mut self, buffer_type: BufferType, at: Moment) -> &mut Space {
        let index = self.spaces.iter().position(|space| space.buffer_type == buffer_type);
        let index = index.unwrap_or_else(|| {
            let bank = self.banks.iter().find(|bank| bank.buffer_type == buffer_type);
            self.spaces.push(Space::new(buffer_type, bank, at));
            self.spaces.len() - 1
        });
        &mut self.spaces[index]
    }

    pub(crate) fn known_space(&mut self, buffer_type: BufferType) -> Option<&mut Space> {
        self.spaces.iter_mut().find(|space| space.buffer_type == buffer_type)
    }

    pub(crate) fn bank(&self, buffer_type: BufferType) -> Option<&Bank> {
        self.banks.iter().find(|bank| bank.buffer_type == buffer_type)
    }
}

/// All places, and the groups their chips form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    index: FxHashMap<Place, PlaceIndex>,
    pub(crate) places: Vec<PlaceState>,
    pub(crate) groups: Vec<Group>,
    pub(crate) global: Global,
    /// How often ops and marks put things to use so far.
    pub(crate) n_uses: u64,
}

impl Places {
    pub(crate) fn find(&self, place: Place) -> Option<PlaceIndex> {
        self.index.get(&place).copied()
    }

    pub(crate) fn find_or_add(&mut self, place: Place) -> PlaceIndex {
        *self.index.entry(place).or_insert_with(|| {
            self.places.push(PlaceState { n_uses_before: self.n_uses, ..PlaceState::new(place) });
            self.places.len() - 1
        })
    }

    /// The chips of a mesh never change: of two definitions the first one holds.
    pub(crate) fn define_mesh(&mut self, mesh: &Mesh, at: Moment) -> Vec<Split> {
        let index = self.find_or_add(Place::Mesh(mesh.mesh_id));
        let state = &mut self.places[index];
        if state.mesh.is_some() {
            return Vec::new();
        }
        state.chips = mesh.chips.clone();
        state.chips.sort_unstable();
        state.chips.dedup();
        state.mesh = Some(mesh.clone());
        let is_used = state.spaces.iter().any(|space| space.tally.buffers.live > 0);
        if is_used { self.join_late(index, at) } else { Vec::new() }
    }

    /// For a mesh that was defined after its first buffer: its chips take over what it holds.
    fn join_late(&mut self, index: PlaceIndex, at: Moment) -> Vec<Split> {
        let splits = self.join(index);
        for &group in &self.places[index].groups {
            for space in &self.places[index].spaces {
                self.global.add(space.buffer_type, space.tally.bytes.live, &self.groups[group], at);
                self.groups[group].tallies.of(space.buffer_type).absorb(&space.tally, at);
                self.groups[group].total.add(space.tally.bytes.live, at);
            }
        }
        splits
    }

    /// Of several allocators of a mesh, the one with the larger bank of a type speaks for that type.
    pub(crate) fn define_allocator(&mut self, allocator: &Allocator, at: Moment) {
        let index = self.find_or_add(Place::Mesh(allocator.mesh_id));
        let state = &mut self.places[index];
        state.rounding = state.rounding.or(allocator.bank_rounding_bytes);
        for bank in &allocator.banks {
            let bank = Bank { base_address: base_address(bank, &allocator.banks), ..bank.clone() };
            match state.banks.iter_mut().find(|known| known.buffer_type == bank.buffer_type) {
                Some(known) if known.bank_size_bytes < bank.bank_size_bytes => *known = bank,
                Some(_) => {}
                None => state.banks.push(bank),
            }
        }
        for space in &mut state.spaces {
            space.learn(state.banks.iter().find(|bank| bank.buffer_type == space.buffer_type), at);
        }
    }

    /// Makes the place's chips a union of groups.
    pub(crate) fn join(&mut self, index: PlaceIndex) -> Vec<Split> {
        let mut splits = Vec::new();
        if !self.places[index].groups.is_empty() || self.places[index].chips.is_empty() {
            return splits;
        }
        let mut left = self.places[index].chips.clone();
        for at in 0..self.groups.len() {
            if !self.groups[at].chips.iter().any(|chip| left.contains(chip)) {
                continue;
            }
            if let Some(others) = self.groups[at].split_off_others(&left) {
                let new = self.groups.len();
                others.members.iter().for_each(|&member| self.places[member].groups.push(new));
                self.groups.push(others);
                splits.push((at, new));
            }
            left.retain(|chip| !self.groups[at].chips.contains(chip));
            self.groups[at].members.push(index);
            self.places[index].groups.push(at);
        }
        if !left.is_empty() {
            self.places[index].groups.push(self.groups.len());
            self.groups.push(Group { chips: left, members: vec![index], ..Group::default() });
        }
        splits
    }

    /// A closed place holds nothing any more; its chips keep their history.
    pub(crate) fn leave(&mut self, index: PlaceIndex) {
        for group in std::mem::take(&mut self.places[index].groups) {
            self.groups[group].members.retain(|&member| member != index);
        }
    }

    /// The group that a chip belongs to, if it ever was in a mesh that held a buffer.
    pub(crate) fn group_of(&self, chip: u32) -> Option<GroupIndex> {
        self.groups.iter().position(|group| group.chips.contains(&chip))
    }

    /// Whether something on the one place may cover something on the other.
    pub(crate) fn share_chips(&self, a: Place, b: Place) -> bool {
        if let (Place::Chip(_), Place::Chip(_)) = (a, b) {
            return a == b;
        }
        let groups = |place| self.find(place).map_or(&[][..], |index| self.places[index].groups.as_slice());
        a == b || groups(a).iter().any(|group| groups(b).contains(group))
    }

    pub(crate) fn has_chip(&self, place: Place, chip: u32) -> bool {
        self.find(place).is_some_and(|index| self.places[index].chips.binary_search(&chip).is_ok())
    }

    /// Counts a buffer that owns its memory.
    pub(crate) fn add(&mut self, index: PlaceIndex, buffer_type: BufferType, weight: Weight, at: Moment) {
        let state = &mut self.places[index];
        state.space(buffer_type, at).tally.add(weight, at);
        for at_group in 0..self.places[index].groups.len() {
            let group = self.places[index].groups[at_group];
            self.add_to_group(group, buffer_type, weight, at);
        }
    }

    pub(crate) fn add_to_group(
        &mut self,
        group: GroupIndex,
        buffer_type: BufferType,
        weight: Weight,
        at: Moment,
    ) {
        self.global.add(buffer_type, weight.bytes, &self.groups[group], at);
        self.groups[group].add(buffer_type, weight, at);
    }

    pub(crate) fn take_from_group(&mut self, group: GroupIndex, buffer_type: BufferType, weight: Weight) {
        self.global.take(buffer_type, weight.bytes, &self.groups[group]);
        self.groups[group].take(buffer_type, weight);
    }

    /// So many buffers that were counted on the place and in these groups had not been before.
    pub(crate) fn note_new(
        &mut self,
        place: Place,
        groups: &[GroupIndex],
        buffer_type: BufferType,
        n_new: u64,
    ) {
        for &group in groups {
            self.groups[group].tallies.of(buffer_type).n_allocations += n_new;
        }
        let index = self.find_or_add(place);
        if let Some(space) = self.places[index].known_space(buffer_type) {
            space.tally.n_allocations += n_new;
        }
    }

    /// A buffer that is counted in these groups, or in all of the place, turns out to be of another class.
    pub(crate) fn reclassify(
        &mut self,
        index: PlaceIndex,
        groups: Option<&[GroupIndex]>,
        buffer_type: BufferType,
        Reclassed { bytes, from, to }: Reclassed,
        at: Moment,
    ) {
        let state = &mut self.places[index];
        if let Some(space) = state.known_space(buffer_type) {
            space.tally.reclassify(bytes, from, to, at);
        }
        for &group in groups.unwrap_or(&state.groups) {
            self.groups[group].tallies.of(buffer_type).reclassify(bytes, from, to, at);
        }
    }

    /// The opposite of [`Self::add`].
    pub(crate) fn take(&mut self, index: PlaceIndex, buffer_type: BufferType, weight: Weight) {
        let state = &mut self.places[index];
        if let Some(space) = state.known_space(buffer_type) {
            space.tally.take(weight);
        }
        for at_group in 0..self.places[index].groups.len() {
            let group = self.places[index].groups[at_group];
            self.take_from_group(group, buffer_type, weight);
        }
    }

    pub(crate) fn restart(&mut self, at: Moment) {
        for space in self.places.iter_mut().flat_map(|state| &mut state.spaces) {
            space.restart(at);
        }
        self.global.restart(at);
        for group in &mut self.groups {
            group.tallies.restart(at);
            group.total.restart(at);
        }
    }
}

/// Where a bank starts. The runtime tells it of DRAM and L1; the trace region lies directly above the one, `L1_SMALL`
/// above the other (seen on every board and version of the end-to-end tests).
fn base_address(bank: &Bank, all: &[Bank]) -> Option<Address> {
    let below = match bank.buffer_type {
        BufferType::Trace => BufferType::Dram,
        BufferType::L1Small => BufferType::L1,
        _ => return bank.base_address,
    };
    let below = || all.iter().find(|other| other.buffer_type == below);
    bank.base_address.or_else(|| below()?.base_address?.checked_add(below()?.bank_size_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(mesh_id: u32, chips: &[u32]) -> Mesh {
        Mesh { mesh_id, chips: chips.to_vec(), rows: 1, cols: 1, arch: "wormhole_b0".into() }
    }

    #[test]
    fn chips_of_the_same_meshes_share_a_group() {
        let mut places = Places::default();
        for (id, chips) in [(0, vec![0, 1, 2, 3]), (1, vec![2, 3]), (2, vec![3, 4])] {
            let _ = places.define_mesh(&mesh(id, &chips), Moment::default());
            let index = places.find_or_add(Place::Mesh(id));
            let _ = places.join(index);
        }
        let mut groups: Vec<_> = places.groups.iter().map(|group| group.chips.clone()).collect();
        groups.sort();
        assert_eq!(groups, [vec![0, 1], vec![2], vec![3], vec![4]]);
        assert_eq!(places.places[0].groups.len(), 3);
    }
}
