//! What a recorded process holds: the events that have not ended, and all definitions. A server that is told of these
//! alone has the figures of one that was told of everything.
//!
//! No accounting: nothing is summed here. It is only decided which earlier events a later one makes superfluous, by
//! the ledger's rules, and a test of the ledger holds the two together. Memory is O(what is live).

mod definitions;
mod programs;

use crate::event::{Address, Alloc, BufferType, Dealloc, Event, Place, Stamp};
use crate::line::Line;
use definitions::Definitions;
use programs::Programs;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Events that no rule here explains, or that concern a parent's buffers, are kept, so many at most.
const MOST_KEPT: usize = 1 << 16;
/// Events beside the allocation itself that one buffer needs; ordinary ones need none.
const MOST_BESIDE: usize = 16;
/// After a place was named first, so many marks and beginnings of ops are kept: what was there before them is the
/// system's. The first ones may open a device, which is no use of it.
const USES_OF_A_PLACE: usize = 4;
const MOST_USES: usize = 1 << 12;
/// So many threads' last deallocations are known; it is the last one that may be undone.
const MOST_THREADS: usize = 256;
const MOST_OPEN: usize = 1 << 12;
/// So many views are looked at for one that holds another, as in the ledger.
const N_BELOW: usize = 64;

/// A buffer that has not ended.
#[derive(Debug, Clone)]
struct Held {
    /// The number of the event from which it counts.
    since: u64,
    stamp: Stamp,
    alloc: Alloc,
    /// As far as any source told it.
    allocator: Option<u64>,
    /// As the allocator rounds.
    bank_bytes: u64,
    /// Other events that are needed to make this buffer again.
    beside: Vec<(Stamp, Event)>,
}

impl Held {
    fn owns(&self) -> bool {
        self.alloc.owns_data == Some(true)
    }

    fn end(&self) -> Address {
        self.alloc.address.saturating_add(self.bank_bytes)
    }

    fn may_have(&self, id: Option<u64>) -> bool {
        self.alloc.unique_id.is_none() || id.is_none() || self.alloc.unique_id == id
    }

    fn is_at(&self, wanted: &Where) -> bool {
        (self.alloc.place, self.alloc.buffer_type, self.alloc.address)
            == (wanted.place, wanted.buffer_type, wanted.address)
            && self.may_have(wanted.id)
    }

    fn inherit(&mut self, earlier: Self) {
        self.beside = earlier.beside;
        self.beside.push((earlier.stamp, Event::Alloc(earlier.alloc)));
        if self.beside.len() > MOST_BESIDE {
            self.beside.remove(1);
        }
    }
}

#[derive(Clone, Copy)]
struct Where {
    place: Place,
    buffer_type: BufferType,
    address: Address,
    id: Option<u64>,
}

impl Where {
    fn of(alloc: &Alloc) -> Self {
        let Alloc { place, buffer_type, address, unique_id, .. } = *alloc;
        Self { place, buffer_type, address, id: unique_id }
    }
}

/// One map for all ways to find a buffer: its code is there once.
type Key = [u64; 4];

fn id_key(id: u64) -> Key {
    [0, id, 0, 0]
}

fn owner_key(buffer_type: BufferType, place: Place, address: Address, since: u64) -> Key {
    let place = match place {
        Place::Chip(chip) => u64::from(chip) << 1,
        Place::Mesh(mesh_id) => u64::from(mesh_id) << 1 | 1,
    };
    [1 << 32 | u64::from(buffer_type.number()), place, address, since]
}

fn view_key(buffer_type: BufferType, address: Address, since: u64) -> Key {
    [2 << 32 | u64::from(buffer_type.number()), address, since, 0]
}

/// What a process holds after the events it was told of.
#[derive(Debug, Default)]
pub struct Live {
    definitions: Definitions,
    held: Vec<Option<Held>>,
    free: Vec<usize>,
    index: BTreeMap<Key, usize>,
    /// How many of the buffers do not own their memory.
    n_views: usize,
    /// The memory types that were seen.
    types: Vec<BufferType>,
    /// The buffer that each thread's last deallocation ended, and when.
    last_closed: Vec<(Stamp, Dealloc, Held)>,
    programs: Programs,
    /// Ops, and phases, that are open.
    open: Vec<(Stamp, Event)>,
    places: Vec<Place>,
    /// The first buffer of each place that is not closed: from then on its chips are known to belong to it.
    firsts: Vec<(Stamp, Alloc)>,
    uses: Vec<(Stamp, Event)>,
    uses_wanted: usize,
    /// Of a forked child: what may concern the buffers of its parent.
    kept: Vec<(Stamp, Event)>,
    is_child: bool,
    n_inexact: u64,
}

