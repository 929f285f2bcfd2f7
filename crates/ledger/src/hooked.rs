//! Buffers of captures that run nothing: the runtime announces them at address 0, and there is no memory
//! behind them. They are known, so that their deallocation is expected; they count nothing.

use rustc_hash::FxHashMap;
use tt_memtrace_wire::{BufferType, Place};

type Key = (Place, BufferType, Option<u64>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Hooked(FxHashMap<Key, u64>);

impl Hooked {
    pub(crate) fn open(&mut self, place: Place, buffer_type: BufferType, unique_id: Option<u64>) {
        *self.0.entry((place, buffer_type, unique_id)).or_default() += 1;
    }

    /// Whether there was one.
    pub(crate) fn close(&mut self, place: Place, buffer_type: BufferType, unique_id: Option<u64>) -> bool {
        let key = (place, buffer_type, unique_id);
        let Some(count) = self.0.get_mut(&key) else { return false };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&key);
        }
        true
    }
}
