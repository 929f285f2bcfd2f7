//! A test that fails for what earlier ones left: which, and whether it would have fitted without that.

use super::{Allocation, Clashing, Known, What};
use crate::{json, origin, render};
use serde_json::{Value, json};
use std::cmp::Reverse;
use tt_memtrace_ledger::{LeftBehind, LeftBy, Snapshot, Verdict};
use tt_memtrace_wire::{Address, BufferType};

/// What earlier tests left in the memory that had no room for a test.
pub struct Earlier<'a> {
    /// The test that was refused.
    test: &'a str,
    /// What each left: first that without which it would have fitted, from the least of it.
    each: Vec<(LeftBy<'a>, Without)>,
    /// All of it.
    together: Without,
}

/// The refusal, had something not been left.
struct Without {
    left: LeftBehind,
    /// Whether it would have fitted; none where that cannot be known.
    fits: Option<bool>,
}

impl<'a> Earlier<'a> {
    /// None outside of tests, where nothing was left, and where room is not what was missing.
    pub fn of(what: &What<'_>, test: Option<&'a str>, snapshot: Snapshot<'a>) -> Option<Self> {
        let test = test?;
        let (memory, bank) = match what {
            What::Allocation(Allocation { request, refusal: Some(refusal), .. }) => {
                ((request.place, request.buffer_type), (refusal.map.start, refusal.map.end))
            }
            What::Allocation(_) => return None,
            What::Clash(of) => ((of.clash.place, BufferType::L1), (0, Address::MAX)),
        };
        if !is_about_room(what) {
            return None;
        }
        let left = snapshot.left_by_other_tests(test, memory, bank);
        let without = |left: LeftBehind| Without { left, fits: would_fit(what, &left) };
        let mut each: Vec<_> = left.each.into_iter().map(|(by, left)| (by, without(left))).collect();
        each.sort_by_key(|(_, without)| match without.fits {
            Some(true) => (0, without.left.bank_bytes, Reverse(0)),
            _ => (1, 0, Reverse(without.left.bank_bytes)),
        });
        (!each.is_empty()).then(|| Self { test, each, together: without(left.together) })
    }

    /// One sentence, and whether it says that it would have fitted.
    pub fn words(&self) -> (String, bool) {
        let me = self.test.split_once("::").map_or(self.test, |(_, name)| name);
        let me = render::cut(me, 40);
        let all = match &*self.each {
            [(only, _)] => did(only),
            more => format!("{} left", self.count(more.len(), "earlier")),
        };
        let left = |without: &Without, did: &str| {
            let n = without.left.n_buffers;
            let buffers = if n == 1 { "buffer".into() } else { render::count(n, "buffer") };
            format!("the {buffers} that {did} ({} in each bank)", render::bytes(without.left.bank_bytes))
        };
        let enough: Vec<_> = self.each.iter().filter(|(_, without)| without.fits == Some(true)).collect();
        let sentence = match (&*enough, self.together.fits) {
            ([(by, without)], _) => format!("{me} would have fitted without {}", left(without, &did(by))),
            ([(by, without), more @ ..], _) => format!(
                "{me} would have fitted without {}, or without what {} left, each alone",
                left(without, &did(by)),
                self.count(more.len(), "other"),
            ),
            ([], Some(true)) => format!("{me} would have fitted without {}", left(&self.together, &all)),
            ([], Some(false)) => {
                format!("{me} would not have fitted even without {}", left(&self.together, &all))
            }
            ([], None) => {
                format!("nobody knows whether {me} would have fitted without {}", left(&self.together, &all))
            }
        };
        (sentence, !enough.is_empty() || self.together.fits == Some(true))
    }

    /// A line for each who left something, if the sentence does not name the only one.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = String> {
        let each = if self.each.len() > 1 { &*self.each } else { &[] };
        each.iter().map(|(by, Without { left, .. })| {
            let buffers = render::count(left.n_buffers, "buffer");
            format!("{buffers}, {} in each bank: {}", render::bytes(left.bank_bytes), name(by))
        })
    }

    /// So many of them.
    fn count(&self, n: usize, which: &str) -> String {
        let tests = render::count(n as u64, &format!("{which} test"));
        let has_fixtures = self.each.iter().any(|(by, _)| by.fixture.is_some());
        if has_fixtures { format!("{n} {which} tests or fixtures") } else { tests }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let of = |(by, without): &(LeftBy<'_>, Without)| {
            json::with(json!({"test": by.test, "fixture": by.fixture}), without.json())
        };
        let each: Vec<Value> = self.each.iter().map(of).collect();
        json::with(self.together.json(), json!({"tests": each}))
    }
}

impl Without {
    fn json(&self) -> Value {
        json!({
            "n_buffers": json::int(self.left.n_buffers),
            "bank_bytes": json::int(self.left.bank_bytes),
            "fits_without": self.fits,
        })
    }
}

fn name(by: &LeftBy<'_>) -> String {
    let test = render::cut(&origin::without_folders(by.test), 60);
    match by.fixture {
        Some(fixture) => format!("fixture {}, set up for {test}", render::cut(fixture, 40)),
        None => test,
    }
}

/// A fixture may hold something because it is there to.
fn did(by: &LeftBy<'_>) -> String {
    let name = name(by);
    if by.fixture.is_some() { format!("{name}, holds") } else { format!("{name} left") }
}

fn is_about_room(what: &What<'_>) -> bool {
    match what {
        What::Allocation(of) => {
            of.refusal.as_ref().is_some_and(|refusal| refusal.verdict != Verdict::OtherReason)
        }
        What::Clash(of) => of.known != Known::Exactly || of.short_bytes().is_some(),
    }
}

fn would_fit(what: &What<'_>, left: &LeftBehind) -> Option<bool> {
    match what {
        What::Allocation(of) => {
            let refusal = of.refusal.as_ref().filter(|refusal| refusal.map.is_sound)?;
            Some(left.hole_bytes >= refusal.needed_bytes)
        }
        What::Clash(of) => launch_would_fit(of, left.lowest),
    }
}

/// Whether the program would have had room below that address.
fn launch_would_fit(of: &Clashing<'_>, lowest: Option<Address>) -> Option<bool> {
    // What has no room now has none then.
    let is_as_low = lowest.zip(of.lowest).is_some_and(|(then, now)| then <= now);
    if of.is_beyond_l1() || is_as_low {
        return Some(false);
    }
    let has_room = lowest.is_none_or(|lowest| of.region_end.is_some_and(|end| end <= lowest));
    match of.known {
        Known::Exactly => Some(has_room),
        Known::AtMost => has_room.then_some(true),
        Known::NotAtAll => None,
    }
}