impl Live {
    /// Of a process that holds nothing, but its parent's buffers if it is a forked child.
    pub fn new(is_child: bool) -> Self {
        Self { is_child, ..Self::default() }
    }

    /// How many events there were whose meaning is not, or no longer, in what this holds.
    pub fn n_inexact(&self) -> u64 {
        self.n_inexact
    }

    /// How many buffers are held.
    pub fn n_held(&self) -> usize {
        self.held.len() - self.free.len()
    }

    /// Takes the line of a definition that was made after event `n`.
    pub fn define(&mut self, n: u64, line: &[u8]) {
        if let Some(place) = self.definitions.add(n, line) {
            self.name(place);
        }
    }

    /// Takes the next event.
    pub fn apply(&mut self, stamp: Stamp, event: &Event) {
        match event {
            Event::Alloc(alloc) if alloc.hooked => {}
            Event::Alloc(alloc) => self.alloc(stamp, alloc),
            Event::Dealloc(dealloc) if dealloc.hooked => {}
            Event::Dealloc(dealloc) => {
                if !self.dealloc(stamp, dealloc) {
                    self.keep(stamp, event);
                }
            }
            Event::Retained { place, buffer_type, address, unique_id } => {
                let wanted =
                    Where { place: *place, buffer_type: *buffer_type, address: *address, id: *unique_id };
                if !self.retain(stamp, &wanted, event) {
                    self.keep(stamp, event);
                }
            }
            Event::Sweep { allocator, .. } => {
                self.end_all(|held| held.allocator == Some(*allocator));
                self.keep(stamp, event);
            }
            Event::Close { place } => {
                self.end_all(|held| held.alloc.place == *place);
                self.programs.leave(*place);
                self.firsts.retain(|(_, first)| first.place != *place);
                self.last_closed.retain(|(.., held)| held.alloc.place != *place);
                self.keep(stamp, event);
            }
            Event::CbAlloc(cb) => self.programs.lay_out(stamp, cb),
            Event::CbDealloc(dealloc) => {
                self.programs.release(dealloc, &self.definitions);
                self.keep(stamp, event);
            }
            Event::ProgramRun { program, place } => {
                self.name(*place);
                self.programs.launch(stamp, *program, *place);
            }
            Event::OpBegin { .. } => {
                self.note_use(stamp, event);
                self.begin(stamp, event);
            }
            Event::PhaseBegin { .. } => self.begin(stamp, event),
            Event::OpEnd | Event::PhaseEnd => self.end_innermost(stamp, event),
            Event::Mark { .. } => self.note_use(stamp, event),
            // No memory: what is loaded is evicted without a word, a trace's buffers are buffers, and what was refused
            // holds nothing. Losses are told beside the state, as a sum. A fork is of use to who was there.
            Event::KernelLoad(_)
            | Event::KernelUnload { .. }
            | Event::Trace { .. }
            | Event::Failure(_)
            | Event::Lost(_)
            | Event::Fork { .. } => {}
        }
    }

