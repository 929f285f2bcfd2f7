//! The programs that announced circular buffers, and who made them do so.

use crate::render;
use std::collections::BTreeMap;
use tt_memtrace_ledger::{Maker, Snapshot};
use tt_memtrace_wire::{Address, Event, Header};

/// Those of a capture, by the runtime's numbers.
#[derive(Default)]
pub struct Programs(BTreeMap<Option<u64>, Program>);

/// A program, and from where to where its circular buffers ever reached.
pub struct Program {
    /// Who made it.
    pub maker: Maker,
    start: Address,
    end: Address,
}

impl Program {
    /// Bytes of one core. Those of several programs lie over each other, so this is no summand.
    pub fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl Programs {
    /// Every program.
    pub fn all(&self) -> impl Iterator<Item = &Program> {
        self.0.values()
    }

    /// Notes an event that the ledger has seen.
    pub fn see(&mut self, event: &Event, is_kept: impl FnOnce() -> bool, snapshot: Snapshot<'_>) {
        let maker = |program| snapshot.maker(program).unwrap_or_default();
        match event {
            Event::CbAlloc(cb) if !cb.globally_allocated && is_kept() => {
                let new = Program { maker: Maker::default(), start: cb.address, end: cb.address };
                let program = self.0.entry(cb.program).or_insert(new);
                program.start = program.start.min(cb.address);
                program.end = program.end.max(cb.address.saturating_add(cb.size_bytes));
                program.maker = maker(cb.program);
            }
            Event::ProgramRun { program, .. } => {
                if let Some(known) = self.0.get_mut(&Some(*program)) {
                    known.maker = maker(Some(*program));
                }
            }
            _ => {}
        }
    }

    /// What has to be said of some of them.
    pub fn notes(&self, header: &Header) -> Vec<String> {
        let n = |is_it: fn(Maker) -> bool| self.all().filter(|program| is_it(program.maker)).count() as u64;
        let programs = |n| render::count(n, "program");
        let mut notes = Vec::new();
        let of_launch = n(Maker::is_of_launch);
        if of_launch > 0 {
            let n = programs(of_launch);
            notes.push(format!(
                "circular: {n} laid out by threads of the runtime: by who launched each first"
            ));
        }
        let unknown = n(|maker| maker == Maker::Unknown);
        let not_launched = n(|maker| maker == Maker::NotLaunched);
        if header.stacks == "none" && unknown + not_launched > 0 {
            notes
                .push("circular: nobody knows whose they are, lines and operations were not recorded".into());
            return notes;
        }
        if unknown > 0 {
            let n = programs(unknown);
            notes.push(format!("circular: {n} not known whose: neither laid out nor launched from Python"));
        }
        if not_launched > 0 {
            let n = programs(not_launched);
            notes.push(format!("circular: {n} not known whose: laid out by the runtime and never launched"));
        }
        notes
    }
}
