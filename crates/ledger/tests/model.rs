//! The ledger against a model that keeps a plain list of buffers and recomputes every figure from it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use tt_memtrace_ledger::{Conclusion, Ending, Ledger, Totals};
use tt_memtrace_wire::*;

/// Meshes that share chips, and what rounds their sizes.
const MESHES: [(u32, &[u32], u64, Option<u64>); 3] =
    [(0, &[0, 1, 2], 10, Some(32)), (1, &[1, 2], 11, Some(64)), (2, &[3], 12, None)];

const TYPES: [BufferType; 2] = [BufferType::Dram, BufferType::L1];

fn definitions() -> Vec<Line> {
    let define = |(mesh_id, chips, allocator, rounding): (u32, &[u32], u64, Option<u64>)| {
        let (rows, cols, arch) = (1, 1, "wormhole_b0".to_owned());
        let mesh = Mesh { mesh_id, chips: chips.to_vec(), rows, cols, arch };
        let allocator = Allocator { allocator, mesh_id, bank_rounding_bytes: rounding, banks: Vec::new() };
        [Line::Mesh(mesh), Line::Allocator(allocator)]
    };
    MESHES.into_iter().flat_map(define).collect()
}

fn chips_of(place: Place) -> Vec<u32> {
    match place {
        Place::Chip(chip) => vec![chip],
        Place::Mesh(id) => MESHES.iter().find(|mesh| mesh.0 == id).map_or(vec![], |mesh| mesh.1.to_vec()),
    }
}

