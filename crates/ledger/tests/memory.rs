//! What a ledger keeps does not grow with the events it saw. A process of its own, so that the memory is its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Random, Stream, dram, l1, view_on};
use tt_memtrace_wire::*;

const MESH: Place = Place::Mesh(0);
const MOST_LIVE: usize = 2000;

/// A program that runs for ever: ops that allocate and free in no order, with views, circular buffers, buffers that
/// are no memory, frees that are unknown, and marks.
struct Program {
    stream: Stream,
    random: Random,
    live: Vec<Alloc>,
    free_cells: Vec<u64>,
}

impl Program {
    fn step(&mut self) {
        let n = self.stream.n;
        self.stream.tid = 1 + u32::try_from(n % 3).unwrap();
        self.stream.begin("ttnn.add");
        match self.random.below(12) {
            0..=4 => self.open(),
            5..=9 => self.close(),
            10 => {
                self.stream.cb(MESH, n % 50, 101_152, 4096);
                let _ = self.stream.event(Event::ProgramRun { program: n % 50, place: MESH });
                let _ = self.stream.event(Event::CbDealloc(CbDealloc { place: None, program: Some(n % 50) }));
            }
            _ => {
                let hooked = Alloc { hooked: true, unique_id: Some(n), ..l1(MESH, 0, 4096) };
                self.stream.alloc(hooked.clone());
                let _ = self.stream.free(&hooked);
                let _ = self.stream.free(&dram(MESH, n * 32 + 7, 1));
                self.stream.mark(&format!("step {n}"));
            }
        }
        self.stream.end();
    }

    fn open(&mut self) {
        let Some(cell) = self.free_cells.pop() else { return self.close() };
        let unique_id = Some(self.stream.n);
        let new = Alloc { unique_id, ..dram(MESH, cell * 65_536, 4096 + self.random.below(8) * 2048) };
        self.stream.alloc(new.clone());
        self.stream.alloc(Alloc { unique_id: None, ..view_on(u32::try_from(cell % 8).unwrap(), &new) });
        self.live.push(new);
    }

    fn close(&mut self) {
        if self.live.is_empty() {
            return self.open();
        }
        let freed = self.live.swap_remove(self.random.index(self.live.len()));
        let _ = self.stream.free(&freed);
        let at = self.random.index(self.free_cells.len() + 1);
        self.free_cells.insert(at, freed.address / 65_536);
    }

    fn run(&mut self, n_steps: u64) -> u64 {
        (0..n_steps).for_each(|_| self.step());
        support::resident_bytes()
    }
}

#[test]
fn a_long_run_takes_no_more_memory_than_a_short_one() {
    let free_cells = (0..u64::try_from(MOST_LIVE).unwrap()).collect();
    let (stream, random) = (Stream::on_t3k(), Random::new(1));
    let mut program = Program { stream, random, live: Vec::new(), free_cells };
    let short = program.run(50_000);
    let long = program.run(300_000);
    assert!(program.stream.n > 1_000_000);
    // One byte an event would be more than that.
    assert!(long < short + (1 << 20), "{short} bytes, then {long}");
    assert!(program.stream.ledger.anomalies().total() > 20_000);
}
