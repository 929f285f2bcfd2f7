//! The L1 of the chips at one moment: circular buffers from below, buffers from above, and the room between.

use crate::buffer::Buffer;
use crate::circular::{CircularBuffers, Laid, Launch, Maker};
use crate::cores::{self, CoreMap, CoreSums};
use crate::headroom::{Ceiling, Headroom, L1Bank, LeastHeadroom};
use crate::ledger::Ledger;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tt_memtrace_wire::{Address, BufferType, Place, Range};

/// How a figure relates to the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// It is the truth.
    Exact,
    /// The truth is no less.
    LowerBound,
    /// The truth is no more.
    UpperBound,
    /// The truth may be either way from it.
    Estimate,
}

impl Basis {
    fn of_ends(may_be_higher: bool, may_be_lower: bool) -> Self {
        match (may_be_higher, may_be_lower) {
            (false, false) => Self::Exact,
            (true, false) => Self::LowerBound,
            (false, true) => Self::UpperBound,
            (true, true) => Self::Estimate,
        }
    }

    /// Of the room above a figure with this basis.
    pub fn of_room(self) -> Self {
        match self {
            Self::LowerBound => Self::UpperBound,
            Self::UpperBound => Self::LowerBound,
            same => same,
        }
    }
}

/// A circular buffer of a program, on the chips of its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaidOut<'a> {
    /// The number of its set of cores.
    pub cores: u32,
    /// The rectangles of the set; absent if it was never defined.
    pub ranges: Option<&'a [Range]>,
    /// Where it starts, on each of the cores.
    pub address: Address,
    /// Bytes on each of the cores.
    pub size_bytes: u64,
    /// True if it lies inside an L1 buffer and takes no memory of its own.
    pub globally_allocated: bool,
}

impl LaidOut<'_> {
    /// The first address behind it; none if it lies inside an L1 buffer.
    pub fn own_end(&self) -> Option<Address> {
        (!self.globally_allocated).then(|| self.address.saturating_add(self.size_bytes))
    }
}

/// A program whose circular buffers were laid out and not released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct L1Program<'a> {
    /// The runtime's number, if it is known.
    pub program: Option<u64>,
    /// Whether it is the last one that was launched.
    pub is_running: bool,
    /// Whether it is one of several programs of a workload, which announce their circular buffers for chips on
    /// which they do not run.
    pub is_of_several: bool,
    /// Who made it lay out its circular buffers.
    pub maker: Maker,
    /// The highest end of its circular buffers; none if all lie inside L1 buffers.
    pub end: Option<Address>,
    /// Its circular buffers, from the lowest.
    pub circular_buffers: Vec<LaidOut<'a>>,
}

/// Programs that were launched and announced no circular buffers: they have none of their own, or dataflow
/// buffers, whose sizes the runtime does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsized {
    /// Those that are known by number.
    pub programs: Vec<u64>,
    /// How many there are besides.
    pub n_more: u64,
}

impl Unsized {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.n_more.saturating_add(self.programs.len() as u64)
    }
}

/// On which cores a buffer resides. It reserves its range on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residence<'a> {
    /// On every core.
    All,
    /// On these.
    On(&'a [Range]),
    /// On so many of these.
    Among(u32, &'a [Range]),
    /// On so many; nobody told which.
    Unknown(u32),
}

/// An L1 buffer that holds memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1Buffer<'a> {
    /// The buffer.
    pub buffer: &'a Buffer,
    /// Where its data is.
    pub residence: Residence<'a>,
}

/// Cores with the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreGroup {
    /// The cores, as rectangles that do not overlap.
    pub ranges: Vec<Range>,
    /// How many they are.
    pub n_cores: u32,
    /// The highest end of a circular buffer; none if none was announced for them.
    pub end: Option<Address>,
    /// Whose it is.
    pub program: Option<u64>,
    /// The highest end of a circular buffer of the program that was launched last.
    pub running_end: Option<Address>,
    /// What `end` is worth.
    pub basis: Basis,
    /// Bytes of the buffers that reside on each of them.
    pub resident_bytes: u64,
}

