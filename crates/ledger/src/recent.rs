//! What ended lately: enough to bring a retained buffer back, to tell a second deallocation from an unknown
//! one, and to expect the late free of a view. Everything here is bounded.

use crate::buffer::Buffer;
use rustc_hash::{FxHashSet, FxHasher};
use std::hash::{Hash, Hasher};
use tt_memtrace_wire::{Address, BufferType, Dealloc, Place, Stamp};

/// So many ended buffers are remembered, at most.
const N_ENDED: usize = 1024;

/// Where a buffer was, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Where {
    pub(crate) place: Place,
    pub(crate) buffer_type: BufferType,
    pub(crate) address: Address,
    pub(crate) unique_id: Option<u64>,
}

impl Where {
    pub(crate) fn of(buffer: &Buffer) -> Self {
        let alloc = &buffer.alloc;
        let (place, buffer_type) = (alloc.place, alloc.buffer_type);
        Self { place, buffer_type, address: alloc.address, unique_id: alloc.unique_id }
    }

    pub(crate) fn freed_by(dealloc: &Dealloc) -> Self {
        let (place, buffer_type) = (dealloc.place, dealloc.buffer_type);
        Self { place, buffer_type, address: dealloc.address, unique_id: dealloc.unique_id }
    }

    /// The same place in memory, and not provably another buffer.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        let ids_agree = match (self.unique_id, other.unique_id) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        let Self { place, buffer_type, address, .. } = *self;
        ids_agree && (place, buffer_type, address) == (other.place, other.buffer_type, other.address)
    }

    fn cell(&self) -> usize {
        let mut hasher = FxHasher::default();
        (self.place, self.buffer_type, self.address).hash(&mut hasher);
        usize::try_from(hasher.finish() >> 32).unwrap_or_default() % N_ENDED
    }
}

/// A buffer that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone {
    subject: Where,
    /// The event that ended it.
    pub(crate) n: u64,
    /// By a deallocation of its own, not with others.
    pub(crate) is_freed: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    /// The buffer that each thread's last deallocation closed. There are few threads.
    last_closed: Vec<(u32, Buffer)>,
    /// Each cell holds the last buffer of that hash.
    ended: Vec<Option<Gone>>,
    /// Views that ended with their owner, until their own deallocation comes. No more than there are addresses.
    retired: FxHashSet<(Place, BufferType, Address)>,
}

impl Recent {
    pub(crate) fn note_closed(&mut self, stamp: Stamp, buffer: &Buffer) {
        match self.last_closed.iter_mut().find(|(tid, _)| *tid == stamp.tid) {
            Some((_, last)) => last.clone_from(buffer),
            None => self.last_closed.push((stamp.tid, buffer.clone())),
        }
        self.note_ended(stamp, &Where::of(buffer), true);
    }

    pub(crate) fn note_ended(&mut self, stamp: Stamp, ended: &Where, is_freed: bool) {
        if self.ended.is_empty() {
            self.ended.resize(N_ENDED, None);
        }
        self.ended[ended.cell()] = Some(Gone { subject: *ended, n: stamp.n, is_freed });
    }

    pub(crate) fn note_opened(&mut self, opened: &Where) {
        if let Some(cell) = self.ended.get_mut(opened.cell())
            && cell.is_some_and(|Gone { subject, .. }| {
                (subject.address, subject.place) == (opened.address, opened.place)
            })
        {
            *cell = None;
        }
        self.take_retired(opened);
    }

    /// How this very buffer ended, if nothing took its place since.
    pub(crate) fn gone(&self, wanted: &Where) -> Option<Gone> {
        let cell = self.ended.get(wanted.cell()).copied().flatten();
        cell.filter(|gone| gone.subject.may_be(wanted))
    }

    pub(crate) fn take_last_closed(&mut self, tid: u32, wanted: &Where) -> Option<Buffer> {
        let at = self
            .last_closed
            .iter()
            .position(|(of, buffer)| *of == tid && Where::of(buffer).may_be(wanted))?;
        Some(self.last_closed.swap_remove(at).1)
    }

    pub(crate) fn note_retired(&mut self, view: &Where) {
        self.retired.insert((view.place, view.buffer_type, view.address));
    }

    pub(crate) fn take_retired(&mut self, view: &Where) -> bool {
        !self.retired.is_empty() && self.retired.remove(&(view.place, view.buffer_type, view.address))
    }
}
