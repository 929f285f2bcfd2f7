//! What does not add up. An anomaly is a fact for the reader of a report, never an error.

use crate::recent::Where;
use tt_memtrace_wire::{Address, BufferType, Place, Stamp};

/// So many are kept with their details; all are counted.
const N_KEPT: usize = 1000;

/// Why nothing was live where a deallocation wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The buffer is older than the capture.
    BeforeCapture,
    /// The parent's capture was not found, and the buffer may be inherited.
    OtherProcess,
    /// It lived earlier, and had ended with others: by a sweep, or the close of its mesh.
    AlreadyFreed {
        /// The event that ended it, if it is remembered.
        by_n: Option<u64>,
    },
    /// Events were dropped, its allocation may be among them.
    Lost,
    /// Nothing explains it.
    Other,
}

/// What is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// Nothing was live there.
    UnknownDealloc(Cause),
    /// The same buffer was deallocated before.
    DoubleDealloc {
        /// The first deallocation.
        first_n: u64,
    },
    /// A buffer was said to be retained that was not just freed.
    UnknownRetained,
    /// Another live buffer of the same allocator holds part of the range.
    Overlap {
        /// The event that allocated the other one.
        with_n: u64,
    },
    /// A live number was allocated again, with another size.
    SizeChange {
        /// The size so far.
        from_bytes: u64,
        /// The size now.
        to_bytes: u64,
    },
    /// More is live in each bank than the bank holds, or circular buffers reach beyond it.
    AboveCapacity {
        /// Live bytes per bank.
        live_bytes: u64,
        /// The bank's size.
        bank_size_bytes: u64,
    },
}

impl What {
    /// The kinds, in the order of [`Anomalies::counts`].
    const KINDS: [&str; 6] = [
        "unknown_deallocation",
        "double_deallocation",
        "unknown_retained",
        "overlap",
        "size_change",
        "above_capacity",
    ];

    fn kind_index(self) -> usize {
        match self {
            Self::UnknownDealloc(_) => 0,
            Self::DoubleDealloc { .. } => 1,
            Self::UnknownRetained => 2,
            Self::Overlap { .. } => 3,
            Self::SizeChange { .. } => 4,
            Self::AboveCapacity { .. } => 5,
        }
    }

    /// The name of its kind.
    pub fn kind(self) -> &'static str {
        Self::KINDS[self.kind_index()]
    }
}

/// One odd event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// The event.
    pub at: Stamp,
    /// On which chips.
    pub place: Place,
    /// In which memory; absent for a deallocation that does not say, of nothing that is known.
    pub buffer_type: Option<BufferType>,
    /// At which address.
    pub address: Address,
    /// The number of the buffer, if it has one.
    pub unique_id: Option<u64>,
    /// What is odd about it.
    pub what: What,
}

/// All that did not add up.
#[derive(Debug, Clone, Default)]
pub struct Anomalies {
    counts: [u64; What::KINDS.len()],
    first: Vec<Anomaly>,
}

impl Anomalies {
    pub(crate) fn note(&mut self, at: Stamp, subject: &Where, what: What) {
        let Where { place, buffer_type, address, unique_id } = *subject;
        self.push(Anomaly { at, place, buffer_type: Some(buffer_type), address, unique_id, what });
    }

    pub(crate) fn push(&mut self, anomaly: Anomaly) {
        self.counts[anomaly.what.kind_index()] += 1;
        if self.first.len() < N_KEPT {
            self.first.push(anomaly);
        }
    }

    /// The kinds that occurred, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        What::KINDS.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The first thousand.
    pub fn first(&self) -> &[Anomaly] {
        &self.first
    }
}