/// The L1 of one chip, or of several whose L1 is alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct L1Map<'a> {
    /// The chips, in ascending order.
    pub chips: Vec<u32>,
    /// What there is to take, if the runtime told.
    pub bank: Option<L1Bank>,
    /// The L1 buffers that hold memory, from the lowest address.
    pub buffers: Vec<L1Buffer<'a>>,
    /// The programs with circular buffers, the highest end first.
    pub programs: Vec<L1Program<'a>>,
    /// The programs that may have some that are not known.
    pub unsized_programs: Unsized,
    /// The program that was launched last.
    pub running: Option<Launch>,
    /// The cores of which something is known that does not hold for all: circular buffers, shards.
    pub cores: Vec<CoreGroup>,
    /// Bytes of the buffers that reside on each of the other cores.
    pub resident_elsewhere_bytes: u64,
    /// Whether the cores are known on which each buffer resides; if not, resident bytes are lower bounds.
    pub is_residence_known: bool,
    /// The room on the worst core.
    pub room: Option<Headroom>,
    /// What the highest end is worth, and the room with it: see [`Basis::of_room`].
    pub basis: Basis,
    /// The least room so far; of several chips, the least of all.
    pub least: Option<LeastHeadroom>,
    /// What the end at the least room is worth.
    pub least_basis: Basis,
}

impl L1Map<'_> {
    fn is_like(&self, other: &Self) -> bool {
        (self.bank, self.room, self.basis, self.running)
            == (other.bank, other.room, other.basis, other.running)
            && (&self.buffers, &self.programs) == (&other.buffers, &other.programs)
            && (&self.unsized_programs, &self.cores) == (&other.unsized_programs, &other.cores)
            && self.least_basis == other.least_basis
            && self.resident_elsewhere_bytes == other.resident_elsewhere_bytes
            && self.least.map(|least| least.room) == other.least.map(|least| least.room)
    }
}

/// The L1 of every chip that has any to show, chips that are alike together.
pub(crate) fn maps(ledger: &Ledger) -> Vec<L1Map<'_>> {
    let mut maps: Vec<L1Map<'_>> = Vec::new();
    for (chip, ceiling, buffers) in chips(ledger) {
        let map = map(ledger, chip, ceiling, buffers);
        match maps.iter_mut().find(|known| known.is_like(&map)) {
            Some(known) => {
                known.chips.push(chip);
                let both = known.least.into_iter().chain(map.least);
                known.least = both.min_by_key(|least| (least.room.bytes(), least.at));
            }
            None => maps.push(map),
        }
    }
    maps
}

/// The least room on each chip so far.
pub(crate) fn least(ledger: &Ledger) -> BTreeMap<u32, LeastHeadroom> {
    let chips = ledger.places.groups.iter().flat_map(|group| &group.chips);
    chips.filter_map(|&chip| Some((chip, ledger.headrooms.least(chip)?))).collect()
}

/// The chips in use, each with what is above its circular buffers.
fn chips(ledger: &Ledger) -> Vec<(u32, Ceiling, Vec<&Buffer>)> {
    let mut others: FxHashSet<u32> = ledger.headrooms.chips().collect();
    let mut chips = Vec::new();
    for (index, group) in ledger.places.groups.iter().enumerate() {
        let ceiling = Ceiling::of(index, &ledger.places, &ledger.aliases);
        let buffers = buffers(ledger, index);
        let is_open = !group.members.is_empty();
        for &chip in &group.chips {
            if others.remove(&chip) || is_open {
                chips.push((chip, ceiling, buffers.clone()));
            }
        }
    }
    let nothing = Ceiling { bank: None, lowest: None };
    chips.extend(others.into_iter().map(|chip| (chip, nothing, Vec::new())));
    chips.sort_by_key(|(chip, ..)| *chip);
    chips
}

fn buffers(ledger: &Ledger, group: usize) -> Vec<&Buffer> {
    let holds_here = |(slot, buffer): &(usize, &Buffer)| {
        let is_here = |index: usize| ledger.places.places[index].groups.contains(&group);
        buffer.alloc.buffer_type == BufferType::L1
            && if buffer.owns_memory() {
                ledger.places.find(buffer.place()).is_some_and(is_here)
            } else {
                ledger.aliases.counts_in(*slot, buffer, group)
            }
    };
    let mut buffers: Vec<&Buffer> =
        ledger.slots.iter().filter(holds_here).map(|(_, buffer)| buffer).collect();
    buffers.sort_by_key(|buffer| (buffer.alloc.address, buffer.since.n));
    buffers
}

