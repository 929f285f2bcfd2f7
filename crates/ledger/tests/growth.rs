//! Growth over repeated marks, as a program makes it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Stream, T3K, dram, l1};
use tt_memtrace_ledger::{Alike, Class, Growth, Ledger, Moment, Trend};
use tt_memtrace_wire::*;

const MESH: Place = Place::Mesh(0);

/// A stream whose marks are followed.
struct Run {
    stream: Stream,
    growth: Growth,
    next: Address,
}

impl Run {
    /// On a mesh whose DRAM banks hold a mebibyte.
    fn new() -> Self {
        let mut stream = Stream::new(Ledger::new());
        stream.define_mesh(0, &T3K, 1);
        let dram = Bank {
            buffer_type: BufferType::Dram,
            n_banks: 12,
            bank_size_bytes: 1 << 20,
            base_address: Some(0),
        };
        let allocator =
            Allocator { allocator: 1, mesh_id: 0, bank_rounding_bytes: Some(32), banks: vec![dram] };
        let _ = stream.ledger.apply(&Line::Allocator(allocator));
        stream.begin("ttnn.add");
        Self { stream, growth: Growth::default(), next: 0 }
    }

    fn mark(&mut self, name: &str) {
        self.stream.mark(name);
        let at = Moment { n: self.stream.n, t_ns: self.stream.n * 1000 };
        self.growth.note(name, at, &self.stream.ledger.snapshot());
    }

    fn make(&mut self, size_bytes: u64) -> Alloc {
        let new = dram(MESH, self.next, size_bytes);
        self.next += 8192;
        self.stream.alloc(new.clone());
        new
    }

    fn only(&self) -> Trend {
        let [trend] = <[Trend; 1]>::try_from(self.growth.trends()).unwrap();
        trend
    }
}

#[test]
fn one_buffer_too_many_in_each_iteration_is_found_with_its_size_and_how_long_it_goes_well() {
    let mut run = Run::new();
    run.make(480_000); // Weights: 40,000 bytes of each bank.
    for iteration in 1..=12 {
        let output = run.make(24_000);
        run.make(12_000); // 1,000 bytes of each bank take 1,024.
        let _ = run.stream.free(&output);
        run.mark(&format!("iter {iteration}"));
    }
    let trend = run.only();
    assert_eq!((trend.name.as_str(), trend.n_marks), ("iter", 12));
    let [dram] = &trend.types[..] else { panic!("{trend:?}") };
    assert_eq!((dram.buffer_type, dram.chips.len()), (BufferType::Dram, 8));
    assert!(dram.line.grows && dram.in_bank.grows);
    assert_eq!([dram.line.per_mark, dram.in_bank.per_mark], [12_000.0, 1024.0]);
    let free = (1 << 20) - 40_000 - 12 * 1024;
    assert_eq!(dram.free_in_bank, Some(free));
    assert_eq!(dram.marks_left(), Some(972.0)); // 996,288 / 1,024
    let [group] = &trend.groups[..] else { panic!("{trend:?}") };
    let of = Alike { buffer_type: BufferType::Dram, size_bytes: 12_000, class: Class::User };
    assert_eq!((group.of, group.n_live), (of, 12));
    assert_eq!([group.line.per_mark, group.bytes_per_mark()], [1.0, 12_000.0]);
    // Two of twelve are warm-up.
    assert_eq!((trend.from.n, trend.upto.n), (2 + 3 * 4, 2 + 12 * 4));
}

#[test]
fn a_program_that_warms_up_and_frees_what_it_makes_is_steady() {
    let mut run = Run::new();
    for step in 0..30 {
        if step < 5 {
            run.make(100_000); // Programs and caches of the first iterations.
        }
        let output = run.make(24_000 + step % 3 * 12_000);
        run.mark("step");
        let _ = run.stream.free(&output);
    }
    let trend = run.only();
    assert!(trend.types.iter().all(|of| !of.line.grows && of.marks_left().is_none()), "{trend:?}");
    assert!(trend.groups.is_empty());
    assert_eq!(trend.types[0].line.per_mark, 0.0);
}

#[test]
fn each_memory_type_is_told_where_it_grows_most() {
    let mut run = Run::new();
    for step in 0..10 {
        run.make(12_000);
        run.stream.alloc(l1(Place::Chip(2), 64 + step * 4096, 640));
        run.stream.alloc(l1(Place::Chip(5), 64 + step * 4096, 1280));
        run.mark(&format!("step-{step:03}"));
    }
    let told: Vec<_> =
        run.only().types.into_iter().map(|of| (of.buffer_type, of.chips, of.line.per_mark)).collect();
    let dram_on = told[0].1.clone();
    assert_eq!(told, [(BufferType::Dram, dram_on, 12_000.0), (BufferType::L1, vec![5], 1280.0)]);
    assert!(run.only().types[1].marks_left().is_none(), "nobody knows how much L1 there is");
}

#[test]
fn series_are_told_apart_and_single_marks_are_none() {
    let mut run = Run::new();
    run.mark("loaded");
    for step in 0..6 {
        run.mark(&format!("begin {step}"));
        run.make(1200);
        run.mark(&format!("end {step}"));
    }
    run.mark("twice");
    run.mark("twice");
    let told: Vec<_> =
        run.growth.trends().into_iter().map(|trend| (trend.name, trend.n_marks, trend.types.len())).collect();
    assert_eq!(told, [("begin".into(), 6, 1), ("end".into(), 6, 1), ("twice".into(), 2, 0)]);
}

#[test]
fn many_marks_take_no_more_memory_or_time_and_tell_the_same() {
    let mut run = Run::new();
    for step in 0..20_000 {
        if step % 10 == 0 {
            run.make(1200);
        }
        run.mark(&format!("step {step}"));
    }
    let trend = run.only();
    assert_eq!(trend.n_marks, 20_000);
    assert!(trend.types[0].line.grows);
    assert!((trend.types[0].line.per_mark - 120.0).abs() < 1.0, "{trend:?}");
    assert!(trend.from.n < trend.upto.n / 3, "those that are kept are spread over all: {trend:?}");
    assert_eq!(trend.groups[0].of.size_bytes, 1200);
    // What it holds for them, as a bound on what it prints.
    assert!(format!("{:?}", run.growth).len() < 200_000);
}

#[test]
fn names_and_sizes_without_end_are_left_out_and_counted() {
    let mut run = Run::new();
    for name in 0..100 {
        run.mark(&format!("{name} is a name"));
    }
    assert_eq!(run.growth.n_left_out(), 36);
    // A loop that begins after them is followed all the same.
    (0..6).for_each(|step| run.mark(&format!("step {step}")));
    assert_eq!(run.only().name, "step");
    let mut run = Run::new();
    for size in 0..1100 {
        run.make(12 * size);
    }
    (0..6).for_each(|_| run.mark("m"));
    assert!(!run.only().has_all_groups);
}

#[test]
fn a_mesh_that_is_opened_later_parts_the_chips_and_not_their_history() {
    let mut run = Run::new();
    for step in 0..20 {
        if step == 10 {
            run.stream.define_mesh(1, &[0, 1], 2);
            run.stream.alloc(dram(Place::Mesh(1), 64, 1200));
        }
        run.make(12_000);
        run.mark("step");
    }
    let trend = run.only();
    assert_eq!(trend.types.len(), 1);
    assert!(trend.types[0].line.grows);
    assert!((trend.types[0].line.per_mark / 12_000.0 - 1.0).abs() < 0.02, "{trend:?}");
}
