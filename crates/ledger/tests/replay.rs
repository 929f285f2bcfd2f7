//! Hand-written streams, with figures computed by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

use tt_memtrace_ledger::{Class, Conclusion, Ending, Ledger, Moment, Totals};
use tt_memtrace_wire::{BufferType, Event, Line, Place, Stamp};

fn lines(stream: &str) -> Vec<Line> {
    stream.lines().map(|line| Line::parse(line).unwrap()).collect()
}

fn replay(stream: &str) -> Ledger {
    let mut ledger = Ledger::new();
    lines(stream).iter().for_each(|line| drop(ledger.apply(line)));
    ledger
}

/// Live and peak logical bytes, live and peak bytes per bank, live buffers, and the event of the peak.
fn figures(totals: &Totals, buffer_type: BufferType) -> [u64; 6] {
    let of = totals.types.iter().find(|of| of.buffer_type == buffer_type).unwrap();
    let (bytes, bank) = (of.tally.bytes, of.tally.bank_bytes);
    [bytes.live, bytes.peak, bank.live, bank.peak, of.tally.buffers.live, bytes.peak_at.n]
}

fn endings(ledger: &Ledger) -> Vec<(u64, Ending)> {
    ledger.survivors().iter().map(|ended| (ended.buffer.since.n, ended.ending)).collect()
}

#[test]
fn two_meshes_with_equal_addresses_on_one_chip_never_mix() {
    let ledger = replay(include_str!("streams/two_meshes.jsonl"));
    let chips = ledger.snapshot().chips();
    assert_eq!(chips.iter().map(|group| group.chips.clone()).collect::<Vec<_>>(), [vec![0, 1], vec![2, 3]]);
    // 100, 50, 16 and 30 bytes per bank take 128, 64, 32 and 32.
    assert_eq!(figures(&chips[0], BufferType::Dram), [500, 1200, 64, 160, 2, 3]);
    assert_eq!(figures(&chips[1], BufferType::Dram), [500, 1700, 64, 224, 2, 3]);
    let places = ledger.snapshot().places();
    assert_eq!(figures(&places[0], BufferType::Dram), [500, 1200, 64, 160, 2, 3]);
    assert_eq!(figures(&places[1], BufferType::Dram), [0, 500, 0, 64, 0, 2]);
    assert_eq!(ledger.anomalies().total(), 0);
    let since: Vec<u64> = ledger.snapshot().live().iter().map(|buffer| buffer.since.n).collect();
    assert_eq!(since, [6, 3]);
}

#[test]
fn every_ending_and_every_odd_event_is_told_apart() {
    let mut ledger = replay(include_str!("streams/endings.jsonl"));
    ledger.finish(Conclusion::Exit);
    let swept = [1, 2, 7].map(|n| (n, Ending::Sweep));
    let closed = [14, 15, 16].map(|n| (n, Ending::Close));
    assert_eq!(endings(&ledger), [swept, closed].concat());
    let classes: Vec<Class> = ledger.survivors().iter().map(|ended| ended.buffer.class).collect();
    assert_eq!(classes[3], Class::Semaphore);
    let counts: Vec<_> = ledger.anomalies().counts().collect();
    // n 9 was swept before, n 13 has a number from before the capture; n 12 is freed twice; n 15 begins inside
    // the 32 bytes of n 14; n 16 takes 2016 bytes of a bank of 1024.
    let expected =
        [("unknown_deallocation", 2), ("double_deallocation", 1), ("overlap", 1), ("above_capacity", 1)];
    assert_eq!(counts, expected);
    assert_eq!(ledger.n_dropped(), 3);
    let chips = ledger.snapshot().chips();
    assert_eq!(figures(&chips[0], BufferType::Dram), [0, 2000, 0, 2016, 0, 16]);
    assert_eq!(figures(&chips[0], BufferType::L1), [0, 400, 0, 96, 0, 7]);
}

#[test]
fn a_view_counts_only_where_no_owner_covers_it() {
    let events = lines(include_str!("streams/views.jsonl"));
    let mut ledger = Ledger::new();
    let mut live = Vec::new();
    for line in &events {
        let _ = ledger.apply(line);
        if matches!(line, Line::Event(..)) {
            let chips = ledger.snapshot().chips();
            let on = |chip: u32| chips.iter().find(|group| group.chips.contains(&chip)).unwrap();
            let bytes = |chip| on(chip).types.iter().map(|of| of.tally.bytes.live).sum::<u64>();
            live.push([bytes(0), bytes(1)]);
        }
    }
    // The views at 64 never count; that at 512 counts on chip 1 until an owner takes its place.
    let expected = [[100, 100], [100, 100], [100, 100], [100, 140], [0, 40], [0, 40], [0, 40], [60, 60]];
    assert_eq!(live, expected);
    assert_eq!(ledger.anomalies().total(), 0);
}

#[test]
fn circular_buffers_reach_up_to_the_highest_end() {
    let ledger = replay(include_str!("streams/circular.jsonl"));
    let footprints = ledger.snapshot().circular_footprints();
    assert_eq!([0, 1].map(|chip| footprints[&chip].peak_bytes()), [400, 700]);
    assert_eq!(footprints[&1].peak_at.n, 5);
    assert!(ledger.snapshot().circular_buffers().is_empty());
    assert_eq!(ledger.snapshot().last_program(Place::Mesh(0)), Some(5));
    assert_eq!(ledger.snapshot().core_ranges(1).map(<[_]>::len), Some(1));
}

#[test]
fn a_forked_child_numbers_its_sets_of_cores_anew() {
    let stream = include_str!("streams/circular.jsonl");
    let mut child = Ledger::new();
    lines(stream).iter().take(5).for_each(|line| drop(child.apply(line)));
    child.enter_child(Moment { n: 0, t_ns: 500 });
    let own = r#"{"kind":"cores","cores":1,"ranges":[[3,3,3,3]]}"#;
    let _ = child.apply(&Line::parse(own).unwrap());
    let snapshot = child.snapshot();
    let maps = snapshot.l1();
    assert_eq!(maps[0].cores[0].n_cores, 64);
    assert_eq!(snapshot.core_ranges(1).map(|ranges| ranges[0].x0), Some(3));
}

#[test]
fn a_forked_child_frees_what_it_inherited_and_its_figures_begin_with_it() {
    let parent = replay(include_str!("streams/two_meshes.jsonl"));
    let mut child = parent.clone();
    child.enter_child(Moment { n: 0, t_ns: 500 });
    let before = child.snapshot().chips();
    assert_eq!(figures(&before[0], BufferType::Dram), [500, 500, 64, 64, 2, 0]);
    let free = r#"{"kind":"dealloc","n":1,"t_ns":510,"tid":9,"mesh_id":0,"type":"DRAM","address":64}"#;
    let _ = child.apply(&Line::parse(free).unwrap());
    let Line::Event(_, mut alloc) = lines(include_str!("streams/two_meshes.jsonl"))[5].clone() else {
        panic!()
    };
    if let Event::Alloc(alloc) = &mut alloc {
        alloc.address = 640;
    }
    let _ = child.apply(&Line::Event(Stamp { n: 2, t_ns: 520, tid: 9, ctx: 0 }, alloc));
    child.finish(Conclusion::Death);
    assert_eq!(child.anomalies().total(), 0);
    let inherited: Vec<_> = child.survivors().iter().map(|ended| ended.buffer.is_inherited).collect();
    assert_eq!(
        (inherited, endings(&child)),
        (vec![false, true], vec![(2, Ending::Death), (3, Ending::Death)])
    );
    assert_eq!(parent.snapshot().n_live(), 2);
}
