//! The spool: how records lie in the memory that the host's threads share with the worker, and that survives
//! them. The worker and whoever recovers the spool of a dead process read it with the same code.
//!
//! All offsets are in 64-bit words. A header page, a page with the numbers of allocators, a header of eight
//! words for each segment, then the segments: each a run of 64-byte slots that one thread fills from the start.
//!
//! A slot is there when its commit word says so, in a value that no earlier use of the slot can have left.
//!
//! The worker gives room back only after what was in it stands in a file. The journal in the header makes the
//! two one step for a reader: it holds what is durable and, while a write is under way ([`PHASE`]), what will be
//! durable once the file has the length that is announced.

use crate::line::Line;
use crate::record::{self, BYTES, Decoded, MOST_ALLOCATORS, Slot, WORDS};
use crate::{Event, Lost, Stamp};

/// The first word: this layout, this version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TTMTSP01");
/// Header word: number of segments, and slots of each in the upper half.
pub const SHAPE: usize = 1;
/// Header word: pid, and 1 in the upper half if clocks are TSC readings, 0 if they are nanoseconds.
pub const OWNER: usize = 2;
/// Header words: two readings of (clock, `CLOCK_MONOTONIC` ns), the second one renewed now and then.
pub const ANCHORS: usize = 4;
/// Header word: [`IDLE`], [`WRITING`] or [`SPILLING`].
pub const PHASE: usize = 8;
/// The durable journal holds.
pub const IDLE: u64 = 0;
/// The pending journal holds as soon as the capture has its length.
pub const WRITING: u64 = 1;
/// The pending journal holds as soon as the spill file has its length.
pub const SPILLING: u64 = 2;
/// Header words: the durable journal, see [`Journal`].
pub const DURABLE: usize = 10;
/// Header words: the journal as it will be after the write.
pub const PENDING: usize = 18;
/// Header words: events refused, by kind.
pub const DROPPED: usize = 32;
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
    /// The slots of each.
    pub n_slots: usize,
}

impl Layout {
    /// For about so many bytes of records.
    pub fn for_bytes(bytes: usize) -> Self {
        let n_slots = 256;
        Self { n_segments: (bytes / (n_slots * BYTES)).clamp(4, 1 << 16), n_slots }
    }

    /// The word for [`SHAPE`].
    pub fn to_word(self) -> u64 {
        self.n_segments as u64 | (self.n_slots as u64) << 32
    }

    /// From the word at [`SHAPE`]; `None` if nobody can have written it.
    pub fn from_word(word: u64) -> Option<Self> {
        let n_segments = usize::try_from(word & 0xffff_ffff).ok()?;
        let n_slots = usize::try_from(word >> 32).ok()?;
        let is_sound = (1..=1 << 16).contains(&n_segments) && (1..=1 << 20).contains(&n_slots);
        is_sound.then_some(Self { n_segments, n_slots })
    }

    /// Where a word of a segment's header is.
    pub fn segment_word(self, segment: usize, word: usize) -> usize {
        SEGMENTS + segment * SEGMENT_WORDS + word
    }

    /// Where a slot begins.
    pub fn slot(self, segment: usize, slot: usize) -> usize {
        let data = (SEGMENTS + self.n_segments * SEGMENT_WORDS).next_multiple_of(512);
        data + (segment * self.n_slots + slot) * WORDS
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
        let header = |word| load(layout.segment_word(segment, word));
        let state = header(segment::STATE);
        let generation = state >> 32;
        if state & 0xffff_ffff == FREE {
            return None;
        }
        let limit = match state & 0xffff_ffff {
            RETIRED => in_generation(header(segment::LIMIT), generation).min(layout.n_slots),
            _ => layout.n_slots,
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
            let first: Slot = std::array::from_fn(|word| load(at + word));
            let n = record::n_slots(&first);
            if first[0] > newest || read + n > layout.n_slots {
                break;
            }
            self.push(first, n, |slot, word| load(layout.slot(segment, read + slot) + word));
            read += n;
        }
        let is_done = state & 0xffff_ffff == RETIRED && read >= limit;
        Some(Scanned { generation, read, is_unfinished, is_done })
    }

    fn push(&mut self, first: Slot, n: usize, load: impl Fn(usize, usize) -> u64) {
        let at = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(first);
        for slot in 1..n {
            self.slots.push(std::array::from_fn(|word| load(slot, word)));
        }
        self.entries.push(Entry { clock: first[0], at, n: u32::try_from(n).unwrap_or(1) });
    }

