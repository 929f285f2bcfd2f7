//! What ended lately: enough to bring a retained buffer back, to tell a second deallocation from an unknown
//! one, and to expect the late free of a view. Everything here is bounded.

use crate::buffer::Buffer;
use rustc_hash::{FxHashSet, FxHasher};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use tt_memtrace_wire::{Address, BufferType, Place, Stamp};

/// So many ended buffers are remembered, at most.
const N_ENDED: usize = 1024;

/// So many runs of numbers of views that ended with their owner are remembered, at most.
const MOST_RETIRED: usize = 1 << 16;

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
    /// Their numbers, which outlive the next use of the address: the first of each run, and the last. The views of
    /// one mesh buffer are a run. Views whose deallocation nobody reports stay here, so there is a limit.
    retired_ids: BTreeMap<u64, u64>,
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
        if let Some(id) = view.unique_id {
            self.retire(id);
        }
    }

    pub(crate) fn take_retired(&mut self, view: &Where) -> bool {
        let had_id = view.unique_id.is_some_and(|id| self.take_retired_id(id));
        let had_address =
            !self.retired.is_empty() && self.retired.remove(&(view.place, view.buffer_type, view.address));
        had_id || had_address
    }

    fn retire(&mut self, id: u64) {
        let (mut first, mut last) = (id, id);
        if let Some((&before, &end)) = self.retired_ids.range(..id).next_back()
            && end.saturating_add(1) >= id
        {
            (first, last) = (before, last.max(end));
        }
        if let Some(after) = last.checked_add(1).and_then(|next| self.retired_ids.remove(&next)) {
            last = after;
        }
        self.retired_ids.insert(first, last);
        if self.retired_ids.len() > MOST_RETIRED {
            self.retired_ids.pop_first(); // The longest ago.
        }
    }

    fn take_retired_id(&mut self, id: u64) -> bool {
        let Some((&first, &last)) = self.retired_ids.range(..=id).next_back() else { return false };
        if last < id {
            return false;
        }
        self.retired_ids.remove(&first);
        if first < id {
            self.retired_ids.insert(first, id - 1);
        }
        if id < last {
            self.retired_ids.insert(id + 1, last);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(unique_id: u64) -> Where {
        Where {
            place: Place::Chip(0),
            buffer_type: BufferType::Dram,
            address: 64,
            unique_id: Some(unique_id),
        }
    }

    #[test]
    fn each_retired_number_is_taken_once_in_any_order() {
        let mut recent = Recent::default();
        for id in [5, 3, 4, 9, 10, 0, u64::MAX, 1] {
            recent.note_retired(&view(id));
        }
        assert_eq!(
            Vec::from_iter(recent.retired_ids.clone()),
            [(0, 1), (3, 5), (9, 10), (u64::MAX, u64::MAX)]
        );
        assert!(recent.take_retired(&view(4)), "takes the address, too");
        for (id, is_retired) in
            [(4, false), (2, false), (10, true), (9, true), (3, true), (5, true), (6, false)]
        {
            assert_eq!(recent.take_retired(&view(id)), is_retired, "{id}");
        }
        assert_eq!(Vec::from_iter(recent.retired_ids), [(0, 1), (u64::MAX, u64::MAX)]);
    }

    #[test]
    fn what_nobody_deallocates_is_forgotten_in_time() {
        let mut recent = Recent::default();
        (0..MOST_RETIRED as u64 + 10).for_each(|id| recent.note_retired(&view(2 * id)));
        assert_eq!(recent.retired_ids.len(), MOST_RETIRED);
        assert!(!recent.take_retired_id(0));
    }
}
