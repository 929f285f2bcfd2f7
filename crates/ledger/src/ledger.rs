//! The ledger: applies a capture's lines in their order.

use crate::alias::Aliases;
use crate::anomaly::{Anomalies, Anomaly, Cause, What};
use crate::buffer::{Buffer, Ended, Ending};
use crate::circular::CircularBuffers;
use crate::contexts::{ContextId, Contexts, Meaning};
use crate::headroom::Headrooms;
use crate::hooked::Hooked;
use crate::ops::Ops;
use crate::owners::Owner;
use crate::place::{PlaceIndex, Places};
use crate::recent::{Recent, Where};
use crate::rules::{Facts, Rules};
use crate::slots::{Slot, Slots};
use crate::tally::{Moment, Weight};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tt_memtrace_wire::{Alloc, Dealloc, Event, Line, Stamp};

/// What one line meant for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// A definition, a name, or a kind that concerns no memory.
    Nothing,
    /// A new live buffer, or a view.
    Opened,
    /// A new live buffer at the address of another, whose deallocation was not seen.
    Replaced(Ended),
    /// The buffer was live already: two sources told of it, its size changed, or nobody says who owns the memory.
    Merged,
    /// A live buffer ended; this is what it held.
    Closed(Ended),
    /// One of the announcements of this buffer was taken back; there were more, so it lives on.
    Lowered(Buffer),
    /// So many buffers ended at once, without a deallocation each.
    Swept(usize),
    /// A buffer that had just been freed lives on.
    Retained,
    /// No memory was behind it: a capture that runs nothing, or a view whose owner had ended before.
    Expected,
    /// Circular buffers were laid out or released, so many.
    Circular(usize),
    /// The line does not add up; the last anomaly says why.
    Odd(What),
}

/// How a capture came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conclusion {
    /// The process ended by itself.
    Exit,
    /// The process is gone and did not say so.
    Death,
    /// The process still runs: what is live stays live.
    Running,
}

/// The state of one process's device memory after some of its events.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub(crate) places: Places,
    pub(crate) slots: Slots,
    pub(crate) aliases: Aliases,
    pub(crate) circular: CircularBuffers,
    pub(crate) headrooms: Headrooms,
    /// Views whose owner ended in this event.
    pub(crate) to_recount: Vec<Slot>,
    pub(crate) recent: Recent,
    pub(crate) anomalies: Anomalies,
    pub(crate) survivors: Vec<Ended>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) ops: Ops,
    pub(crate) contexts: Contexts,
    hooked: Hooked,
    roundings: FxHashMap<u64, Option<u64>>,
    n_dropped: u64,
    last: Stamp,
    /// The lowest and the highest number a buffer had.
    ids: Option<(u64, u64)>,
    is_parent_missing: bool,
}