fn rounding_of(place: Place) -> u64 {
    match place {
        Place::Mesh(id) => MESHES.iter().find(|mesh| mesh.0 == id).and_then(|mesh| mesh.3).unwrap_or(1),
        Place::Chip(_) => 1,
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    alloc: Alloc,
    since: u64,
    /// How many deallocations it takes to end it.
    n_references: u32,
}

impl Held {
    fn owns(&self) -> bool {
        self.alloc.owns_data == Some(true)
    }

    fn bank_bytes(&self) -> u64 {
        self.alloc.per_bank_bytes.next_multiple_of(rounding_of(self.alloc.place))
    }

    fn end(&self) -> u64 {
        self.alloc.address + self.bank_bytes()
    }

    /// One without bytes is in what is there or begins there.
    fn contains(&self, other: &Held) -> bool {
        let (start, other_start) = (self.alloc.address, other.alloc.address);
        let is_there = start == other_start || (start..self.end()).contains(&other_start);
        is_there && other.end() <= self.end()
    }

    fn may_be(&self, place: Place, kind: BufferType, address: u64, id: Option<u64>) -> bool {
        let ids_agree = self.alloc.unique_id.is_none() || id.is_none() || self.alloc.unique_id == id;
        ids_agree && (self.alloc.place, self.alloc.buffer_type, self.alloc.address) == (place, kind, address)
    }
}

type Sum = [u64; 3];
type Figures<K> = BTreeMap<(K, BufferType), Sum>;

#[derive(Default)]
struct Model {
    live: Vec<Held>,
    last_closed: BTreeMap<u32, Held>,
    survivors: Vec<(u64, Ending)>,
    chip_peaks: Figures<u32>,
    place_peaks: Figures<Place>,
}

impl Model {
    fn covers(&self, view: &Held, chip: u32) -> bool {
        self.live.iter().any(|owner| {
            owner.owns()
                && owner.alloc.buffer_type == view.alloc.buffer_type
                && chips_of(owner.alloc.place).contains(&chip)
                && owner.contains(view)
        })
    }

    /// Whether a larger view, or an equal one that is older, holds this one.
    fn holds(&self, view: &Held, chip: u32) -> bool {
        self.live.iter().any(|other| {
            !other.owns()
                && other.since != view.since
                && other.alloc.buffer_type == view.alloc.buffer_type
                && chips_of(other.alloc.place).contains(&chip)
                && other.contains(view)
                && (other.bank_bytes() > view.bank_bytes() || other.since < view.since)
        })
    }

    fn has_no_owner_on(&self, view: &Held) -> Vec<u32> {
        let mut chips = chips_of(view.alloc.place);
        chips.retain(|chip| !self.covers(view, *chip));
        chips
    }

    fn counts_on(&self, held: &Held) -> Vec<u32> {
        if held.owns() {
            return chips_of(held.alloc.place);
        }
        let mut chips = self.has_no_owner_on(held);
        chips.retain(|chip| !self.holds(held, *chip));
        chips
    }

    fn chip_figures(&self) -> Figures<u32> {
        let mut figures = Figures::new();
        for held in &self.live {
            for chip in self.counts_on(held) {
                add(figures.entry((chip, held.alloc.buffer_type)).or_default(), held);
            }
        }
        figures
    }

    fn place_figures(&self) -> Figures<Place> {
        let mut figures = Figures::new();
        for held in self.live.iter().filter(|held| !self.counts_on(held).is_empty()) {
            add(figures.entry((held.alloc.place, held.alloc.buffer_type)).or_default(), held);
        }
        figures
    }

    fn note_peaks(&mut self) {
        let (by_chip, by_place) = (self.chip_figures(), self.place_figures());
        raise(&mut self.chip_peaks, by_chip);
        raise(&mut self.place_peaks, by_place);
    }

    fn apply(&mut self, stamp: Stamp, event: &Event) {
        match event {
            Event::Alloc(alloc) if !alloc.hooked => self.alloc(stamp.n, alloc),
            Event::Dealloc(dealloc) if !dealloc.hooked => self.dealloc(stamp.tid, dealloc),
            Event::Retained { place, buffer_type, address, unique_id } => {
                let closed = self.last_closed.get(&stamp.tid);
                if closed.is_some_and(|held| held.may_be(*place, *buffer_type, *address, *unique_id)) {
                    self.live.extend(self.last_closed.remove(&stamp.tid));
                }
            }
            Event::Sweep { allocator, .. } => {
                let allocator = Some(*allocator);
                self.end_all(|held| held.alloc.allocator == allocator, Ending::Sweep);
            }
            Event::Close { place } => self.end_all(|held| held.alloc.place == *place, Ending::Close),
            _ => {}
        }
        self.note_peaks();
    }

    fn alloc(&mut self, n: u64, alloc: &Alloc) {
        let mut new = Held { alloc: alloc.clone(), since: n, n_references: 1 };
        if alloc.owns_data.is_none() {
            new.alloc.unique_id = None;
            return self.refer(new);
        }
        let clash = self.live.iter().enumerate().filter(|(_, held)| {
            let old = &held.alloc;
            let same_place = (old.place, old.buffer_type, old.address, old.owns_data)
                == (alloc.place, alloc.buffer_type, alloc.address, alloc.owns_data);
            // Views of several meshes, or parts of one buffer, may be at one address.
            let same_allocator = new.owns() && alloc.allocator.is_some() && old.allocator == alloc.allocator;
            same_place && (old.unique_id.is_none() || alloc.unique_id.is_none() || same_allocator)
        });
        if let Some((at, _)) = clash.max_by_key(|(_, held)| held.since) {
            self.end(at);
        }
        self.live.push(new);
    }

    /// Who does not say who owns the memory has one entry for each address, as large as the largest of them.
    fn refer(&mut self, new: Held) {
        let Alloc { place, buffer_type, address, .. } = new.alloc;
        let is_same = |held: &&mut Held| {
            held.alloc.owns_data.is_none() && held.may_be(place, buffer_type, address, None)
        };
        let Some(known) = self.live.iter_mut().filter(is_same).max_by_key(|held| held.since) else {
            return self.live.push(new);
        };
        known.n_references += 1;
        known.alloc.size_bytes = known.alloc.size_bytes.max(new.alloc.size_bytes);
        known.alloc.per_bank_bytes = known.alloc.per_bank_bytes.max(new.alloc.per_bank_bytes);
    }

    fn dealloc(&mut self, tid: u32, dealloc: &Dealloc) {
        let Dealloc { place, address, unique_id, .. } = *dealloc;
        let by_id = self.live.iter().position(|h| unique_id.is_some() && h.alloc.unique_id == unique_id);
        let by_address = |buffer_type, owns_data| {
            let found = self.live.iter().enumerate().filter(|(_, held)| {
                held.owns() == owns_data && held.may_be(place, buffer_type, address, unique_id)
            });
            found.max_by_key(|(_, held)| held.since).map(|(at, _)| at)
        };
        let of_type = |of| by_address(of, true).or_else(|| by_address(of, false));
        // Who does not say the type means the newest of all types.
        let by_type = || match dealloc.buffer_type {
            Some(buffer_type) => of_type(buffer_type),
            None => TYPES.into_iter().filter_map(of_type).max_by_key(|at| self.live[*at].since),
        };
        let Some(at) = by_id.or_else(by_type) else { return };
        if self.live[at].n_references > 1 {
            self.live[at].n_references -= 1;
        } else {
            let held = self.end(at);
            self.last_closed.insert(tid, held);
        }
    }

    /// Removes a buffer, and with an owner the views that it alone had covered.
    fn end(&mut self, at: usize) -> Held {
        let before: Vec<Vec<u32>> = self.live.iter().map(|held| self.counts_on(held)).collect();
        let ended = self.live[at].clone();
        let mut left = Model { live: self.live.clone(), ..Model::default() };
        left.live.remove(at);
        let owner_chips = chips_of(ended.alloc.place);
        let retires = |view: &Held, counted_before: &Vec<u32>| {
            let bare = left.has_no_owner_on(view);
            ended.owns()
                && view.alloc.owns_data == Some(false)
                && ended.alloc.buffer_type == view.alloc.buffer_type
                && ended.contains(view)
                && counted_before.is_empty()
                && !bare.is_empty()
                && bare.iter().all(|chip| owner_chips.contains(chip))
        };
        let mut n = 0;
        let ended_since = ended.since;
        self.live.retain(|held| {
            n += 1;
            held.since != ended_since && !retires(held, &before[n - 1])
        });
        ended
    }

    /// Ends views first, then owners. What held memory before held it; what is uncovered meanwhile did not.
    fn end_all(&mut self, is_one: impl Fn(&Held) -> bool, ending: Ending) {
        let held_memory = |held: &&Held| is_one(held) && !self.counts_on(held).is_empty();
        let survivors: Vec<u64> = self.live.iter().filter(held_memory).map(|held| held.since).collect();
        for owns_data in [false, true] {
            while let Some(at) = self.live.iter().position(|held| held.owns() == owns_data && is_one(held)) {
                let ended = self.end(at);
                if survivors.contains(&ended.since) {
                    self.survivors.push((ended.since, ending));
                }
            }
        }
    }
}

fn add(sum: &mut Sum, held: &Held) {
    let more = [held.alloc.size_bytes, held.bank_bytes(), 1];
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

fn raise<K: Ord>(peaks: &mut Figures<K>, now: Figures<K>) {
    for (key, sum) in now {
        let peak = peaks.entry(key).or_default();
        peak.iter_mut().zip(sum).for_each(|(peak, now)| *peak = now.max(*peak));
    }
}

fn figures<K: Ord>(totals: Vec<Totals>, keys: impl Fn(&Totals) -> Vec<K>) -> (Figures<K>, Figures<K>) {
    let (mut live, mut peaks) = (Figures::new(), Figures::new());
    for group in totals {
        for of in &group.types {
            let gauges = [of.tally.bytes, of.tally.bank_bytes, of.tally.buffers];
            for (now, peak) in keys(&group).into_iter().zip(keys(&group)) {
                assert!(live.insert((now, of.buffer_type), gauges.map(|gauge| gauge.live)).is_none());
                peaks.insert((peak, of.buffer_type), gauges.map(|gauge| gauge.peak));
            }
        }
    }
    live.retain(|_, sum| *sum != [0; 3]);
    peaks.retain(|_, sum| *sum != [0; 3]);
    (live, peaks)
}

/// What a random event is made of; addresses and sizes are few, so that they are used again and again.
#[derive(Debug, Clone)]
struct Draw {
    what: u32,
    place: usize,
    buffer_type: usize,
    cell: u64,
    size: u64,
    tid: u32,
    pick: usize,
}

fn draw() -> impl Strategy<Value = Draw> {
    (0..100_u32, 0..4_usize, 0..2_usize, 0..6_u64, 1..64_u64, 0..2_u32, 0..64_usize).prop_map(
        |(what, place, buffer_type, cell, size, tid, pick)| Draw {
            what,
            place,
            buffer_type,
            cell,
            size,
            tid,
            pick,
        },
    )
}

/// Makes an event of a draw. Most deallocations are of something that was allocated before.
fn event(draw: &Draw, has_ids: bool, history: &[Alloc], freed: &[(u32, Dealloc)], n: u64) -> Event {
    let place = [Place::Mesh(0), Place::Mesh(1), Place::Mesh(2), Place::Chip(1)][draw.place];
    let buffer_type = TYPES[draw.buffer_type];
    let mut alloc = Alloc {
        place,
        allocator: MESHES.get(draw.place).map(|mesh| mesh.2),
        buffer_type,
        layout: BufferLayout::Interleaved,
        address: draw.cell * 64,
        size_bytes: draw.size * 1000,
        page_size_bytes: 1,
        per_bank_bytes: draw.size,
        n_cores: None,
        cores: None,
        unique_id: has_ids.then_some(n),
        owns_data: Some(true),
        hooked: false,
    };
    match draw.what {
        0..=34 => Event::Alloc(alloc),
        35..=44 => {
            alloc.owns_data = None;
            (alloc.per_bank_bytes, alloc.size_bytes) = (draw.size % 8, draw.size % 16 * 1000);
            Event::Alloc(alloc)
        }
        // A view is never larger than the owner it stands for: while an owner is replaced by another, a larger
        // one would show in the peak.
        45..=54 => {
            alloc.owns_data = Some(false);
            (alloc.per_bank_bytes, alloc.size_bytes) = (1, 1);
            Event::Alloc(alloc)
        }
        55..=58 => Event::Alloc(Alloc { hooked: true, address: 0, ..alloc }),
        59..=90 => {
            let of = history.get(draw.pick % history.len().max(1)).unwrap_or(&alloc);
            Event::Dealloc(Dealloc {
                place: of.place,
                buffer_type: (of.owns_data.is_some() && !draw.size.is_multiple_of(4))
                    .then_some(of.buffer_type),
                address: of.address,
                size_bytes: None,
                unique_id: of.unique_id,
                hooked: of.hooked,
            })
        }
        91..=95 => match freed.iter().rev().find(|(tid, _)| *tid == draw.tid) {
            Some((_, of)) => Event::Retained {
                place: of.place,
                buffer_type: of.buffer_type.unwrap_or(buffer_type),
                address: of.address,
                unique_id: of.unique_id,
            },
            None => Event::OpEnd,
        },
        96..=97 => Event::Sweep { allocator: 10 + u64::from(draw.tid), cause: SweepCause::Call },
        98 => Event::Close { place: Place::Mesh(draw.tid) },
        _ => Event::Mark { name: "m".into() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_equals_a_naive_model(draws in prop::collection::vec(draw(), 0..120), has_ids: bool) {
        let (mut ledger, mut model) = (Ledger::new(), Model::default());
        for line in definitions() {
            let _ = ledger.apply(&line);
        }
        let (mut history, mut freed, mut n) = (Vec::new(), Vec::new(), 0);
        for draw in &draws {
            n += 1;
            let stamp = Stamp { n, t_ns: n * 10, tid: draw.tid, ctx: 0 };
            let event = event(draw, has_ids, &history, &freed, n);
            match &event {
                Event::Alloc(alloc) => history.push(alloc.clone()),
                Event::Dealloc(dealloc) => freed.push((draw.tid, dealloc.clone())),
                _ => {}
            }
            model.apply(stamp, &event);
            let _ = ledger.apply(&Line::Event(stamp, event));
            let snapshot = ledger.snapshot();
            let (live, peaks) = figures(snapshot.chips(), |group| group.chips.clone());
            prop_assert_eq!(&live, &model.chip_figures(), "chips, event {}", n);
            prop_assert_eq!(&peaks, &model.chip_peaks, "chip peaks, event {}", n);
            let (live, peaks) = figures(snapshot.places(), |group| vec![group.place.unwrap()]);
            prop_assert_eq!(&live, &model.place_figures(), "places, event {}", n);
            prop_assert_eq!(&peaks, &model.place_peaks, "place peaks, event {}", n);
            prop_assert_eq!(snapshot.n_live(), model.live.len());
        }
        ledger.finish(Conclusion::Exit);
        model.end_all(|_| true, Ending::Exit);
        let mut survivors: Vec<_> = ledger.survivors().iter().map(|e| (e.buffer.since.n, e.ending)).collect();
        survivors.sort();
        model.survivors.sort();
        prop_assert_eq!(survivors, model.survivors);
        prop_assert_eq!(ledger.snapshot().n_live(), 0);
    }
}
