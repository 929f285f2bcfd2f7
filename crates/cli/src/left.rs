//! What the program did not free, judged when a mesh closed, an allocator was swept, or the process ended; and for
//! an interval, when that ended.

use crate::origin::Origin;
use crate::replay::{Replay, Status};
use crate::{json, render};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tt_memtrace_ledger::{Buffer, Class, Ending, Moment};
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
    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "n_buffers": json::int(self.n_buffers),
            "bytes": json::int(self.bytes),
            "bank_bytes": json::int(self.bank_bytes),
        })
    }

    fn add(&mut self, buffer: &Buffer) {
        self.n_buffers += 1;
        self.bytes = self.bytes.saturating_add(buffer.alloc.size_bytes);
        self.bank_bytes = self.bank_bytes.saturating_add(buffer.bank_bytes);
    }
}

/// What the rules say of survivors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The program should have freed them.
    Leak,
    /// Nobody knows whose they are.
    Unattributed,
    /// They are known to stay until then.
    Known,
}

impl Verdict {
    /// What is still live at the end of an interval is not a leak yet.
    fn words(self, classes: &[(Class, Left)], is_interval: bool) -> String {
        let n = classes.iter().map(|(_, left)| left.n_buffers).sum();
        let names =
            || classes.iter().map(|(class, left)| format!("{} {class}", render::count(left.n_buffers, "")));
        match self {
            Self::Leak if is_interval => format!("{} held by the program", render::count(n, "")),
            Self::Leak => format!("{} LEAKED", render::count(n, "")),
            Self::Unattributed => format!("{} unattributed", render::count(n, "")),
            Self::Known => {
                format!("{} known to stay ({})", render::count(n, ""), names().collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// How a survivor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It was live when the interval ended.
    Live,
    /// It was ended, not by a deallocation.
    Ended(Ending),
}

impl Fate {
    /// The word for programs.
    pub fn name(self) -> String {
        match self {
            Self::Live => "live".into(),
            Self::Ended(ending) => ending.to_string(),
        }
    }

    /// How it reads behind a number.
    fn words(self) -> &'static str {
        match self {
            Self::Live => "live at the end of the interval",
            Self::Ended(Ending::Deallocated) => "freed",
            Self::Ended(Ending::Sweep) => "swept by the program",
            Self::Ended(Ending::Close) => "ended by mesh close",
            Self::Ended(Ending::Exit) => "ended by process exit",
            Self::Ended(Ending::Death) => "ended by process death",
            Self::Ended(Ending::WithOwner) => "ended with the owner",
            Self::Ended(Ending::Replaced) => "replaced",
        }
    }
}

/// A buffer that the program did not free.
#[derive(Debug, Clone, Copy)]
pub struct Survivor<'a> {
    /// What it was.
    pub buffer: &'a Buffer,
    /// How it stands.
    pub fate: Fate,
    /// Since when.
    pub at: Moment,
}

/// Survivors that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind<'a> {
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
    /// How they stand.
    pub fate: Fate,
    /// A forked child's copies of its parent's buffers are not the child's to free.
    pub is_inherited: bool,
    /// Their owner was freed, and their views never are: nothing the program failed to free.
    pub is_freed_by_owner: bool,
    /// Which operation and line allocated them.
    pub origin: Origin<'a>,
}

/// The sum of a kind, and its oldest.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// What they have in common.
    pub kind: Kind<'a>,
    /// Their sum.
    pub left: Left,
    /// The one that was allocated first.
    pub first: &'a Buffer,
}

/// What a program did not free, so far as the filters keep it.
pub struct Survivors<'a> {
    replay: &'a Replay,
    list: Vec<Survivor<'a>>,
}

impl<'a> Survivors<'a> {
    /// Those of a capture: where an interval has an end, also what is live there.
    pub fn of(replay: &'a Replay) -> Self {
        let (selection, snapshot) = (&replay.selection, replay.ledger.snapshot());
        let ended = replay.ledger.survivors().iter().map(|ended| Survivor {
            buffer: &ended.buffer,
            fate: Fate::Ended(ended.ending),
            at: ended.at.into(),
        });
        let live = if replay.is_stopped { snapshot.live() } else { Vec::new() };
        let live = live.into_iter().filter(|buffer| snapshot.is_counted(buffer));
        let live = live.map(|buffer| Survivor { buffer, fate: Fate::Live, at: replay.at });
        let list = ended.chain(live).filter(|survivor| selection.has_new(survivor.buffer, snapshot));
        Self { replay, list: list.collect() }
    }

