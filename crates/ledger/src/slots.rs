//! The live buffers: one slot each, found again by the runtime's own number.

use crate::buffer::Buffer;
use rustc_hash::FxHashMap;

/// Names a live buffer until it is removed.
pub(crate) type Slot = usize;

#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Buffer>>,
    free: Vec<Slot>,
    by_id: FxHashMap<u64, Slot>,
}

impl Slots {
    pub(crate) fn insert(&mut self, buffer: Buffer) -> Slot {
        let id = buffer.alloc.unique_id;
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some(buffer),
            None => self.slots.push(Some(buffer)),
        }
        if let Some(id) = id {
            self.by_id.insert(id, slot);
        }
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Buffer> {
        let buffer = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        if let Some(id) = buffer.alloc.unique_id {
            self.by_id.remove(&id);
        }
        Some(buffer)
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Buffer> {
        self.slots.get(slot)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Buffer> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(crate) fn by_id(&self, unique_id: u64) -> Option<Slot> {
        self.by_id.get(&unique_id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Buffer)> {
        self.slots.iter().enumerate().filter_map(|(slot, buffer)| Some((slot, buffer.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Buffer> {
        self.slots.iter_mut().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
