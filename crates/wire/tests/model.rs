//! The spool's algorithm in the small, over all interleavings that the memory model allows (up to two
//! preemptions): two threads record, and the worker takes rounds meanwhile.
//!
//! The threads' side restates `push` of the library, which works on mapped memory: busy word, clock, payload,
//! commit word. The clock is a counter that orders nothing but itself, as `rdtscp` does. The worker's side is the real
//! `Merge`; versions of it with a fault are restated here, with the real `Batch::scan`.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use tt_memtrace_wire::record::{Slot, encode};
use tt_memtrace_wire::spool::{BUSY, Batch, Layout, Merge, Moved, OWNED, commit_word, segment};
use tt_memtrace_wire::{Event, Place};

const LAYOUT: Layout = Layout { n_segments: 2, n_slots: 2, n_small: 0 };
const GENERATION: u64 = 1;
/// The words of a slot that change while somebody may look: clock, two of the payload, commit.
const CHANGING: [usize; 4] = [0, 2, 6, 7];

/// What is wrong with this version of the algorithm. The model has to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The worker reads the segments once.
    OneScan,
    /// What the second scan finds is taken although it is newer than all that the first one found.
    NoBound,
    /// The commit word does not wait for the payload.
    WeakCommit,
}

struct Spool {
    words: HashMap<usize, AtomicU64>,
    clock: AtomicU64,
    /// What the first thread tells the second one after its call has returned.
    has_returned: AtomicU64,
}

impl Spool {
    fn new() -> Self {
        let slots = (0..2).flat_map(|segment| (0..2).map(move |slot| LAYOUT.slot(segment, slot)));
        let words = slots.flat_map(|slot| CHANGING.map(|word| (slot + word, AtomicU64::new(0)))).collect();
        Self { words, clock: AtomicU64::new(1), has_returned: AtomicU64::new(0) }
    }

    /// As the library's.
    fn push(&self, segment: usize, slot: usize, id: u64, fault: Fault) {
        let at = LAYOUT.slot(segment, slot);
        let word = |word: usize| &self.words[&(at + word)];
        let commit = commit_word(GENERATION, slot);
        word(7).store(commit | BUSY, Ordering::Relaxed);
        let clock = self.clock.fetch_add(1, Ordering::Relaxed);
        word(0).store(clock, Ordering::Relaxed);
        word(2).store(id, Ordering::Relaxed);
        word(6).store(id, Ordering::Relaxed);
        let ordering = if fault == Fault::WeakCommit { Ordering::Relaxed } else { Ordering::Release };
        word(7).store(commit, ordering);
    }

    fn load(&self, at: usize) -> u64 {
        if let Some(word) = self.words.get(&at) {
            return word.load(Ordering::Acquire);
        }
        let is_state = (0..2).any(|segment| at == LAYOUT.segment_word(segment, segment::STATE));
        let is_what = (0..4).any(|slot| at == LAYOUT.slot(slot / 2, slot % 2) + 1);
        if is_state { GENERATION << 32 | OWNED } else { what() * u64::from(is_what) }
    }
}

/// Word 1 of every record here.
fn what() -> u64 {
    encode(&Event::ProgramRun { program: 0, place: Place::Chip(0) }, 0, |_| None).slot[1]
}

/// The worker, with what it has read of each segment.
#[derive(Default)]
struct Worker {
    read: [usize; 2],
    emitted: Vec<u64>,
}

impl Worker {
    /// One round, and what it emits.
    fn round(&mut self, spool: &Spool, fault: Fault) {
        let mut batch = Batch::default();
        if matches!(fault, Fault::OneScan | Fault::NoBound) {
            self.collect(&mut batch, spool, fault);
        } else {
            self.merge(&mut batch, spool);
        }
        self.emitted.extend(batch.records().map(id));
    }

