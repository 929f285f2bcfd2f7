//! One buffer on a mesh of eight chips, as the generations of patched runtimes report it, and as the stock runtime
//! does. Each stream stands beside what the ledger has to make of it, event by event.
//!
//! | stream | the backing buffer | the devices' views | reported frees |
//! |---|---|---|---|
//! | `stock` | on the mesh | - | its own |
//! | `c` | on the mesh | each | the views' first, then its own |
//! | `c_doubled` | on the mesh | each | its own first: the eight that follow were "unknown" once |
//! | `c_on_chip_0` | on chip 0, as if a mesh were one chip | each | the views' first, then its own |
//! | `d` | on the mesh | each | its own and no other |
//! | `f` | - | each | each |
//!
//! The streams `_plain` are the same as an earlier tracker's socket has them: by chip and address, without a word on
//! who owns the memory, and without size, type or number where something is freed. In `f_plain`, one chip has a view
//! of half the buffer as well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use std::fmt::Write as _;
use support::Stream;
use tt_memtrace_ledger::{Conclusion, Effect, Ending, Ledger, Snapshot};
use tt_memtrace_wire::{BufferType, Event, Line, Place};

const MIB_4: u64 = 4_194_304;

macro_rules! stream {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("streams/generation_", $name, ".jsonl")),
            include_str!(concat!("streams/generation_", $name, ".txt")),
        )
    };
}

const PLAIN: [(&str, &str, &str); 4] =
    [stream!("c_plain"), stream!("c_doubled_plain"), stream!("d_plain"), stream!("f_plain")];

const STREAMS: [(&str, &str, &str); 6] = [
    stream!("stock"),
    stream!("c"),
    stream!("c_doubled"),
    stream!("c_on_chip_0"),
    stream!("d"),
    stream!("f"),
];

fn lines(name: &str) -> Vec<Line> {
    let (_, stream, _) = STREAMS.iter().chain(&PLAIN).find(|stream| stream.0 == name).unwrap();
    stream.lines().map(|line| Line::parse(line).unwrap()).collect()
}

/// The same events from a runtime that numbers no buffers.
fn without_numbers(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        match line {
            Line::Event(_, Event::Alloc(alloc)) => alloc.unique_id = None,
            Line::Event(_, Event::Dealloc(dealloc)) => dealloc.unique_id = None,
            _ => {}
        }
    }
    lines
}

/// What each event meant, and what is live on each chip after it.
fn told(lines: &[Line]) -> String {
    let (mut ledger, mut text) = (Ledger::new(), String::new());
    for line in lines {
        let effect = ledger.apply(line);
        let Line::Event(stamp, event) = line else { continue };
        let what = format!("{} {}", event.kind(), subject(event));
        writeln!(text, "{:>2} {what:<20} {:<9} {}", stamp.n, name(&effect), live(&ledger.snapshot()))
            .unwrap();
    }
    ledger.finish(Conclusion::Exit);
    let peaks: Vec<u64> =
        (0..8).map(|chip| support::on(&ledger.snapshot(), chip, BufferType::Dram).bytes.peak).collect();
    let (n_odd, survivors) = (ledger.anomalies().total(), ledger.survivors());
    let n_left = survivors.iter().filter(|left| !left.buffer.is_freed_by_owner).count();
    let by_owner = match survivors.len() - n_left {
        0 => String::new(),
        n => format!(", freed by their owner only {n}"),
    };
    writeln!(text, "anomalies {n_odd}, survivors {n_left}{by_owner}, peaks {peaks:?}").unwrap();
    text
}

fn subject(event: &Event) -> String {
    let (place, owns_data) = match event {
        Event::Alloc(alloc) => (alloc.place, alloc.owns_data),
        Event::Dealloc(dealloc) => (dealloc.place, Some(true)),
        _ => panic!("{event:?}"),
    };
    let place = match place {
        Place::Mesh(mesh_id) => format!("mesh {mesh_id}"),
        Place::Chip(chip) => format!("chip {chip}"),
    };
    if owns_data == Some(false) { format!("{place}, view") } else { place }
}

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Opened => "opened",
        Effect::Merged => "merged",
        Effect::Lowered(_) => "lowered",
        Effect::Closed(_) => "closed",
        Effect::Expected => "expected",
        Effect::Odd(what) => what.kind(),
        other => panic!("{other:?}"),
    }
}

