//! The room in L1 between the circular buffers, which grow from below, and the buffers, which grow from above; and
//! when it was least on each chip.
//!
//! L1 allocators are lockstep: a buffer reserves its range on every core, so the lowest reserved address is one per
//! chip. Circular buffers end at different heights on different cores; the chip's headroom is that of its worst core.
//! The least is looked at again only when an allocation reaches lower, or a circular buffer higher, than when it was
//! looked at last: in the steady state of a program that costs one comparison.

use crate::alias::Aliases;
use crate::chips::GroupIndex;
use crate::circular::{Program, own_end};
use crate::ledger::{Effect, Ledger};
use crate::place::{PlaceIndex, Places};
use crate::tally::Moment;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use tt_memtrace_wire::{Address, Bank, BufferType, CbAlloc, CbDealloc, Place, Stamp};

/// Circular buffers on a mesh count on so many of its chips; no mesh has more.
const MOST_CHIPS: usize = 1024;

/// Room between circular buffers and buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// The lowest address that an L1 buffer reserves; the end of the bank if there is none.
    pub lowest_reserved: Address,
    /// The highest end of a circular buffer; the start of the bank if there is none.
    pub highest_end: Address,
}

impl Headroom {
    /// Bytes between. Below zero, the program with the highest end clashes with the lowest buffer if it is
    /// launched again.
    pub fn bytes(&self) -> i64 {
        let (low, high) = (self.lowest_reserved, self.highest_end);
        let apart = i64::try_from(low.abs_diff(high)).unwrap_or(i64::MAX);
        if low >= high { apart } else { -apart }
    }
}

/// The least headroom of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastHeadroom {
    /// The room.
    pub room: Headroom,
    /// The first moment of it.
    pub at: Moment,
}

/// The L1 of one chip, from its first address to the first behind it, and on how many cores it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1Bank {
    /// Where circular buffers begin.
    pub start: Address,
    /// The first address behind what buffers may take.
    pub end: Address,
    /// How many cores have it.
    pub n_cores: u32,
}

impl L1Bank {
    pub(crate) fn of(bank: &Bank) -> Option<Self> {
        let start = bank.base_address?;
        Some(Self { start, end: start.saturating_add(bank.bank_size_bytes), n_cores: bank.n_banks })
    }
}

#[derive(Debug, Clone, Default)]
struct OnChip {
    /// How many resident circular buffers end at each address.
    ends: BTreeMap<Address, u32>,
    least: Option<LeastHeadroom>,
    /// Programs that announced nothing, or were one of several, ran here and are gone.
    had_unsized: bool,
    had_several: bool,
}

/// What an allocator was looked at last: its lowest address, and after how many rises of circular buffers.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    lowest: Address,
    n_rises: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Headrooms {
    chips: FxHashMap<u32, OnChip>,
    seen: Vec<Seen>,
    /// How often a circular buffer, or what is known of a bank, made earlier looks worthless.
    n_rises: u64,
    /// Meshes that nobody defined, with circular buffers on them.
    undefined: FxHashSet<u32>,
}

impl Headrooms {
    pub(crate) fn highest_end(&self, chip: u32) -> Option<Address> {
        self.chips.get(&chip)?.ends.last_key_value().map(|(end, _)| *end)
    }

    pub(crate) fn least(&self, chip: u32) -> Option<LeastHeadroom> {
        self.chips.get(&chip)?.least
    }

    /// Whether programs without sizes, and ones of several, ran here that are gone.
    pub(crate) fn history(&self, chip: u32) -> (bool, bool) {
        self.chips.get(&chip).map_or((false, false), |on| (on.had_unsized, on.had_several))
    }

