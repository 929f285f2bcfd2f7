//! All segments as one stream, in the order of the clock: what the worker takes out of the spool, piece by piece.
//!
//! Nothing is copied before it is taken, so a full spool costs the worker no memory of its own.

use super::{Batch, Layout, slot_of, walk};
use crate::record;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// Records that were found in the spool, and how far they have been taken out.
pub struct Merge {
    layout: Layout,
    cursors: Vec<Cursor>,
    /// Of each segment with something left: the clock of its next record, and the segment. The oldest comes first.
    next: BinaryHeap<Reverse<(u64, u32)>>,
    /// Segments whose cursors have something to tell, see [`Merge::moved`].
    moved: Vec<u32>,
    n_slots: usize,
}

/// How far a segment was read.
#[derive(Clone, Copy, Default)]
struct Cursor {
    generation: u32,
    /// Slots that were taken, from the segment's start.
    taken: u32,
    /// Slots that were found.
    found: u32,
    /// Whether the thread has given the segment up, and everything in it was found.
    is_whole: bool,
    /// Whether a thread has or had it.
    is_used: bool,
    has_moved: bool,
}

/// How far a segment was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The segment.
    pub segment: usize,
    /// Its generation.
    pub generation: u64,
    /// Its slots that were taken, from the start.
    pub read: usize,
    /// Whether the thread has given it up, and everything in it was taken.
    pub is_done: bool,
}

impl Merge {
    /// For a spool of this shape.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            cursors: vec![Cursor::default(); layout.n_segments],
            next: BinaryHeap::new(),
            moved: Vec::new(),
            n_slots: 0,
        }
    }

    /// Finds what is in the spool and in no file, and forgets what it had found before. `load` reads a word of the
    /// spool, and orders what is read behind it.
    ///
    /// All segments are read twice. The second time finds causes of what the first one found: they were committed
    /// before their effects, but perhaps in a segment that had been passed already. `n_used` says how many small
    /// segments, and how many others, any thread has ever had, from the first of each on: most of the small ones never
    /// have an owner. It is asked each time, as a thread may have got its first one in between.
    pub fn find(&mut self, load: &impl Fn(usize) -> u64, n_used: &impl Fn() -> (usize, usize)) {
        self.next.clear();
        self.moved.clear();
        self.n_slots = 0;
        self.cursors.fill(Cursor::default());
        let mut newest = 0;
        for segment in self.layout.used(n_used()) {
            newest = self.look(load, segment, None, u64::MAX).max(newest);
        }
        for segment in self.layout.used(n_used()) {
            let Cursor { is_used, found, .. } = self.cursors[segment];
            if self.n_slots > 0 {
                self.look(load, segment, is_used.then_some(found as usize), newest);
            }
            self.enter(load, segment);
        }
    }

    /// Whether everything that was found has been taken.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// The slots that were found and are still to be taken.
    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Adds the oldest records to `batch`, at most so many slots of them (but one record at least).
    pub fn take(&mut self, load: &impl Fn(usize) -> u64, most_slots: usize, batch: &mut Batch) {
        let mut n_taken = 0;
        while let Some(mut oldest) = self.next.peek_mut() {
            let Reverse((_, segment)) = *oldest;
            let cursor = &mut self.cursors[segment as usize];
            let slot = |slot: u32| self.layout.slot(segment as usize, slot as usize);
            let first = slot_of(|word| load(slot(cursor.taken) + word));
            let n = record::n_slots(&first).min((cursor.found - cursor.taken) as usize);
            if n_taken > 0 && n_taken + n > most_slots {
                return;
            }
            batch.push(first, n, |more, word| load(slot(cursor.taken) + more * record::WORDS + word));
            n_taken += n;
            self.n_slots -= n;
            cursor.taken += u32::try_from(n).unwrap_or(1);
            if !std::mem::replace(&mut cursor.has_moved, true) {
                self.moved.push(segment);
            }
            if cursor.taken < cursor.found {
                oldest.0.0 = load(slot(cursor.taken));
            } else {
                PeekMut::pop(oldest);
            }
        }
    }

    /// The segments of which something was taken since this was forgotten last, and those that were found done.
    pub fn moved(&self) -> impl Iterator<Item = Moved> {
        self.moved.iter().map(|segment| {
            let Cursor { generation, taken, found, is_whole, .. } = self.cursors[*segment as usize];
            Moved {
                segment: *segment as usize,
                generation: u64::from(generation),
                read: taken as usize,
                is_done: is_whole && taken == found,
            }
        })
    }

    /// To be called when what was taken is in a file.
    pub fn forget_moved(&mut self) {
        for segment in self.moved.drain(..) {
            self.cursors[segment as usize].has_moved = false;
        }
    }

    /// Looks at a segment, from slot `from` on or from what is in no file. Returns the newest clock, or 0.
    fn look(
        &mut self,
        load: &impl Fn(usize) -> u64,
        segment: usize,
        from: Option<usize>,
        newest: u64,
    ) -> u64 {
        let (mut first, mut last) = (None, 0);
        let scanned = walk(self.layout, load, segment, from, newest, |slot, n, clock| {
            first.get_or_insert(slot);
            last = clock;
            self.n_slots += n;
        });
        if let Some(scanned) = scanned {
            let short = |slots: usize| u32::try_from(slots).unwrap_or(u32::MAX);
            let cursor = &mut self.cursors[segment];
            if from.is_none() {
                cursor.taken = short(first.unwrap_or(scanned.read));
            }
            cursor.generation = u32::try_from(scanned.generation).unwrap_or(0);
            cursor.found = short(scanned.read);
            cursor.is_whole = scanned.is_done;
            cursor.is_used = true;
        }
        last
    }

    /// Makes what was found in a segment a part of the stream.
    fn enter(&mut self, load: &impl Fn(usize) -> u64, segment: usize) {
        let cursor = &mut self.cursors[segment];
        let number = u32::try_from(segment).unwrap_or(0);
        if cursor.taken < cursor.found {
            let clock = load(self.layout.slot(segment, cursor.taken as usize));
            self.next.push(Reverse((clock, number)));
        } else if cursor.is_whole {
            // Its thread has ended with nothing left to read.
            cursor.has_moved = true;
            self.moved.push(number);
        }
    }
}
