//! A spool in memory, filled as the library fills it; and what recovery makes of one.
#![allow(dead_code, reason = "each test file uses a part of this")]

use tt_memtrace_wire::Event;
use tt_memtrace_wire::record::{BYTES, Encoded, Slot, Tail, encode, n_slots};
use tt_memtrace_wire::spool::{
    ANCHORS, BUSY, DURABLE, DeadSpool, FREE, Journal, Layout, MAGIC, ORIGIN, OWNED, Origin, PENDING, PHASE,
    RETIRED, SHAPE, SMALL, SpoolError, commit_word, segment,
};

/// What recovery would leave of a capture: its bytes that count, the lines behind them, and their sums.
#[derive(Debug, PartialEq, Eq)]
pub struct Recovered {
    pub capture_bytes: u64,
    pub lines: Vec<u8>,
    pub n_events: u64,
    pub n: u64,
    pub n_unfinished: u64,
    pub n_unreadable: u64,
    pub n_dropped: u64,
}

/// Does what the command does with a dead process's files.
pub fn recover(spool: &[u8], spill: &[u8], capture_bytes: u64) -> Result<Recovered, SpoolError> {
    let (spool, spill) = (spool.to_vec(), spill.to_vec());
    let mut dead = DeadSpool::open(&spool, spool.len() as u64)?;
    dead.settle(spill.len() as u64, capture_bytes)?;
    let mut lines = Vec::new();
    let sums = dead.write_missing(&spill, &mut lines)?;
    Ok(Recovered {
        capture_bytes: dead.journal().capture_bytes,
        lines,
        n_events: sums.n_events,
        n: sums.n,
        n_unfinished: sums.n_unfinished,
        n_unreadable: sums.n_unreadable,
        n_dropped: sums.n_dropped,
    })
}

/// An event that carries a number.
pub fn token(token: u64) -> Event {
    Event::Fork { token }
}

/// A record as the spill file holds it.
pub fn raw(event: &Event, clock: u64) -> Vec<u8> {
    let Encoded { mut slot, tail } = encode(event, 0, |_| None);
    slot[0] = clock;
    let mut bytes: Vec<u8> = slot.into_iter().flat_map(u64::to_ne_bytes).collect();
    match tail {
        Tail::None => {}
        Tail::Slot(more, text) => {
            bytes.extend(more.into_iter().flat_map(u64::to_ne_bytes));
            bytes.extend(text);
        }
        Tail::Bytes(name, more) => bytes.extend([name, more].concat()),
    }
    bytes.resize(n_slots(&slot) * BYTES, 0);
    bytes
}

/// The words, and where each segment's thread goes on.
pub struct Image {
    pub words: Vec<u64>,
    layout: Layout,
    next: Vec<(u64, usize)>,
}

impl Image {
    pub fn new(n_segments: usize) -> Self {
        Self::with_small(n_segments, 0)
    }

    /// The first ones are small.
    pub fn with_small(n_segments: usize, n_small: usize) -> Self {
        let layout = Layout { n_segments, n_slots: 256, n_small };
        let mut words = vec![0; layout.total_words()];
        words[0] = MAGIC;
        words[SHAPE] = layout.to_word();
        words[SMALL] = n_small as u64;
        words[ANCHORS + 2] = 1 << 30;
        words[ANCHORS + 3] = 1 << 30;
        Self { words, layout, next: vec![(0, 0); n_segments] }
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The slots that are left in a segment.
    pub fn room(&self, segment: usize) -> usize {
        self.layout.slots_of(segment) - self.next[segment].1
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// A thread takes the segment.
    pub fn owned(&mut self, segment: usize, generation: u64) -> usize {
        self.next[segment] = (generation, 0);
        self.set(segment, segment::STATE, OWNED);
        segment
    }

    pub fn retire(&mut self, segment: usize) {
        let (_, used) = self.next[segment];
        self.set(segment, segment::LIMIT, used as u64);
        self.set(segment, segment::STATE, RETIRED);
    }

    pub fn free(&mut self, segment: usize) {
        self.set(segment, segment::STATE, FREE);
    }

    pub fn set_read(&mut self, segment: usize, n: u64) {
        self.set(segment, segment::READ, n);
    }

    pub fn set_pending_read(&mut self, segment: usize, n: u64) {
        self.set(segment, segment::PENDING_READ, n);
    }

    /// Whose it is.
    pub fn set_origin(&mut self, origin: &Origin) {
        let bytes = Origin::encode(origin.process_start, origin.pid_namespace, &origin.capture);
        for (word, bytes) in self.words[ORIGIN..].iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
    }

    pub fn set_durable(&mut self, journal: Journal) {
        self.words[DURABLE..][..Journal::WORDS].copy_from_slice(&journal.to_words());
    }

    pub fn set_pending(&mut self, journal: Journal) {
        self.words[PENDING..][..Journal::WORDS].copy_from_slice(&journal.to_words());
    }

    pub fn set_phase(&mut self, phase: u64) {
        self.words[PHASE] = phase;
    }

    pub fn push(&mut self, segment: usize, clock: u64, event: Event) {
        self.push_encoded(segment, clock, &encode(&event, 0, |_| None));
    }

    pub fn push_encoded(&mut self, segment: usize, clock: u64, encoded: &Encoded<'_>) {
        let n = n_slots(&encoded.slot);
        let (_, slot) = self.next[segment];
        let second = self.layout.slot(segment, slot + 1);
        let bytes = match encoded.tail {
            Tail::None => Vec::new(),
            Tail::Slot(more, text) => [more.map(u64::to_ne_bytes).as_flattened(), text].concat(),
            Tail::Bytes(name, more) => [name, more].concat(),
        };
        for (i, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.words[second + i] = u64::from_ne_bytes(word);
        }
        let mut first = encoded.slot;
        first[0] = clock;
        self.set_slot(segment, slot, first);
        self.next[segment].1 += n;
    }

    /// The thread was killed before the commit word.
    pub fn push_unfinished(&mut self, segment: usize, clock: u64, event: Event) {
        let (_, slot) = self.next[segment];
        self.push(segment, clock, event);
        self.words[self.layout.slot(segment, slot) + 7] |= BUSY;
    }

    /// A slot, with its commit word.
    pub fn set_slot(&mut self, segment: usize, slot: usize, mut words: Slot) {
        words[7] = commit_word(self.next[segment].0, slot);
        let at = self.layout.slot(segment, slot);
        self.words[at..][..8].copy_from_slice(&words);
    }

    fn set(&mut self, segment: usize, word: usize, value: u64) {
        let (generation, _) = self.next[segment];
        self.words[self.layout.segment_word(segment, word)] = generation << 32 | value;
    }
}
