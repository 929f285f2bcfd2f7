//! The spool: how records lie in the memory that the host's threads share with the worker, and that survives
//! them. The worker and whoever recovers the spool of a dead process (`recovery.rs`) read it with the same code.
//!
//! All offsets are in 64-bit words. A header page, a page with the numbers of allocators, a header of eight
//! words for each segment, then the segments: each a run of 64-byte slots that one thread fills from the start.
//!
//! A slot is there when its commit word says so, in a value that no earlier use of the slot can have left.
//!
//! The worker gives room back only after what was in it stands in a file. The journal in the header makes the
//! two one step for a reader: it holds what is durable and, while a write is under way ([`PHASE`]), what will be
//! durable once the file has the length that is announced.

mod merge;
mod origin;
mod recovery;

pub use merge::{Merge, Moved};
pub use origin::{ORIGIN_BYTES, Origin};
pub use recovery::{DeadSpool, ReadAt, Recovered, SpoolError};

use crate::line::Line;
use crate::live::Live;
use crate::record::{self, BYTES, Decoded, MOST_ALLOCATORS, Slot, WORDS};
use crate::{Event, Stamp};

/// The first word: this layout, this version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TTMTSP01");
/// Header word: number of segments, and slots of each in the upper half.
pub const SHAPE: usize = 1;
/// Header word: how many of the segments are small, see [`Layout`].
pub const SMALL: usize = 3;
/// Header word: pid, and 1 in the upper half if clocks are TSC readings, 0 if they are nanoseconds.
pub const OWNER: usize = 2;
/// Header words: two readings of (clock, `CLOCK_MONOTONIC` ns), the second one renewed now and then.
pub const ANCHORS: usize = 4;
/// Header word: [`IDLE`], [`WRITING`], [`SPILLING`] or [`RECOVERED`].
pub const PHASE: usize = 8;
/// The durable journal holds.
pub const IDLE: u64 = 0;
/// The pending journal holds as soon as the capture has its length.
pub const WRITING: u64 = 1;
/// The pending journal holds as soon as the spill file has its length.
pub const SPILLING: u64 = 2;
/// A reader has completed the capture, whose length is the first pending word; the files can be removed.
pub const RECOVERED: u64 = 3;
/// Header words: the durable journal, see [`Journal`].
pub const DURABLE: usize = 10;
/// Header words: the journal as it will be after the write.
pub const PENDING: usize = 18;
/// Header words: events refused, by kind.
pub const DROPPED: usize = 32;
/// Header words: the process and its capture, see [`Origin`].
pub const ORIGIN: usize = 64;
/// Where those end.
pub const ORIGIN_END: usize = ALLOCATORS;
/// The table of allocators' numbers.
pub const ALLOCATORS: usize = 512;
/// The headers of the segments.
pub const SEGMENTS: usize = ALLOCATORS + MOST_ALLOCATORS;
/// The words of a segment's header.
pub const SEGMENT_WORDS: usize = 8;

/// Words of a segment's header. Each has the segment's generation in its upper half, and counts for that
/// generation alone.
pub mod segment {
    /// 0 free, 1 owned by a thread, 2 given up by it.
    pub const STATE: usize = 0;
    /// How many slots a thread had filled when it gave the segment up.
    pub const LIMIT: usize = 1;
    /// How many slots are durable elsewhere.
    pub const READ: usize = 2;
    /// How many will be after the write that is under way.
    pub const PENDING_READ: usize = 3;
}

/// A segment nobody has.
pub const FREE: u64 = 0;
/// A segment that a thread is filling.
pub const OWNED: u64 = 1;
/// A segment that is full or whose thread is gone.
pub const RETIRED: u64 = 2;

/// What the files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Journal {
    /// Bytes of the capture.
    pub capture_bytes: u64,
    /// The number of its last event.
    pub n: u64,
    /// Dropped events it tells of.
    pub dropped: u64,
    /// Bytes of the spill file that were written.
    pub spilled_bytes: u64,
    /// Bytes of the spill file that went on into the capture.
    pub unspilled_bytes: u64,
}

impl Journal {
    /// The number of words it takes.
    pub const WORDS: usize = 5;

