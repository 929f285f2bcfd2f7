//! Views at another buffer's address (`owns_data = false`). A view counts on a chip only while nothing of its type
//! covers it there: no live owner, and no larger or older view; so it is remembered in which groups of chips it counts.

use crate::buffer::Buffer;
use crate::chips::GroupIndex;
use crate::place::{Places, Split};
use crate::slots::{Slot, Slots};
use crate::tally::Moment;
use std::collections::BTreeMap;
use tt_memtrace_wire::{Address, BufferType};

type Key = (BufferType, Address, Slot);

/// So many views are looked at for one that holds another.
const N_BELOW: usize = 64;

/// Where a view ends, so that most need not be looked up, and in which groups it counts.
#[derive(Debug, Clone)]
struct View {
    end: Address,
    groups: Vec<GroupIndex>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Aliases {
    views: BTreeMap<Key, View>,
}

impl Aliases {
    pub(crate) fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    pub(crate) fn insert(&mut self, slot: Slot, view: &Buffer) {
        let key = (view.alloc.buffer_type, view.alloc.address, slot);
        self.views.insert(key, View { end: view.end(), groups: Vec::new() });
    }

    /// The views at exactly this address.
    pub(crate) fn at(&self, buffer_type: BufferType, address: Address) -> impl Iterator<Item = Slot> {
        let range = (buffer_type, address, 0)..=(buffer_type, address, Slot::MAX);
        self.views.range(range).map(|((_, _, slot), _)| *slot)
    }

    /// The views that start where the owner does, or inside its range.
    pub(crate) fn inside(&self, owner: &Buffer) -> Vec<Slot> {
        let (buffer_type, start) = (owner.alloc.buffer_type, owner.alloc.address);
        let last = owner.end().saturating_sub(1).max(start);
        let range = (buffer_type, start, 0)..=(buffer_type, last, Slot::MAX);
        self.views.range(range).map(|((_, _, slot), _)| *slot).collect()
    }

    /// The lowest address below `end` of a view that counts in the group.
    pub(crate) fn lowest_counted(
        &self,
        buffer_type: BufferType,
        end: Address,
        group: GroupIndex,
    ) -> Option<Address> {
        let mut below = self.views.range((buffer_type, 0, 0)..(buffer_type, end, 0));
        below.find(|(_, view)| view.groups.contains(&group)).map(|((_, address, _), _)| *address)
    }

    pub(crate) fn counts_in(&self, slot: Slot, view: &Buffer, group: GroupIndex) -> bool {
        let key = (view.alloc.buffer_type, view.alloc.address, slot);
        self.views.get(&key).is_some_and(|view| view.groups.contains(&group))
    }

    /// Whether another view on those chips holds this one in its range. Of equal ones, the first does.
    ///
    /// Views begin where buffers or their parts do, so the one that holds it is among the next below.
    pub(crate) fn holds(
        &self,
        slot: Slot,
        view: &Buffer,
        group: GroupIndex,
        slots: &Slots,
        places: &Places,
    ) -> bool {
        let (buffer_type, address) = (view.alloc.buffer_type, view.alloc.address);
        let below = self.views.range((buffer_type, 0, 0)..=(buffer_type, address, Slot::MAX)).rev();
        let others = below.filter(|((_, _, other), _)| *other != slot).take(N_BELOW);
        let reaching = others.filter(|(_, other)| view.end() <= other.end).map(|((_, _, other), _)| *other);
        reaching.filter_map(|other| slots.get(other)).any(|other| {
            let is_larger = (other.bank_bytes, view.since.n) > (view.bank_bytes, other.since.n);
            let is_there = || {
                places.find(other.place()).is_some_and(|place| places.places[place].groups.contains(&group))
            };
            other.covers(view) && is_larger && is_there()
        })
    }

    /// The groups in which the view counts.
    pub(crate) fn groups(&self, slot: Slot, view: &Buffer) -> &[GroupIndex] {
        let key = (view.alloc.buffer_type, view.alloc.address, slot);
        self.views.get(&key).map_or(&[], |view| view.groups.as_slice())
    }

    pub(crate) fn is_counted(&self, slot: Slot, view: &Buffer) -> bool {
        let key = (view.alloc.buffer_type, view.alloc.address, slot);
        self.views.get(&key).is_some_and(|view| !view.groups.is_empty())
    }

    /// Makes the view count where nothing covers it, and only there.
    pub(crate) fn recount(
        &mut self,
        slot: Slot,
        view: &Buffer,
        wanted: Vec<GroupIndex>,
        to: &mut Counted<'_>,
    ) {
        let key = (view.alloc.buffer_type, view.alloc.address, slot);
        let Some(known) = self.views.get_mut(&key) else { return };
        to.change(view, &known.groups, &wanted);
        known.groups = wanted;
    }

    pub(crate) fn remove(&mut self, slot: Slot, view: &Buffer, to: &mut Counted<'_>) {
        let key = (view.alloc.buffer_type, view.alloc.address, slot);
        if let Some(known) = self.views.remove(&key) {
            to.change(view, &known.groups, &[]);
        }
    }

    pub(crate) fn follow(&mut self, splits: &[Split]) {
        for View { groups, .. } in self.views.values_mut() {
            for (from, new) in splits {
                if groups.contains(from) {
                    groups.push(*new);
                }
            }
        }
    }
}

/// Where views are counted.
pub(crate) struct Counted<'a> {
    pub(crate) places: &'a mut Places,
    pub(crate) at: Moment,
}

impl Counted<'_> {
    fn change(&mut self, view: &Buffer, from: &[GroupIndex], to: &[GroupIndex]) {
        let (buffer_type, weight) = (view.alloc.buffer_type, view.weight());
        for &group in from.iter().filter(|group| !to.contains(group)) {
            self.places.take_from_group(group, buffer_type, weight);
        }
        for &group in to.iter().filter(|group| !from.contains(group)) {
            self.places.add_to_group(group, buffer_type, weight, self.at);
        }
        let place = self.places.find_or_add(view.place());
        let tally = &mut self.places.places[place].space(buffer_type, self.at).tally;
        match (from.is_empty(), to.is_empty()) {
            (true, false) => tally.add(weight, self.at),
            (false, true) => tally.take(weight),
            _ => {}
        }
    }
}

/// The groups of the view's chips in which no live owner of its type covers it.
pub(crate) fn without_owner(view: &Buffer, places: &Places, slots: &Slots) -> Vec<GroupIndex> {
    let Some(index) = places.find(view.place()) else { return Vec::new() };
    let groups = places.places[index].groups.iter().copied();
    groups.filter(|&group| !is_covered(view, group, places, slots)).collect()
}

fn is_covered(view: &Buffer, group: GroupIndex, places: &Places, slots: &Slots) -> bool {
    places.groups[group].members.iter().any(|&member| {
        let Some(space) = places.places[member].find_space(view.alloc.buffer_type) else { return false };
        let Some(address) = space.owners.start_at_or_below(view.alloc.address) else { return false };
        let mut owners = space.owners.at(address).filter_map(|slot| slots.get(slot));
        owners.any(|owner| owner.covers(view))
    })
}
