//! The captures of processes that run: each is read on from where it ended, into a ledger.

use crate::capture::{Capture, CaptureError};
use crate::liveness::{self, Liveness};
use crate::state::State;
use crate::state::build::{Builder, Told};
use crate::{clock, recover, replay, sources};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tt_memtrace_ledger::{Conclusion, Ledger};
use tt_memtrace_wire::{Ending, Line};

/// How often a folder is looked through for processes that are new, and a silent process for whether it lives.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A forked child's parent may not have written its fork yet; so long it is waited for.
const WAIT_FOR_PARENT: Duration = Duration::from_secs(2);
/// After so many lines a picture is given, although more has been written.
const MOST_LINES: usize = 200_000;

/// All captures of one argument.
pub struct Captures {
    argument: PathBuf,
    followed: Vec<Followed>,
    known: BTreeSet<PathBuf>,
    looked: Option<Instant>,
    unreadable: Option<CaptureError>,
}

/// One capture and what its process holds.
struct Followed {
    capture: Capture,
    /// Absent while its parent is waited for.
    ledger: Option<Ledger>,
    opened: Instant,
    n_events: u64,
    status: &'static str,
}

impl Captures {
    /// Opens those that are there.
    pub fn open(argument: &Path) -> Result<Self, CaptureError> {
        let mut captures = Self {
            argument: argument.to_owned(),
            followed: Vec::new(),
            known: BTreeSet::new(),
            looked: None,
            unreadable: None,
        };
        captures.look()?;
        match captures.unreadable.take() {
            Some(error) if captures.followed.is_empty() => Err(error),
            _ => Ok(captures),
        }
    }

    /// Takes what was written since. False if there is more.
    pub fn read(&mut self) -> Result<bool, CaptureError> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.look()?;
        }
        let mut is_all = true;
        for followed in &mut self.followed {
            is_all &= followed.read()?;
        }
        Ok(is_all)
    }

    /// Whether nothing will be written any more, as far as can be told.
    pub fn are_over(&self) -> bool {
        self.followed.iter().all(|of| matches!(of.status, "exited" | "killed"))
    }

    /// What all of them hold.
    pub fn state(&self, top: usize) -> State {
        let mut builder = Builder::new(top);
        for (id, followed) in (1..).zip(&self.followed) {
            let Some(ledger) = &followed.ledger else { continue };
            let header = &followed.capture.header;
            let is_parent = |of: &Followed| {
                header.parent.as_ref().is_some_and(|parent| parent.pid == of.capture.header.pid)
            };
            builder.add(&Told {
                id,
                header,
                ledger,
                peer_pid: None,
                uid: None,
                status: followed.status,
                protocol: "tt-memtrace",
                n_events: followed.n_events,
                n_dropped: followed.n_dropped(ledger),
                n_skipped: 0,
                has_parent: self.followed.iter().any(is_parent),
            });
        }
        builder.finish(self.argument.display().to_string(), clock::wall_ns())
    }

    /// Finds captures that are new.
    fn look(&mut self) -> Result<(), CaptureError> {
        self.looked = Some(Instant::now());
        for path in sources::captures(std::slice::from_ref(&self.argument))? {
            if self.known.contains(&path) {
                continue;
            }
            match Followed::open(&path) {
                // Its process has just begun.
                Err(error) if Capture::is_unborn(&error) => {
                    self.unreadable = Some(error);
                    continue;
                }
                Err(error) => self.unreadable = Some(error),
                Ok(followed) => self.followed.push(followed),
            }
            self.known.insert(path);
        }
        self.followed.iter_mut().for_each(Followed::look);
        Ok(())
    }
}

impl Followed {
    fn open(path: &Path) -> Result<Self, CaptureError> {
        let capture = Capture::open_as_is(path)?;
        Ok(Self { capture, ledger: None, opened: Instant::now(), n_events: 0, status: "running" })
    }

    /// Takes the lines there are. False if there are more.
    fn read(&mut self) -> Result<bool, CaptureError> {
        let Some(ledger) = &mut self.ledger else {
            let (ledger, missing) = replay::initial(&self.capture.header, &self.capture.path);
            if missing.is_some() && self.opened.elapsed() < WAIT_FOR_PARENT {
                return Ok(false);
            }
            self.ledger = Some(ledger);
            return self.read();
        };
        for _ in 0..MOST_LINES {
            let Some(line) = self.capture.next_written()? else { return Ok(true) };
            let _ = ledger.apply(&line);
            match line {
                Line::Event(..) => self.n_events += 1,
                Line::Footer(footer) => {
                    self.capture.footer = Some(footer);
                    self.status = if footer.ended == Ending::Stopped { "stopped" } else { "exited" };
                    if footer.ended != Ending::Stopped {
                        ledger.finish(Conclusion::Exit);
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Sees whether its process still runs. What a killed one left in memory is added to its capture first.
    fn look(&mut self) {
        if !matches!(self.status, "running" | "unknown") {
            return;
        }
        self.status = match liveness::of(&self.capture.header) {
            Liveness::Runs => "running",
            Liveness::Elsewhere => "unknown",
            // Its last lines may lie there unread.
            Liveness::Gone => return self.conclude(),
        };
    }

    fn conclude(&mut self) {
        // If that cannot be done, the reports say why; here its end is all that matters.
        let _ = recover::complete(&self.capture.path, &self.capture.header);
        while let Ok(false) = self.read() {}
        if self.status != "exited" {
            self.status = "killed";
            if let Some(ledger) = &mut self.ledger {
                ledger.finish(Conclusion::Death);
            }
        }
    }

    fn n_dropped(&self, ledger: &Ledger) -> u64 {
        ledger.n_dropped().max(self.capture.footer.map_or(0, |footer| footer.dropped))
    }
}
