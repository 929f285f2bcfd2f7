//! What would make a request fit, against every set of buffers there is.

#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

use proptest::prelude::*;
use tt_memtrace_ledger::{Ledger, Verdict, Way};
use tt_memtrace_wire::*;

const UNIT: u64 = 32;
const BASE: u64 = 1000 * UNIT;
const UNITS: u64 = 40;

fn line(n: u64, event: Event) -> Line {
    Line::Event(Stamp { n, t_ns: n, tid: 1, ctx: 0 }, event)
}

fn allocator() -> Line {
    let bank = Bank {
        buffer_type: BufferType::Dram,
        n_banks: 8,
        bank_size_bytes: UNITS * UNIT,
        base_address: Some(BASE),
    };
    Line::Allocator(Allocator {
        allocator: 1,
        mesh_id: 0,
        bank_rounding_bytes: Some(UNIT),
        banks: vec![bank],
    })
}

fn alloc(n: u64, at: u64, units: u64) -> Line {
    let alloc = Alloc {
        place: Place::Mesh(0),
        allocator: Some(1),
        buffer_type: BufferType::Dram,
        layout: BufferLayout::Interleaved,
        address: BASE + at * UNIT,
        size_bytes: 1,
        page_size_bytes: 1,
        per_bank_bytes: units * UNIT - 5,
        n_cores: None,
        cores: None,
        unique_id: Some(n),
        owns_data: Some(true),
        hooked: false,
    };
    line(n, Event::Alloc(alloc))
}

fn request(units: u64) -> Request {
    Request {
        place: Place::Mesh(0),
        allocator: Some(1),
        buffer_type: BufferType::Dram,
        layout: BufferLayout::Interleaved,
        size_bytes: 1,
        page_size_bytes: 1,
        per_bank_bytes: Some(units * UNIT - 3),
        n_cores: None,
        message: None,
    }
}

/// Buffers with gaps between: (free units before, units).
fn ledger(parts: &[(u64, u64)]) -> (Ledger, Vec<(u64, u64)>) {
    let mut ledger = Ledger::new();
    let _ = ledger.apply(&allocator());
    let taken = place(&mut ledger, parts, &vec![0; parts.len()]);
    (ledger, taken)
}

/// The same, each made in a test of that number.
fn place(ledger: &mut Ledger, parts: &[(u64, u64)], tests: &[u32]) -> Vec<(u64, u64)> {
    let (mut at, mut taken) = (0, Vec::new());
    for ((n, (gap, units)), test) in (1..).zip(parts).zip(tests) {
        at += gap;
        if at + units > UNITS {
            break;
        }
        let Line::Event(stamp, event) = alloc(n, at, *units) else { unreachable!() };
        let _ = ledger.apply(&Line::Event(Stamp { ctx: *test, ..stamp }, event));
        taken.push((at, *units));
        at += units;
    }
    taken
}

/// The test `test N`, whose context has that number, too.
fn define_test(ledger: &mut Ledger, number: u32) {
    let _ = ledger.apply(&Line::Text(Text { text: number, value: format!("test {number}") }));
    let context = Context { ctx: number, op: None, stack: None, test: Some(number) };
    let _ = ledger.apply(&Line::Context(context));
}

/// The largest hole without the buffers whose bits are set.
fn largest_hole(taken: &[(u64, u64)], without: u32) -> u64 {
    let (mut floor, mut largest) = (0, 0);
    for (i, (at, units)) in taken.iter().enumerate() {
        if without >> i & 1 == 0 {
            largest = largest.max(at - floor);
            floor = at + units;
        }
    }
    largest.max(UNITS - floor)
}

fn bits(way: &Way<'_>) -> u32 {
    way.buffers.iter().map(|buffer| 1 << (buffer.alloc.unique_id.unwrap() - 1)).sum()
}

