//! A hundred million events, straight from a generator: how many a second, and how much memory at most. Once as
//! they are, and a tenth of them as lines that are written and read again, as a report does.
//! `cargo bench -p tt-memtrace-ledger --bench scale`; SCALE_EVENTS says how many.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints lines for people")]

use std::hint::black_box;
use std::time::Instant;
use tt_memtrace_ledger::{Conclusion, Growth, Ledger};
use tt_memtrace_wire::*;

const MESH: Place = Place::Mesh(0);
const CELL: u64 = 65536;
/// About so many buffers are live.
const LIVE: usize = 5000;

fn main() {
    let n_events = std::env::var("SCALE_EVENTS").map_or(100_000_000, |events| events.parse().unwrap());
    run("events", n_events, |ledger, line| {
        let _ = black_box(ledger.apply(line));
    });
    let mut text = Vec::new();
    run("events as lines", n_events / 10, |ledger, line| {
        text.clear();
        line.write_to(&mut text);
        let read = Line::parse(std::str::from_utf8(&text).unwrap().trim_end()).unwrap();
        let _ = black_box(ledger.apply(&read));
    });
}

fn run(name: &str, n_events: u64, mut apply: impl FnMut(&mut Ledger, &Line)) {
    let (mut ledger, mut growth, mut program) = (Ledger::new(), Growth::default(), Program::new());
    program.definitions().iter().for_each(|line| apply(&mut ledger, line));
    let start = Instant::now();
    while program.n < n_events {
        program.step(&mut |line| {
            apply(&mut ledger, line);
            if let Line::Event(stamp, Event::Mark { name }) = line {
                growth.note(name, (*stamp).into(), &ledger.snapshot());
            }
        });
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(ledger.anomalies().total(), 0, "the stream is wrong");
    let n_live = ledger.snapshot().n_live();
    black_box(growth.trends());
    ledger.finish(Conclusion::Exit);
    let rate = f64::from(u32::try_from(program.n / 1000).unwrap()) / 1000.0 / seconds;
    let mib = most_resident_kib() / 1024;
    println!(
        "{name:<16} {} in {seconds:.1} s: {rate:.1} M events/s, {n_live} live, at most {mib} MiB resident",
        program.n
    );
}

/// Ops that allocate and free in no order, with circular buffers, from two threads, and a mark now and then.
struct Program {
    n: u64,
    random: u64,
    free_cells: Vec<u64>,
    /// Number and cell.
    live: Vec<(u64, u64)>,
}

impl Program {
    fn new() -> Self {
        Self { n: 0, random: 1, free_cells: (0..10_000).collect(), live: Vec::new() }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % limit
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }

    fn step(&mut self, out: &mut impl FnMut(&Line)) {
        let tid = 1 + u32::try_from(self.below(2)).unwrap();
        let program = self.below(200);
        self.out(tid, Event::OpBegin { name: "ttnn.add".into(), arguments: None }, out);
        for _ in 0..3 {
            let n_live = self.live.len();
            let allocates = n_live < LIVE - 500 || (n_live < LIVE + 500 && self.below(2) == 0);
            if allocates { self.alloc(tid, out) } else { self.free(tid, out) }
        }
        if self.below(100) == 0 {
            let (cores, address) = (1, 101_152 + program * 32);
            self.out(tid, Event::CbDealloc(CbDealloc { place: None, program: Some(program) }), out);
            let (place, program) = (MESH, Some(program));
            let cb = CbAlloc { place, program, cores, address, size_bytes: 4096, globally_allocated: false };
            self.out(tid, Event::CbAlloc(cb), out);
        }
        self.out(tid, Event::ProgramRun { program, place: MESH }, out);
        self.out(tid, Event::OpEnd, out);
        if self.below(5000) == 0 {
            self.out(tid, Event::Mark { name: format!("step {}", self.n) }, out);
        }
    }

    fn alloc(&mut self, tid: u32, out: &mut impl FnMut(&Line)) {
        let at = self.index(self.free_cells.len());
        let cell = self.free_cells.swap_remove(at);
        let per_bank_bytes = 4096 + self.below(8) * 2048;
        self.live.push((self.n, cell));
        let alloc = Alloc {
            place: MESH,
            allocator: Some(1),
            buffer_type: BufferType::Dram,
            layout: BufferLayout::Interleaved,
            address: cell * CELL,
            size_bytes: per_bank_bytes * 12,
            page_size_bytes: 2048,
            per_bank_bytes,
            n_cores: None,
            cores: None,
            unique_id: Some(self.n),
            owns_data: Some(true),
            hooked: false,
        };
        self.out(tid, Event::Alloc(alloc), out);
    }

    fn free(&mut self, tid: u32, out: &mut impl FnMut(&Line)) {
        let at = self.index(self.live.len());
        let (id, cell) = self.live.swap_remove(at);
        self.free_cells.push(cell);
        let dealloc = Dealloc {
            place: MESH,
            buffer_type: Some(BufferType::Dram),
            address: cell * CELL,
            size_bytes: None,
            unique_id: Some(id),
            hooked: false,
        };
        self.out(tid, Event::Dealloc(dealloc), out);
    }

    fn out(&mut self, tid: u32, event: Event, out: &mut impl FnMut(&Line)) {
        self.n += 1;
        out(&Line::Event(Stamp { n: self.n, t_ns: self.n * 100, tid, ctx: 0 }, event));
    }

    fn definitions(&self) -> Vec<Line> {
        let (chips, arch) = (vec![4, 0, 2, 6, 5, 1, 3, 7], "wormhole_b0".to_owned());
        let bank = |buffer_type, n_banks, bank_size_bytes, base_address| Bank {
            buffer_type,
            n_banks,
            bank_size_bytes,
            base_address: Some(base_address),
        };
        let banks =
            vec![bank(BufferType::Dram, 12, 4 << 30, 0), bank(BufferType::L1, 64, 1_395_424, 101_152)];
        let range = Range { x0: 0, y0: 0, x1: 7, y1: 7 };
        vec![
            Line::Mesh(Mesh { mesh_id: 0, chips, rows: 2, cols: 4, arch }),
            Line::Allocator(Allocator { allocator: 1, mesh_id: 0, bank_rounding_bytes: Some(32), banks }),
            Line::Cores(Cores { cores: 1, ranges: vec![range] }),
        ]
    }
}

/// The most memory that this process ever had resident.
fn most_resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
