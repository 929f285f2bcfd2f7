//! The live buffers of one memory type that own memory, in the order of their addresses. Kept in short sorted
//! runs, because each event looks up a neighbour: two searches among plain numbers cost half of a tree's.

use crate::slots::Slot;
use std::cell::Cell;
use tt_memtrace_wire::Address;

/// A run is split when it is longer, and joined with its neighbour when both are short.
const MAX_RUN: usize = 64;

/// One owner's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) start: Address,
    pub(crate) slot: Slot,
    pub(crate) end: Address,
}

impl Owner {
    fn key(&self) -> (Address, Slot) {
        (self.start, self.slot)
    }
}

/// Who is directly below and above an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbours {
    pub(crate) below: Option<Owner>,
    pub(crate) above: Option<Owner>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Owners {
    /// None is empty.
    runs: Vec<Vec<Owner>>,
    /// Where each run starts.
    firsts: Vec<Address>,
    len: usize,
    /// The last answer of [`Self::first_from`]: who asks what is at an address often inserts there next.
    last: Cell<Option<(Address, At)>>,
}

/// Where an owner is, or would be: the run, and its index in the run.
#[derive(Debug, Clone, Copy)]
struct At {
    run: usize,
    index: usize,
}

impl Owners {
    pub(crate) fn insert(&mut self, new: Owner) -> Neighbours {
        let at = self.position(new.key());
        let around = self.around(at, at.index);
        self.len += 1;
        self.last.set(None);
        match self.runs.get_mut(at.run) {
            Some(run) => {
                run.insert(at.index, new);
                if run.len() > MAX_RUN {
                    let upper = run.split_off(MAX_RUN / 2);
                    self.firsts.insert(at.run + 1, upper[0].start);
                    self.runs.insert(at.run + 1, upper);
                }
                self.firsts[at.run] = self.runs[at.run][0].start;
            }
            None => {
                self.firsts.push(new.start);
                self.runs.push(vec![new]);
            }
        }
        around
    }

    pub(crate) fn remove(&mut self, start: Address, slot: Slot) -> Option<Neighbours> {
        let at = self.position((start, slot));
        let is_here = self.runs.get(at.run)?.get(at.index).is_some_and(|owner| owner.key() == (start, slot));
        if !is_here {
            return None;
        }
        let around = self.around(at, at.index + 1);
        self.len -= 1;
        self.last.set(None);
        self.runs[at.run].remove(at.index);
        self.tidy(at.run);
        Some(around)
    }