    /// In the order of its fields.
    pub fn to_words(self) -> [u64; Self::WORDS] {
        [self.capture_bytes, self.n, self.dropped, self.spilled_bytes, self.unspilled_bytes]
    }

    /// From the words at `at`.
    pub fn load(load: impl Fn(usize) -> u64, at: usize) -> Self {
        let [capture_bytes, n, dropped, spilled_bytes, unspilled_bytes] =
            [0, 1, 2, 3, 4].map(|i| load(at + i));
        Self { capture_bytes, n, dropped, spilled_bytes, unspilled_bytes }
    }
}

/// How many segments of how many slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The number of segments.
    pub n_segments: usize,
    /// The slots of each,
    pub n_slots: usize,
    /// but of the first ones, so many, which have [`SMALL_SLOTS`]: many threads that record little have room in them.
    pub n_small: usize,
}

/// The slots of a small segment.
pub const SMALL_SLOTS: usize = 16;
/// There is no use for more small segments: a thread has one at a time.
const MOST_SMALL: usize = 4096;
const MOST_SEGMENTS: usize = 1 << 16;

impl Layout {
    /// For about so many bytes of records.
    pub fn for_bytes(bytes: usize) -> Self {
        let n_slots = 256;
        let small_bytes = SMALL_SLOTS * BYTES;
        let n_small = (bytes / 4 / small_bytes).min(MOST_SMALL);
        let n_large =
            ((bytes - n_small * small_bytes) / (n_slots * BYTES)).clamp(4, MOST_SEGMENTS - MOST_SMALL);
        Self { n_segments: n_small + n_large, n_slots, n_small }
    }

    /// The word for [`SHAPE`].
    pub fn to_word(self) -> u64 {
        self.n_segments as u64 | (self.n_slots as u64) << 32
    }

    /// From the words at [`SHAPE`] and [`SMALL`]; `None` if nobody can have written them.
    pub fn from_words(shape: u64, small: u64) -> Option<Self> {
        let n_segments = usize::try_from(shape & 0xffff_ffff).ok()?;
        let n_slots = usize::try_from(shape >> 32).ok()?;
        let n_small = usize::try_from(small).ok()?;
        let is_sound = (1..=MOST_SEGMENTS).contains(&n_segments) && (1..=1 << 20).contains(&n_slots);
        (is_sound && n_small <= n_segments).then_some(Self { n_segments, n_slots, n_small })
    }

    /// The slots of a segment.
    pub fn slots_of(self, segment: usize) -> usize {
        if segment < self.n_small { SMALL_SLOTS } else { self.n_slots }
    }

    /// How many small segments there are, and how many others.
    pub fn n_all(self) -> (usize, usize) {
        (self.n_small, self.n_segments - self.n_small)
    }

    /// The first small segments and the first others, so many.
    pub fn used(self, (n_small, n_others): (usize, usize)) -> impl Iterator<Item = usize> {
        let others = self.n_small..self.n_segments.min(self.n_small + n_others);
        (0..self.n_small.min(n_small)).chain(others)
    }

    /// Where a word of a segment's header is.
    pub fn segment_word(self, segment: usize, word: usize) -> usize {
        SEGMENTS + segment * SEGMENT_WORDS + word
    }

    /// Where a slot begins.
    pub fn slot(self, segment: usize, slot: usize) -> usize {
        let data = (SEGMENTS + self.n_segments * SEGMENT_WORDS).next_multiple_of(512);
        let n_small = segment.min(self.n_small);
        data + (n_small * SMALL_SLOTS + (segment - n_small) * self.n_slots + slot) * WORDS
    }

    /// The words of the whole spool.
    pub fn total_words(self) -> usize {
        self.slot(self.n_segments, 0)
    }
}

/// The commit word of a slot, in the generation of its segment.
#[inline]
pub fn commit_word(generation: u64, slot: usize) -> u64 {
    generation << 32 | (slot as u64 + 1) << 1
}

/// What the commit word is while a thread fills the slot.
pub const BUSY: u64 = 1;

/// The value of a segment header's word in that generation; 0 if it is of another one.
pub fn in_generation(word: u64, generation: u64) -> usize {
    if word >> 32 == generation { usize::try_from(word & 0xffff_ffff).unwrap_or(0) } else { 0 }
}

