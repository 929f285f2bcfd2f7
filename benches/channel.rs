//! What a bounded crossbeam channel would cost for each event, next to the floor of `record.c`, for `scripts/bench`.
//! A receiver polls it, as the library's worker would.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints a line for people")]
// Cargo would put its own `main` before ours.
#![no_main]

use crossbeam_channel::{TryRecvError, bounded};
use std::arch::x86_64::_rdtsc;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 41;
const CALLS: usize = 40_000;

fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { _rdtsc() }
}

#[inline(never)]
fn floor(ring: &mut [[u64; 8]], i: usize) {
    let at = i % ring.len();
    let slot = &mut ring[at];
    *slot = black_box([ticks(), 1, 2, 3, 4, i as u64, 6, slot[7]]);
    // SAFETY: a word of the exclusive slot.
    unsafe { AtomicU64::from_ptr(&raw mut slot[7]) }.store(i as u64 + 1, Ordering::Release);
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let (sender, receiver) = bounded::<[u64; 8]>(1 << 16);
    let consumer = std::thread::spawn(move || {
        let mut n = 0_u64;
        loop {
            match receiver.try_recv() {
                Ok(record) => n += u64::from(black_box(record)[7] > 0),
                Err(TryRecvError::Empty) => std::thread::sleep(Duration::from_millis(1)),
                Err(TryRecvError::Disconnected) => return n,
            }
        }
    });
    let mut ring = vec![[0; 8]; 1 << 16];
    let (mut costs, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for i in 0..CALLS {
            floor(&mut ring, i);
        }
        let between = Instant::now();
        for i in 0..CALLS {
            black_box(&sender).send(black_box([ticks(), 1, 2, 3, 4, i as u64, 6, i as u64 + 1])).unwrap();
        }
        let end = Instant::now();
        while !sender.is_empty() {
            std::thread::yield_now();
        }
        let per_call = |time: Duration| time.as_secs_f64() * 1e9 / CALLS as f64;
        costs.push(per_call(end - between));
        ratios.push(per_call(end - between) / per_call(between - start));
    }
    drop(sender);
    assert_eq!(consumer.join().unwrap(), (ROUNDS * CALLS) as u64);
    let quartiles = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        [values.len() / 4, values.len() / 2, values.len() * 3 / 4].map(|at| values[at])
    };
    let ([_, cost, _], [low, ratio, high]) = (quartiles(&mut costs), quartiles(&mut ratios));
    println!("{:<38}   1 {cost:9.1} {ratio:8.2} ({low:.2} to {high:.2})", "a bounded crossbeam channel");
    0
}