    /// As the library does it: in pieces, here of one record.
    fn merge(&mut self, batch: &mut Batch, spool: &Spool) {
        let read = self.read;
        let load = |at: usize| {
            let is_read = |segment: &usize| at == LAYOUT.segment_word(*segment, segment::READ);
            let segment = (0..2).find(is_read);
            segment.map_or_else(|| spool.load(at), |segment| GENERATION << 32 | read[segment] as u64)
        };
        let mut merge = Merge::new(LAYOUT);
        merge.find(&load, &|| LAYOUT.n_all());
        while !merge.is_empty() {
            merge.take(&load, 1, batch);
            for Moved { segment, read, .. } in merge.moved() {
                self.read[segment] = read;
            }
            merge.forget_moved();
        }
    }

    /// The same with a fault.
    fn collect(&mut self, batch: &mut Batch, spool: &Spool, fault: Fault) {
        let load = |at: usize| spool.load(at);
        let scan = |batch: &mut Batch, read: &mut [usize; 2], newest: u64| {
            for (segment, read) in read.iter_mut().enumerate() {
                let scanned = batch.scan(LAYOUT, &load, segment, Some(*read), newest);
                *read = scanned.map_or(0, |scanned| scanned.read);
            }
        };
        scan(batch, &mut self.read, u64::MAX);
        if !batch.is_empty() && fault != Fault::OneScan {
            scan(batch, &mut self.read, u64::MAX);
        }
        batch.sort();
    }
}

/// The number in both ends of the payload.
fn id(record: &[Slot]) -> u64 {
    let first = record[0];
    assert!(first[0] > 0 && first[2] == first[6] && first[2] > 0, "a half-written record: {first:?}");
    first[2]
}

/// A cause and its effect, each in another segment: the effect's is scanned first, or last.
fn check(cause: usize, fault: Fault) {
    const CAUSE: u64 = 1;
    const PRELUDE: u64 = 2;
    const BYSTANDER: u64 = 3;
    const EFFECT: u64 = 4;
    let effect = 1 - cause;
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let spool = Arc::new(Spool::new());
        let first = {
            let spool = Arc::clone(&spool);
            loom::thread::spawn(move || {
                spool.push(cause, 0, PRELUDE, fault);
                spool.push(cause, 1, CAUSE, fault);
                spool.has_returned.store(1, Ordering::Release);
            })
        };
        let second = {
            let spool = Arc::clone(&spool);
            loom::thread::spawn(move || {
                if spool.has_returned.load(Ordering::Acquire) == 1 {
                    spool.push(effect, 0, EFFECT, fault);
                } else {
                    spool.push(effect, 0, BYSTANDER, fault);
                }
            })
        };
        let mut worker = Worker::default();
        worker.round(&spool, fault);
        first.join().unwrap();
        second.join().unwrap();
        worker.round(&spool, fault);
        worker.round(&spool, fault);
        let emitted = worker.emitted;
        assert_eq!(emitted.len(), 3, "{emitted:?}");
        let at = |id| emitted.iter().position(|emitted| *emitted == id);
        assert!(at(PRELUDE) < at(CAUSE), "{emitted:?}");
        assert!(at(EFFECT).is_none_or(|effect| at(CAUSE) < Some(effect)), "{emitted:?}");
    });
}

#[test]
fn a_cause_comes_before_its_effect_and_every_record_is_whole() {
    check(0, Fault::None);
    check(1, Fault::None);
}

/// Whether the model finds a fault, which it must.
fn finds(fault: Fault) -> bool {
    [0, 1].into_iter().any(|cause| std::panic::catch_unwind(|| check(cause, fault)).is_err())
}

#[test]
fn the_model_finds_that_one_scan_is_not_enough() {
    assert!(finds(Fault::OneScan));
}

#[test]
fn the_model_finds_that_the_second_scan_must_not_take_what_is_newer() {
    assert!(finds(Fault::NoBound));
}

#[test]
fn the_model_finds_a_commit_word_that_does_not_wait() {
    assert!(finds(Fault::WeakCommit));
}
