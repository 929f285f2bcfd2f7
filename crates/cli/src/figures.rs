//! The figures of what the filters keep: what was live when the interval began and ended, and the peaks between.
//!
//! The capture's own ledger sees every event. Beside it, a second one is given only the buffers that are kept,
//! from the beginning of the interval to its end, so that its peaks are those of these buffers alone.

use crate::filters::Selection;
use crate::replay::Replay;
use std::collections::BTreeMap;
use tt_memtrace_ledger::{Buffer, CircularFootprint, Effect, Gauge, Ledger, Moment, Totals, TypeTotals};
use tt_memtrace_wire::{Alloc, BufferType, CbAlloc, Dealloc, Event, Line, Place, Stamp};

/// Figures by chip; each chip's by type.
pub type ByChip = BTreeMap<u32, Vec<TypeTotals>>;

/// Collects the figures while a capture is replayed.
pub struct Figures {
    selection: Selection,
    /// Absent before the interval; and if everything is kept: then the figures are the capture's own.
    kept: Option<Ledger>,
    is_over: bool,
    circular: BTreeMap<u32, CircularFootprint>,
    at_start: ByChip,
}

impl Figures {
    /// Nothing yet.
    pub fn new(selection: &Selection) -> Self {
        let selection = selection.clone();
        Self { selection, kept: None, is_over: false, circular: BTreeMap::new(), at_start: ByChip::new() }
    }

    /// Sees a line after the capture's ledger took it.
    pub fn see(&mut self, line: &Line, effect: &Effect, ledger: &Ledger) {
        if self.selection.is_all() || self.is_over {
            return;
        }
        let n = if let Line::Event(stamp, _) = line { stamp.n } else { 0 };
        self.is_over = self.selection.interval.is_some_and(|interval| n > interval.to);
        if self.is_over {
            return;
        }
        match line {
            Line::Header(header) if self.selection.interval.is_none_or(|interval| interval.after == 0) => {
                self.begin(ledger, Moment { n: 0, t_ns: header.t_ns });
            }
            Line::Event(stamp, _) if self.selection.is_before(stamp.n) => {
                if self.selection.interval.is_some_and(|interval| stamp.n == interval.after) {
                    self.begin(ledger, (*stamp).into());
                }
            }
            Line::Event(stamp, event) => self.event(*stamp, event, line, effect, ledger),
            _ => {
                let _ = self.kept.as_mut().map(|kept| kept.apply(line));
            }
        }
    }

    /// Sees the end of the capture, before the end of the process takes what is live.
    pub fn finish(&mut self, replay: &Replay) {
        if !self.selection.is_all() && self.kept.is_none() {
            self.begin(&replay.ledger, replay.last); // The interval would begin after the last event.
        }
    }

    /// Begins with what is live, as a forked child does: peaks and counts start from there.
    fn begin(&mut self, ledger: &Ledger, at: Moment) {
        let snapshot = ledger.snapshot();
        let mut kept = ledger.clone();
        let live = snapshot.live().into_iter();
        // Views end with their owners.
        let is_view = |buffer: &Buffer| buffer.alloc.owns_data == Some(false);
        for buffer in live.filter(|buffer| !is_view(buffer) && !self.selection.has_buffer(buffer, snapshot)) {
            while let Effect::Lowered(_) = kept.apply(&dealloc_of(buffer, buffer.since)) {}
        }
        kept.enter_child(at);
        self.at_start = by_chip(&kept.snapshot().chips(), &self.selection);
        self.kept = Some(kept);
        for cb in snapshot.circular_buffers() {
            self.circular_buffer(&cb, at, ledger);
        }
    }

    fn event(&mut self, stamp: Stamp, event: &Event, line: &Line, effect: &Effect, ledger: &Ledger) {
        let snapshot = ledger.snapshot();
        let is_kept = match (event, effect) {
            (Event::CbAlloc(cb), _) => {
                self.circular_buffer(cb, stamp.into(), ledger);
                false
            }
            (Event::Dealloc(_), Effect::Closed(ended)) => self.selection.has_buffer(&ended.buffer, snapshot),
            (Event::Dealloc(_) | Event::CbDealloc(_), _) => false,
            (Event::Alloc(alloc), _) => self.selection.has_alloc(alloc, snapshot),
            _ => true,
        };
        let Some(kept) = &mut self.kept else { return };
        if is_kept {
            // What was announced several times may have been kept fewer times: it ends where the whole does.
            while let Effect::Lowered(_) = kept.apply(line) {}
        } else if let Effect::Replaced(ended) = effect {
            let _ = kept.apply(&dealloc_of(&ended.buffer, stamp));
        }
    }

