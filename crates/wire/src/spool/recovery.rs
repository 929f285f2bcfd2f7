//! What is left in the spool of a process that died, and which of it the capture already has.

use super::segment;
use super::{
    ALLOCATORS, Batch, Clock, DURABLE, IDLE, Journal, Layout, MAGIC, OWNER, PENDING, PHASE, SHAPE, SPILLING,
    WRITING, Writer, in_generation, n_dropped,
};
use crate::record::MOST_ALLOCATORS;
use crate::{Event, Line, Lost};

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
