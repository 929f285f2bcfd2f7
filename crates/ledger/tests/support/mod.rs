//! Writes streams of lines: an event is one call, with its position and time filled in.

#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]
#![allow(dead_code, reason = "each test uses a part of it")]

use tt_memtrace_ledger::{Ledger, Snapshot, Tally};
use tt_memtrace_wire::*;

/// The chips of a T3K, as its mesh of 2 x 4 lists them.
pub const T3K: [u32; 8] = [4, 0, 2, 6, 5, 1, 3, 7];

/// A ledger and the events it gets.
pub struct Stream {
    pub ledger: Ledger,
    /// The position of the last event.
    pub n: u64,
    /// The thread of the next events.
    pub tid: u32,
}

impl Stream {
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, n: 0, tid: 1 }
    }

    /// On mesh 0, a T3K.
    pub fn on_t3k() -> Self {
        let mut stream = Self::new(Ledger::new());
        stream.define_mesh(0, &T3K, 1);
        stream
    }

    /// A mesh and its allocator, which rounds to 32 bytes and tells no banks.
    pub fn define_mesh(&mut self, mesh_id: u32, chips: &[u32], allocator: u64) {
        let (chips, arch) = (chips.to_vec(), "wormhole_b0".to_owned());
        let mesh = Mesh { mesh_id, chips, rows: 2, cols: 4, arch };
        let allocator = Allocator { allocator, mesh_id, bank_rounding_bytes: Some(32), banks: Vec::new() };
        let _ = self.ledger.apply(&Line::Mesh(mesh));
        let _ = self.ledger.apply(&Line::Allocator(allocator));
    }

    pub fn event(&mut self, event: Event) -> tt_memtrace_ledger::Effect {
        self.n += 1;
        let stamp = Stamp { n: self.n, t_ns: self.n * 1000, tid: self.tid, ctx: 0 };
        self.ledger.apply(&Line::Event(stamp, event))
    }

    pub fn alloc(&mut self, alloc: Alloc) {
        let _ = self.event(Event::Alloc(alloc));
    }

    /// Frees what was so allocated.
    pub fn free(&mut self, alloc: &Alloc) -> tt_memtrace_ledger::Effect {
        self.event(Event::Dealloc(freed(alloc)))
    }

    pub fn begin(&mut self, op: &str) {
        let _ = self.event(Event::OpBegin { name: op.to_owned(), arguments: None });
    }

    pub fn end(&mut self) {
        let _ = self.event(Event::OpEnd);
    }

    pub fn mark(&mut self, name: &str) {
        let _ = self.event(Event::Mark { name: name.to_owned() });
    }

    pub fn cb(&mut self, place: Place, program: u64, address: u64, size_bytes: u64) {
        let program = Some(program);
        let cb = CbAlloc { place, program, cores: 1, address, size_bytes, globally_allocated: false };
        let _ = self.event(Event::CbAlloc(cb));
    }

    pub fn close(&mut self, mesh_id: u32) {
        let _ = self.event(Event::Close { place: Place::Mesh(mesh_id) });
    }

    /// The tally of that memory on that chip; zeros if nothing ever was there.
    pub fn on(&self, chip: u32, buffer_type: BufferType) -> Tally {
        on(&self.ledger.snapshot(), chip, buffer_type)
    }

    /// Live buffers and logical bytes.
    pub fn live_on(&self, chip: u32, buffer_type: BufferType) -> (u64, u64) {
        let tally = self.on(chip, buffer_type);
        (tally.buffers.live, tally.bytes.live)
    }
}

pub fn on(snapshot: &Snapshot<'_>, chip: u32, buffer_type: BufferType) -> Tally {
    let chips = snapshot.chips();
    let types = chips.iter().filter(|group| group.chips.contains(&chip)).flat_map(|group| &group.types);
    types.filter(|of| of.buffer_type == buffer_type).map(|of| of.tally).next().unwrap_or_default()
}

/// An interleaved DRAM buffer without a number, which owns its memory: a start for others.
pub fn dram(place: Place, address: Address, size_bytes: u64) -> Alloc {
    Alloc {
        place,
        allocator: None,
        buffer_type: BufferType::Dram,
        layout: BufferLayout::Interleaved,
        address,
        size_bytes,
        page_size_bytes: 2048,
        per_bank_bytes: size_bytes.div_ceil(12),
        n_cores: None,
        cores: None,
        unique_id: None,
        owns_data: Some(true),
        hooked: false,
    }
}

pub fn l1(place: Place, address: Address, size_bytes: u64) -> Alloc {
    let per_bank_bytes = size_bytes.div_ceil(64);
    Alloc { buffer_type: BufferType::L1, per_bank_bytes, ..dram(place, address, size_bytes) }
}

/// A view of the whole buffer on one of its chips, as a mesh buffer has one for each.
pub fn view_on(chip: u32, of: &Alloc) -> Alloc {
    Alloc { place: Place::Chip(chip), allocator: None, owns_data: Some(false), ..of.clone() }
}

/// What a source tells that knows neither who owns memory nor how it is spread: the same for a buffer and a view.
pub fn plain(chip: u32, buffer_type: BufferType, address: Address, size_bytes: u64) -> Alloc {
    let (page_size_bytes, per_bank_bytes) = (0, 0);
    let of = dram(Place::Chip(chip), address, size_bytes);
    Alloc { buffer_type, page_size_bytes, per_bank_bytes, owns_data: None, ..of }
}

/// The free of such a buffer: without its type. Of any other, with it.
pub fn freed(alloc: &Alloc) -> Dealloc {
    Dealloc {
        place: alloc.place,
        buffer_type: alloc.owns_data.map(|_| alloc.buffer_type),
        address: alloc.address,
        size_bytes: None,
        unique_id: alloc.unique_id,
        hooked: alloc.hooked,
    }
}

/// Numbers that are the same in each run: xorshift64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Seeds that differ in one bit begin far apart; none is 0.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A number that the environment gives.
pub fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What this process has in memory.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
