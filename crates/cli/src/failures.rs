//! Refusals in a capture: which there are, and what one of them means at its moment.

use crate::capture::Capture;
use crate::filters::{Absent, Selection};
use crate::replay::{self, Replay};
use std::ops::ControlFlow;
use std::path::Path;
use tt_memtrace_ledger::{Launch, Ledger, Moment, Snapshot};
use tt_memtrace_wire::{Address, BufferType, Clash, Event, Failure, Line, Place, Stamp};

/// So many samples of how a memory grew are kept.
const MOST_SAMPLES: usize = 256;

/// So many marks are kept.
const MOST_MARKS: usize = 1 << 16;

/// A refusal of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When, and on which thread.
    pub stamp: Stamp,
    /// What.
    pub failure: Failure,
    /// Whether it was not recorded, but follows from circular buffers that were laid out over L1 buffers.
    pub is_derived: bool,
}

/// Which refusals are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    Any,
    /// Clashes only.
    Clashes,
}

/// The refusals of a capture that the selection keeps. A capture without any recorded clash may still show one: of
/// circular buffers, whose sizes are known.
pub fn find(path: &Path, selection: &Selection, wanted: Wanted) -> anyhow::Result<Vec<Found>> {
    let (mut found, mut meshes) = (Vec::new(), Ledger::new());
    let mut capture = Capture::open(path)?;
    while let Some(line) = capture.next_of_kind(&["mesh", "failure"])? {
        if let Line::Event(stamp, Event::Failure(failure)) = line {
            found.push(Found { stamp, failure, is_derived: false });
        } else {
            let _ = meshes.apply(&line);
        }
    }
    if found.is_empty() {
        found = derived(path)?;
    }
    let snapshot = meshes.snapshot();
    found.retain(|found| {
        let is_wanted = wanted == Wanted::Any || matches!(found.failure, Failure::Clash(_));
        is_wanted && selection.has_event(found.stamp.n) && selection.has_failure(&found.failure, snapshot)
    });
    Ok(found)
}

/// How many refusals are in a capture, and whether the last of them was the last word: nothing was allocated or
/// launched after it.
pub fn last_word(path: &Path) -> anyhow::Result<(usize, bool)> {
    let mut capture = Capture::open(path)?;
    let (mut n_failures, mut is_last_word) = (0, false);
    while let Some(kind) = capture.seek(&["failure", "alloc", "program_run"])? {
        is_last_word = kind == "failure";
        n_failures += usize::from(is_last_word);
    }
    Ok((n_failures, is_last_word))
}