    /// Appends all of it as lines of a capture: definitions, and events as they were, in their order. Two facts are told
    /// by two events of one `n`: that a place is in use which holds nothing (a buffer of no size comes and goes), and
    /// that the program is gone which was launched there first or last.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut events: Vec<(u64, u8, Stamp, Event)> = Vec::new();
        let mut add = |stamp: Stamp, event: Event| events.push((stamp.n, 0, stamp, event));
        let closed = || self.last_closed.iter().map(|(.., held)| held);
        for held in self.held.iter().flatten().chain(closed()) {
            add(held.stamp, Event::Alloc(held.alloc.clone()));
            held.beside.iter().for_each(|(stamp, event)| add(*stamp, event.clone()));
        }
        // It may turn out to be retained.
        for (stamp, dealloc, _) in &self.last_closed {
            add(*stamp, Event::Dealloc(dealloc.clone()));
        }
        for (stamp, event) in self.open.iter().chain(&self.uses).chain(&self.kept) {
            add(*stamp, event.clone());
        }
        self.programs.add_to(&mut events);
        // Where nothing is left, the first buffer still says that the place is in use; of no size, it touches no view.
        let is_held =
            |place: Place| self.held.iter().flatten().chain(closed()).any(|held| held.alloc.place == place);
        for (stamp, first) in self.firsts.iter().filter(|(_, first)| !is_held(first.place)) {
            let empty = Alloc { size_bytes: 0, per_bank_bytes: 0, ..first.clone() };
            // By no thread: it is not what a thread has closed last.
            events.push((stamp.n, 1, Stamp { tid: 0, ..*stamp }, Event::Dealloc(dealloc_of(&empty))));
            events.push((stamp.n, 0, *stamp, Event::Alloc(empty)));
        }
        let mut order = Order::new();
        for (at, (n, rank, ..)) in events.iter().enumerate() {
            order.push(2 * n + u64::from(*rank), at);
        }
        let mut definitions = self.definitions.lines().peekable();
        let mut last = None;
        while let Some((key, at)) = order.pop() {
            let Some((n, _, stamp, event)) = events.get_mut(at).filter(|_| last != Some(key)) else {
                continue;
            };
            last = Some(key);
            while let Some((_, line)) = definitions.next_if(|(after, _)| *after < *n) {
                out.extend_from_slice(line);
            }
            Line::Event(*stamp, std::mem::replace(event, Event::OpEnd)).write_to(out);
        }
        definitions.for_each(|(_, line)| out.extend_from_slice(line));
    }

    /// For a child the server has to tell its inherited buffers' fate from the events themselves.
    fn keep(&mut self, stamp: Stamp, event: &Event) {
        if !self.is_child {
            return;
        }
        if self.kept.len() < MOST_KEPT {
            self.kept.push((stamp, event.clone()));
        } else {
            self.n_inexact += 1;
        }
    }

    fn name(&mut self, place: Place) {
        if !self.places.contains(&place) {
            self.places.push(place);
            self.uses_wanted = USES_OF_A_PLACE;
        }
    }

    fn note_use(&mut self, stamp: Stamp, event: &Event) {
        if self.uses_wanted > 0 && self.uses.len() < MOST_USES {
            self.uses_wanted -= 1;
            self.uses.push((stamp, event.clone()));
        }
    }

    fn begin(&mut self, stamp: Stamp, event: &Event) {
        if self.open.len() < MOST_OPEN {
            self.open.push((stamp, event.clone()));
        } else {
            self.n_inexact += 1;
        }
    }

    fn end_innermost(&mut self, stamp: Stamp, event: &Event) {
        let is_op = matches!(event, Event::OpEnd);
        let is_its = |(begun, other): &(Stamp, Event)| {
            begun.tid == stamp.tid && matches!(other, Event::OpBegin { .. }) == is_op
        };
        let Some(at) = self.open.iter().rposition(is_its) else { return };
        let (begun, _) = self.open.remove(at);
        if self.uses.iter().any(|(used, _)| used.n == begun.n) {
            self.uses.push((stamp, event.clone()));
        }
    }

    fn get(&self, slot: usize) -> Option<&Held> {
        self.held.get(slot)?.as_ref()
    }

    /// The buffers between two keys, the last one first.
    fn between(&self, from: Key, to: Key) -> impl Iterator<Item = (usize, &Held)> {
        let slots = self.index.range(from..=to).rev().map(|(_, slot)| *slot);
        slots.filter_map(|slot| Some((slot, self.get(slot)?)))
    }

    fn owners_at(&self, wanted: &Where) -> impl Iterator<Item = (usize, &Held)> + use<'_> {
        let key = |since| owner_key(wanted.buffer_type, wanted.place, wanted.address, since);
        self.between(key(0), key(u64::MAX))
    }

    fn views_at(&self, wanted: &Where) -> impl Iterator<Item = (usize, &Held)> + use<'_> {
        let key = |since| view_key(wanted.buffer_type, wanted.address, since);
        let place = wanted.place;
        self.between(key(0), key(u64::MAX)).filter(move |(_, held)| held.alloc.place == place)
    }

    fn find(&self, wanted: &Where) -> Option<usize> {
        let by_id = wanted.id.and_then(|id| self.index.get(&id_key(id)).copied());
        let mut all = self.owners_at(wanted).chain(self.views_at(wanted));
        by_id.or_else(|| all.find(|(_, held)| held.may_have(wanted.id)).map(|(slot, _)| slot))
    }

    /// A buffer at its address that cannot live on beside the new one.
    fn clash(&self, new: &Held) -> Option<usize> {
        let wanted = Where::of(&new.alloc);
        let has_no_number = |held: &Held| held.alloc.unique_id.is_none() || wanted.id.is_none();
        let shares_memory = |held: &Held| held.allocator.is_some() && held.allocator == new.alloc.allocator;
        let found = if new.owns() {
            self.owners_at(&wanted).find(|(_, held)| has_no_number(held) || shares_memory(held))
        } else {
            self.views_at(&wanted).find(|(_, held)| has_no_number(held))
        };
        found.map(|(slot, _)| slot)
    }

    fn alloc(&mut self, stamp: Stamp, alloc: &Alloc) {
        self.name(alloc.place);
        if !self.types.contains(&alloc.buffer_type) {
            self.types.push(alloc.buffer_type);
        }
        if self.firsts.iter().all(|(_, first)| first.place != alloc.place) {
            self.firsts.push((stamp, alloc.clone()));
        }
        let mut new = Held {
            since: stamp.n,
            stamp,
            alloc: alloc.clone(),
            allocator: alloc.allocator,
            bank_bytes: self.definitions.round(alloc),
            beside: Vec::new(),
        };
        let wanted = Where::of(alloc);
        let known = wanted.id.and_then(|id| self.index.get(&id_key(id)).copied());
        if let Some(slot) = known
            && self.get(slot).is_some_and(|held| held.is_at(&wanted))
        {
            return self.merge(slot, new);
        }
        if alloc.owns_data.is_none()
            && let Some(slot) = self.counted_at(&wanted)
        {
            return self.count_again(slot, new);
        }
        let replaced = known.or_else(|| self.clash(&new)).and_then(|slot| self.end(slot));
        // Told without the replaced one, the new one would replace another, that lives on.
        if let Some(replaced) = replaced
            && self.clash(&new).is_some()
        {
            new.inherit(replaced);
        }
        self.insert(new);
    }

    /// A second source tells of the same buffer, or its size has changed.
    fn merge(&mut self, slot: usize, mut new: Held) {
        let Some(held) = self.held.get_mut(slot).and_then(Option::as_mut) else { return };
        if held.alloc.size_bytes == new.alloc.size_bytes {
            held.allocator = held.allocator.or(new.allocator);
            if held.beside.len() < MOST_BESIDE {
                held.beside.push((new.stamp, Event::Alloc(new.alloc)));
            }
        } else if let Some(earlier) = self.end(slot) {
            // Told as if it had been so from its beginning.
            (new.since, new.stamp, new.beside) = (earlier.since, earlier.stamp, earlier.beside);
            let id = new.alloc.unique_id;
            new.beside.retain(|(_, event)| !matches!(event, Event::Alloc(told) if told.unique_id == id));
            self.insert(new);
        }
    }

    /// A buffer there of a source that does not say who owns memory.
    fn counted_at(&self, wanted: &Where) -> Option<usize> {
        let is_counted = |(_, held): &(usize, &Held)| held.alloc.owns_data.is_none();
        self.views_at(wanted).find(is_counted).map(|(slot, _)| slot)
    }

    /// A source that does not say who owns memory tells of it once more; it will tell of as many endings.
    fn count_again(&mut self, slot: usize, new: Held) {
        if let Some(held) = self.held.get_mut(slot).and_then(Option::as_mut) {
            held.beside.push((new.stamp, Event::Alloc(new.alloc)));
        }
    }

    fn insert(&mut self, held: Held) {
        let slot = self.free.pop().unwrap_or(self.held.len());
        let alloc = &held.alloc;
        if let Some(id) = alloc.unique_id {
            self.index.insert(id_key(id), slot);
        }
        self.index.insert(key_of(&held), slot);
        self.n_views += usize::from(!held.owns());
        match self.held.get_mut(slot) {
            Some(place) => *place = Some(held),
            None => self.held.push(Some(held)),
        }
    }

    /// False if nothing is known of such a buffer.
    fn dealloc(&mut self, stamp: Stamp, dealloc: &Dealloc) -> bool {
        let Dealloc { place, address, unique_id: id, .. } = *dealloc;
        let of = |buffer_type| self.find(&Where { place, buffer_type, address, id });
        let found = match dealloc.buffer_type {
            Some(buffer_type) => of(buffer_type),
            None => {
                let all = self.types.iter().filter_map(|buffer_type| of(*buffer_type));
                all.max_by_key(|slot| self.get(*slot).map(|held| held.since))
            }
        };
        let Some(slot) = found else { return false };
        if self.held.get_mut(slot).and_then(Option::as_mut).is_some_and(count_down) {
            return true;
        }
        if let Some(held) = self.end(slot) {
            self.last_closed.retain(|(closed, ..)| closed.tid != stamp.tid);
            if self.last_closed.len() == MOST_THREADS {
                self.last_closed.remove(0);
            }
            self.last_closed.push((stamp, dealloc.clone(), held));
        }
        true
    }

    fn retain(&mut self, stamp: Stamp, wanted: &Where, event: &Event) -> bool {
        let is_its =
            |(closed, _, held): &(Stamp, Dealloc, Held)| closed.tid == stamp.tid && held.is_at(wanted);
        let Some(at) = self.last_closed.iter().position(is_its) else { return false };
        let (closed, dealloc, mut held) = self.last_closed.swap_remove(at);
        // Others may have had its address meanwhile: one who is told of them has to be told how it came about. But not
        // of its end, if a view outlived that with the help of an owner that is gone.
        let same_id = wanted.id.and_then(|id| self.index.get(&id_key(id)).copied());
        let clash = same_id.or_else(|| self.clash(&held)).and_then(|slot| self.get(slot));
        let has_old_views = held.owns() && self.inside(&held).any(|(_, view)| view.since < closed.n);
        if !has_old_views || clash.is_some_and(|other| other.since > held.since) {
            held.beside.push((closed, Event::Dealloc(dealloc)));
            held.beside.push((stamp, event.clone()));
        }
        self.insert(held);
        true
    }

    /// Views first, then in the order of their allocation.
    fn end_all(&mut self, is_one: impl Fn(&Held) -> bool) {
        let mut order = Order::new();
        for (slot, held) in self.held.iter().enumerate() {
            if let Some(held) = held.as_ref().filter(|held| is_one(held)) {
                order.push(u64::from(held.owns()) << 63 | held.since, slot);
            }
        }
        while let Some((_, slot)) = order.pop() {
            self.end(slot);
        }
    }

    fn end(&mut self, slot: usize) -> Option<Held> {
        let views = self.views_of(slot);
        let held = self.held.get_mut(slot)?.take()?;
        self.free.push(slot);
        if let Some(id) = held.alloc.unique_id {
            self.index.remove(&id_key(id));
        }
        self.index.remove(&key_of(&held));
        self.n_views -= usize::from(!held.owns());
        let lost: Vec<usize> = views.into_iter().filter(|view| self.lost_its_owner(*view, &held)).collect();
        for view in lost {
            self.end(view);
        }
        Some(held)
    }

    /// The views that start in an owner's range.
    fn inside(&self, owner: &Held) -> impl Iterator<Item = (usize, &Held)> {
        let (buffer_type, start) = (owner.alloc.buffer_type, owner.alloc.address);
        let last = owner.end().saturating_sub(1);
        let range =
            (last >= start).then(|| (view_key(buffer_type, start, 0), view_key(buffer_type, last, u64::MAX)));
        range.into_iter().flat_map(|(from, to)| self.between(from, to))
    }

    /// Those of them that count nowhere.
    fn views_of(&self, slot: usize) -> Vec<usize> {
        let owner = self.get(slot).filter(|held| held.owns() && self.n_views > 0);
        let inside = owner.into_iter().flat_map(|owner| self.inside(owner));
        inside.filter(|(slot, view)| !self.counts(*slot, view)).map(|(slot, _)| slot).collect()
    }

    fn lost_its_owner(&self, view: usize, owner: &Held) -> bool {
        let Some(view) = self.get(view) else { return false };
        let of_owner = self.definitions.chips(owner.alloc.place);
        let mut bare = self.without_owner(view).peekable();
        view.end() <= owner.end() && bare.peek().is_some() && bare.all(|chip| of_owner.contains(chip))
    }

    /// The chips on which no owner covers the view.
    fn without_owner<'a>(&'a self, view: &'a Held) -> impl Iterator<Item = u32> + use<'a> {
        let chips = self.definitions.chips(view.alloc.place);
        chips.into_iter().filter(|chip| !self.is_covered(view, *chip))
    }

    /// Whether the view counts on some chip: no owner covers it there, and no larger or older view holds it.
    fn counts(&self, slot: usize, view: &Held) -> bool {
        let (buffer_type, address) = (view.alloc.buffer_type, view.alloc.address);
        let holds = |chip: u32| {
            let below = self.between(view_key(buffer_type, 0, 0), view_key(buffer_type, address, u64::MAX));
            let mut others = below.filter(|(other, _)| *other != slot).take(N_BELOW);
            others.any(|(_, other)| {
                view.end() <= other.end()
                    && (other.bank_bytes, view.since) > (view.bank_bytes, other.since)
                    && self.definitions.chips(other.alloc.place).contains(chip)
            })
        };
        self.without_owner(view).any(|chip| !holds(chip))
    }

    /// Of each allocator that serves the chip, the owner that starts next below is looked at, as in the ledger.
    fn is_covered(&self, view: &Held, chip: u32) -> bool {
        let (buffer_type, address) = (view.alloc.buffer_type, view.alloc.address);
        let mut places = self.places.iter().filter(|place| self.definitions.chips(**place).contains(chip));
        places.any(|&place| {
            let key = |address, since| owner_key(buffer_type, place, address, since);
            let Some((_, below)) = self.between(key(0, 0), key(address, u64::MAX)).next() else {
                return false;
            };
            self.owners_at(&Where::of(&below.alloc)).any(|(_, owner)| view.end() <= owner.end())
        })
    }
}

