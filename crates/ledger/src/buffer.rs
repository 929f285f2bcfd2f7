//! One buffer: what was allocated, since when, and how it ended.

use crate::class::Class;
use crate::contexts::ContextId;
use crate::rules::Facts;
use crate::tally::Weight;
use std::fmt;
use tt_memtrace_wire::{Address, Alloc, Place, Stamp};

/// A buffer and what the ledger knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// The allocation, as recorded.
    pub alloc: Alloc,
    /// When it was made. Of two buffers at one address, this tells them apart.
    pub since: Stamp,
    /// Bytes it takes in each bank: [`Alloc::per_bank_bytes`], rounded as its allocator rounds.
    pub bank_bytes: u64,
    /// False where nobody knows how the allocator rounds; then `bank_bytes` is a lower bound.
    pub is_rounded: bool,
    /// What kind of holder it has, so far as was known when it was allocated or ended.
    pub class: Class,
    /// What the thread was doing that allocated it, as far as it is known.
    pub context: Option<ContextId>,
    pub(crate) facts: Facts,
    /// True for a forked child's copy of a buffer that its parent allocated. `since` is in the parent's capture.
    pub is_inherited: bool,
    /// Whether two sources told of it: then two will tell of its end.
    pub(crate) is_told_twice: bool,
    /// True if nobody says who owns the memory, and it looks as if the owner was freed and its views never will be:
    /// nothing the program failed to free.
    pub is_freed_by_owner: bool,
    /// How often it was announced, where nobody says who owns the memory.
    pub(crate) n_announced: u32,
    /// How often it was freed so far; less than that while it lives.
    pub(crate) n_freed: u32,
}

impl Buffer {
    pub(crate) fn new(
        alloc: &Alloc,
        since: Stamp,
        rounding: Option<u64>,
        facts: Facts,
        class: Class,
    ) -> Self {
        let unit = rounding.unwrap_or(1).max(1);
        let bank_bytes = alloc.per_bank_bytes.div_ceil(unit).saturating_mul(unit);
        let is_rounded = rounding.is_some();
        Self {
            alloc: alloc.clone(),
            since,
            bank_bytes,
            is_rounded,
            class,
            context: None,
            facts,
            is_inherited: false,
            is_told_twice: false,
            is_freed_by_owner: false,
            n_announced: 1,
            n_freed: 0,
        }
    }

    /// On which chips.
    pub fn place(&self) -> Place {
        self.alloc.place
    }

    /// Whether it is told to own its memory. Any other counts only where nothing else covers it.
    pub fn owns_memory(&self) -> bool {
        self.alloc.owns_data == Some(true)
    }

    /// How many deallocations it takes to end it: one, unless nobody says who owns the memory.
    pub fn n_references(&self) -> u32 {
        self.n_announced.saturating_sub(self.n_freed)
    }

    pub(crate) fn tells_owner(&self) -> bool {
        self.alloc.owns_data.is_some()
    }

    pub(crate) fn is_outgrown_by(&self, other: &Self) -> bool {
        other.alloc.size_bytes > self.alloc.size_bytes || other.bank_bytes > self.bank_bytes
    }

    /// Takes the larger figures of both.
    pub(crate) fn grow(&mut self, other: &Self) {
        self.alloc.size_bytes = self.alloc.size_bytes.max(other.alloc.size_bytes);
        self.alloc.per_bank_bytes = self.alloc.per_bank_bytes.max(other.alloc.per_bank_bytes);
        self.bank_bytes = self.bank_bytes.max(other.bank_bytes);
    }

    pub(crate) fn weight(&self) -> Weight {
        Weight { bytes: self.alloc.size_bytes, bank_bytes: self.bank_bytes, n_new: 0, class: self.class }
    }

    /// The first address behind what it takes in each bank.
    pub(crate) fn end(&self) -> Address {
        self.alloc.address.saturating_add(self.bank_bytes)
    }

    /// Whether it covers the other one's range. One without bytes, as where nobody tells of banks, is in what begins
    /// where it does or goes on there.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let (start, other_start) = (self.alloc.address, other.alloc.address);
        let begins_within = start <= other_start && (other_start < self.end() || other_start == start);
        begins_within && other.end() <= self.end()
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.alloc.address < other.end() && other.alloc.address < self.end()
    }
}

/// How a buffer ended. "Freed by the program" and "swept away" are never confused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// The program freed it.
    Deallocated,
    /// The program told the allocator to give up everything.
    Sweep,
    /// Its mesh was closed.
    Close,
    /// The process ended.
    Exit,
    /// The process was killed.
    Death,
    /// A view ended with the buffer that owned its memory.
    WithOwner,
    /// Another buffer took its address, so its deallocation was not seen.
    Replaced,
}

impl Ending {
    /// Whether the buffer outlived what the program did about it.
    pub fn is_survival(self) -> bool {
        matches!(self, Self::Sweep | Self::Close | Self::Exit | Self::Death)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Deallocated => "deallocated",
            Self::Sweep => "sweep",
            Self::Close => "close",
            Self::Exit => "exit",
            Self::Death => "death",
            Self::WithOwner => "with_owner",
            Self::Replaced => "replaced",
        })
    }
}

/// A buffer that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it was.
    pub buffer: Buffer,
    /// How it ended.
    pub ending: Ending,
    /// When it ended; for the end of the process, the last event's.
    pub at: Stamp,
}
