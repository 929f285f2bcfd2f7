//! Programs: their circular buffers that are resident, and their launches.

use super::definitions::Definitions;
use crate::event::{CbAlloc, CbDealloc, Event, Place, Stamp};
use std::collections::VecDeque;

/// Programs that announce nothing are ended by no event: so many of a place are kept, as in the ledger.
const MOST_SILENT: usize = 4096;

#[derive(Debug)]
struct Program {
    /// None for circular buffers of no program.
    number: Option<u64>,
    /// Since which event it is known.
    since: u64,
    laid: Vec<(Stamp, CbAlloc)>,
    /// Its first launch.
    launched: Option<(Stamp, Place)>,
}

/// The launches on one place.
#[derive(Debug)]
struct Launches {
    place: Place,
    first: (Stamp, u64),
    last: (Stamp, u64),
    silent: VecDeque<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Programs {
    /// In the order of their numbers. New ones have the highest, so they go to the end.
    programs: Vec<Program>,
    launches: Vec<Launches>,
}

impl Programs {
    fn program(&mut self, number: Option<u64>, n: u64) -> &mut Program {
        let at = self.find(number).unwrap_or_else(|at| {
            self.programs.insert(at, Program { number, since: n, laid: Vec::new(), launched: None });
            at
        });
        &mut self.programs[at]
    }

    /// Where it is, or would be.
    fn find(&self, number: Option<u64>) -> Result<usize, usize> {
        self.programs.binary_search_by_key(&number, |program| program.number)
    }

    pub(super) fn lay_out(&mut self, stamp: Stamp, cb: &CbAlloc) {
        self.program(cb.program, stamp.n).laid.push((stamp, cb.clone()));
    }

    pub(super) fn release(&mut self, dealloc: &CbDealloc, definitions: &Definitions) {
        let is_on = |place: Place| match (dealloc.place, place) {
            (None, _) => true,
            (Some(there), Place::Chip(chip)) => there == place || definitions.chips(there).contains(chip),
            (Some(there), Place::Mesh(_)) => there == place,
        };
        if dealloc.program.is_some() {
            if let Ok(at) = self.find(dealloc.program) {
                let laid = &mut self.programs[at].laid;
                laid.retain(|(_, cb)| !is_on(cb.place));
                if laid.is_empty() {
                    self.programs.remove(at);
                }
            }
            return;
        }
        self.programs.retain_mut(|program| {
            if program.laid.is_empty() {
                return program.launched.is_none_or(|(_, place)| !is_on(place));
            }
            program.laid.retain(|(_, cb)| !is_on(cb.place));
            !program.laid.is_empty()
        });
    }

    pub(super) fn launch(&mut self, stamp: Stamp, number: u64, place: Place) {
        let at = self.launches.iter().position(|launches| launches.place == place).unwrap_or_else(|| {
            let (first, last) = ((stamp, number), (stamp, number));
            self.launches.push(Launches { place, first, last, silent: VecDeque::new() });
            self.launches.len() - 1
        });
        self.launches[at].last = (stamp, number);
        let program = self.program(Some(number), stamp.n);
        if program.launched.is_some() {
            return;
        }
        program.launched = Some((stamp, place));
        if !program.laid.is_empty() {
            return;
        }
        let silent = &mut self.launches[at].silent;
        silent.push_back(number);
        let oldest = if silent.len() > MOST_SILENT { silent.pop_front() } else { None };
        if oldest.is_some()
            && let Ok(at) = self.find(oldest)
            && self.programs[at].laid.is_empty()
        {
            self.programs.remove(at);
        }
    }

    /// The place is closed.
    pub(super) fn leave(&mut self, place: Place) {
        self.launches.retain(|launches| launches.place != place);
        self.programs.retain(|program| program.launched.is_none_or(|(_, there)| there != place));
    }

    /// Adds the events, each with its number and a rank among those of that number.
    pub(super) fn add_to(&self, events: &mut Vec<(u64, u8, Stamp, Event)>) {
        for program in &self.programs {
            for (stamp, cb) in &program.laid {
                events.push((stamp.n, 0, *stamp, Event::CbAlloc(cb.clone())));
            }
            if let (Some(number), Some((stamp, place))) = (program.number, program.launched) {
                events.push((stamp.n, 0, stamp, Event::ProgramRun { program: number, place }));
            }
        }
        for Launches { place, first, last, .. } in &self.launches {
            for (stamp, program) in [*first, *last] {
                events.push((stamp.n, 0, stamp, Event::ProgramRun { program, place: *place }));
                let known = self.find(Some(program)).ok().map(|at| &self.programs[at]);
                if known.is_none_or(|known| known.since > stamp.n) {
                    // It is gone, so it must not pass for one that is there and announces nothing.
                    let gone = CbDealloc { place: None, program: Some(program) };
                    events.push((stamp.n, 1, stamp, Event::CbDealloc(gone)));
                }
            }
        }
    }
}