/// Puts positions into the order of their keys, equal ones into their own: with the heap that [`Merge`] uses, too, as
/// every sort is two KB of code.
///
/// [`Merge`]: crate::spool::Merge
struct Order(BinaryHeap<Reverse<(u64, u32)>>);

impl Order {
    fn new() -> Self {
        Self(BinaryHeap::new())
    }

    fn push(&mut self, key: u64, at: usize) {
        self.0.push(Reverse((key, u32::try_from(at).unwrap_or(u32::MAX))));
    }

    fn pop(&mut self) -> Option<(u64, usize)> {
        self.0.pop().map(|Reverse((key, at))| (key, at as usize))
    }
}

fn dealloc_of(alloc: &Alloc) -> Dealloc {
    let Alloc { place, buffer_type, address, unique_id, .. } = *alloc;
    Dealloc { place, buffer_type: Some(buffer_type), address, size_bytes: None, unique_id, hooked: false }
}

fn key_of(held: &Held) -> Key {
    let (buffer_type, address) = (held.alloc.buffer_type, held.alloc.address);
    if held.owns() {
        owner_key(buffer_type, held.alloc.place, address, held.since)
    } else {
        view_key(buffer_type, address, held.since)
    }
}

/// Whether a buffer of a source that counts lives on: it was told more often than it ended.
fn count_down(held: &mut Held) -> bool {
    if held.alloc.owns_data.is_some() {
        return false;
    }
    let Some((_, Event::Alloc(told))) = held.beside.pop() else { return false };
    // It counts at the largest size it was announced with.
    held.alloc.size_bytes = held.alloc.size_bytes.max(told.size_bytes);
    held.alloc.per_bank_bytes = held.alloc.per_bank_bytes.max(told.per_bank_bytes);
    true
}
