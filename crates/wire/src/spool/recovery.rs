//! What is left in the spool of a process that died, and which of it the capture already has.
//!
//! A spool is read from its file piece by piece, and so is the spill file: what that holds is never in memory at
//! once. The bytes come from a file that anybody may have written; whatever they say, reading them ends, within
//! bounds.

use super::{
    ALLOCATORS, Batch, Clock, DURABLE, FREE, IDLE, Journal, Layout, MAGIC, OWNER, Origin, PENDING, PHASE,
    RECOVERED, SHAPE, SMALL, SPILLING, WRITING, Writer, n_dropped, segment,
};
use crate::record::{BYTES, MOST_ALLOCATORS, WORDS};
use crate::{Event, Line, Lost};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// No spool is larger: the largest that can be asked for holds 1 GiB of records.
const MOST_BYTES: u64 = 2 << 30;
/// Bytes of the spill file that are in memory at once: more than any record has.
const SPILL_AT_ONCE: u64 = 1 << 20;
/// Lines are written when they have so many bytes.
const LINES_AT_ONCE: usize = 1 << 18;

/// A file, or bytes in memory that stand for one.
pub trait ReadAt {
    /// Fills `bytes` from that offset on.
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, at)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The spool of a process that died.
pub struct DeadSpool<'a> {
    file: &'a dyn ReadAt,
    layout: Layout,
    /// Everything before the first slot.
    head: Vec<u64>,
}

impl<'a> DeadSpool<'a> {
    /// Reads the headers of a spool file of so many bytes.
    pub fn open(file: &'a dyn ReadAt, bytes: u64) -> Result<Self, SpoolError> {
        if bytes < 32 {
            return Err(if bytes == 0 { SpoolError::Unmade } else { SpoolError::Foreign });
        }
        let [magic, shape, _, small] = read_words(file, 0, 4)?[..] else { return Err(SpoolError::Foreign) };
        if magic == 0 {
            return Err(SpoolError::Unmade);
        }
        if magic != MAGIC {
            let is_other_version = magic << 16 == MAGIC << 16;
            return Err(if is_other_version { SpoolError::OtherVersion } else { SpoolError::Foreign });
        }
        let layout = Layout::from_words(shape, small).ok_or(SpoolError::Foreign)?;
        let wanted = layout.total_words() as u64 * 8;
        if wanted > MOST_BYTES || bytes > wanted {
            return Err(SpoolError::Foreign);
        }
        if bytes < wanted {
            return Err(SpoolError::Truncated);
        }
        let head = read_words(file, 0, layout.slot(0, 0))?;
        // Again from the same bytes: somebody may be writing them.
        if head[0] != MAGIC || Layout::from_words(head[SHAPE], head[SMALL]) != Some(layout) {
            return Err(SpoolError::Foreign);
        }
        Ok(Self { file, layout, head })
    }

    /// The process it belongs to.
    pub fn pid(&self) -> u32 {
        u32::try_from(self.head[OWNER] & 0xffff_ffff).unwrap_or(0)
    }

    /// What more it says of its process.
    pub fn origin(&self) -> Origin {
        Origin::load(|at| self.load(at))
    }

    /// What the files hold.
    pub fn journal(&self) -> Journal {
        Journal::load(|at| self.load(at), DURABLE)
    }

    /// Whether the capture has everything, as [`Self::conclude`] said, and only the files remain to be removed.
    pub fn is_recovered(&self) -> bool {
        self.head[PHASE] == RECOVERED
    }

