//! Whose spool it is: what a reader needs that has only the spool, and not the capture that names it.

use super::recovery::read_words;
use super::{ORIGIN, ORIGIN_END, ReadAt};
use std::io;

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
    const MOST_CAPTURE: usize = (ORIGIN_END - ORIGIN - 3) * 8;

    /// As it stands in a spool, from word [`ORIGIN`] on.
    pub fn to_bytes(&self) -> Vec<u8> {
        let capture = if self.capture.len() <= Self::MOST_CAPTURE { &self.capture[..] } else { &[] };
        let mut bytes = Vec::with_capacity(24 + Self::MOST_CAPTURE);
        for word in [self.process_start, self.pid_namespace, capture.len() as u64] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend_from_slice(capture);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// From the file of a spool that was not finished, which may end behind it: a process writes it before all else.
    pub fn read(file: &dyn ReadAt) -> io::Result<Self> {
        let mut words = read_words(file, ORIGIN, 3)?;
        let n_words = Self::length(words[2]).div_ceil(8);
        words.extend(read_words(file, ORIGIN + 3, n_words)?);
        Ok(Self::load(|at| words[at - ORIGIN]))
    }

    /// From the words of a spool.
    pub fn load(load: impl Fn(usize) -> u64) -> Self {
        let length = Self::length(load(ORIGIN + 2));
        let words = (0..length.div_ceil(8)).flat_map(|i| load(ORIGIN + 3 + i).to_ne_bytes());
        let capture = words.take(length).collect();
        Self { process_start: load(ORIGIN), pid_namespace: load(ORIGIN + 1), capture }
    }

    /// Of the path, in bytes.
    fn length(word: u64) -> usize {
        usize::try_from(word).ok().filter(|length| *length <= Self::MOST_CAPTURE).unwrap_or(0)
    }
}
