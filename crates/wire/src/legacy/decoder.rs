//! Cuts a connection's bytes into records.
//!
//! The size of a connection's records is where the second one begins. Behind a record's head all that a client sends is
//! 0, and no type is 0: so the second record begins at the first byte that is not 0, if that is one of the four places
//! and a head stands there: a type that exists, and padding that is 0. A client that leaves something behind the head
//! is known by its pid: at one of the four places stands a head with the first record's pid, or the peer's.
//!
//! Who waits for an answer sends no second record: after a pause, the number of bytes is the size. That may be wrong
//! where a record came in two parts; then the bytes that follow correct it, and nothing is told twice.
//!
//! Invariant: the same bytes give the same records, however they are split, and whenever there was a pause.

use super::record::{HEAD_BYTES, NoRecord, Record, RecordSize};
use std::fmt;

/// So much of a head tells whether it is one: all up to its pid.
const TELLING_BYTES: usize = 24;
/// The earlier server gave up at the same number.
const MOST_BAD: u32 = 10;

/// What was found next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A record, and the size in which an answer to it is expected.
    Record(Record, RecordSize),
    /// Bytes that are no record were passed over.
    Bad(NoRecord),
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The first bytes are no record.
    NotThis(NoRecord),
    /// The second record is at none of the four places.
    NoSize,
    /// So many times in a row, what came was no record.
    TooManyBad(u32),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThis(why) => write!(f, "it does not begin with a record ({why})"),
            Self::NoSize => f.write_str("its second record begins at none of 72, 112, 128 and 144 bytes"),
            Self::TooManyBad(n) => write!(f, "{n} times in a row, what came was no record"),
        }
    }
}

impl std::error::Error for Trouble {}

/// The bytes of one connection that are not yet records.
#[derive(Debug)]
pub struct Decoder {
    pending: Vec<u8>,
    /// The bytes before are done with.
    start: usize,
    peer_pid: Option<i32>,
    first_pid: Option<i32>,
    size: Option<RecordSize>,
    /// The first record was told after a pause, and its bytes are still here to find its size by.
    is_first_told: bool,
    n_bad: u32,
}

/// What can be said of a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Head,
    NoHead,
    /// Too few bytes are there.
    Unsure,
}

impl Decoder {
    /// For a new connection of a process of that pid, if the kernel tells.
    pub fn new(peer_pid: Option<i32>) -> Self {
        Self {
            pending: Vec::new(),
            start: 0,
            peer_pid,
            first_pid: None,
            size: None,
            is_first_told: false,
            n_bad: 0,
        }
    }

    /// The size of the records, once that is certain.
    pub fn size(&self) -> Option<RecordSize> {
        self.size
    }

    /// Takes the next bytes. All records have to be taken out before there are more: that bounds the memory.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.start);
        self.start = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// How many bytes wait for more.
    pub fn n_waiting(&self) -> usize {
        if self.is_first_told { 0 } else { self.rest().len() }
    }

    /// Whether a pause would tell something: a first record may be whole.
    pub fn is_unsure(&self) -> bool {
        self.size.is_none() && self.n_waiting() >= HEAD_BYTES
    }

    /// The next record, or nothing until more bytes come.
    #[expect(clippy::should_implement_trait, reason = "it fails, and goes on after nothing")]
    pub fn next(&mut self) -> Result<Option<Found>, Trouble> {
        let size = match self.size {
            Some(size) => size,
            None => match self.find_size()? {
                Some(size) => {
                    self.size = Some(size);
                    if std::mem::take(&mut self.is_first_told) {
                        self.start += size.bytes();
                    }
                    size
                }
                None => return Ok(None),
            },
        };
        let Some(bytes) = self.rest().get(..size.bytes()) else { return Ok(None) };
        match self.parse(bytes) {
            Ok(record) => {
                self.n_bad = 0;
                self.start += size.bytes();
                Ok(Some(Found::Record(record, size)))
            }
            Err(why) => {
                self.n_bad += 1;
                if self.n_bad >= MOST_BAD {
                    return Err(Trouble::TooManyBad(self.n_bad));
                }
                self.start += self.way_to_next(size.bytes());
                Ok(Some(Found::Bad(why)))
            }
        }
    }

    /// To be called when nothing came for a while: the first record, if so many bytes are there as one has.
    pub fn pause(&mut self) -> Option<Found> {
        if !self.is_unsure() {
            return None;
        }
        if self.place_of_second().is_some_and(|size| self.look_at(size, false) == Look::Unsure) {
            return None; // A second one has begun.
        }
        let size = RecordSize::from_bytes(self.rest().len())?;
        let record = Record::parse(self.rest()).ok()?;
        self.is_first_told = true;
        Some(Found::Record(record, size))
    }