    /// Decides once and for all whether the write that was under way counts. Returns the words to change in the
    /// file, each with its value, in this order. Whoever appends to the capture changes them first, because what
    /// is appended may differ from what the write would have been, and its length would then tell nothing.
    pub fn settle(&mut self, spill_bytes: u64, capture_bytes: u64) -> Result<Vec<(usize, u64)>, SpoolError> {
        let mut changes = Vec::new();
        if self.is_pending_written(spill_bytes, capture_bytes) {
            changes.extend((0..Journal::WORDS).map(|i| (DURABLE + i, self.head[PENDING + i])));
            for segment in 0..self.layout.n_segments {
                let pending = self.head[self.layout.segment_word(segment, segment::PENDING_READ)];
                changes.push((self.layout.segment_word(segment, segment::READ), pending));
            }
        }
        changes.push((PHASE, IDLE));
        self.change(&changes);
        let Journal { spilled_bytes, unspilled_bytes, .. } = self.journal();
        if spilled_bytes > unspilled_bytes && spilled_bytes > spill_bytes {
            return Err(SpoolError::NoSpill { wanted: spilled_bytes, found: spill_bytes });
        }
        Ok(changes)
    }

    /// Whether the write that was under way had come to its end.
    fn is_pending_written(&self, spill_bytes: u64, capture_bytes: u64) -> bool {
        let pending = Journal::load(|at| self.load(at), PENDING);
        match self.head[PHASE] {
            WRITING => capture_bytes >= pending.capture_bytes,
            SPILLING => spill_bytes >= pending.spilled_bytes,
            _ => false,
        }
    }

    /// Writes the lines that the capture lacks behind the bytes that the journal counts. To be called after [`Self::settle`]; a failed call can be made again.
    pub fn write_missing(&self, spill: &dyn ReadAt, out: &mut impl Write) -> Result<Recovered, SpoolError> {
        let journal = self.journal();
        let clock = Clock::load(|at| self.load(at));
        let writer = Writer { n: journal.n, clock, allocator: |position| self.allocator(position) };
        let mut lines = Lines { writer, bytes: Vec::new(), n_unreadable: 0, out };
        let mut batch = Batch::default();

        let mut at = journal.unspilled_bytes;
        while at < journal.spilled_bytes {
            let length = (journal.spilled_bytes - at).min(SPILL_AT_ONCE);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            spill.read_exact_at(&mut bytes, at)?;
            batch.clear();
            let taken = batch.read_spilled(&bytes, usize::MAX);
            if taken == 0 {
                // A length that reaches beyond the end.
                lines.n_unreadable += bytes.len().div_ceil(BYTES) as u64;
                break;
            }
            lines.add(&batch)?;
            at += taken as u64;
        }

        batch.clear();
        let mut n_unfinished = 0;
        for segment in 0..self.layout.n_segments {
            n_unfinished += u64::from(self.scan(segment, &mut batch)?);
        }
        batch.sort();
        lines.add(&batch)?;

        let n_dropped = n_dropped(|at| self.load(at));
        if n_dropped > journal.dropped {
            lines.add_lost(n_dropped - journal.dropped);
        }
        lines.flush()?;
        let n = lines.writer.n;
        Ok(Recovered {
            n_events: n.saturating_sub(journal.n),
            n,
            n_unfinished,
            n_unreadable: lines.n_unreadable,
            n_dropped,
        })
    }

    /// Adds what a segment holds and no file does. True if a record in it was begun and never finished.
    fn scan(&self, segment: usize, batch: &mut Batch) -> io::Result<bool> {
        let first = self.layout.slot(segment, 0);
        let state = self.head[self.layout.segment_word(segment, segment::STATE)];
        let n_words = if state & 0xffff_ffff == FREE { 0 } else { self.layout.slots_of(segment) * WORDS };
        let slots = read_words(self.file, first, n_words)?;
        let load = |at: usize| match at.checked_sub(first) {
            Some(at) => slots.get(at).copied().unwrap_or(0),
            None => self.load(at),
        };
        let scanned = batch.scan(self.layout, &load, segment, None, u64::MAX);
        Ok(scanned.is_some_and(|scanned| scanned.is_unfinished))
    }

    /// To be changed in the file, in this order, once the capture is complete and has so many bytes: whoever finds
    /// the spool then only removes what is left.
    pub fn conclude(&mut self, capture_bytes: u64) -> [(usize, u64); 2] {
        let changes = [(PENDING, capture_bytes), (PHASE, RECOVERED)];
        self.change(&changes);
        changes
    }

