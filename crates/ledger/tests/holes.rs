//! The map of a memory against an allocator that keeps one flag for each unit of a bank.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

use proptest::prelude::*;
use tt_memtrace_ledger::{AddressMap, Hole, Ledger, Moment};
use tt_memtrace_wire::*;

const UNIT: u64 = 32;
const BASE: u64 = 1000 * UNIT;
const UNITS: usize = 48;

/// Which buffer holds each unit.
type Bank = Vec<Option<u64>>;

fn allocator(base_address: Option<Address>) -> Line {
    let bank_size_bytes = UNITS as u64 * UNIT;
    let banks = vec![tt_memtrace_wire::Bank {
        buffer_type: BufferType::Dram,
        n_banks: 8,
        bank_size_bytes,
        base_address,
    }];
    Line::Allocator(Allocator { allocator: 1, mesh_id: 0, bank_rounding_bytes: Some(UNIT), banks })
}

fn alloc(n: u64, at: usize, units: u64) -> Line {
    let alloc = Alloc {
        place: Place::Mesh(0),
        allocator: Some(1),
        buffer_type: BufferType::Dram,
        layout: BufferLayout::Interleaved,
        address: BASE + at as u64 * UNIT,
        size_bytes: 1,
        page_size_bytes: 1,
        per_bank_bytes: units * UNIT - n % UNIT, // The allocator rounds it up.
        n_cores: None,
        cores: None,
        unique_id: Some(n),
        owns_data: Some(true),
        hooked: false,
    };
    Line::Event(stamp(n), Event::Alloc(alloc))
}

fn dealloc(n: u64, id: u64, at: usize) -> Line {
    let dealloc = Dealloc {
        place: Place::Mesh(0),
        buffer_type: Some(BufferType::Dram),
        address: BASE + at as u64 * UNIT,
        size_bytes: None,
        unique_id: Some(id),
        hooked: false,
    };
    Line::Event(stamp(n), Event::Dealloc(dealloc))
}

fn stamp(n: u64) -> Stamp {
    Stamp { n, t_ns: n * 10, tid: 1, ctx: 0 }
}

fn holes(bank: &Bank) -> Vec<Hole> {
    let mut holes: Vec<Hole> = Vec::new();
    for (at, _) in bank.iter().enumerate().filter(|(_, unit)| unit.is_none()) {
        let address = BASE + at as u64 * UNIT;
        match holes.last_mut() {
            Some(hole) if hole.address + hole.bytes == address => hole.bytes += UNIT,
            _ => holes.push(Hole { bytes: UNIT, address }),
        }
    }
    holes
}

fn largest(bank: &Bank) -> u64 {
    holes(bank).iter().map(|hole| hole.bytes).max().unwrap_or(0)
}

fn live(bank: &Bank) -> Vec<u64> {
    let mut ids: Vec<u64> = bank.iter().flatten().copied().collect();
    ids.dedup();
    ids
}

/// What each buffer between two holes would make of the largest one, found by freeing it.
fn pins(bank: &Bank) -> Vec<(u64, u64)> {
    let mut pins = Vec::new();
    for id in live(bank) {
        let first = bank.iter().position(|unit| *unit == Some(id)).unwrap();
        let last = bank.iter().rposition(|unit| *unit == Some(id)).unwrap();
        let is_between = first > 0 && bank[first - 1].is_none() && bank.get(last + 1) == Some(&None);
        let without: Bank = bank.iter().map(|unit| unit.filter(|of| *of != id)).collect();
        if is_between && largest(&without) > largest(bank) {
            pins.push((id, largest(&without)));
        }
    }
    pins.sort_unstable();
    pins
}