/// Records in the order in which they were found.
#[derive(Default)]
pub struct Batch {
    slots: Vec<Slot>,
    entries: Vec<Entry>,
}

/// One record of a [`Batch`].
#[derive(Clone, Copy)]
pub struct Entry {
    /// When.
    pub clock: u64,
    at: u32,
    n: u32,
}

/// How far a segment was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// The segment's generation.
    pub generation: u64,
    /// The slots that were read, from the segment's start.
    pub read: usize,
    /// Whether the next slot was begun and never finished.
    pub is_unfinished: bool,
    /// Whether the thread has given the segment up, and everything in it was read.
    pub is_done: bool,
}

impl Batch {
    /// Forgets everything, but keeps the room.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.entries.clear();
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The newest clock.
    pub fn newest(&self) -> u64 {
        self.entries.iter().map(|entry| entry.clock).max().unwrap_or(0)
    }

    /// Puts the records into the order of their clocks.
    pub fn sort(&mut self) {
        self.entries.sort_by_key(|entry| entry.clock);
    }

    /// The records, each as its slots.
    pub fn records(&self) -> impl Iterator<Item = &[Slot]> {
        self.entries.iter().map(|entry| {
            let at = entry.at as usize;
            &self.slots[at..at + entry.n as usize]
        })
    }

    /// Adds the records of a segment from slot `from` on, up to the first that is not there or is newer than
    /// `newest`. `load` reads a word of the spool, and orders what is read behind it.
    pub fn scan(
        &mut self,
        layout: Layout,
        load: &impl Fn(usize) -> u64,
        segment: usize,
        from: Option<usize>,
        newest: u64,
    ) -> Option<Scanned> {
        walk(layout, load, segment, from, newest, |slot, n, _| {
            let word = |more: usize, word: usize| load(layout.slot(segment, slot + more) + word);
            self.push(slot_of(|at| word(0, at)), n, word);
        })
    }

    fn push(&mut self, first: Slot, n: usize, load: impl Fn(usize, usize) -> u64) {
        let at = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(first);
        for slot in 1..n {
            self.slots.push(slot_of(|word| load(slot, word)));
        }
        self.entries.push(Entry { clock: first[0], at, n: u32::try_from(n).unwrap_or(1) });
    }

    /// Adds records from a spill file, at most `most` of them. Returns the bytes they took.
    pub fn read_spilled(&mut self, bytes: &[u8], most: usize) -> usize {
        let slot = |bytes: &[u8]| {
            let mut slot = Slot::default();
            for (word, bytes) in slot.iter_mut().zip(bytes.as_chunks().0) {
                *word = u64::from_ne_bytes(*bytes);
            }
            slot
        };
        let mut at = 0;
        while self.len() < most && at + BYTES <= bytes.len() {
            let first = slot(&bytes[at..]);
            let n = record::n_slots(&first);
            if at + n * BYTES > bytes.len() {
                break;
            }
            self.push(first, n, |more, word| slot(&bytes[at + more * BYTES..])[word]);
            at += n * BYTES;
        }
        at
    }

    /// The raw bytes of the records, in order: what a spill file holds.
    pub fn to_spill(&self, out: &mut Vec<u8>) {
        for slot in self.records().flatten() {
            let bytes: [[u8; 8]; WORDS] = slot.map(u64::to_ne_bytes);
            out.extend_from_slice(bytes.as_flattened());
        }
    }
}