fn map<'a>(ledger: &'a Ledger, chip: u32, ceiling: Ceiling, buffers: Vec<&'a Buffer>) -> L1Map<'a> {
    let circular = &ledger.circular;
    let is_here = |place: Place| match place {
        Place::Chip(number) => number == chip,
        Place::Mesh(_) => ledger.places.has_chip(place, chip),
    };
    let places = circular.launch_places().filter(|place| is_here(*place)).collect::<FxHashSet<_>>();
    let launches = places.iter().filter_map(|place| circular.last_launch(*place));
    let running = launches.max_by_key(|launch| (launch.at.n, launch.program));
    let programs = programs(circular, running, is_here);
    let unsized_programs = Unsized {
        programs: sorted(circular.programs().filter_map(|(number, program)| {
            let is_here = program.place().is_some_and(|place| places.contains(&place));
            if program.is_unsized() && is_here { number } else { None }
        })),
        n_more: places.iter().map(|place| circular.n_forgotten(*place)).sum(),
    };
    let (may_be_higher, (had_unsized, had_several)) =
        (unsized_programs.count() > 0, ledger.headrooms.history(chip));
    let has_several = programs.iter().any(|program| program.is_of_several);
    let top_is_of_several = programs.first().is_some_and(|program| program.is_of_several);
    let buffers: Vec<L1Buffer<'_>> = buffers
        .into_iter()
        .map(|buffer| L1Buffer { buffer, residence: residence(buffer, ceiling.bank, circular) })
        .collect();
    let elsewhere = buffers.iter().filter(|of| of.residence == Residence::All).map(|of| of.buffer.bank_bytes);
    let resident_elsewhere_bytes = elsewhere.fold(0, u64::wrapping_add);
    let is_told = |of: &L1Buffer<'_>| matches!(of.residence, Residence::All | Residence::On(_));
    L1Map {
        chips: vec![chip],
        bank: ceiling.bank,
        cores: core_groups(&programs, &buffers, resident_elsewhere_bytes, may_be_higher),
        resident_elsewhere_bytes,
        is_residence_known: buffers.iter().all(is_told),
        buffers,
        programs,
        unsized_programs,
        running,
        room: ceiling.room(ledger.headrooms.highest_end(chip)),
        basis: Basis::of_ends(may_be_higher, top_is_of_several),
        least: ledger.headrooms.least(chip),
        least_basis: Basis::of_ends(may_be_higher || had_unsized, has_several || had_several),
    }
}

fn sorted(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

fn programs(
    circular: &CircularBuffers,
    running: Option<Launch>,
    is_here: impl Fn(Place) -> bool,
) -> Vec<L1Program<'_>> {
    let mut programs: Vec<L1Program<'_>> = Vec::new();
    for (number, program) in circular.programs() {
        let is_laid_here = |laid: &&Laid| laid.places.iter().any(|place| is_here(*place));
        let laid: Vec<&Laid> = program.laid.iter().filter(is_laid_here).collect();
        if laid.is_empty() {
            continue;
        }
        let mut circular_buffers: Vec<LaidOut<'_>> =
            laid.iter().map(|laid| laid_out(laid, circular)).collect();
        circular_buffers.sort_by_key(|cb| (cb.address, cb.cores, cb.size_bytes, cb.globally_allocated));
        programs.push(L1Program {
            program: number,
            is_running: running.is_some_and(|launch| Some(launch.program) == number),
            is_of_several: program.is_of_several(),
            maker: program.maker,
            end: laid.iter().filter_map(|laid| laid.own_end()).max(),
            circular_buffers,
        });
    }
    programs.sort_by_key(|program| (Reverse(program.end), program.is_of_several, program.program));
    programs
}

