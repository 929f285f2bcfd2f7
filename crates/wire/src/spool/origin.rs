//! Whose spool it is: what a reader needs that has only the spool, and not the capture that names it.

use super::recovery::read_words;
use super::{ORIGIN, ORIGIN_END, ReadAt};
use std::io;

/// The bytes that an [`Origin`] takes in a spool.
pub const ORIGIN_BYTES: usize = (ORIGIN_END - ORIGIN) * 8;

/// The process of a spool, and its capture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Clock ticks since boot at which the process started; 0 if that is not known.
    pub process_start: u64,
    /// The inode of its pid namespace; 0 if that is not known.
    pub pid_namespace: u64,
    /// The absolute path of its capture; empty if that is not known, or too long; [`Origin::NO_CAPTURE`] if it has none.
    pub capture: Vec<u8>,
}

impl Origin {
    /// Instead of a capture: the process told a tracking server alone, so nobody completes anything from its spool.
    pub const NO_CAPTURE: &[u8] = b"-";
    const MOST_CAPTURE: usize = ORIGIN_BYTES - 3 * 8;

    /// How one with these fields stands in a spool, from word [`ORIGIN`] on.
    pub fn encode(process_start: u64, pid_namespace: u64, capture: &[u8]) -> [u8; ORIGIN_BYTES] {
        let capture = if capture.len() <= Self::MOST_CAPTURE { capture } else { &[] };
        let words = [process_start, pid_namespace, capture.len() as u64];
        let mut bytes = [0; ORIGIN_BYTES];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_ne_bytes();
        }
        bytes[ORIGIN_BYTES - Self::MOST_CAPTURE..][..capture.len()].copy_from_slice(capture);
        bytes
    }

    /// From the file of a spool that was not finished: a process writes it before all else.
    pub fn read(file: &dyn ReadAt) -> io::Result<Self> {
        let words = read_words(file, 0, ORIGIN_END)?;
        Ok(Self::load(|at| words[at]))
    }

    /// From the words of a spool.
    pub fn load(load: impl Fn(usize) -> u64) -> Self {
        let length = usize::try_from(load(ORIGIN + 2)).unwrap_or(0);
        let length = if length <= Self::MOST_CAPTURE { length } else { 0 };
        let words = (0..length.div_ceil(8)).flat_map(|i| load(ORIGIN + 3 + i).to_ne_bytes());
        let capture = words.take(length).collect();
        Self { process_start: load(ORIGIN), pid_namespace: load(ORIGIN + 1), capture }
    }
}
