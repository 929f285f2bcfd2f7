//! What other tests left in a memory, and the room there would be without it: whether a test fails for its own sake or
//! for an earlier one's.

use crate::owners::Owner;
use crate::snapshot::Snapshot;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use tt_memtrace_wire::{Address, BufferType, Place};

/// What one test left, or all of them, and the room without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftBehind {
    /// How many buffers.
    pub n_buffers: u64,
    /// Their bytes in each bank.
    pub bank_bytes: u64,
    /// The largest hole there would be in the place of some of them, in bytes of each bank.
    pub hole_bytes: u64,
    /// The lowest address that would be held; none if nothing would be.
    pub lowest: Option<Address>,
}

/// Who left something: a test, or a fixture that was set up for it, which may be meant to outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeftBy<'a> {
    /// The test's id.
    pub test: &'a str,
    /// The name of the fixture's function.
    pub fixture: Option<&'a str>,
}

/// What other tests left in one memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftByTests<'a> {
    /// By test and fixture, the most bytes first.
    pub each: Vec<(LeftBy<'a>, LeftBehind)>,
    /// All of it.
    pub together: LeftBehind,
}

/// An owner, and who left it, if another test or a fixture of it did.
type Left<'a> = (Owner, Option<LeftBy<'a>>);

impl<'a> Snapshot<'a> {
    /// What tests other than this one left in a memory, whose bank lies between these addresses. Exact as long as
    /// buffers do not overlap.
    pub fn left_by_other_tests(
        &self,
        test: &str,
        (place, buffer_type): (Place, BufferType),
        bank: (Address, Address),
    ) -> LeftByTests<'a> {
        let ledger = self.ledger();
        let space = ledger.places.find(place).and_then(|at| ledger.places.places[at].find_space(buffer_type));
        let owners = space.into_iter().flat_map(|space| space.owners.iter());
        let by = |owner: &Owner| {
            let context = ledger.slots.get(owner.slot)?.context?;
            let left_by = |test| LeftBy { test, fixture: self.contexts().fixture(context) };
            self.contexts().test(context).filter(|other| *other != test).map(left_by)
        };
        let owners = owners.filter(|owner| owner.start < owner.end);
        let owners: Vec<Left<'a>> = owners.map(|owner| (*owner, by(owner))).collect();

        let mut each: FxHashMap<LeftBy<'a>, LeftBehind> = FxHashMap::default();
        let mut together = LeftBehind::default();
        for (owner, other) in &owners {
            let Some(other) = other else { continue };
            for left in [each.entry(*other).or_default(), &mut together] {
                left.n_buffers += 1;
                left.bank_bytes += owner.end - owner.start;
            }
        }
        for_each_hole(
            &owners,
            bank,
            |a, b| a.1 == b.1,
            |other, hole_bytes| {
                let left = each.entry(other).or_default();
                left.hole_bytes = left.hole_bytes.max(hole_bytes);
            },
        );
        for_each_hole(
            &owners,
            bank,
            |a, b| a.1.is_some() == b.1.is_some(),
            |_, hole_bytes| {
                together.hole_bytes = together.hole_bytes.max(hole_bytes);
            },
        );
        let lowest = |stays: &dyn Fn(&Left<'a>) -> bool| {
            owners.iter().find(|left| stays(left)).map(|(owner, _)| owner.start)
        };
        for (other, left) in &mut each {
            left.lowest = lowest(&|left| left.1 != Some(*other));
        }
        together.lowest = lowest(&|left| left.1.is_none());
        let mut each: Vec<_> = each.into_iter().collect();
        each.sort_by_key(|(other, left)| (Reverse(left.bank_bytes), *other));
        LeftByTests { each, together }
    }
}

/// Neighbours that go together leave a hole from the end of the one below them to the start of the one above.
fn for_each_hole<'a>(
    owners: &[Left<'a>],
    bank: (Address, Address),
    go_together: impl Fn(&Left<'a>, &Left<'a>) -> bool,
    mut note: impl FnMut(LeftBy<'a>, u64),
) {
    let mut from = 0;
    for run in owners.chunk_by(go_together) {
        let to = from + run.len();
        let start = from.checked_sub(1).map_or(bank.0, |below| owners[below].0.end);
        let end = owners.get(to).map_or(bank.1, |(above, _)| above.start);
        if let Some(other) = run[0].1 {
            note(other, end.saturating_sub(start));
        }
        from = to;
    }
}
