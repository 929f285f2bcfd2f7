//! How buffers end: one by one, or all of an allocator, of a mesh, or of the process at once.

use crate::alias::Counted;
use crate::buffer::{Buffer, Ended, Ending};
use crate::ledger::{Effect, Ledger};
use crate::recent::Where;
use crate::slots::Slot;
use tt_memtrace_wire::{Place, Stamp, SweepCause};

impl Ledger {
    pub(crate) fn sweep(&mut self, stamp: Stamp, allocator: u64, cause: SweepCause) -> Effect {
        let ending = match cause {
            SweepCause::Call => Ending::Sweep,
            SweepCause::Close => Ending::Close,
            SweepCause::Exit => Ending::Exit,
        };
        let held = self.slots.iter().filter(|(_, buffer)| buffer.alloc.allocator == Some(allocator));
        let held = held.map(|(slot, _)| slot).collect();
        Effect::Swept(self.end_all(held, ending, stamp))
    }

    pub(crate) fn close(&mut self, stamp: Stamp, place: Place) -> Effect {
        let held = self.slots.iter().filter(|(_, buffer)| buffer.place() == place);
        let held = held.map(|(slot, _)| slot).collect();
        let n_ended = self.end_all(held, Ending::Close, stamp);
        if let Some(index) = self.places.find(place) {
            self.places.leave(index);
        }
        self.leave_programs(place);
        Effect::Swept(n_ended)
    }

    /// Ends these buffers, views first, then in the order of their allocation, and keeps those that held memory
    /// as survivors.
    pub(crate) fn end_all(&mut self, mut slots: Vec<Slot>, ending: Ending, stamp: Stamp) -> usize {
        let rank = |buffer: &Buffer| (buffer.owns_memory(), buffer.since.n);
        slots.sort_unstable_by_key(|slot| self.slots.get(*slot).map(rank));
        let mut n_ended = 0;
        for slot in slots {
            let Some(buffer) = self.slots.get(slot) else { continue };
            let held_memory = buffer.owns_memory() || self.aliases.is_counted(slot, buffer);
            let Some(ended) = self.end(slot, ending, stamp) else { continue };
            n_ended += 1;
            self.recent.note_ended(stamp, &Where::of(&ended.buffer), false);
            if held_memory {
                self.survivors.push(ended);
            } else {
                self.recent.note_retired(&Where::of(&ended.buffer));
            }
        }
        n_ended
    }

    pub(crate) fn end(&mut self, slot: Slot, ending: Ending, stamp: Stamp) -> Option<Ended> {
        let buffer = self.slots.remove(slot)?;
        if buffer.owns_memory() {
            let (buffer_type, address) = (buffer.alloc.buffer_type, buffer.alloc.address);
            let place = self.places.find_or_add(buffer.place());
            self.places.take(place, buffer_type, buffer.weight());
            if let Some(space) = self.places.places[place].known_space(buffer_type) {
                space.remove(address, slot);
            }
            if !self.aliases.is_empty() {
                self.end_views(&buffer, stamp);
            }
        } else {
            let mut counted = Counted { places: &mut self.places, at: stamp.into() };
            self.aliases.remove(slot, &buffer, &mut counted);
            self.to_recount.extend(self.affected_inside(&buffer));
        }
        Some(Ended { buffer, ending, at: stamp })
    }
}