    /// The owners that start at this address.
    pub(crate) fn at(&self, address: Address) -> impl Iterator<Item = Slot> + use<'_> {
        let mut at = self.position((address, 0));
        std::iter::from_fn(move || {
            let owner = self.get(at).filter(|owner| owner.start == address)?;
            at = self.next(at);
            Some(owner.slot)
        })
    }

    /// The start of the last owner that starts at the address or below.
    pub(crate) fn start_at_or_below(&self, address: Address) -> Option<Address> {
        let at = self.position((address, Slot::MAX));
        self.around(at, at.index).below.map(|owner| owner.start)
    }

    /// Who is around a free range that starts at the address, if one does.
    pub(crate) fn around_free(&self, start: Address) -> Neighbours {
        let mut at = self.position((start, 0));
        // Owners without bytes stand at the start of what is free above them.
        while self.get(at).is_some_and(|owner| owner.start == start && owner.end == start) {
            at = self.next(at);
        }
        self.around(at, at.index)
    }

    /// The lowest address that is owned.
    pub(crate) fn lowest(&self) -> Option<Address> {
        Some(self.runs.first()?.first()?.start)
    }

    /// All owners, from the lowest address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Owner> {
        self.runs.iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the first owner is whose key is not below the wanted, or would be.
    fn position(&self, key: (Address, Slot)) -> At {
        let mut at = self.first_from(key.0);
        while self.runs.get(at.run).and_then(|run| run.get(at.index)).is_some_and(|owner| owner.key() < key) {
            at = self.settled(At { index: at.index + 1, ..at }, key.0);
        }
        at
    }

    /// Where the first owner is that starts at the address or above, or would be.
    fn first_from(&self, start: Address) -> At {
        if let Some((last, at)) = self.last.get()
            && last == start
        {
            return at;
        }
        let run = self.firsts.partition_point(|first| *first < start).saturating_sub(1);
        let index = self.runs.get(run).map_or(0, |run| run.partition_point(|owner| owner.start < start));
        let at = self.settled(At { run, index }, start);
        self.last.set(Some((start, at)));
        at
    }

    /// Behind the last of a run is before the first of the next: an owner of that address is found there, a new
    /// one goes into the lower run.
    fn settled(&self, at: At, start: Address) -> At {
        let is_behind = self.runs.get(at.run).is_some_and(|run| at.index == run.len());
        let is_next = || self.firsts.get(at.run + 1).is_some_and(|first| *first == start);
        if is_behind && is_next() { At { run: at.run + 1, index: 0 } } else { at }
    }

    fn get(&self, at: At) -> Option<&Owner> {
        let run = self.runs.get(at.run)?;
        run.get(at.index).or_else(|| self.runs.get(at.run + 1)?.first())
    }

    fn next(&self, at: At) -> At {
        let is_last = self.runs.get(at.run).is_none_or(|run| at.index >= run.len());
        if is_last { At { run: at.run + 1, index: 1 } } else { At { index: at.index + 1, ..at } }
    }

    /// The owner before `at`, and the first from index `from` on.
    fn around(&self, at: At, from: usize) -> Neighbours {
        let below = match at.index.checked_sub(1) {
            Some(index) => self.runs.get(at.run).and_then(|run| run.get(index)),
            None => at.run.checked_sub(1).and_then(|run| self.runs[run].last()),
        };
        let above = self.get(At { index: from, ..at });
        Neighbours { below: below.copied(), above: above.copied() }
    }

    fn tidy(&mut self, run: usize) {
        if self.runs[run].is_empty() {
            self.runs.remove(run);
            self.firsts.remove(run);
            return;
        }
        self.firsts[run] = self.runs[run][0].start;
        let is_short = |run: Option<&Vec<Owner>>| run.is_some_and(|run| run.len() < MAX_RUN / 4);
        if is_short(self.runs.get(run)) && is_short(self.runs.get(run + 1)) {
            let upper = self.runs.remove(run + 1);
            self.firsts.remove(run + 1);
            self.runs[run].extend(upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_sorted_map(draws in prop::collection::vec((0..400_u64, 0..3_usize, any::<bool>()), 0..1500)) {
            let (mut owners, mut model) = (Owners::default(), BTreeMap::new());
            let pick = |(key, end): (&(u64, usize), &u64)| Owner { start: key.0, slot: key.1, end: *end };
            for (start, slot, is_insert) in draws {
                let is_known = model.contains_key(&(start, slot));
                let around = if is_insert && !is_known {
                    model.insert((start, slot), start + 1);
                    Some(owners.insert(Owner { start, slot, end: start + 1 }))
                } else {
                    let around = owners.remove(start, slot);
                    prop_assert_eq!(model.remove(&(start, slot)).is_some(), around.is_some());
                    around
                };
                let below = model.range(..(start, slot)).next_back().map(pick);
                let above = model.range((start, slot + 1)..).next().map(pick);
                if let Some(around) = around {
                    prop_assert_eq!((around.below, around.above), (below, above));
                }
                prop_assert_eq!(owners.len(), model.len());
                let at: Vec<usize> = model.range((start, 0)..(start + 1, 0)).map(|(key, _)| key.1).collect();
                prop_assert_eq!(owners.at(start).collect::<Vec<_>>(), at);
                let below = model.range(..(start + 1, 0)).next_back().map(|(key, _)| key.0);
                prop_assert_eq!(owners.start_at_or_below(start), below);
            }
            prop_assert!(owners.iter().copied().eq(model.iter().map(pick)));
        }
    }
}