fn map(ledger: &Ledger) -> AddressMap<'_> {
    ledger.snapshot().address_maps().remove(0)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_map_equals_a_bank_of_flags(
        draws in prop::collection::vec((any::<bool>(), 0..UNITS, 1..9_usize, any::<u8>()), 1..200),
    ) {
        let mut ledger = Ledger::new();
        let _ = ledger.apply(&allocator(Some(BASE)));
        let mut bank: Bank = vec![None; UNITS];
        let mut tightest: Option<(u64, u64)> = None;
        for (n, (grows, at, units, pick)) in (1_u64..).zip(draws) {
            let room = bank[at..].iter().take(units).filter(|unit| unit.is_none()).count();
            let live = live(&bank);
            let line = if grows && room == units {
                bank[at..at + units].fill(Some(n));
                alloc(n, at, units as u64)
            } else if let Some(id) = live.get(usize::from(pick) % live.len().max(1)).copied() {
                let at = bank.iter().position(|unit| *unit == Some(id)).unwrap();
                bank.iter_mut().filter(|unit| **unit == Some(id)).for_each(|unit| *unit = None);
                dealloc(n, id, at)
            } else {
                continue;
            };
            let _ = ledger.apply(&line);
            let now = largest(&bank);
            if tightest.is_none_or(|(least, _)| now < least) {
                tightest = Some((now, n));
            }
            let map = map(&ledger);
            prop_assert!(map.is_sound);
            prop_assert_eq!(&map.holes, &holes(&bank));
            prop_assert_eq!(map.free_bytes, bank.iter().filter(|unit| unit.is_none()).count() as u64 * UNIT);
            prop_assert_eq!(map.largest.map_or(0, |hole| hole.bytes), now);
            prop_assert_eq!(map.tightest.map(|tightest| (tightest.bytes, tightest.at.n)), tightest);
            let mut found: Vec<_> = map.pins.iter().map(|pin| (pin.buffer.since.n, pin.joined_bytes)).collect();
            found.sort_unstable();
            prop_assert_eq!(found, pins(&bank));
        }
    }
}

#[test]
fn buffers_that_overlap_leave_a_sketch() {
    let mut ledger = Ledger::new();
    for line in [allocator(Some(BASE)), alloc(1, 0, 4), alloc(2, 2, 4), alloc(3, 10, 2)] {
        let _ = ledger.apply(&line);
    }
    let map = map(&ledger);
    assert_eq!((map.is_sound, map.tightest, map.pins.len()), (false, None, 0));
    assert_eq!(map.holes[0], Hole { bytes: 4 * UNIT, address: BASE + 6 * UNIT });
    assert_eq!(ledger.anomalies().counts().collect::<Vec<_>>(), [("overlap", 1)]);
}

#[test]
fn a_child_begins_with_what_its_parent_left_free() {
    let mut ledger = Ledger::new();
    for line in [allocator(Some(BASE)), alloc(1, 0, 40), dealloc(2, 1, 0), alloc(3, 0, 8)] {
        let _ = ledger.apply(&line);
    }
    assert_eq!(map(&ledger).tightest.unwrap().bytes, 8 * UNIT);
    ledger.enter_child(Moment { n: 0, t_ns: 50 });
    let tightest = map(&ledger).tightest.unwrap();
    assert_eq!((tightest.bytes, tightest.at.n), (40 * UNIT, 0));
}

#[test]
fn a_bank_that_starts_nowhere_has_no_map() {
    let mut ledger = Ledger::new();
    for line in [allocator(None), alloc(1, 0, 4)] {
        let _ = ledger.apply(&line);
    }
    assert!(ledger.snapshot().address_maps().is_empty());
}

#[test]
fn a_bank_that_is_told_late_is_followed_from_then_on() {
    let mut ledger = Ledger::new();
    for line in
        [alloc(32, 4, 40), dealloc(33, 32, 4), alloc(64, 0, 8), allocator(Some(BASE)), alloc(96, 20, 4)]
    {
        let _ = ledger.apply(&line);
    }
    let map = map(&ledger);
    assert_eq!(
        map.holes,
        [12, 24]
            .map(|units| units * UNIT)
            .into_iter()
            .zip([8, 24].map(|at| BASE + at * UNIT))
            .map(|(bytes, address)| Hole { bytes, address })
            .collect::<Vec<_>>()
    );
    assert_eq!(map.tightest.map(|tightest| (tightest.bytes, tightest.at.n)), Some((24 * UNIT, 96)));
}