    /// Adds records from a spill file, at most `most` of them. Returns the bytes they took.
    pub fn read_spilled(&mut self, bytes: &[u8], most: usize) -> usize {
        let slot = |bytes: &[u8]| -> Slot {
            std::array::from_fn(|word| {
                let word: [u8; 8] = std::array::from_fn(|byte| bytes[word * 8 + byte]);
                u64::from_ne_bytes(word)
            })
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
        for word in self.records().flatten().flatten() {
            out.extend_from_slice(&word.to_ne_bytes());
        }
    }
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
        match record::decode(record, &self.allocator) {
            Some(Decoded::Event(event, ctx)) => {
                let tid = record.first().map_or(0, record::tid);
                let clock = record.first().map_or(0, |first| first[0]);
                self.event(self.clock.nanoseconds(clock), tid, ctx, event, out);
                true
            }
            Some(Decoded::Definition(line)) => {
                out.extend_from_slice(&line);
                true
            }
            None => false,
        }
    }

    /// Appends the line of an event that is in no record.
    pub fn event(&mut self, t_ns: u64, tid: u32, ctx: u32, event: Event, out: &mut Vec<u8>) {
        self.n = self.n.saturating_add(1);
        Line::Event(Stamp { n: self.n, t_ns, tid, ctx }, event).write_to(out);
    }
}

/// Whether this is one whole line that defines something.
fn is_definition(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
    let line = text.filter(|text| !text.contains('\n')).map(Line::parse);
    matches!(line, Some(Ok(Line::Mesh(_) | Line::Allocator(_) | Line::Cores(_))))
}

/// Whether the write that was under way had come to its end.
fn is_pending_written(load: impl Fn(usize) -> u64, spill_bytes: u64, capture_bytes: u64) -> bool {
    let pending = Journal::load(&load, PENDING);
    match load(PHASE) {
        WRITING => capture_bytes >= pending.capture_bytes,
        SPILLING => spill_bytes >= pending.spilled_bytes,
        _ => false,
    }
}

/// Decides once and for all whether the write that was under way counts: the words to change in the spool, each
/// with its value, in this order. Whoever appends to the capture does this first, because what is appended may
/// differ from what the write would have been, and its length would then tell nothing.
pub fn settle(spool: &[u8], spill_bytes: u64, capture_bytes: u64) -> Result<Vec<(usize, u64)>, SpoolError> {
    let word = |at: usize| spool.get(at * 8..at * 8 + 8).map(|bytes| std::array::from_fn(|i| bytes[i]));
    let load = |at: usize| word(at).map_or(0, u64::from_ne_bytes);
    let layout = Layout::from_word(load(SHAPE)).filter(|_| load(0) == MAGIC).ok_or(SpoolError::Foreign)?;
    if spool.len() / 8 < layout.total_words() {
        return Err(SpoolError::Truncated);
    }
    let durable = Journal::load(load, DURABLE);
    if durable.spilled_bytes > durable.unspilled_bytes && durable.spilled_bytes > spill_bytes {
        return Err(SpoolError::NoSpill);
    }
    let mut changes = Vec::new();
    if is_pending_written(load, spill_bytes, capture_bytes) {
        changes.extend((0..Journal::WORDS).map(|i| (DURABLE + i, load(PENDING + i))));
        for segment in 0..layout.n_segments {
            let pending = load(layout.segment_word(segment, segment::PENDING_READ));
            changes.push((layout.segment_word(segment, segment::READ), pending));
        }
    }
    changes.push((PHASE, IDLE));
    Ok(changes)
}

/// What a dead process left, beyond its capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The capture's bytes that count; what is beyond was being written and is in `lines` again.
    pub capture_bytes: u64,
    /// The lines that are missing in the capture.
    pub lines: Vec<u8>,
    /// The events among them.
    pub n_events: u64,
    /// The number of the capture's last event, with `lines`.
    pub n: u64,
    /// Records that were begun and never finished: at most one per thread.
    pub n_unfinished: u64,
    /// Slots that hold no record of this version.
    pub n_unreadable: u64,
    /// Events that were refused for want of room, in all.
    pub n_dropped: u64,
}

