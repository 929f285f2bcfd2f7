//! What kind of holder a buffer seems to be, so far as the buffer alone can tell.
//!
//! Telling the program cache, the runtime's own buffers and the user's apart needs facts that are not looked
//! at here: all of those are [`Class::Unattributed`].

use std::fmt;
use tt_memtrace_wire::{Alloc, BufferLayout, BufferType};

/// A global semaphore takes at most so many bytes per bank before rounding.
const SEMAPHORE_BYTES: u64 = 16;

/// The kind of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Nothing tells who holds it.
    Unattributed,
    /// A region for captured commands.
    Trace,
    /// In the small reserved region of L1.
    L1Small,
    /// A tiny sharded L1 buffer, as global semaphores are.
    Semaphore,
}

impl Class {
    pub(crate) fn of(alloc: &Alloc) -> Self {
        let is_sharded = matches!(
            alloc.layout,
            BufferLayout::HeightSharded | BufferLayout::WidthSharded | BufferLayout::BlockSharded
        );
        match alloc.buffer_type {
            BufferType::Trace => Self::Trace,
            BufferType::L1Small => Self::L1Small,
            BufferType::L1 if is_sharded && alloc.per_bank_bytes <= SEMAPHORE_BYTES => Self::Semaphore,
            _ => Self::Unattributed,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unattributed => "unattributed",
            Self::Trace => "trace",
            Self::L1Small => "l1_small",
            Self::Semaphore => "semaphore",
        })
    }
}