    /// The chips on which there are circular buffers.
    pub(crate) fn chips(&self) -> impl Iterator<Item = u32> + use<'_> {
        self.chips.iter().filter(|(_, on)| !on.ends.is_empty()).map(|(chip, _)| *chip)
    }

    /// True if nothing ended as high up before.
    fn raise(&mut self, chip: u32, end: Address) -> bool {
        let ends = &mut self.chips.entry(chip).or_default().ends;
        let is_rise = ends.last_key_value().is_none_or(|(highest, _)| end > *highest);
        *ends.entry(end).or_default() += 1;
        is_rise
    }

    fn lower(&mut self, chip: u32, end: Address) {
        let Some(on) = self.chips.get_mut(&chip) else { return };
        if let Some(n) = on.ends.get_mut(&end) {
            *n -= 1;
            if *n == 0 {
                on.ends.remove(&end);
            }
        }
    }

    fn note(&mut self, chip: u32, room: Headroom, at: Moment) {
        let least = &mut self.chips.entry(chip).or_default().least;
        if least.is_none_or(|known| room.bytes() < known.room.bytes()) {
            *least = Some(LeastHeadroom { room, at });
        }
    }

    /// The next allocation of every allocator is looked at, however high up.
    pub(crate) fn forget_looks(&mut self) {
        self.n_rises += 1;
    }

    /// Looks at the chips of an allocator if its lowest address may matter.
    fn look(&mut self, place: PlaceIndex, address: Address, places: &Places, aliases: &Aliases, at: Moment) {
        if self.seen.len() <= place {
            self.seen.resize(place + 1, Seen::default());
        }
        let Seen { lowest, n_rises } = self.seen[place];
        if n_rises == self.n_rises + 1 && address >= lowest {
            return;
        }
        let groups = &places.places[place].groups;
        groups.iter().for_each(|&group| self.look_at_group(group, places, aliases, at));
        if !groups.is_empty() {
            self.seen[place] = Seen { lowest: address, n_rises: self.n_rises + 1 };
        }
    }

    fn look_at_group(&mut self, group: GroupIndex, places: &Places, aliases: &Aliases, at: Moment) {
        let ceiling = Ceiling::of(group, places, aliases);
        for &chip in places.groups[group].chips.iter().take(MOST_CHIPS) {
            if let Some(room) = ceiling.room(self.highest_end(chip)) {
                self.note(chip, room, at);
            }
        }
    }
}

/// What is above the circular buffers of the chips of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceiling {
    pub(crate) bank: Option<L1Bank>,
    pub(crate) lowest: Option<Address>,
}

impl Ceiling {
    pub(crate) fn of(group: GroupIndex, places: &Places, aliases: &Aliases) -> Self {
        let members = || places.groups[group].members.iter().map(|&member| &places.places[member]);
        let banks = members().filter_map(|place| L1Bank::of(place.bank(BufferType::L1)?));
        let bank = banks.max_by_key(|bank| bank.end);
        let owners = members().filter_map(|place| place.find_space(BufferType::L1)?.owners.lowest());
        let lowest = owners.min();
        // A view below every owner is covered by none.
        let view = aliases.lowest_counted(BufferType::L1, lowest.unwrap_or(Address::MAX), group);
        Self { bank, lowest: view.or(lowest) }
    }

    /// None where neither the bank nor a buffer is known, or neither the bank nor a circular buffer.
    pub(crate) fn room(&self, highest_end: Option<Address>) -> Option<Headroom> {
        let lowest_reserved = self.lowest.or(self.bank.map(|bank| bank.end))?;
        let highest_end = highest_end.or(self.bank.map(|bank| bank.start))?;
        Some(Headroom { lowest_reserved, highest_end })
    }
}

impl Ledger {
    /// A buffer was opened.
    pub(crate) fn note_room(
        &mut self,
        place: PlaceIndex,
        buffer_type: BufferType,
        address: Address,
        at: Moment,
    ) {
        if buffer_type == BufferType::L1 {
            self.headrooms.look(place, address, &self.places, &self.aliases, at);
        }
    }