    /// Each of them, the largest first, those that are not judged last.
    pub fn largest_first(&self) -> Vec<Survivor<'a>> {
        let mut list = self.list.clone();
        list.sort_by_key(|survivor| {
            (!is_judged(survivor.buffer), std::cmp::Reverse(survivor.buffer.alloc.size_bytes))
        });
        list
    }

    /// The survivors by kind, the most bytes first; those that are not judged last.
    pub fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: BTreeMap<Kind<'a>, Group<'a>> = BTreeMap::new();
        for Survivor { buffer, fate, .. } in &self.list {
            let kind = Kind {
                place: buffer.place(),
                buffer_type: buffer.alloc.buffer_type,
                size_bytes: buffer.alloc.size_bytes,
                bank_bytes: buffer.bank_bytes,
                class: buffer.class,
                fate: *fate,
                is_inherited: buffer.is_inherited,
                is_freed_by_owner: buffer.is_freed_by_owner,
                origin: Origin::of_buffer(self.replay.ledger.contexts(), buffer).in_any_test(),
            };
            let new = || Group { kind: kind.clone(), left: Left::default(), first: buffer };
            let group = groups.entry(kind.clone()).or_insert_with(new);
            group.left.add(buffer);
            if buffer.since.n < group.first.since.n {
                group.first = buffer;
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| (!is_judged(group.first), std::cmp::Reverse(group.left.bytes)));
        groups
    }

    /// Those that the program should have freed, or that nobody knows of: neither copies that a forked child
    /// inherited, nor what its owner freed.
    fn judged_ones(&self) -> impl Iterator<Item = &Survivor<'a>> {
        self.list.iter().filter(|survivor| is_judged(survivor.buffer))
    }

    /// What was left on each chip that is shown.
    pub fn by_chip(&self) -> BTreeMap<(u32, BufferType), Left> {
        let snapshot = self.replay.ledger.snapshot();
        let mut by_chip: BTreeMap<_, Left> = BTreeMap::new();
        for Survivor { buffer, .. } in self.judged_ones() {
            let chips = snapshot.chips_of(buffer.place()).iter();
            for &chip in chips.filter(|chip| self.replay.selection.has_chip(**chip)) {
                by_chip.entry((chip, buffer.alloc.buffer_type)).or_default().add(buffer);
            }
        }
        by_chip
    }

    /// What was left on each chip, of the classes on which this is the verdict.
    pub fn of_verdict(&self, verdict: Verdict) -> BTreeMap<u32, Left> {
        let snapshot = self.replay.ledger.snapshot();
        let mut by_chip: BTreeMap<u32, Left> = BTreeMap::new();
        let judged = self.judged_ones();
        for Survivor { buffer, .. } in
            judged.filter(|survivor| self.verdict_on(survivor.buffer.class) == verdict)
        {
            for &chip in
                snapshot.chips_of(buffer.place()).iter().filter(|c| self.replay.selection.has_chip(**c))
            {
                by_chip.entry(chip).or_default().add(buffer);
            }
        }
        by_chip
    }

    fn verdict_on(&self, class: Class) -> Verdict {
        match class {
            _ if self.replay.ledger.rules().is_leak(class) => Verdict::Leak,
            Class::Unattributed => Verdict::Unattributed,
            _ => Verdict::Known,
        }
    }

    /// How many survivors of the process itself there are by class, in the order of reports.
    fn by_class(&self) -> Vec<(Class, Left)> {
        let mut by_class: BTreeMap<Class, Left> = BTreeMap::new();
        for survivor in self.judged_ones() {
            by_class.entry(survivor.buffer.class).or_default().add(survivor.buffer);
        }
        let of = |class| Some((class, by_class.get(&class).copied()?));
        Class::ALL.into_iter().filter_map(of).collect()
    }

    /// The verdict on each class: leaks, what nobody can attribute, and what is known to stay.
    fn judged(&self) -> BTreeMap<Verdict, Vec<(Class, Left)>> {
        let mut judged: BTreeMap<Verdict, Vec<(Class, Left)>> = BTreeMap::new();
        for (class, left) in self.by_class() {
            judged.entry(self.verdict_on(class)).or_default().push((class, left));
        }
        judged
    }

    /// How many survivors there are by how they stand.
    fn by_fate(&self) -> BTreeMap<Fate, u64> {
        let mut by_fate = BTreeMap::new();
        self.judged_ones().for_each(|survivor| *by_fate.entry(survivor.fate).or_default() += 1);
        by_fate
    }

    /// How many of a forked child's are inherited.
    fn n_inherited(&self) -> usize {
        self.list.iter().filter(|survivor| survivor.buffer.is_inherited).count()
    }

    /// How many their owner freed, whose views nobody frees.
    fn n_freed_by_owner(&self) -> usize {
        let of_own = self.list.iter().filter(|survivor| !survivor.buffer.is_inherited);
        of_own.filter(|survivor| survivor.buffer.is_freed_by_owner).count()
    }

    /// Of a process that still runs, what is live is not judged.
    fn n_live(&self) -> u64 {
        let is_running = matches!(self.replay.status, Status::Running | Status::Stopped);
        if !is_running || self.replay.is_stopped {
            return 0;
        }
        let (selection, snapshot) = (&self.replay.selection, self.replay.ledger.snapshot());
        let live = snapshot.live().into_iter().filter(|buffer| selection.has_new(buffer, snapshot));
        live.count() as u64
    }

    /// One line on what was left, and one on whose it was.
    pub fn verdict(&self) -> String {
        let by_fate = self.by_fate();
        let n_left: u64 = by_fate.values().sum();
        let mut parts = Vec::new();
        if n_left > 0 {
            let fates = by_fate.iter().map(|(fate, n)| format!("{} {}", render::count(*n, ""), fate.words()));
            let fates = fates.collect::<Vec<_>>().join(", ");
            parts.push(format!("{} not freed by the program ({fates})", render::count(n_left, "buffer")));
        }
        for (n, how) in [
            (self.n_inherited(), "inherited from the parent"),
            (self.n_freed_by_owner(), "freed by their owner only"),
        ] {
            if n > 0 {
                parts.push(format!("{} {how}", render::count(n as u64, "buffer")));
            }
        }
        if self.n_live() > 0 {
            parts.push(format!("{} still live", render::count(self.n_live(), "buffer")));
        }
        let mut lines =
            if parts.is_empty() { "left: nothing".into() } else { format!("left: {}", parts.join(", ")) };
        if n_left > 0 {
            let judged = self.judged();
            let judged: Vec<String> = judged
                .iter()
                .map(|(verdict, classes)| verdict.words(classes, self.replay.is_stopped))
                .collect();
            lines = format!("{lines}\n  {}", render::cut(&judged.join(", "), 98));
        }
        lines
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let by_fate = self.by_fate();
        let by_name: BTreeMap<String, u64> = by_fate.iter().map(|(fate, n)| (fate.name(), *n)).collect();
        let judged = self.judged();
        let n_of = |verdict| {
            let classes = judged.get(&verdict).map(Vec::as_slice).unwrap_or_default();
            json::int(classes.iter().map(|(_, left)| left.n_buffers).sum())
        };
        let of_class = |(class, left): (Class, Left)| (class.to_string(), left.json());
        json!({
            "n_leaks": n_of(Verdict::Leak),
            "n_unattributed": n_of(Verdict::Unattributed),
            "n_known": n_of(Verdict::Known),
            "by_class": self.by_class().into_iter().map(of_class).collect::<BTreeMap<_, _>>(),
            "n_buffers": by_fate.values().sum::<u64>(),
            "by_ending": by_name,
            "n_inherited": self.n_inherited(),
            "n_freed_by_owner": self.n_freed_by_owner(),
            "n_live": self.n_live(),
        })
    }
}

/// Whether it counts among what was left: not a forked child's copy, and not freed by its owner.
pub fn is_judged(buffer: &Buffer) -> bool {
    !buffer.is_inherited && !buffer.is_freed_by_owner
}