    /// The bytes of the complete capture, once [`Self::is_recovered`].
    pub fn recovered_bytes(&self) -> u64 {
        self.head[PENDING]
    }

    fn change(&mut self, changes: &[(usize, u64)]) {
        for (at, word) in changes {
            self.head[*at] = *word;
        }
    }

    fn load(&self, at: usize) -> u64 {
        self.head.get(at).copied().unwrap_or(0)
    }

    fn allocator(&self, position: u64) -> Option<u64> {
        let position = usize::try_from(position).ok().filter(|position| *position < MOST_ALLOCATORS)?;
        Some(self.load(ALLOCATORS + position)).filter(|number| *number != 0)
    }
}

/// Lines on their way to the capture.
struct Lines<'a, A, W> {
    writer: Writer<A>,
    bytes: Vec<u8>,
    n_unreadable: u64,
    out: &'a mut W,
}

impl<A: Fn(u64) -> Option<u64>, W: Write> Lines<'_, A, W> {
    fn add(&mut self, batch: &Batch) -> io::Result<()> {
        for record in batch.records() {
            let (start, n) = (self.bytes.len(), self.writer.n);
            let is_readable = self.writer.write(record, &mut self.bytes);
            // A record without an event is a definition; a damaged one would spoil the line behind it.
            if !is_readable || (self.writer.n == n && !is_definition(&self.bytes[start..])) {
                self.bytes.truncate(start);
                self.n_unreadable += 1;
            }
            if self.bytes.len() >= LINES_AT_ONCE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn add_lost(&mut self, dropped: u64) {
        let t_ns = self.writer.clock.latest.1;
        self.writer.event(t_ns, 0, 0, Event::Lost(Lost { dropped }), &mut self.bytes);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

/// Whether this is one whole line that defines something.
fn is_definition(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
    let line = text.filter(|text| !text.contains('\n')).map(Line::parse);
    match line {
        Some(Ok(line)) => line.is_definition(),
        _ => false,
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|bytes| u64::from_ne_bytes(std::array::from_fn(|i| bytes[i]))).collect()
}

pub(super) fn read_words(file: &dyn ReadAt, at: usize, n: usize) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; n * 8];
    file.read_exact_at(&mut bytes, at as u64 * 8)?;
    Ok(words(&bytes))
}

/// What was added to a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The events that were added.
    pub n_events: u64,
    /// The number of the capture's last event, with those.
    pub n: u64,
    /// Records that were begun and never finished: at most one per thread.
    pub n_unfinished: u64,
    /// Slots that hold no record of this version.
    pub n_unreadable: u64,
    /// Events that were refused for want of room, in all.
    pub n_dropped: u64,
}

/// Why a spool cannot be used.
#[derive(Debug)]
pub enum SpoolError {
    /// It is no spool.
    Foreign,
    /// Its process was killed while it made it: it holds nothing.
    Unmade,
    /// It is one of another version.
    OtherVersion,
    /// It is shorter than it says.
    Truncated,
    /// It says that events went into a spill file, which is not there or shorter than that.
    NoSpill {
        /// The bytes it has to have.
        wanted: u64,
        /// The bytes it has; 0 if it is not there.
        found: u64,
    },
    /// Spool or spill file cannot be read, or the capture not written.
    Io(io::Error),
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for SpoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Foreign => "is not a spool",
            Self::Unmade => "holds nothing, its process was killed while it made it",
            Self::OtherVersion => "is a spool of another version: use the tt-memtrace that recorded it",
            Self::Truncated => "is cut short",
            Self::NoSpill { found: 0, .. } => "lacks the spill file that holds the events before its own",
            Self::NoSpill { wanted, found } => {
                return write!(f, "lacks a part of its spill file, which has {found} bytes of {wanted}");
            }
            Self::Io(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for SpoolError {}