/// The clashes of a capture that has none recorded: a program was launched, or its circular buffers were laid out, while
/// they reached above the lowest L1 buffer. Of what belongs to one launch, the last event.
fn derived(path: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    replay::observed(path, &mut |_, line, _, ledger| {
        let Line::Event(stamp, event) = line else { return Ok(ControlFlow::Continue(())) };
        let program = match event {
            Event::CbAlloc(cb) => cb.program,
            Event::ProgramRun { program, .. } => Some(*program),
            _ => None,
        };
        if let Some(program) = program
            && let Some(place) = clash_of(ledger.snapshot(), program)
        {
            let clash = Clash { place, is_dataflow: false, program: Some(program), message: None };
            let new = Found { stamp: *stamp, failure: Failure::Clash(clash), is_derived: true };
            let is_same = |last: &Found| last.failure == new.failure && !is_launch(event);
            match found.last_mut() {
                Some(last) if is_same(last) => *last = new,
                _ => found.push(new),
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn is_launch(event: &Event) -> bool {
    matches!(event, Event::ProgramRun { .. })
}

/// Where a program was launched, if its circular buffers reach into L1 buffers there.
fn clash_of(snapshot: Snapshot<'_>, program: u64) -> Option<Place> {
    let (place, end) = snapshot.program_end(program)?;
    (snapshot.lowest_l1(place)?.alloc.address < end).then_some(place)
}

/// A successful launch of a program that was refused later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// When.
    pub at: Moment,
    /// The lowest address of an L1 buffer then; none if there was no buffer.
    pub lowest: Option<Address>,
}

impl Ran {
    /// The lower the buffers, the less room it had.
    fn room(&self) -> Address {
        self.lowest.unwrap_or(Address::MAX)
    }
}

/// A capture at the moment of a refusal.
pub struct Refused {
    /// The capture, up to the refusal; without one, to its end.
    pub replay: Replay,
    /// How many refusals there are.
    pub n_failures: usize,
    /// Which of them this is, from 1.
    pub number: usize,
    /// The refusal; absent if there is none.
    pub found: Option<Found>,
    /// How many bytes of each bank were held, from the first event on that memory.
    pub growth: Vec<(Moment, u64)>,
    /// When the program that was refused ran in the least room; the last time of that.
    pub ran: Option<Ran>,
    /// The number of the context in which the program that was refused was launched last.
    pub launched_in: Option<u32>,
    /// The last launch of another program on that place, and the number of its context.
    pub launch_before: Option<(Launch, u32)>,
    /// The marks before it, and where they are.
    marks: Vec<(u64, String)>,
}

impl Refused {
    /// Whether the program named any moment before the refusal.
    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// The last mark before an event.
    pub fn mark_before(&self, n: u64) -> Option<&str> {
        let later = self.marks.partition_point(|(mark, _)| *mark < n);
        Some(self.marks[..later].last()?.1.as_str())
    }
}

impl AsRef<Replay> for Refused {
    fn as_ref(&self) -> &Replay {
        &self.replay
    }
}

/// Replays a capture up to one of its refusals: the one of that number, else the last.
pub fn replay_to(
    path: &Path,
    selection: &Selection,
    wanted: Wanted,
    number: Option<usize>,
) -> anyhow::Result<Refused> {
    let mut found = find(path, selection, wanted)?;
    let n_failures = found.len();
    let number = number.unwrap_or(n_failures);
    if number > n_failures {
        return Err(Absent::Failure { wanted: number, there: n_failures }.into());
    }
    let found = if number == 0 { None } else { Some(found.swap_remove(number - 1)) };
    let end = found.as_ref().map_or(u64::MAX, |found| found.stamp.n);
    let mut history = History::of(found.as_ref());
    let replay = replay::selected(path, selection, &mut |_, line, _, ledger| {
        let Line::Event(stamp, event) = line else { return Ok(ControlFlow::Continue(())) };
        if stamp.n < end {
            history.note(*stamp, event, ledger.snapshot());
        }
        Ok(if stamp.n >= end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let History { growth, ran, launched_in, launch_before, marks, .. } = history;
    let growth = growth.all();
    Ok(Refused { replay, n_failures, number, found, growth, ran, launched_in, launch_before, marks })
}

/// What happened before a refusal and matters for it.
struct History {
    memory: Option<(Place, BufferType)>,
    program: Option<u64>,
    growth: Samples,
    ran: Option<Ran>,
    launched_in: Option<u32>,
    launch_before: Option<(Launch, u32)>,
    /// The one before that.
    earlier: Option<(Launch, u32)>,
    marks: Vec<(u64, String)>,
    /// A launch of the program that may still turn out to be refused, and its thread. The programs of a workload are
    /// launched one after the other, and then refused.
    launched: Option<(Ran, u32)>,
}

impl History {
    fn of(found: Option<&Found>) -> Self {
        let (memory, program) = match found.map(|found| &found.failure) {
            Some(Failure::Allocation(request)) => (Some((request.place, request.buffer_type)), None),
            Some(Failure::Clash(clash)) => (Some((clash.place, BufferType::L1)), clash.program),
            None => (None, None),
        };
        let growth = Samples::default();
        Self {
            memory,
            program,
            growth,
            ran: None,
            launched_in: None,
            launch_before: None,
            earlier: None,
            marks: Vec::new(),
            launched: None,
        }
    }

    fn note(&mut self, stamp: Stamp, event: &Event, snapshot: Snapshot<'_>) {
        let Some((place, buffer_type)) = self.memory else { return };
        if let Event::Mark { name } = event {
            self.note_mark(stamp.n, name);
        }
        let concerns = match event {
            Event::Alloc(alloc) => alloc.place == place && alloc.buffer_type == buffer_type,
            Event::Dealloc(gone) => {
                gone.place == place && gone.buffer_type.is_none_or(|of| of == buffer_type)
            }
            Event::Sweep { .. } | Event::Close { .. } => true,
            _ => false,
        };
        if concerns {
            self.growth.add(stamp.into(), snapshot.held_bytes(place, buffer_type));
        }
        let refused = self.program;
        if let Event::ProgramRun { program, place: on } = event
            && *on == place
            && Some(*program) != refused
        {
            self.earlier = self.launch_before;
            self.launch_before = Some((Launch { program: *program, at: stamp.into() }, stamp.ctx));
        }
        // One that was refused itself did not run.
        if let Event::Failure(Failure::Clash(clash)) = event
            && clash.program == self.launch_before.map(|(launch, _)| launch.program)
        {
            self.launch_before = self.earlier.take();
        }
        let Some(program) = refused else { return };
        // Perhaps on another thread than its launch.
        if matches!(event, Event::Failure(Failure::Clash(clash)) if clash.program == Some(program)) {
            self.launched = None;
        }
        if let Some((ran, tid)) = self.launched
            && tid == stamp.tid
            && !matches!(event, Event::CbAlloc(_))
            && !matches!(event, Event::ProgramRun { program: other, .. } if *other != program)
        {
            if self.ran.is_none_or(|known| ran.room() <= known.room()) {
                self.ran = Some(ran);
            }
            self.launched = None;
        }
        if matches!(event, Event::ProgramRun { program: of, .. } if *of == program) {
            let lowest = snapshot.lowest_l1(place).map(|buffer| buffer.alloc.address);
            self.launched = Some((Ran { at: stamp.into(), lowest }, stamp.tid));
            self.launched_in = Some(stamp.ctx).filter(|ctx| *ctx != 0);
        }
    }
}

impl History {
    /// Of equal marks in a row the first is enough. Too many are no names any more: then the older ones are forgotten.
    fn note_mark(&mut self, n: u64, name: &str) {
        if self.marks.last().is_some_and(|(_, last)| last == name) {
            return;
        }
        if self.marks.len() >= MOST_MARKS {
            self.marks.clear();
        }
        self.marks.push((n, name.to_owned()));
    }
}

/// Samples at equal distances, fewer of them the more there are to take.
#[derive(Default)]
struct Samples {
    samples: Vec<(Moment, u64)>,
    n_seen: usize,
    /// Of so many, one is kept, as a power of two.
    thinned: u32,
    last: Option<(Moment, u64)>,
}

impl Samples {
    /// Those that were kept, and the last one.
    fn all(mut self) -> Vec<(Moment, u64)> {
        self.samples.extend(self.last.filter(|last| self.samples.last() != Some(last)));
        self.samples
    }

    fn add(&mut self, at: Moment, value: u64) {
        self.last = Some((at, value));
        if self.n_seen.is_multiple_of(1 << self.thinned) {
            self.samples.push((at, value));
        }
        self.n_seen += 1;
        if self.samples.len() >= MOST_SAMPLES {
            let mut n = 0;
            self.samples.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.thinned += 1;
        }
    }
}