/// Chips that are alike as one range: logical bytes and buffers.
fn live(snapshot: &Snapshot<'_>) -> String {
    let figures = (0..8).map(|chip| {
        let tally = support::on(snapshot, chip, BufferType::Dram);
        (chip, (tally.bytes.live, tally.buffers.live))
    });
    let figures: Vec<(u32, (u64, u64))> = figures.collect();
    let alike = figures.chunk_by(|a, b| a.1 == b.1).map(|range| {
        let (first, last, (bytes, buffers)) = (range[0].0, range[range.len() - 1].0, range[0].1);
        format!("{first}-{last}: {bytes} in {buffers}")
    });
    alike.collect::<Vec<_>>().join(", ")
}

#[test]
fn each_generation_is_told_as_is_written() {
    for (name, _, expected) in STREAMS.into_iter().chain(PLAIN) {
        assert_eq!(told(&lines(name)), expected, "generation {name}");
    }
}

#[test]
fn without_numbers_each_generation_ends_with_the_same_figures() {
    for (name, _, expected) in STREAMS {
        let told = told(&without_numbers(lines(name)));
        assert_eq!(told.lines().last(), expected.lines().last(), "generation {name}\n{told}");
    }
}

#[test]
fn without_an_order_among_the_frees_each_generation_is_balanced() {
    for (name, _, expected) in STREAMS {
        for lines in [lines(name), without_numbers(lines(name))] {
            ends_the_same_in_any_order(name, &lines, expected);
        }
    }
    for (name, _, expected) in PLAIN {
        ends_the_same_in_any_order(name, &lines(name), expected);
    }
}

fn ends_the_same_in_any_order(name: &str, lines: &[Line], expected: &str) {
    let is_free = |line: &&Line| matches!(line, Line::Event(_, Event::Dealloc(_)));
    let (mut frees, opened): (Vec<Line>, Vec<Line>) = (
        lines.iter().filter(is_free).cloned().collect(),
        lines.iter().filter(|l| !is_free(l)).cloned().collect(),
    );
    for _ in 0..frees.len() {
        frees.rotate_left(1);
        let told = told(&[opened.clone(), frees.clone()].concat());
        assert_eq!(told.lines().last(), expected.lines().last(), "generation {name}\n{told}");
    }
}

#[test]
fn a_killed_process_leaves_the_mesh_buffer_once_on_each_chip() {
    // Where the backing buffer is known, its views are no survivors of their own.
    let plain = PLAIN.map(|(name, ..)| (name, 8));
    for (name, n_survivors) in
        [("stock", 1), ("c", 1), ("c_on_chip_0", 8), ("d", 1), ("f", 8)].into_iter().chain(plain)
    {
        let mut ledger = Ledger::new();
        let opened = lines(name);
        opened.iter().filter(|line| !matches!(line, Line::Event(_, Event::Dealloc(_)))).for_each(|line| {
            let _ = ledger.apply(line);
        });
        for chip in 0..8 {
            let tally = support::on(&ledger.snapshot(), chip, BufferType::Dram);
            assert_eq!((tally.buffers.live, tally.bytes.live), (1, MIB_4), "generation {name}, chip {chip}");
        }
        let (all, _) = ledger.snapshot().global();
        assert_eq!(all.live, 8 * MIB_4, "generation {name}");
        ledger.finish(Conclusion::Death);
        assert!(ledger.survivors().iter().all(|left| !left.buffer.is_freed_by_owner), "generation {name}");
        let endings: Vec<Ending> = ledger.survivors().iter().map(|left| left.ending).collect();
        assert_eq!(endings, vec![Ending::Death; n_survivors], "generation {name}");
    }
}