    pub(crate) fn lay_out(&mut self, stamp: Stamp, cb: &CbAlloc) -> Effect {
        self.circular.open(cb, stamp, self.contexts.telling(stamp.ctx));
        if let Some(end) = own_end(cb) {
            let chips = chips_of(&self.places, cb.place);
            if let (Place::Mesh(mesh_id), true) = (cb.place, chips.is_empty()) {
                self.headrooms.undefined.insert(mesh_id);
            }
            let risen: Vec<u32> = chips.into_iter().filter(|chip| self.headrooms.raise(*chip, end)).collect();
            if !risen.is_empty() {
                self.headrooms.forget_looks();
            }
            self.check_circular(stamp, cb, end, &risen);
            for chip in risen {
                self.note_chip(chip, stamp.into());
            }
        }
        Effect::Circular(1)
    }

    fn note_chip(&mut self, chip: u32, at: Moment) {
        let Some(group) = self.places.group_of(chip) else { return };
        let ceiling = Ceiling::of(group, &self.places, &self.aliases);
        if let Some(room) = ceiling.room(self.headrooms.highest_end(chip)) {
            self.headrooms.note(chip, room, at);
        }
    }

    pub(crate) fn release_circular(&mut self, dealloc: &CbDealloc) -> Effect {
        let places = &self.places;
        let there = dealloc.place.map(|place| chips_of(places, place));
        let is_on = |place: Place| match (&there, place) {
            (None, _) => true,
            (Some(chips), Place::Chip(chip)) => chips.contains(&chip) || dealloc.place == Some(place),
            (Some(_), Place::Mesh(_)) => dealloc.place == Some(place),
        };
        let headrooms = &mut self.headrooms;
        let n_ended = self.circular.close(dealloc, is_on, |cb, place| lower(headrooms, places, cb, place));
        Effect::Circular(n_ended)
    }

    /// The programs of a closed mesh are gone.
    pub(crate) fn leave_programs(&mut self, place: Place) {
        let had_forgotten = self.circular.n_forgotten(place) > 0;
        let gone = self.circular.leave(place);
        let had_unsized = had_forgotten || gone.iter().any(Program::is_unsized);
        let had_several = gone.iter().any(Program::is_of_several);
        for laid in gone.iter().flat_map(|program| &program.laid) {
            for &on in &laid.places {
                lower(&mut self.headrooms, &self.places, &laid.cb, on);
            }
        }
        if had_unsized || had_several {
            for chip in chips_of(&self.places, place) {
                let on = self.headrooms.chips.entry(chip).or_default();
                on.had_unsized |= had_unsized;
                on.had_several |= had_several;
            }
        }
    }

    /// A mesh was defined. If circular buffers were laid out on it before, they count on its chips from now on.
    pub(crate) fn place_late_circular(&mut self, mesh_id: u32) {
        if !self.headrooms.undefined.remove(&mesh_id) {
            return;
        }
        let place = Place::Mesh(mesh_id);
        let late: Vec<_> = self.circular.residents().filter(|cb| cb.place == place).collect();
        let chips = chips_of(&self.places, place);
        for end in late.iter().filter_map(own_end) {
            for &chip in &chips {
                let _ = self.headrooms.raise(chip, end);
            }
        }
        self.headrooms.forget_looks();
    }

    /// The least headrooms begin anew.
    pub(crate) fn restart_headrooms(&mut self, at: Moment) {
        for on in self.headrooms.chips.values_mut() {
            (on.least, on.had_unsized, on.had_several) = (None, false, false);
        }
        self.headrooms.forget_looks();
        for group in 0..self.places.groups.len() {
            self.headrooms.look_at_group(group, &self.places, &self.aliases, at);
        }
    }
}

fn lower(headrooms: &mut Headrooms, places: &Places, cb: &CbAlloc, place: Place) {
    if let Some(end) = own_end(cb) {
        chips_of(places, place).into_iter().for_each(|chip| headrooms.lower(chip, end));
    }
}

fn chips_of(places: &Places, place: Place) -> Vec<u32> {
    match place {
        Place::Chip(chip) => vec![chip],
        Place::Mesh(_) => {
            let chips = places.find(place).map(|index| places.places[index].chips.iter().copied());
            chips.into_iter().flatten().take(MOST_CHIPS).collect()
        }
    }
}