    /// To be called when nothing will come any more: what is left, if it is a record as far as one tells something.
    /// Scripts send one record and close, and one of them sends a length that no version ever had.
    pub fn finish(&mut self) -> Option<Found> {
        if let Some(found) = self.pause() {
            return Some(found);
        }
        let record = Record::parse_head(self.rest()).ok().filter(|_| !self.is_first_told)?;
        let size = self.size.unwrap_or(RecordSize::P2);
        self.start = self.pending.len();
        Some(Found::Record(record, size))
    }

    /// Reads what stands at a record's place. Where the pid is new and there is something behind the head, the place is
    /// wrong.
    fn parse(&self, bytes: &[u8]) -> Result<Record, NoRecord> {
        let record = Record::parse(bytes)?;
        let has_tail = || bytes.iter().skip(HEAD_BYTES).any(|byte| *byte != 0);
        if self.look(bytes, true) == Look::NoHead && has_tail() {
            return Err(NoRecord::Padding);
        }
        Ok(record)
    }

    fn rest(&self) -> &[u8] {
        self.pending.get(self.start..).unwrap_or_default()
    }

    /// The size of the records, if that can be told by now.
    fn find_size(&mut self) -> Result<Option<RecordSize>, Trouble> {
        if self.rest().len() < HEAD_BYTES {
            // What is no record shall not wait for the rest of one.
            return match self.look(self.rest(), false) {
                Look::NoHead => Err(Trouble::NotThis(NoRecord::of_start(self.rest()))),
                Look::Head | Look::Unsure => Ok(None),
            };
        }
        let first = Record::parse_head(self.rest()).map_err(Trouble::NotThis)?;
        self.first_pid = Some(first.process_id);
        if let Some(size) = self.place_of_second() {
            match self.look_at(size, false) {
                Look::Head => return Ok(Some(size)),
                Look::Unsure => return Ok(None),
                Look::NoHead => {}
            }
        }
        for size in RecordSize::ALL {
            match self.look_at(size, true) {
                Look::Head => return Ok(Some(size)),
                Look::Unsure => return Ok(None),
                Look::NoHead => {}
            }
        }
        Err(Trouble::NoSize)
    }

    /// The size of the first record, if the first byte behind its head that is not 0 begins the second one.
    fn place_of_second(&self) -> Option<RecordSize> {
        let behind = self.rest().iter().skip(HEAD_BYTES).position(|byte| *byte != 0)?;
        RecordSize::from_bytes(HEAD_BYTES + behind)
    }

    fn look_at(&self, size: RecordSize, is_pid_known: bool) -> Look {
        self.look(self.rest().get(size.bytes()..).unwrap_or_default(), is_pid_known)
    }

    /// Whether a head stands at the beginning of these bytes.
    fn look(&self, bytes: &[u8], is_pid_known: bool) -> Look {
        let is_possible = bytes.iter().take(TELLING_BYTES).enumerate().all(|(at, byte)| match at {
            0 => Record::is_type(*byte),
            1..4 | 17..20 => *byte == 0,
            _ => true,
        });
        match bytes.first_chunk::<TELLING_BYTES>() {
            _ if !is_possible => Look::NoHead,
            None => Look::Unsure,
            Some(_) if !is_pid_known => Look::Head,
            Some([kind, .., a, b, c, d]) => {
                let pid = i32::from_le_bytes([*a, *b, *c, *d]);
                let is_asking = pid == 0 && Record::is_of_asker(*kind);
                let is_known = is_asking || Some(pid) == self.first_pid || Some(pid) == self.peer_pid;
                if is_known { Look::Head } else { Look::NoHead }
            }
        }
    }

    /// What stands at a record's place is none: how far it is to where the next one may begin.
    fn way_to_next(&self, size: usize) -> usize {
        let is_in_step = |bytes: &[u8]| self.look(&[&[1], bytes.get(1..).unwrap_or_default()].concat(), true);
        if is_in_step(self.rest().get(..TELLING_BYTES).unwrap_or_default()) == Look::Head {
            return size; // Only its type is unknown.
        }
        // A sender that does not wait loses parts of records. Its pid tells where the next one is.
        let has_pid = |at: &usize| self.rest().get(at + 20..at + 24).is_some_and(|pid| pid != [0; 4]);
        let is_head = |at: &usize| {
            self.look(self.rest().get(*at..).unwrap_or_default(), true) == Look::Head && has_pid(at)
        };
        (1..=size).find(is_head).unwrap_or(size + 1 - TELLING_BYTES)
    }
}