fn laid_out<'a>(laid: &Laid, circular: &'a CircularBuffers) -> LaidOut<'a> {
    let cb = &laid.cb;
    LaidOut {
        cores: cb.cores,
        ranges: circular.ranges(cb.cores),
        address: cb.address,
        size_bytes: cb.size_bytes,
        globally_allocated: cb.globally_allocated,
    }
}

/// The highest end on one set of cores.
#[derive(Clone, Copy, PartialEq)]
struct Top {
    end: Address,
    program: Option<u64>,
    is_of_several: bool,
}

/// What the cores of a group have in common.
#[derive(Clone, Copy, PartialEq)]
struct Content {
    top: Option<Top>,
    running_end: Option<Address>,
    resident_bytes: u64,
}

fn core_groups(
    programs: &[L1Program<'_>],
    buffers: &[L1Buffer<'_>],
    elsewhere_bytes: u64,
    may_be_higher: bool,
) -> Vec<CoreGroup> {
    let all = core_map(programs.iter());
    let running = core_map(programs.iter().filter(|program| program.is_running));
    let sharded = buffers.iter().filter_map(|of| {
        if let Residence::On(ranges) = of.residence { Some((ranges, of.buffer.bank_bytes)) } else { None }
    });
    let resident = CoreSums::of(sharded);
    let (a, b) = (all.extent(), resident.extent());
    let both = CoreMap::from_cells((a.0.max(b.0), a.1.max(b.1)), |x, y| {
        let (top, sharded_bytes) = (all.at(x, y), resident.at(x, y));
        (top.is_some() || sharded_bytes > 0).then(|| Content {
            top,
            running_end: running.at(x, y).map(|top| top.end),
            resident_bytes: sharded_bytes.wrapping_add(elsewhere_bytes),
        })
    });
    let group = |(content, ranges): (Content, Vec<Range>)| CoreGroup {
        n_cores: cores::count(&ranges),
        ranges,
        end: content.top.map(|top| top.end),
        program: content.top.and_then(|top| top.program),
        running_end: content.running_end,
        basis: Basis::of_ends(may_be_higher, content.top.is_some_and(|top| top.is_of_several)),
        resident_bytes: content.resident_bytes,
    };
    both.groups().into_iter().map(group).collect()
}

fn residence<'a>(buffer: &Buffer, bank: Option<L1Bank>, circular: &'a CircularBuffers) -> Residence<'a> {
    let Some(n_cores) = buffer.alloc.n_cores else { return Residence::All };
    let ranges = buffer.alloc.cores.and_then(|cores| circular.ranges(cores));
    match ranges {
        _ if bank.is_some_and(|bank| bank.n_cores == n_cores) => Residence::All,
        Some(ranges) if n_cores_of(ranges) == u64::from(n_cores) => Residence::On(ranges),
        Some(ranges) => Residence::Among(n_cores, ranges),
        None => Residence::Unknown(n_cores),
    }
}

fn n_cores_of(ranges: &[Range]) -> u64 {
    let side = |from: u32, to: u32| u64::from(to.saturating_sub(from)) + 1;
    ranges
        .iter()
        .map(|range| side(range.x0, range.x1).saturating_mul(side(range.y0, range.y1)))
        .fold(0, u64::saturating_add)
}

impl Top {
    /// Higher first; of equal ends that of a program that surely runs here, then that of the first program.
    fn order(&self) -> impl Ord + use<> {
        (Reverse(self.end), self.is_of_several, self.program)
    }
}

fn core_map<'a>(programs: impl Iterator<Item = &'a L1Program<'a>>) -> CoreMap<Top> {
    let mut tops: FxHashMap<u32, (&[Range], Top)> = FxHashMap::default();
    for program in programs {
        let is_of_several = program.is_of_several;
        for cb in &program.circular_buffers {
            let Some(end) = cb.own_end() else { continue };
            let new = (cb.ranges.unwrap_or(&[]), Top { end, program: program.program, is_of_several });
            let known = tops.entry(cb.cores).or_insert(new);
            if new.1.order() < known.1.order() {
                *known = new;
            }
        }
    }
    let mut tops: Vec<_> = tops.into_values().collect();
    tops.sort_by_key(|(_, top)| top.order());
    CoreMap::of_first(tops.into_iter())
}