/// Goes over the records of a segment, as [`Batch::scan`] says, with the first slot, the number of slots and the
/// clock of each.
fn walk(
    layout: Layout,
    load: &impl Fn(usize) -> u64,
    segment: usize,
    from: Option<usize>,
    newest: u64,
    mut record: impl FnMut(usize, usize, u64),
) -> Option<Scanned> {
    let header = |word| load(layout.segment_word(segment, word));
    let state = header(segment::STATE);
    let generation = state >> 32;
    if state & 0xffff_ffff == FREE {
        return None;
    }
    let n_slots = layout.slots_of(segment);
    let limit = match state & 0xffff_ffff {
        RETIRED => in_generation(header(segment::LIMIT), generation).min(n_slots),
        _ => n_slots,
    };
    let mut read = from.unwrap_or_else(|| in_generation(header(segment::READ), generation));
    let mut is_unfinished = false;
    while read < limit {
        let at = layout.slot(segment, read);
        let commit = load(at + WORDS - 1);
        if commit != commit_word(generation, read) {
            is_unfinished = commit == commit_word(generation, read) | BUSY;
            break;
        }
        let (clock, n) = (load(at), record::n_slots_of(load(at + 1)));
        if clock > newest || read + n > n_slots {
            break;
        }
        record(read, n, clock);
        read += n;
    }
    let is_done = state & 0xffff_ffff == RETIRED && read >= limit;
    Some(Scanned { generation, read, is_unfinished, is_done })
}

/// From clock readings to nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The first pair of clock and nanoseconds.
    pub first: (u64, u64),
    /// A later pair.
    pub latest: (u64, u64),
}

impl Clock {
    /// From the words at [`ANCHORS`].
    pub fn load(load: impl Fn(usize) -> u64) -> Self {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| load(ANCHORS + i));
        Self { first: (a, b), latest: (c, d) }
    }

    /// `CLOCK_MONOTONIC` at that reading, on the line through both pairs.
    pub fn nanoseconds(&self, clock: u64) -> u64 {
        let (ticks, ns) =
            (self.latest.0.wrapping_sub(self.first.0), self.latest.1.wrapping_sub(self.first.1));
        let since = i128::from(clock) - i128::from(self.first.0);
        if ticks == 0 {
            return self.first.1;
        }
        let ns = since.saturating_mul(i128::from(ns)) / i128::from(ticks);
        u64::try_from(i128::from(self.first.1).saturating_add(ns)).unwrap_or(0)
    }
}

/// Turns records into lines of a capture.
pub struct Writer<A> {
    /// The number of the last event.
    pub n: u64,
    /// The clock.
    pub clock: Clock,
    /// The number of an allocator at a position of the table.
    pub allocator: A,
}

impl<A: Fn(u64) -> Option<u64>> Writer<A> {
    /// Appends the line of a record. False if it is no record of this version.
    pub fn write(&mut self, record: &[Slot], out: &mut Vec<u8>) -> bool {
        self.write_and_tell(record, out, None)
    }

    /// The same; if somebody keeps account of what is held, it is told as well.
    pub fn write_and_tell(&mut self, record: &[Slot], out: &mut Vec<u8>, live: Option<&mut Live>) -> bool {
        match record::decode(record, &self.allocator) {
            Some(Decoded::Event(event, ctx)) => {
                let tid = record.first().map_or(0, record::tid);
                let clock = record.first().map_or(0, |first| first[0]);
                let stamp = self.next(self.clock.nanoseconds(clock), tid, ctx);
                if let Some(live) = live {
                    live.apply(stamp, &event);
                }
                Line::Event(stamp, event).write_to(out);
                true
            }
            Some(Decoded::Definition(line)) => {
                if let Some(live) = live {
                    live.define(self.n, &line);
                }
                out.extend_from_slice(&line);
                true
            }
            None => false,
        }
    }

    /// Appends the line of an event that is in no record.
    pub fn event(&mut self, t_ns: u64, tid: u32, ctx: u32, event: Event, out: &mut Vec<u8>) {
        Line::Event(self.next(t_ns, tid, ctx), event).write_to(out);
    }

    fn next(&mut self, t_ns: u64, tid: u32, ctx: u32) -> Stamp {
        self.n = self.n.saturating_add(1);
        Stamp { n: self.n, t_ns, tid, ctx }
    }
}

/// A slot from its words. (`array::from_fn` becomes a call for each word where code is made small.)
#[inline(always)]
fn slot_of(load: impl Fn(usize) -> u64) -> Slot {
    let mut slot = Slot::default();
    for (at, word) in slot.iter_mut().enumerate() {
        *word = load(at);
    }
    slot
}

/// Events that were refused, of every kind.
pub fn n_dropped(load: impl Fn(usize) -> u64) -> u64 {
    (0..=record::Kind::ALL.len()).fold(0, |sum, kind| sum.saturating_add(load(DROPPED + kind)))
}