/// Events that were refused, of every kind.
pub fn n_dropped(load: impl Fn(usize) -> u64) -> u64 {
    (0..=record::Kind::ALL.len()).fold(0, |sum, kind| sum.saturating_add(load(DROPPED + kind)))
}

/// Whether this is the spool of that process.
pub fn is_of_process(spool: &[u8], pid: u32) -> bool {
    let word = |at: usize| spool.get(at * 8..at * 8 + 8).map(|bytes| std::array::from_fn(|i| bytes[i]));
    let is_spool = word(0).map(u64::from_ne_bytes) == Some(MAGIC);
    is_spool && word(OWNER).map(u64::from_ne_bytes).map(|owner| owner & 0xffff_ffff) == Some(u64::from(pid))
}

/// Why a spool cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolError {
    /// It is no spool, or one of another version.
    Foreign,
    /// It is shorter than it says.
    Truncated,
    /// It says that events went into a spill file, which is not there or shorter than that.
    NoSpill,
}

impl std::fmt::Display for SpoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Foreign => "not a spool of this version",
            Self::Truncated => "a spool that is cut short",
            Self::NoSpill => "its spill file is missing beside the capture, or cut short",
        })
    }
}

impl std::error::Error for SpoolError {}

/// Reads what is left in the spool of a dead process. `capture_bytes` is the capture's length, `spill` the
/// contents of the spill file, if there is one.
pub fn recover(spool: &[u8], spill: &[u8], capture_bytes: u64) -> Result<Recovered, SpoolError> {
    let words: Vec<u64> =
        spool.chunks_exact(8).map(|bytes| u64::from_ne_bytes(std::array::from_fn(|i| bytes[i]))).collect();
    let load = |at: usize| words.get(at).copied().unwrap_or(0);
    if load(0) != MAGIC {
        return Err(SpoolError::Foreign);
    }
    let layout = Layout::from_word(load(SHAPE)).ok_or(SpoolError::Foreign)?;
    if words.len() < layout.total_words() {
        return Err(SpoolError::Truncated);
    }
    let is_written = is_pending_written(load, spill.len() as u64, capture_bytes);
    let journal = Journal::load(load, if is_written { PENDING } else { DURABLE });

    let mut batch = Batch::default();
    let from = usize::try_from(journal.unspilled_bytes).unwrap_or(usize::MAX).min(spill.len());
    let to = usize::try_from(journal.spilled_bytes).unwrap_or(usize::MAX).min(spill.len()).max(from);
    batch.read_spilled(&spill[from..to], usize::MAX);
    let mut rings = Batch::default();
    let mut n_unfinished = 0;
    for segment in 0..layout.n_segments {
        let generation = load(layout.segment_word(segment, segment::STATE)) >> 32;
        let pending = in_generation(load(layout.segment_word(segment, segment::PENDING_READ)), generation);
        let scanned = rings.scan(layout, &load, segment, is_written.then_some(pending), u64::MAX);
        n_unfinished += u64::from(scanned.is_some_and(|scanned| scanned.is_unfinished));
    }
    rings.sort();

    let mut lines = Vec::new();
    let mut n_unreadable = 0;
    let allocator = |position: u64| {
        let position = usize::try_from(position).ok().filter(|position| *position < MOST_ALLOCATORS)?;
        Some(load(ALLOCATORS + position)).filter(|number| *number != 0)
    };
    let mut writer = Writer { n: journal.n, clock: Clock::load(load), allocator };
    for record in batch.records().chain(rings.records()) {
        let start = lines.len();
        let n = writer.n;
        let is_readable = writer.write(record, &mut lines);
        // A record without an event is a definition; a damaged one would spoil the line behind it.
        if !is_readable || (writer.n == n && !is_definition(&lines[start..])) {
            lines.truncate(start);
            n_unreadable += 1;
        }
    }
    let n_dropped = n_dropped(load);
    if n_dropped > journal.dropped {
        let lost = Event::Lost(Lost { dropped: n_dropped - journal.dropped });
        let t_ns = writer.clock.latest.1;
        writer.event(t_ns, 0, 0, lost, &mut lines);
    }
    let n = writer.n;
    Ok(Recovered {
        capture_bytes: journal.capture_bytes,
        lines,
        n_events: n.saturating_sub(journal.n),
        n,
        n_unfinished,
        n_unreadable,
        n_dropped,
    })
}
