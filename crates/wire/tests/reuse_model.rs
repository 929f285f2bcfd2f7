//! What becomes of a segment, over all interleavings that the memory model allows (up to two preemptions): threads take
//! it, fill a slot and give it up, and the worker reads it and makes it free for the next one.
//!
//! The threads' side restates `take_from`, `push` and `retire` of the library, which work on mapped memory, and the
//! worker's side its `free`. What the worker finds there is found by the real `Merge`.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::atomic::AtomicBool;
use tt_memtrace_wire::record::{Slot, encode};
use tt_memtrace_wire::spool::{
    BUSY, Batch, FREE, Layout, Merge, Moved, OWNED, RETIRED, commit_word, segment,
};
use tt_memtrace_wire::{Event, Place};

const LAYOUT: Layout = Layout { n_segments: 1, n_slots: 2, n_small: 0 };
/// The words of a slot that change while somebody may look: clock, two of the payload, commit.
const CHANGING: [usize; 4] = [0, 2, 6, 7];

/// What is wrong with this version of the algorithm. The model has to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A segment is said to be given up before it is said how much of it was used.
    LateLimit,
    /// Who takes a segment goes on in its generation.
    SameGeneration,
    /// The worker frees a segment that it has looked at and not yet taken out.
    EarlyFree,
}

/// One segment, of which one slot is used at a time.
struct Spool {
    state: AtomicU64,
    limit: AtomicU64,
    slot: [AtomicU64; CHANGING.len()],
    clock: AtomicU64,
    /// Nothing depends on it. Without it loom sees no reason to try what comes of another order of takes and rounds.
    turns: AtomicU64,
}

impl Spool {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            state: zero(),
            limit: zero(),
            slot: CHANGING.map(|_| zero()),
            clock: AtomicU64::new(1),
            turns: zero(),
        }
    }

    /// Takes the segment if it is free, leaves a record there and gives it up. False if it is not.
    fn record(&self, id: u64, fault: Fault) -> bool {
        let Some(generation) = self.take(fault) else { return false };
        let [clock, front, back, last] = &self.slot;
        let commit = commit_word(generation, 0);
        last.store(commit | BUSY, Ordering::Relaxed);
        clock.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        front.store(id, Ordering::Relaxed);
        back.store(id, Ordering::Relaxed);
        last.store(commit, Ordering::Release);
        let limit = || self.limit.store(generation << 32 | 1, Ordering::Release);
        if fault != Fault::LateLimit {
            limit();
        }
        self.state.store(generation << 32 | RETIRED, Ordering::Release);
        if fault == Fault::LateLimit {
            limit();
        }
        true
    }

    fn take(&self, fault: Fault) -> Option<u64> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let state = self.state.load(Ordering::Acquire);
        let generation = if fault == Fault::SameGeneration { 1 } else { (state >> 32) + 1 };
        let owned = generation << 32 | OWNED;
        let is_free = state & 0xffff_ffff == FREE;
        let is_ours =
            || self.state.compare_exchange(state, owned, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        (is_free && is_ours()).then_some(generation)
    }

    /// By the worker.
    fn free(&self, generation: u64) {
        self.state.store(generation << 32 | FREE, Ordering::Release);
    }

    fn load(&self, at: usize) -> u64 {
        if at == LAYOUT.segment_word(0, segment::STATE) {
            return self.state.load(Ordering::Acquire);
        }
        if at == LAYOUT.segment_word(0, segment::LIMIT) {
            return self.limit.load(Ordering::Acquire);
        }
        let word = at.checked_sub(LAYOUT.slot(0, 0));
        let changing = CHANGING.iter().position(|changing| Some(*changing) == word);
        changing.map_or(if word == Some(1) { what() } else { 0 }, |i| self.slot[i].load(Ordering::Acquire))
    }
}

/// Word 1 of every record here.
fn what() -> u64 {
    encode(&Event::ProgramRun { program: 0, place: Place::Chip(0) }, 0, |_| None).slot[1]
}

/// The worker, with what it says of the segment that it has read.
#[derive(Default)]
struct Worker {
    read: u64,
    emitted: Vec<u64>,
}

impl Worker {
    fn round(&mut self, spool: &Spool, fault: Fault) {
        spool.turns.fetch_add(1, Ordering::Relaxed);
        let read = self.read;
        let load =
            |at: usize| if at == LAYOUT.segment_word(0, segment::READ) { read } else { spool.load(at) };
        let mut merge = Merge::new(LAYOUT);
        merge.find(&load, &|| LAYOUT.n_all());
        if fault == Fault::EarlyFree && !merge.is_empty() {
            spool.free(spool.load(LAYOUT.segment_word(0, segment::STATE)) >> 32);
        }
        let mut batch = Batch::default();
        while !merge.is_empty() {
            merge.take(&load, 1, &mut batch);
        }
        self.emitted.extend(batch.records().map(id));
        for Moved { generation, read, is_done, .. } in merge.moved() {
            self.read = generation << 32 | read as u64;
            if is_done && fault != Fault::EarlyFree {
                spool.free(generation);
            }
        }
    }
}

/// The number in both ends of the payload.
fn id(record: &[Slot]) -> u64 {
    let first = record[0];
    assert!(first[0] > 0 && first[2] == first[6] && first[2] > 0, "a half-written record: {first:?}");
    first[2]
}

/// Two threads, of which one comes twice. Whether any of the interleavings had a segment used again.
fn check(fault: Fault) -> bool {
    let is_reused = std::sync::Arc::new(AtomicBool::new(false));
    let is_reused_now = std::sync::Arc::clone(&is_reused);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let spool = Arc::new(Spool::new());
        let threads = [&[1, 2][..], &[3]].map(|ids| {
            let spool = Arc::clone(&spool);
            let recorded = move || ids.iter().copied().filter(|id| spool.record(*id, fault)).collect();
            loom::thread::spawn(recorded)
        });
        let mut worker = Worker::default();
        for _ in 0..2 {
            worker.round(&spool, fault);
        }
        let mut recorded: Vec<u64> =
            threads.into_iter().flat_map(|thread| -> Vec<u64> { thread.join().unwrap() }).collect();
        for _ in 0..2 {
            worker.round(&spool, fault);
        }
        recorded.sort_unstable();
        let mut emitted = worker.emitted.clone();
        emitted.sort_unstable();
        assert_eq!(emitted, recorded);
        let at = |id| worker.emitted.iter().position(|emitted| *emitted == id);
        assert!(at(2).is_none() || at(1) < at(2), "{:?}", worker.emitted);
        is_reused_now.fetch_or(recorded.len() > 1, Ordering::Relaxed);
    });
    is_reused.load(Ordering::Relaxed)
}

#[test]
fn a_segment_that_is_used_again_loses_and_doubles_nothing() {
    assert!(check(Fault::None), "no thread got the segment after another");
}

/// Whether the model finds a fault, which it must.
fn finds(fault: Fault) -> bool {
    std::panic::catch_unwind(|| check(fault)).is_err()
}

#[test]
fn the_model_finds_that_the_limit_has_to_be_there_first() {
    assert!(finds(Fault::LateLimit));
}

#[test]
fn the_model_finds_that_each_use_needs_a_generation_of_its_own() {
    assert!(finds(Fault::SameGeneration));
}

#[test]
fn the_model_finds_that_what_is_free_must_have_been_taken_out() {
    assert!(finds(Fault::EarlyFree));
}
