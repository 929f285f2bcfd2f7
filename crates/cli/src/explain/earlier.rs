//! A test that fails for what earlier ones left: which, and whether it would have fitted without that.

use super::{Allocation, Clashing, Known, What};
use crate::{json, origin, render};
use serde_json::{Value, json};
use std::cmp::Reverse;
use tt_memtrace_ledger::{LeftBehind, Snapshot, Verdict};
use tt_memtrace_wire::{Address, BufferType};

/// What earlier tests left in the memory that had no room for a test.
pub struct Earlier<'a> {
    /// The test that was refused.
    test: &'a str,
    /// What each left: first that without which it would have fitted, from the least of it.
    each: Vec<(&'a str, Without)>,
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
        let mut each: Vec<_> = left.each.into_iter().map(|(other, left)| (other, without(left))).collect();
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
            [(only, _)] => only_of(only),
            more => render::count(more.len() as u64, "earlier test"),
        };
        let left = |without: &Without, who: &str| {
            let n = without.left.n_buffers;
            let buffers = if n == 1 { "buffer".into() } else { render::count(n, "buffer") };
            format!("the {buffers} that {who} left ({} in each bank)", render::bytes(without.left.bank_bytes))
        };
        let enough: Vec<_> = self.each.iter().filter(|(_, without)| without.fits == Some(true)).collect();
        let sentence = match (&*enough, self.together.fits) {
            ([(other, without)], _) => {
                format!("{me} would have fitted without {}", left(without, &only_of(other)))
            }
            ([(other, without), more @ ..], _) => format!(
                "{me} would have fitted without {}, or without what {} left, each alone",
                left(without, &only_of(other)),
                render::count(more.len() as u64, "other test"),
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

    /// For programs.
    pub fn json(&self) -> Value {
        let of_test = |(other, without): &(&str, Without)| json::with(json!({"test": other}), without.json());
        let each: Vec<Value> = self.each.iter().map(of_test).collect();
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

fn only_of(test: &str) -> String {
    render::cut(&origin::without_folders(test), 60)
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
