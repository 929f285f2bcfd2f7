//! Replays a capture into a ledger; for a forked child, after its parent's events up to the fork.

use crate::capture::{Capture, CaptureError};
use crate::filters::Selection;
use crate::liveness::{self, Liveness};
use crate::rules;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tt_memtrace_ledger::{Conclusion, Effect, Ledger, Moment, Totals};
use tt_memtrace_wire::{Ending, Event, Header, Line, Parent, Place, Recovery};

/// A process may be a fork of a fork; a longer line of ancestors than this is a loop.
const MAX_ANCESTORS: usize = 64;

/// How the process stands, as far as its capture and this host tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited.
    Exited,
    /// It called `_exit`.
    ExitedImmediately,
    /// It went on, but the recording stopped.
    Stopped,
    /// It runs.
    Running,
    /// It is gone and did not say so.
    Killed,
    /// It did not say so, and it ran on another host.
    Unknown,
}

impl Status {
    fn of(capture: &Capture) -> Self {
        match capture.footer.map(|footer| footer.ended) {
            Some(Ending::Exit) => Self::Exited,
            Some(Ending::ImmediateExit) => Self::ExitedImmediately,
            Some(Ending::Stopped) => Self::Stopped,
            None => match liveness::of(&capture.header) {
                Liveness::Runs => Self::Running,
                Liveness::Gone => Self::Killed,
                Liveness::Elsewhere => Self::Unknown,
            },
        }
    }

    fn conclusion(self) -> Conclusion {
        match self {
            Self::Exited | Self::ExitedImmediately => Conclusion::Exit,
            Self::Killed | Self::Unknown => Conclusion::Death,
            Self::Stopped | Self::Running => Conclusion::Running,
        }
    }

    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::ExitedImmediately => "exited_immediately",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Killed => "killed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exited => "exited",
            Self::ExitedImmediately => "ended by _exit",
            Self::Stopped => "recording stopped early",
            Self::Running => "still running",
            Self::Killed => "ended abnormally (killed)",
            Self::Unknown => "ended abnormally, or still runs on its host",
        })
    }
}

/// A capture that was read.
pub struct Replay {
    /// Where it is.
    pub path: PathBuf,
    /// Who wrote it.
    pub header: Header,
    /// The ledger after its last event, and after the end of the process if it ended.
    pub ledger: Ledger,
    /// What each chip held after the last event, before the end of the process took it.
    pub at_end: Vec<Totals>,
    /// How many events there are.
    pub n_events: u64,
    /// The last event of the capture.
    pub last: Moment,
    /// The last event that was applied: where the replay was stopped.
    pub at: Moment,
    /// Whether the observer stopped it there.
    pub is_stopped: bool,
    /// How the process stands.
    pub status: Status,
    /// What of the capture is shown.
    pub selection: Selection,
    /// The events of that: the moment before the first one, and the last one.
    pub range: (Moment, Moment),
    /// The chips of all meshes, and those that are named alone.
    pub chips: BTreeSet<u32>,
    /// Events that were dropped.
    pub n_dropped: u64,
    /// What the spool of a killed process added to the capture.
    pub recovery: Option<Recovery>,
    /// Whether the file ends within a line.
    pub is_torn: bool,
    /// Lines of kinds that a later version added.
    pub n_unknown: u64,
    /// The parent of a forked child whose inherited buffers are not known, and why.
    pub missing_parent: Option<String>,
}

/// Sees each line after it was applied, the header first, and may stop the replay there.
pub type Observer<'a> = dyn FnMut(&Header, &Line, &Effect, &Ledger) -> anyhow::Result<ControlFlow<()>> + 'a;

/// Reads a whole capture, and ends what the end of the process ended.
pub fn whole(path: &Path) -> anyhow::Result<Replay> {
    let mut replay = observed(path, &mut |_, _, _, _| Ok(ControlFlow::Continue(())))?;
    replay.conclude();
    Ok(replay)
}

impl AsRef<Self> for Replay {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Replay {
    /// Ends what the end of the process ended.
    pub fn conclude(&mut self) {
        self.ledger.finish(self.status.conclusion());
    }

    /// Events that were being recorded when the process was killed.
    pub fn n_unfinished(&self) -> u64 {
        self.recovery.map_or(0, |recovery| recovery.unfinished)
    }

    /// Records of a killed process that this version could not read.
    pub fn n_unreadable(&self) -> u64 {
        self.recovery.map_or(0, |recovery| recovery.unreadable)
    }

