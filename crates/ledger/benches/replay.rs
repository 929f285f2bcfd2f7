//! How many events a second the ledger replays, from memory: no file, no JSON. `cargo bench -p tt-memtrace-ledger`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints lines for people")]

use std::hint::black_box;
use std::time::Instant;
use tt_memtrace_ledger::{Conclusion, Ledger};
use tt_memtrace_wire::*;

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 9;
const GIB: u64 = 1 << 30;

fn main() {
    println!("ledger replay, {EVENTS} events from memory, median of {ROUNDS} rounds");
    for (name, stream) in [
        ("op loop", op_loop as fn() -> Vec<Line>),
        ("random frees", random_frees),
        ("plain records", plain_records),
    ] {
        let lines = stream();
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| replay(&lines)).collect();
        rates.sort_by(f64::total_cmp);
        println!("{name:<14} {:.1} M events/s", rates[ROUNDS / 2] / 1e6);
    }
}

fn replay(lines: &[Line]) -> f64 {
    let mut ledger = Ledger::new();
    let start = Instant::now();
    for line in lines {
        let _ = black_box(ledger.apply(line));
    }
    ledger.finish(Conclusion::Exit);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(ledger.anomalies().total(), 0, "the stream is wrong");
    lines.len() as f64 / seconds
}

/// What a cached op does: an output is allocated, a program runs, the output before it is freed. 500 weights live on.
fn op_loop() -> Vec<Line> {
    let mut lines = definitions();
    let mut n = 0;
    for weight in 0..500 {
        n += 1;
        lines.push(alloc(n, weight, weight * (4 << 20), 4 << 20));
    }
    let slot = |op: u64| 2 * GIB / 4 + (op % 2) * 65536;
    lines.push(alloc(n + 1, 1000, slot(0), 65536));
    for op in 1..(EVENTS - n) / 3 {
        let n = n + 3 * op;
        lines.push(alloc(n, 1000 + op, slot(op), 65536));
        lines.push(Line::Event(stamp(n + 1), Event::ProgramRun { program: op % 50, place: Place::Mesh(0) }));
        lines.push(dealloc(n + 2, 1000 + op - 1, slot(op - 1)));
    }
    lines
}

/// About 5,000 live buffers in one memory, freed in no order, so that their holes are used again.
fn random_frees() -> Vec<Line> {
    let mut lines = definitions();
    let (mut free, mut live): (Vec<u64>, Vec<(u64, u64)>) = ((0..10_000).rev().collect(), Vec::new());
    let mut random = 1_u64;
    for n in 1..=EVENTS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let grows = live.len() < 4_000 || (live.len() < 6_000 && random.is_multiple_of(2));
        if grows {
            let cell = free.swap_remove(usize::try_from(random >> 32).unwrap() % free.len());
            lines.push(alloc(n, n, cell * 65536, 4096 + (random >> 20) % 8 * 2048));
            live.push((n, cell));
        } else {
            let (id, cell) = live.swap_remove(usize::try_from(random >> 32).unwrap() % live.len());
            lines.push(dealloc(n, id, cell * 65536));
            free.push(cell);
        }
    }
    lines
}

/// Mesh buffers of eight chips as a source has them that does not say who owns the memory, nor what is freed: nine
/// allocations and nine deallocations each. 500 weights live on.
fn plain_records() -> Vec<Line> {
    let mut lines = Vec::new();
    let chips = || (0..8).chain([0]);
    let slot = |op: u64| 2 * GIB / 4 + (op % 2) * 65536;
    let buffer = |lines: &mut Vec<Line>, address: u64, bytes: u64| {
        for chip in chips() {
            lines.push(plain_alloc(lines.len() as u64, chip, address, bytes));
        }
    };
    (0..500).for_each(|weight| buffer(&mut lines, weight * (4 << 20), 4 << 20));
    buffer(&mut lines, slot(0), 65536);
    for op in 1..(EVENTS - 9 * 501) / 18 {
        buffer(&mut lines, slot(op), 65536);
        for chip in chips() {
            lines.push(plain_dealloc(lines.len() as u64, chip, slot(op - 1)));
        }
    }
    lines
}

fn plain_alloc(n: u64, chip: u32, address: u64, bytes: u64) -> Line {
    let Line::Event(stamp, Event::Alloc(of)) = alloc(n, 0, address, bytes) else { unreachable!() };
    let place = Place::Chip(chip);
    let of = Alloc { place, allocator: None, unique_id: None, owns_data: None, per_bank_bytes: 0, ..of };
    Line::Event(stamp, Event::Alloc(of))
}

fn plain_dealloc(n: u64, chip: u32, address: u64) -> Line {
    let (place, unique_id, size_bytes) = (Place::Chip(chip), None, None);
    let dealloc = Dealloc { place, buffer_type: None, address, size_bytes, unique_id, hooked: false };
    Line::Event(stamp(n), Event::Dealloc(dealloc))
}

fn definitions() -> Vec<Line> {
    let chips = vec![4, 0, 2, 6, 5, 1, 3, 7];
    let bank =
        Bank { buffer_type: BufferType::Dram, n_banks: 12, bank_size_bytes: 4 * GIB, base_address: Some(0) };
    vec![
        Line::Mesh(Mesh { mesh_id: 0, chips, rows: 2, cols: 4, arch: "wormhole_b0".into() }),
        Line::Allocator(Allocator {
            allocator: 1,
            mesh_id: 0,
            bank_rounding_bytes: Some(32),
            banks: vec![bank],
        }),
    ]
}

fn stamp(n: u64) -> Stamp {
    Stamp { n, t_ns: n * 100, tid: 1, ctx: 0 }
}

fn alloc(n: u64, id: u64, address: u64, bytes: u64) -> Line {
    let alloc = Alloc {
        place: Place::Mesh(0),
        allocator: Some(1),
        buffer_type: BufferType::Dram,
        layout: BufferLayout::Interleaved,
        address,
        size_bytes: bytes * 12,
        page_size_bytes: 2048,
        per_bank_bytes: bytes,
        n_cores: None,
        cores: None,
        unique_id: Some(id),
        owns_data: Some(true),
        hooked: false,
    };
    Line::Event(stamp(n), Event::Alloc(alloc))
}

fn dealloc(n: u64, id: u64, address: u64) -> Line {
    let dealloc = Dealloc {
        place: Place::Mesh(0),
        buffer_type: Some(BufferType::Dram),
        address,
        size_bytes: None,
        unique_id: Some(id),
        hooked: false,
    };
    Line::Event(stamp(n), Event::Dealloc(dealloc))
}