#[test]
fn the_address_of_a_buffer_is_used_again_at_once() {
    for (name, ..) in STREAMS.into_iter().chain(PLAIN).filter(|(name, ..)| *name != "d_plain") {
        for lines in [lines(name), without_numbers(lines(name))] {
            let stream = repeated(&lines);
            assert_eq!(stream.ledger.anomalies().total(), 0, "generation {name}");
            assert_eq!(stream.ledger.snapshot().n_live(), 0, "generation {name}");
            assert_eq!(stream.on(7, BufferType::Dram).bytes.peak, MIB_4, "generation {name}");
        }
    }
}

#[test]
fn what_only_the_owner_freed_is_no_anomaly_and_no_leak_however_often_it_happens() {
    let mut stream = repeated(&lines("d_plain"));
    assert_eq!(stream.ledger.anomalies().total(), 0);
    assert_eq!(stream.on(7, BufferType::Dram).bytes.peak, MIB_4);
    stream.ledger.finish(Conclusion::Exit);
    let survivors = stream.ledger.survivors();
    assert_eq!(survivors.len(), 8);
    assert!(survivors.iter().all(|left| left.buffer.is_freed_by_owner));
}

#[test]
fn what_its_chips_free_one_by_one_was_not_freed_by_an_owner() {
    // The last generation, where one chip's buffer is never freed. The chip with a view frees that first.
    let mut ledger = Ledger::new();
    let of_chip_6 =
        |line: &Line| matches!(line, Line::Event(_, Event::Dealloc(gone)) if gone.place == Place::Chip(6));
    lines("f_plain").iter().filter(|line| !of_chip_6(line)).for_each(|line| drop(ledger.apply(line)));
    ledger.finish(Conclusion::Exit);
    let left = ledger.survivors().iter().map(|left| (left.buffer.place(), left.buffer.is_freed_by_owner));
    assert_eq!(left.collect::<Vec<_>>(), [(Place::Chip(6), false)]);
}

#[test]
fn an_owner_is_only_who_was_announced_more_often_than_the_others_and_freed_alone() {
    let of = |chip, size| support::plain(chip, BufferType::L1, 4096, size);
    let is_freed_by_owner = |announced: [&[u64]; 2], freed: &[u32]| {
        let mut stream = Stream::new(Ledger::new());
        for (chip, sizes) in (0..).zip(announced) {
            sizes.iter().for_each(|size| stream.alloc(of(chip, *size)));
        }
        freed.iter().for_each(|chip| drop(stream.free(&of(*chip, 0))));
        let snapshot = stream.ledger.snapshot();
        snapshot.live().iter().map(|buffer| buffer.is_freed_by_owner).collect::<Vec<_>>()
    };
    assert_eq!(is_freed_by_owner([&[64, 64], &[64]], &[0]), [true, true]);
    for (announced, freed) in [
        ([&[64, 64][..], &[64, 64][..]], &[0][..]), // Views of both, one of which is freed.
        ([&[64, 64, 64], &[64, 64]], &[1, 0]),      // The other one frees, too.
        ([&[64, 64], &[32]], &[0]),                 // Another buffer.
        ([&[64, 64], &[]], &[0]),                   // A view on one chip.
    ] {
        let told = is_freed_by_owner(announced, freed);
        assert!(told.iter().all(|is| !is), "{announced:?} {freed:?}: {told:?}");
    }
}

/// Fifty times in one process.
fn repeated(lines: &[Line]) -> Stream {
    let mut stream = Stream::new(Ledger::new());
    for round in 0..50 {
        for line in lines {
            match line {
                Line::Event(_, event) => drop(stream.event(renumbered(event, round))),
                definition => drop(stream.ledger.apply(definition)),
            }
        }
    }
    stream
}

fn renumbered(event: &Event, round: u64) -> Event {
    let mut event = event.clone();
    match &mut event {
        Event::Alloc(alloc) => alloc.unique_id = alloc.unique_id.map(|id| id + round * 100),
        Event::Dealloc(dealloc) => dealloc.unique_id = dealloc.unique_id.map(|id| id + round * 100),
        _ => {}
    }
    event
}
