//! What the program did not free, judged when a mesh closed, an allocator was swept, or the process ended.

use crate::render;
use crate::replay::{Replay, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tt_memtrace_ledger::{Buffer, Class, Ended, Ending};
use tt_memtrace_wire::{BufferType, Place};

/// A sum of buffers, on one chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// How many.
    pub n_buffers: u64,
    /// Logical bytes.
    pub bytes: u64,
    /// Bytes per bank.
    pub bank_bytes: u64,
}

impl Left {
    fn add(&mut self, buffer: &Buffer) {
        self.n_buffers += 1;
        self.bytes = self.bytes.saturating_add(buffer.alloc.size_bytes);
        self.bank_bytes = self.bank_bytes.saturating_add(buffer.bank_bytes);
    }
}

/// Survivors that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// On which chips.
    pub place: Place,
    /// In which memory.
    pub buffer_type: BufferType,
    /// Logical bytes of one.
    pub size_bytes: u64,
    /// Bytes per bank of one.
    pub bank_bytes: u64,
    /// What kind of holder it seems to be.
    pub class: Class,
    /// What ended them.
    pub ending: Ending,
    /// A forked child's copies of its parent's buffers are not the child's to free.
    pub is_inherited: bool,
}

/// The sum of a kind, and its oldest and newest.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// What they have in common.
    pub kind: Kind,
    /// Their sum.
    pub left: Left,
    /// The one that was allocated first.
    pub first: &'a Ended,
    /// The one that was allocated last.
    pub last: &'a Ended,
}

/// The survivors by kind, the most bytes first; inherited ones last.
pub fn groups(replay: &Replay) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<Kind, Group<'_>> = BTreeMap::new();
    for ended in replay.ledger.survivors() {
        let Ended { buffer, ending, .. } = ended;
        let kind = Kind {
            place: buffer.place(),
            buffer_type: buffer.alloc.buffer_type,
            size_bytes: buffer.alloc.size_bytes,
            bank_bytes: buffer.bank_bytes,
            class: buffer.class(),
            ending: *ending,
            is_inherited: buffer.is_inherited,
        };
        let new = || Group { kind: kind.clone(), left: Left::default(), first: ended, last: ended };
        let group = groups.entry(kind.clone()).or_insert_with(new);
        group.left.add(buffer);
        group.last = ended;
        if buffer.since.n < group.first.buffer.since.n {
            group.first = ended;
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| (group.kind.is_inherited, std::cmp::Reverse(group.left.bytes)));
    groups
}

/// What was left on each chip. Copies that a forked child inherited are not its to free.
pub fn by_chip(replay: &Replay) -> BTreeMap<(u32, BufferType), Left> {
    let snapshot = replay.ledger.snapshot();
    let mut by_chip: BTreeMap<_, Left> = BTreeMap::new();
    for buffer in own(replay) {
        for &chip in snapshot.chips_of(buffer.place()) {
            by_chip.entry((chip, buffer.alloc.buffer_type)).or_default().add(buffer);
        }
    }
    by_chip
}

fn own(replay: &Replay) -> impl Iterator<Item = &Buffer> {
    replay.ledger.survivors().iter().map(|ended| &ended.buffer).filter(|buffer| !buffer.is_inherited)
}

/// How many survivors there are by ending, and how many of a forked child's are inherited.
fn by_ending(replay: &Replay) -> (BTreeMap<Ending, u64>, u64) {
    let mut by_ending = BTreeMap::new();
    let mut n_inherited = 0;
    for ended in replay.ledger.survivors() {
        if ended.buffer.is_inherited {
            n_inherited += 1;
        } else {
            *by_ending.entry(ended.ending).or_default() += 1;
        }
    }
    (by_ending, n_inherited)
}

fn n_live(replay: &Replay) -> u64 {
    let is_running = matches!(replay.status, Status::Running | Status::Stopped);
    let n_live = if is_running { replay.ledger.snapshot().n_live() } else { 0 };
    u64::try_from(n_live).unwrap_or(u64::MAX)
}

/// One sentence on what was left.
pub fn verdict(replay: &Replay) -> String {
    let (by_ending, n_inherited) = by_ending(replay);
    let n_left: u64 = by_ending.values().sum();
    let mut parts = Vec::new();
    if n_left > 0 {
        let endings =
            by_ending.iter().map(|(ending, n)| format!("{} {}", render::count(*n, ""), words(*ending)));
        let endings = endings.collect::<Vec<_>>().join(", ");
        parts.push(format!("{} not freed by the program ({endings})", render::count(n_left, "buffer")));
    }
    if n_inherited > 0 {
        parts.push(format!("{} inherited from the parent", render::count(n_inherited, "buffer")));
    }
    if n_live(replay) > 0 {
        parts.push(format!("{} still live", render::count(n_live(replay), "buffer")));
    }
    if parts.is_empty() { "left: nothing".into() } else { format!("left: {}", parts.join(", ")) }
}

/// The same for programs.
pub fn json(replay: &Replay) -> Value {
    let (by_ending, n_inherited) = by_ending(replay);
    let by_name: BTreeMap<String, u64> =
        by_ending.iter().map(|(ending, n)| (ending.to_string(), *n)).collect();
    json!({
        "n_buffers": by_ending.values().sum::<u64>(),
        "by_ending": by_name,
        "n_inherited": n_inherited,
        "n_live": n_live(replay),
    })
}

/// How an ending reads behind a number.
fn words(ending: Ending) -> &'static str {
    match ending {
        Ending::Deallocated => "freed",
        Ending::Sweep => "swept by the program",
        Ending::Close => "ended by mesh close",
        Ending::Exit => "ended by process exit",
        Ending::Death => "ended by process death",
        Ending::WithOwner => "ended with the owner",
        Ending::Replaced => "replaced",
    }
}