    /// Whether the process ended without a word and its last events were not found either.
    pub fn may_lack_its_end(&self) -> bool {
        matches!(self.status, Status::Killed | Status::Unknown) && self.recovery.is_none()
    }
}

/// Applies a capture up to where the observer stops, and leaves live what was live there. The rest is read
/// only for what the first line of a report says.
pub fn observed(path: &Path, observer: &mut Observer<'_>) -> anyhow::Result<Replay> {
    selected(path, &Selection::default(), observer)
}

/// The same, for a report on a part of the capture. The ledger sees every event all the same.
pub fn selected(path: &Path, selection: &Selection, observer: &mut Observer<'_>) -> anyhow::Result<Replay> {
    let mut capture = Capture::open(path)?;
    let (mut ledger, missing_parent) = initial(&capture.header, path);
    let mut at = Moment { n: 0, t_ns: capture.header.t_ns };
    let (mut last, mut n_events, mut is_stopped) = (at, 0, false);
    let mut range = (at, at);
    let mut chips: BTreeSet<u32> = ledger.snapshot().places().into_iter().flat_map(|of| of.chips).collect();
    let mut next = Some(Line::Header(Box::new(capture.header.clone())));
    while let Some(line) = next {
        if let Line::Event(stamp, _) = &line {
            n_events += 1;
            last = (*stamp).into();
            if selection.has_event(stamp.n) {
                range.1 = last;
            } else if selection.is_before(stamp.n) {
                range = (last, last);
            }
        }
        note_chips(&line, &mut chips);
        if !is_stopped {
            let effect = ledger.apply(&line);
            at = last;
            is_stopped = observer(&capture.header, &line, &effect, &ledger)?.is_break();
        }
        next = capture.next_line()?;
    }
    let at_end = ledger.snapshot().chips();
    let status = Status::of(&capture);
    let n_dropped = ledger.n_dropped().max(capture.footer.map_or(0, |footer| footer.dropped));
    let Capture { path, header, is_torn, n_unknown, recovery, .. } = capture;
    Ok(Replay {
        path,
        header,
        ledger,
        at_end,
        n_events,
        last,
        at,
        is_stopped,
        status,
        selection: selection.clone(),
        range,
        chips,
        n_dropped,
        recovery,
        is_torn,
        n_unknown,
        missing_parent,
    })
}

/// The chips that a line is the first to name.
fn note_chips(line: &Line, chips: &mut BTreeSet<u32>) {
    match line {
        Line::Mesh(mesh) => chips.extend(&mesh.chips),
        Line::Event(_, Event::Alloc(alloc)) => chips.extend(lone(alloc.place)),
        Line::Event(_, Event::CbAlloc(cb)) => chips.extend(lone(cb.place)),
        _ => {}
    }
}

fn lone(place: Place) -> Option<u32> {
    if let Place::Chip(chip) = place { Some(chip) } else { None }
}

/// The ledger a capture begins with: empty, or for a forked child what its parent held at the fork; and if that is not
/// known, why.
pub fn initial(header: &Header, path: &Path) -> (Ledger, Option<String>) {
    let Some(parent) = &header.parent else { return (rules::ledger(), None) };
    match at_fork(parent, path, MAX_ANCESTORS) {
        Ok(mut ledger) => {
            ledger.enter_child(Moment { n: 0, t_ns: header.t_ns });
            (ledger, None)
        }
        Err(why) => {
            let mut ledger = rules::ledger();
            ledger.enter_orphan();
            (ledger, Some(why))
        }
    }
}

/// What the parent held when it forked.
fn at_fork(parent: &Parent, child: &Path, n_ancestors: usize) -> Result<Ledger, String> {
    let mut capture = find_parent(parent, child).map_err(|error| error.to_string())?;
    let path = capture.path.clone();
    let mut ledger = rules::ledger();
    if let Some(grandparent) = &capture.header.parent {
        let left = n_ancestors.checked_sub(1).ok_or("its ancestors form a loop")?;
        match at_fork(grandparent, &path, left) {
            Ok(inherited) => ledger = inherited,
            Err(_) => ledger.enter_orphan(),
        }
        ledger.enter_child(Moment { n: 0, t_ns: capture.header.t_ns });
    }
    while let Some(line) = capture.next_line().map_err(|error| error.to_string())? {
        let _ = ledger.apply(&line);
        if matches!(line, Line::Event(_, Event::Fork { token }) if token == parent.token) {
            return Ok(ledger);
        }
    }
    Err(format!("{}: its fork {} is not in it", path.display(), parent.token))
}

/// The parent's capture: where the child says, or beside the child's if both were moved.
fn find_parent(parent: &Parent, child: &Path) -> Result<Capture, CaptureError> {
    let named = Path::new(&parent.capture);
    let is_it = |capture: &Capture| capture.header.pid == parent.pid;
    let first = Capture::open(named);
    if let Ok(capture) = first
        && is_it(&capture)
    {
        return Ok(capture);
    }
    let beside = child.with_file_name(named.file_name().unwrap_or_default());
    let second = Capture::open(&beside)?;
    if is_it(&second) {
        return Ok(second);
    }
    Err(CaptureError::io(
        named,
        std::io::Error::other(format!("it is not the capture of pid {}", parent.pid)),
    ))
}

/// The note about lines that were passed over.
pub fn passed_over(path: &Path, n_unknown: u64) -> String {
    format!("{}: passed over {n_unknown} lines of kinds this version does not know", path.display())
}
