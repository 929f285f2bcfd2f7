//! What the processes hold together on each chip: the sums, and the most they ever were.

use std::collections::BTreeMap;
use tt_memtrace_ledger::Ledger;
use tt_memtrace_wire::BufferType;

/// One memory type of one chip.
pub type Key = (u32, BufferType);

/// What one process holds, by chip and type, in logical bytes.
pub type Share = BTreeMap<Key, u64>;

/// The sums of one memory type of one chip.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cell {
    /// Logical bytes that are live, of all processes.
    pub live: u64,
    /// The most there were, as far as it was seen.
    pub peak: u64,
    /// Whether that is less than it may have been: the sum of several processes is looked at only now and then.
    pub is_lower_bound: bool,
    /// What was live when the baseline was taken.
    pub baseline: u64,
    n_processes: u64,
}

/// The sums of all chips.
#[derive(Debug, Default)]
pub struct Board {
    cells: BTreeMap<Key, Cell>,
}

impl Board {
    /// Puts what a process holds now in the place of what it held when it was looked at last. A process's own peak is
    /// one that the chip had at least; of a child, what counts for its parent is left out, and no peak is known.
    pub fn settle(&mut self, share: &mut Share, ledger: &Ledger, inherited: Option<&Share>, has_gaps: bool) {
        for totals in ledger.snapshot().chips() {
            for chip in totals.chips {
                for of in &totals.types {
                    let key = (chip, of.buffer_type);
                    let (live, peak) = (of.tally.bytes.live, of.tally.bytes.peak);
                    let theirs = inherited.map(|inherited| inherited.get(&key).copied().unwrap_or(0));
                    let live = live.saturating_sub(theirs.unwrap_or(0));
                    let peak = if theirs.is_some() { live } else { peak };
                    self.put(share, key, live, peak, has_gaps || theirs.is_some());
                }
            }
        }
    }

    fn put(&mut self, share: &mut Share, key: Key, live: u64, peak: u64, is_lower_bound: bool) {
        let cell = self.cells.entry(key).or_default();
        let before = share.insert(key, live);
        cell.n_processes += u64::from(before.is_none());
        cell.live = cell.live.saturating_sub(before.unwrap_or(0)).saturating_add(live);
        cell.peak = cell.peak.max(cell.live).max(peak);
        cell.is_lower_bound |= is_lower_bound || cell.n_processes > 1;
    }

    /// What was told anew need not name every chip that was named before.
    pub fn clear(&mut self, share: &mut Share) {
        share.keys().for_each(|key| {
            let held = share.get(key).copied().unwrap_or(0);
            if let Some(cell) = self.cells.get_mut(key) {
                cell.live = cell.live.saturating_sub(held);
                cell.n_processes = cell.n_processes.saturating_sub(1);
            }
        });
        share.clear();
    }

    /// Every type of every chip that was ever used.
    pub fn cells(&self) -> impl Iterator<Item = (Key, Cell)> {
        self.cells.iter().map(|(key, cell)| (*key, *cell))
    }

    /// Takes what is live now, or nothing, as what later figures are compared with.
    pub fn set_baseline(&mut self, is_cleared: bool) {
        self.cells.values_mut().for_each(|cell| cell.baseline = if is_cleared { 0 } else { cell.live });
    }
}

/// What a process holds that its parent held when it forked.
pub fn inherited(ledger: &Ledger) -> Share {
    let snapshot = ledger.snapshot();
    let mut share = Share::new();
    for buffer in snapshot.buffers().filter(|buffer| buffer.is_inherited && snapshot.is_counted(buffer)) {
        for chip in snapshot.chips_of(buffer.place()) {
            let bytes = share.entry((*chip, buffer.alloc.buffer_type)).or_default();
            *bytes = bytes.saturating_add(buffer.alloc.size_bytes);
        }
    }
    share
}