    fn circular_buffer(&mut self, cb: &CbAlloc, at: Moment, ledger: &Ledger) {
        let snapshot = ledger.snapshot();
        if cb.globally_allocated || !self.selection.has_circular_buffer(cb, snapshot) {
            return;
        }
        let end = cb.address.saturating_add(cb.size_bytes);
        let new = CircularFootprint { base: cb.address, peak_end: end, peak_at: at };
        let lone = if let Place::Chip(chip) = cb.place { Some(chip) } else { None };
        let of_mesh = if lone.is_none() { snapshot.chips_of(cb.place) } else { &[] };
        for chip in lone.into_iter().chain(of_mesh.iter().copied()).filter(|c| self.selection.has_chip(*c)) {
            let known = self.circular.entry(chip).or_insert(new);
            known.base = known.base.min(new.base);
            if new.peak_end > known.peak_end {
                (known.peak_end, known.peak_at) = (new.peak_end, new.peak_at);
            }
        }
    }

    /// The figures when the interval began.
    pub fn at_start(&self) -> ByChip {
        self.at_start.clone()
    }

    /// The figures at the end of the interval, or after the last event of the capture.
    pub fn at_end(&self, replay: &Replay) -> ByChip {
        match &self.kept {
            Some(kept) => by_chip(&kept.snapshot().chips(), &self.selection),
            None => by_chip(&replay.at_end, &self.selection),
        }
    }

    /// The totals of each group of chips, those of chips that are not shown left out.
    pub fn chips(&self, replay: &Replay) -> Vec<Totals> {
        let mut groups = match &self.kept {
            Some(kept) => kept.snapshot().chips(),
            None => replay.at_end.clone(),
        };
        groups.iter_mut().for_each(|group| group.chips.retain(|chip| self.selection.has_chip(*chip)));
        groups.retain(|group| !group.chips.is_empty());
        groups
    }

    /// Logical bytes over all chips, in all and by type; none if chips of the capture are not shown.
    pub fn global(&self, replay: &Replay) -> Option<(Gauge, Vec<(BufferType, Gauge)>)> {
        let ledger = self.kept.as_ref().unwrap_or(&replay.ledger);
        let is_whole = replay.chips.iter().all(|chip| self.selection.has_chip(*chip));
        is_whole.then(|| ledger.snapshot().global())
    }

    /// The figures of each mesh and lone chip.
    pub fn places(&self, replay: &Replay) -> Vec<Totals> {
        let ledger = self.kept.as_ref().unwrap_or(&replay.ledger);
        let mut places = ledger.snapshot().places();
        places.retain_mut(|place| {
            place.types.retain(|of| is_used(of) && self.selection.has_type(of.buffer_type));
            !place.types.is_empty() && self.selection.has_chips(&place.chips)
        });
        places
    }

    /// How far up circular buffers reached, by chip. Lower bounds.
    pub fn circular_footprints(&self, replay: &Replay) -> BTreeMap<u32, CircularFootprint> {
        if self.selection.is_all() {
            return replay.ledger.snapshot().circular_footprints();
        }
        self.circular.clone()
    }
}

fn by_chip(groups: &[Totals], selection: &Selection) -> ByChip {
    let mut by_chip = ByChip::new();
    for group in groups {
        let mut types = group.types.clone();
        types.retain(|of| is_used(of) && selection.has_type(of.buffer_type));
        for chip in group.chips.iter().filter(|chip| selection.has_chip(**chip) && !types.is_empty()) {
            by_chip.insert(*chip, types.clone());
        }
    }
    by_chip
}

/// Whether a type ever held something since the figures began.
fn is_used(of: &TypeTotals) -> bool {
    of.tally.n_allocations > 0 || of.tally.buffers.peak > 0
}

fn dealloc_of(buffer: &Buffer, stamp: Stamp) -> Line {
    let Alloc { place, buffer_type, address, size_bytes, unique_id, .. } = buffer.alloc;
    let (buffer_type, size_bytes) = (Some(buffer_type), Some(size_bytes));
    let dealloc = Dealloc { place, buffer_type, address, size_bytes, unique_id, hooked: false };
    Line::Event(stamp, Event::Dealloc(dealloc))
}