impl Ledger {
    /// A ledger of a process that has done nothing, with the shipped rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with other rules.
    pub fn with_rules(rules: Arc<Rules>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// The rules by which buffers have their classes.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Takes the next line.
    pub fn apply(&mut self, line: &Line) -> Effect {
        match line {
            Line::Event(stamp, event) => {
                self.last = *stamp;
                let effect = self.event(*stamp, event);
                self.settle_views((*stamp).into());
                return effect;
            }
            Line::Mesh(mesh) => {
                let splits = self.places.define_mesh(mesh, self.last.into());
                self.follow(&splits);
                self.place_late_circular(mesh.mesh_id);
            }
            Line::Allocator(allocator) => {
                self.roundings.insert(allocator.allocator, allocator.bank_rounding_bytes);
                self.places.define_allocator(allocator, self.last.into());
                self.headrooms.forget_looks();
            }
            Line::Cores(cores) => self.circular.define_cores(cores),
            Line::Text(text) => self.contexts.define_text(text),
            Line::Stack(stack) => self.contexts.define_stack(stack),
            Line::Context(context) => self.contexts.define_context(context, &self.rules),
            Line::Device(_) | Line::Header(_) | Line::Footer(_) | Line::Recovery(_) | Line::Unknown(_) => {}
        }
        Effect::Nothing
    }

    /// Ends what is live, by how the capture ended.
    pub fn finish(&mut self, conclusion: Conclusion) {
        let ending = match conclusion {
            Conclusion::Running => return,
            Conclusion::Exit => Ending::Exit,
            Conclusion::Death => Ending::Death,
        };
        let all = self.slots.iter().map(|(slot, _)| slot).collect();
        let _ = self.end_all(all, ending, self.last);
        self.settle_views(self.last.into());
    }

    /// The ledger of a forked child, from its parent's at the fork. The child holds copies of the parent's
    /// buffers; figures begin with them, and peaks and anomalies begin anew.
    pub fn enter_child(&mut self, at: Moment) {
        self.slots.iter_mut().for_each(|buffer| buffer.is_inherited = true);
        self.restart_peaks(at);
        let renamed = self.circular.rename_cores();
        for buffer in self.slots.iter_mut() {
            buffer.alloc.cores = buffer.alloc.cores.map(|old| renamed.get(&old).copied().unwrap_or(old));
        }
        self.contexts.enter_child();
        self.recent = Recent::default();
        self.anomalies = Anomalies::default();
        self.survivors = Vec::new();
        self.n_dropped = 0;
        self.last = Stamp { n: 0, t_ns: at.t_ns, ..Stamp::default() };
    }

    /// All peaks, least rooms and counts of allocations begin anew, from what is live now.
    pub fn restart_peaks(&mut self, at: Moment) {
        self.places.restart(at);
        self.circular.restart(at);
        self.restart_headrooms(at);
    }

    /// For a forked child whose parent's capture was not found: unknown deallocations may be of inherited buffers.
    pub fn enter_orphan(&mut self) {
        self.is_parent_missing = true;
    }

    /// The buffers that were not freed by the program, in the order of their endings.
    pub fn survivors(&self) -> &[Ended] {
        &self.survivors
    }

    /// Forgets them: who looks at a process without end cannot keep every buffer that ever outlived something.
    pub fn forget_survivors(&mut self) {
        self.survivors.clear();
    }

    /// What threads were doing when buffers were allocated.
    pub fn contexts(&self) -> &Contexts {
        &self.contexts
    }

    /// What did not add up.
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// How many events the recorder had to drop.
    pub fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    /// In what multiples an allocator gives out a bank, if it told.
    pub(crate) fn rounding(&self, allocator: u64) -> Option<u64> {
        self.roundings.get(&allocator).copied().flatten()
    }

    fn event(&mut self, stamp: Stamp, event: &Event) -> Effect {
        if stamp.ctx != 0 {
            self.note_use(stamp);
        }
        match event {
            Event::Alloc(alloc) if alloc.hooked => {
                self.hooked.open(alloc.place, alloc.buffer_type, alloc.unique_id);
                Effect::Expected
            }
            Event::Alloc(alloc) => self.alloc(stamp, alloc),
            Event::Dealloc(dealloc) => self.dealloc(stamp, dealloc),
            Event::Retained { place, buffer_type, address, unique_id } => {
                let (place, buffer_type, address) = (*place, *buffer_type, *address);
                self.retain(stamp, &Where { place, buffer_type, address, unique_id: *unique_id })
            }
            Event::CbAlloc(cb) => self.lay_out(stamp, cb),
            Event::CbDealloc(dealloc) => self.release_circular(dealloc),
            Event::ProgramRun { program, place } => {
                self.circular.launch(*program, *place, stamp, self.contexts.telling(stamp.ctx));
                let place = self.places.find_or_add(*place);
                self.places.places[place].is_used = true;
                Effect::Nothing
            }
            Event::Sweep { allocator, cause } => self.sweep(stamp, *allocator, *cause),
            Event::Close { place } => self.close(stamp, *place),
            Event::Lost(lost) => {
                self.n_dropped = self.n_dropped.saturating_add(lost.dropped);
                Effect::Nothing
            }
            Event::OpBegin { name, .. } => {
                let were_recorded = self.ops.are_recorded;
                let is_use = self.ops.begin(stamp.tid, name, &self.rules);
                self.note_uses(u64::from(is_use), were_recorded, stamp);
                Effect::Nothing
            }
            Event::OpEnd => {
                self.ops.end(stamp.tid);
                Effect::Nothing
            }
            Event::Mark { .. } => {
                self.places.n_uses += 1;
                Effect::Nothing
            }
            // A refusal changes nothing, and what is loaded over time is not what a core holds: kernels are no memory here.
            Event::Failure(_)
            | Event::Fork { .. }
            | Event::KernelLoad(_)
            | Event::KernelUnload { .. }
            | Event::PhaseBegin { .. }
            | Event::PhaseEnd
            | Event::Trace { .. } => Effect::Nothing,
        }
    }

    /// A line of the program's Python, or an operation it called, is a use of whatever is open.
    fn note_use(&mut self, stamp: Stamp) {
        let context = self.contexts.find(stamp.ctx);
        if context.and_then(|context| self.contexts.meaning(context)) == Some(Meaning::Uses) {
            let were_recorded = std::mem::replace(&mut self.ops.are_recorded, true);
            self.note_uses(1, were_recorded, stamp);
        }
    }

    fn note_uses(&mut self, n: u64, were_recorded: bool, stamp: Stamp) {
        self.places.n_uses += n;
        if self.ops.are_recorded && !were_recorded {
            self.reclassify_all(stamp.into());
        }
    }

    fn alloc(&mut self, stamp: Stamp, alloc: &Alloc) -> Effect {
        let place = self.places.find_or_add(alloc.place);
        let rounding = alloc.allocator.and_then(|allocator| self.rounding(allocator));
        let rounding = rounding.or(self.places.places[place].rounding);
        let context = self.contexts.find(stamp.ctx);
        let facts = self.facts(place, stamp.tid, context);
        let class = self.rules.class(alloc, facts, self.ops.are_recorded);
        let buffer = Buffer { context, ..Buffer::new(alloc, stamp, rounding, facts, class) };
        let subject = Where::of(&buffer);
        self.recent.note_opened(&subject);
        if !buffer.tells_owner() {
            return self.refer(stamp, place, buffer);
        }
        self.note_id(alloc.unique_id);
        let before = match self.previous(place, &buffer) {
            Some((slot, true)) => return self.merge(stamp, slot, buffer),
            Some((slot, false)) => self.end(slot, Ending::Replaced, stamp),
            None => None,
        };
        self.open(place, buffer, stamp.into(), 1);
        before.map_or(Effect::Opened, Effect::Replaced)
    }

    fn facts(&mut self, place: PlaceIndex, tid: u32, context: Option<ContextId>) -> Facts {
        let meaning = context.and_then(|context| self.contexts.meaning(context));
        let n_uses = self.places.n_uses;
        let state = &mut self.places.places[place];
        state.is_used |= self.ops.is_open(tid) || meaning == Some(Meaning::Uses);
        Facts {
            during_open: self.ops.opens_device(tid) || meaning == Some(Meaning::OpensDevice),
            before_first_use: !state.is_used && n_uses == state.n_uses_before,
            freed_in_cache_clear: false,
        }
    }

    fn note_id(&mut self, id: Option<u64>) {
        if let Some(id) = id {
            let (low, high) = self.ids.unwrap_or((id, id));
            self.ids = Some((low.min(id), high.max(id)));
        }
    }

    /// A live buffer that cannot live on beside the new one, and whether it is the same one told twice.
    fn previous(&self, place: PlaceIndex, new: &Buffer) -> Option<(Slot, bool)> {
        let wanted = Where::of(new);
        if let Some(slot) = wanted.unique_id.and_then(|id| self.slots.by_id(id)) {
            let is_same = self.slots.get(slot).is_some_and(|known| Where::of(known).may_be(&wanted));
            return Some((slot, is_same));
        }
        let has_no_number = |known: &Buffer| known.alloc.unique_id.is_none() || new.alloc.unique_id.is_none();
        let slot = if new.owns_memory() {
            let allocator = new.alloc.allocator;
            let shares_memory = |known: &Buffer| allocator.is_some() && known.alloc.allocator == allocator;
            self.newest(self.owners_at(place, &wanted), |known| has_no_number(known) || shares_memory(known))
        } else {
            // At one address of a chip there may be parts of one buffer, and views of several meshes.
            self.newest(self.views_at(&wanted), |known| known.tells_owner() && has_no_number(known))
        };
        Some((slot?, false))
    }

    fn merge(&mut self, stamp: Stamp, slot: Slot, new: Buffer) -> Effect {
        let Some(known) = self.slots.get_mut(slot) else { return Effect::Nothing };
        let (from_bytes, to_bytes) = (known.alloc.size_bytes, new.alloc.size_bytes);
        if from_bytes == to_bytes {
            known.is_told_twice = true;
            // Each source may know what the other one does not.
            let (alloc, more) = (&mut known.alloc, new.alloc);
            alloc.allocator = alloc.allocator.or(more.allocator);
            alloc.n_cores = alloc.n_cores.or(more.n_cores);
            alloc.cores = alloc.cores.or(more.cores);
            known.context = known.context.or(new.context);
            return Effect::Merged;
        }
        let since = known.since;
        let subject = Where::of(&new);
        let place = self.places.find_or_add(new.place());
        let _ = self.end(slot, Ending::Replaced, stamp);
        self.open(place, Buffer { since, ..new }, stamp.into(), 0);
        self.odd(stamp, &subject, What::SizeChange { from_bytes, to_bytes })
    }

    pub(crate) fn open(&mut self, place: PlaceIndex, buffer: Buffer, at: Moment, n_new: u64) {
        let splits = self.places.join(place);
        self.follow(&splits);
        let slot = self.slots.insert(buffer);
        let Some(buffer) = self.slots.get(slot) else { return };
        if !buffer.owns_memory() {
            let (buffer_type, address) = (buffer.alloc.buffer_type, buffer.alloc.address);
            self.aliases.insert(slot, buffer);
            self.recount_inside(slot, at);
            self.recount(slot, at);
            self.note_new(slot, n_new);
            return self.note_room(place, buffer_type, address, at);
        }
        let buffer_type = buffer.alloc.buffer_type;
        let owner = Owner { start: buffer.alloc.address, slot, end: buffer.end() };
        let weight = Weight { n_new, ..buffer.weight() };
        let around = self.places.places[place].space(buffer_type, at).insert(owner, at);
        if !self.aliases.is_empty() {
            self.recount_inside(slot, at); // Before the owner is counted: both together were never live.
        }
        self.places.add(place, buffer_type, weight, at);
        self.check_overlap(slot, &around);
        self.check_capacity(place, slot);
        self.note_room(place, buffer_type, owner.start, at);
    }

    /// One without a memory type is of the type that was live at its address, or ended there last.
    fn dealloc(&mut self, stamp: Stamp, dealloc: &Dealloc) -> Effect {
        let Dealloc { place, address, unique_id, .. } = *dealloc;
        if dealloc.hooked {
            dealloc.buffer_type.map(|buffer_type| self.hooked.close(place, buffer_type, unique_id));
            return Effect::Expected;
        }
        let Some(buffer_type) = dealloc.buffer_type.or_else(|| self.type_at(place, address, unique_id))
        else {
            let what = What::UnknownDealloc(self.cause_of_unknown(unique_id, None));
            self.anomalies.push(Anomaly { at: stamp, place, buffer_type: None, address, unique_id, what });
            return Effect::Odd(what);
        };
        let wanted = Where { place, buffer_type, address, unique_id };
        if let Some(slot) = self.find(&wanted) {
            if let Some(lowered) = self.lower(slot) {
                return Effect::Lowered(lowered);
            }
            self.note_cache_clear(slot, stamp);
            let Some(ended) = self.end(slot, Ending::Deallocated, stamp) else { return Effect::Nothing };
            self.recent.note_closed(stamp, &ended.buffer);
            if ended.buffer.is_told_twice {
                self.recent.note_retired(&wanted);
            }
            return Effect::Closed(ended);
        }
        if self.recent.take_retired(&wanted) || self.hooked.close(place, buffer_type, unique_id) {
            return Effect::Expected;
        }
        let what = match self.recent.gone(&wanted) {
            Some(gone) if gone.is_freed => What::DoubleDealloc { first_n: gone.n },
            gone => What::UnknownDealloc(self.cause_of_unknown(unique_id, gone.map(|gone| gone.n))),
        };
        self.odd(stamp, &wanted, what)
    }

    fn cause_of_unknown(&self, unique_id: Option<u64>, by_n: Option<u64>) -> Cause {
        let is_early = |id| self.ids.is_none_or(|(low, _)| id < low);
        let is_seen = |id| self.ids.is_some_and(|(low, high)| low <= id && id <= high);
        match unique_id {
            _ if by_n.is_some() => Cause::AlreadyFreed { by_n },
            _ if self.n_dropped > 0 => Cause::Lost,
            Some(id) if is_seen(id) => Cause::AlreadyFreed { by_n },
            _ if self.is_parent_missing => Cause::OtherProcess,
            Some(id) if is_early(id) => Cause::BeforeCapture,
            _ => Cause::Other,
        }
    }

    fn retain(&mut self, stamp: Stamp, wanted: &Where) -> Effect {
        let Some(mut buffer) = self.recent.take_last_closed(stamp.tid, wanted) else {
            return self.odd(stamp, wanted, What::UnknownRetained);
        };
        buffer.n_freed = 0;
        buffer.n_announced = 1;
        self.recent.note_opened(wanted);
        let place = self.places.find_or_add(buffer.place());
        self.open(place, buffer, stamp.into(), 0);
        Effect::Retained
    }

    fn odd(&mut self, stamp: Stamp, subject: &Where, what: What) -> Effect {
        self.anomalies.note(stamp, subject, what);
        Effect::Odd(what)
    }
}