fn units_of(taken: &[(u64, u64)], set: u32) -> u64 {
    taken.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, (_, units))| units).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_smaller_set_of_buffers_would_do(
        parts in prop::collection::vec((0..5_u64, 1..7_u64), 0..10),
        units in 1..UNITS + 6,
    ) {
        let (ledger, taken) = ledger(&parts);
        let refusal = ledger.snapshot().refusal(&request(units)).unwrap();
        let (free, largest) = (UNITS - units_of(&taken, u32::MAX), largest_hole(&taken, 0));
        let expected = match units {
            _ if units <= largest => Verdict::OtherReason,
            _ if units > UNITS => Verdict::TooLarge,
            _ if units <= free => Verdict::Fragmented,
            _ => Verdict::Exhausted,
        };
        prop_assert_eq!(refusal.verdict, expected);
        prop_assert_eq!(refusal.needed_bytes, units * UNIT);
        prop_assert_eq!(refusal.short_bytes, units.saturating_sub(largest) * UNIT);
        let ways = (0..1_u32 << taken.len()).filter(|set| largest_hole(&taken, *set) >= units);
        let ways: Vec<u32> = ways.collect();
        let needs_some = matches!(expected, Verdict::Exhausted | Verdict::Fragmented);
        prop_assert_eq!(refusal.fewest.is_some(), needs_some);
        if let Some(fewest) = &refusal.fewest {
            prop_assert!(ways.contains(&bits(fewest)));
            prop_assert_eq!(fewest.bank_bytes, units_of(&taken, bits(fewest)) * UNIT);
            prop_assert!(fewest.hole.bytes >= refusal.needed_bytes);
            let key = |set: u32| (set.count_ones(), units_of(&taken, set));
            prop_assert_eq!(ways.iter().map(|set| key(*set)).min(), Some(key(bits(fewest))));
            let least = refusal.least.as_ref().unwrap_or(fewest);
            prop_assert!(ways.contains(&bits(least)));
            prop_assert_eq!(ways.iter().map(|set| units_of(&taken, *set)).min(), Some(least.bank_bytes / UNIT));
            // Moving changes no sum: it cannot help where less is free than is needed.
            prop_assert!(!fewest.can_be_moved || expected == Verdict::Fragmented);
        }
    }

    #[test]
    fn the_room_without_what_other_tests_left_is_that_of_a_memory_without_it(
        parts in prop::collection::vec((0..5_u64, 1..7_u64), 0..10),
        tests in prop::collection::vec(0..4_u32, 10),
        units in 1..UNITS,
    ) {
        let (mut ledger, _) = ledger(&[]);
        (1..4).for_each(|test| define_test(&mut ledger, test));
        let taken = place(&mut ledger, &parts, &tests);
        // The refused test is number 3; 0 is outside of tests.
        let memory = (Place::Mesh(0), BufferType::Dram);
        let bank = (BASE, BASE + UNITS * UNIT);
        let left = ledger.snapshot().left_by_other_tests("test 3", memory, bank);
        let set = |wanted: &[u32]| {
            (0..taken.len()).filter(|i| wanted.contains(&tests[*i])).map(|i| 1 << i).sum::<u32>()
        };
        let names: Vec<&str> = left.each.iter().map(|(by, _)| by.test).collect();
        prop_assert_eq!(names.len(), usize::from(set(&[1]) != 0) + usize::from(set(&[2]) != 0));
        let with_all = std::iter::once((set(&[1, 2]), left.together));
        let each = left.each.iter().map(|(by, left)| (set(&[by.test[5..].parse().unwrap()]), *left));
        for (set, left) in each.chain(with_all) {
            prop_assert_eq!(left.n_buffers, u64::from(set.count_ones()));
            prop_assert_eq!(left.bank_bytes, units_of(&taken, set) * UNIT);
            let stays = |i: &usize| set >> i & 1 == 0;
            let lowest = (0..taken.len()).find(stays).map(|i| BASE + taken[i].0 * UNIT);
            prop_assert_eq!(left.lowest, lowest);
            if units > largest_hole(&taken, 0) {
                prop_assert_eq!(left.hole_bytes >= units * UNIT, largest_hole(&taken, set) >= units);
            }
        }
    }
}

#[test]
fn a_small_buffer_between_two_holes_can_be_moved_into_a_third() {
    // 10 free, 1, 10 free, 12, 3 free, 4.
    let (ledger, _) = ledger(&[(10, 1), (10, 12), (3, 4)]);
    let refusal = ledger.snapshot().refusal(&request(15)).unwrap();
    assert_eq!((refusal.verdict, refusal.short_bytes), (Verdict::Fragmented, 5 * UNIT));
    let way = refusal.fewest.unwrap();
    assert_eq!((bits(&way), way.hole.bytes, way.can_be_moved), (1, 21 * UNIT, true));
    assert_eq!(refusal.least, None);
}

#[test]
fn fewer_buffers_may_be_more_bytes() {
    // 1 free, 1, 1 free, 1, 1 free, 1, 0 free, 30, 3 free.
    let (ledger, _) = ledger(&[(1, 1), (1, 1), (1, 1), (0, 30)]);
    let refusal = ledger.snapshot().refusal(&request(6)).unwrap();
    assert_eq!(refusal.fewest.map(|way| way.buffers.len()), Some(1));
    assert_eq!(refusal.least.map(|way| (way.buffers.len(), way.bank_bytes)), Some((3, 3 * UNIT)));
}

#[test]
fn what_cannot_be_said_is_not() {
    let mut ledger = Ledger::new();
    assert!(ledger.snapshot().refusal(&request(1)).is_none());
    let _ = ledger.apply(&allocator());
    let no_bank = Request { per_bank_bytes: None, ..request(1) };
    assert!(ledger.snapshot().refusal(&no_bank).is_none());
    // Nothing was ever there: the whole bank is one hole.
    let refusal = ledger.snapshot().refusal(&request(UNITS + 1)).unwrap();
    assert_eq!((refusal.verdict, refusal.map.free_bytes), (Verdict::TooLarge, UNITS * UNIT));
    let _ = ledger.apply(&alloc(1, 0, 20));
    let _ = ledger.apply(&alloc(2, 10, 20));
    let refusal = ledger.snapshot().refusal(&request(30)).unwrap();
    assert_eq!((refusal.map.is_sound, refusal.fewest), (false, None));
}
