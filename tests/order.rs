//! One order for all threads: a deallocation never changes places with the next use of its address.
//!
//! `EVENTS=10000000 cargo test --release --test order` is the long version.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use support::Bench;
use tt_memtrace_ledger::{Conclusion, Ledger};
use tt_memtrace_wire::{Event, Line};

const N_THREADS: u64 = 8;

#[test]
fn eight_threads_that_reuse_a_few_addresses_pair_without_an_error() {
    let n_events = std::env::var("EVENTS").map_or(1_000_000, |n| n.parse::<u64>().unwrap());
    let n_pairs = n_events / N_THREADS / 2;
    // Room for all of them: the threads are faster than the worker.
    let spool = if n_events > 3_000_000 { "1G" } else { "256M" };
    let bench = Bench::new();
    let path = bench.path("x.jsonl");
    let run = bench.program("reuse.c").args([N_THREADS.to_string(), n_pairs.to_string()]);
    let run = run.env("TT_MEMTRACE_OUTPUT", &path).env("TT_MEMTRACE_SPOOL_SIZE", spool);
    run.run().quiet();

    let mut ledger = Ledger::new();
    let mut live = HashMap::new();
    let (mut n, mut n_allocated, mut n_reused_elsewhere, mut footer) = (0, 0, 0, None);
    let mut last_tid_of = HashMap::new();
    for line in BufReader::new(std::fs::File::open(&path).unwrap()).lines() {
        let line = Line::parse(&line.unwrap()).unwrap();
        let _ = ledger.apply(&line);
        match line {
            Line::Event(stamp, event) => {
                n += 1;
                assert_eq!(stamp.n, n);
                match event {
                    Event::Alloc(alloc) => {
                        n_allocated += 1;
                        let before = live.insert(alloc.address, alloc.size_bytes);
                        assert_eq!(before, None, "{alloc:?} takes what is not free");
                        let last = last_tid_of.insert(alloc.address, stamp.tid);
                        n_reused_elsewhere += u64::from(last.is_some_and(|last| last != stamp.tid));
                    }
                    Event::Dealloc(dealloc) => {
                        assert_eq!(live.remove(&dealloc.address), dealloc.size_bytes, "{dealloc:?}");
                    }
                    Event::Close { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            Line::Footer(end) => footer = Some(end),
            _ => {}
        }
    }
    ledger.finish(Conclusion::Exit);
    let footer = footer.unwrap();
    assert_eq!((footer.recorded, footer.dropped), (n_pairs * N_THREADS * 2 + 1, 0));
    assert!(live.is_empty() && n_allocated == n_pairs * N_THREADS);
    // Else the test would prove nothing.
    assert!(n_reused_elsewhere > n_allocated / 1000, "only {n_reused_elsewhere} changed the thread");
    println!("{n} events, {n_reused_elsewhere} addresses taken over from another thread");
    let counts: Vec<_> = ledger.anomalies().counts().collect();
    assert!(counts.iter().all(|(_, n)| *n == 0), "{counts:?}");
    assert!(ledger.survivors().is_empty());
    std::fs::remove_file(path).unwrap();
}
