//! Random streams: events that nothing restrains, and lines with bytes changed. The ledger never fails, and its sums
//! agree with one another. FUZZ_SECONDS, divided among the tests, says how long.
//!
//! A failure names its seed; FUZZ_SEED replays that one stream.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops where it is surprised"
)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::{Random, number_from};
use tt_memtrace_ledger::{Conclusion, Growth, Ledger, Moment, Snapshot, Tally, Totals};
use tt_memtrace_wire::*;

const N_TESTS: u32 = 3;

/// Runs as many streams as there is time for, each from a seed of its own.
fn for_some_time(mut stream: impl FnMut(&mut Random)) {
    if let Some(seed) = number_from("FUZZ_SEED") {
        return stream(&mut Random::new(seed));
    }
    let deadline = Instant::now() + Duration::from_secs(number_from("FUZZ_SECONDS").unwrap_or(3)) / N_TESTS;
    for seed in 1.. {
        let named = NamedOnPanic(seed);
        stream(&mut Random::new(seed));
        drop(named);
        if Instant::now() > deadline {
            return eprintln!("{seed} streams");
        }
    }
}

struct NamedOnPanic(u64);

impl Drop for NamedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with FUZZ_SEED={}", self.0);
        }
    }
}

/// How large the numbers of a stream are.
#[derive(Clone, Copy)]
enum Numbers {
    /// So small that no sum of them overflows: all figures are exact.
    Small,
    /// Up to the limits, where sums saturate.
    Any,
}

struct Source<'a> {
    random: &'a mut Random,
    numbers: Numbers,
    has_ids: bool,
    /// Of 30 lines before the first event, so many are definitions.
    n_early: u64,
    history: Vec<Alloc>,
    n: u64,
}

impl Source<'_> {
    fn number(&mut self) -> u64 {
        match (self.numbers, self.random.below(8)) {
            (Numbers::Any, 0) => self.random.next(),
            (Numbers::Any, 1) => u64::MAX - self.random.below(2),
            (_, 2) => self.random.below(1 << 32),
            _ => self.random.below(64) * 32,
        }
    }

    fn small(&mut self, below: u64) -> u32 {
        u32::try_from(self.random.below(below)).unwrap()
    }

    fn place(&mut self) -> Place {
        if self.random.one_in(3) { Place::Chip(self.small(6)) } else { Place::Mesh(self.small(4)) }
    }

    fn alloc(&mut self) -> Alloc {
        let unique_id = match self.random.below(8) {
            0 => Some(self.random.below(20)),
            1 => None,
            _ => self.has_ids.then_some(self.n),
        };
        Alloc {
            place: self.place(),
            allocator: (!self.random.one_in(4)).then(|| self.random.below(4)),
            buffer_type: BufferType::from(self.small(6)),
            layout: BufferLayout::from(self.small(6)),
            address: self.number(),
            size_bytes: self.number(),
            page_size_bytes: self.number(),
            per_bank_bytes: self.number(),
            n_cores: self.random.one_in(2).then(|| self.small(64)),
            cores: self.random.one_in(2).then(|| self.small(4)),
            unique_id,
            owns_data: (!self.random.one_in(4)).then(|| !self.random.one_in(4)),
            hooked: self.random.one_in(20),
        }
    }

    /// One of the buffers so far, or one that never was.
    fn known(&mut self) -> Alloc {
        let at = usize::try_from(self.random.below(64)).unwrap();
        match self.history.iter().rev().nth(at) {
            Some(alloc) if !self.random.one_in(10) => alloc.clone(),
            _ => self.alloc(),
        }
    }

    fn event(&mut self) -> Event {
        match self.random.below(41) {
            0..=15 => {
                let alloc = self.alloc();
                self.history.push(alloc.clone());
                if self.history.len() > 256 {
                    self.history.remove(0);
                }
                Event::Alloc(alloc)
            }
            16..=25 => {
                let mut freed = support::freed(&self.known());
                freed.buffer_type = freed.buffer_type.filter(|_| !self.random.one_in(4));
                Event::Dealloc(freed)
            }
            26 => {
                let Alloc { place, buffer_type, address, unique_id, .. } = self.known();
                Event::Retained { place, buffer_type, address, unique_id }
            }
            27..=29 => {
                let (address, size_bytes) = (self.number(), self.number());
                let (place, program) = (self.place(), self.random.one_in(4).then(|| self.random.below(8)));
                let (cores, globally_allocated) = (self.small(4), self.random.one_in(4));
                Event::CbAlloc(CbAlloc { place, program, cores, address, size_bytes, globally_allocated })
            }
            30 => {
                let place = (!self.random.one_in(3)).then(|| self.place());
                let program = self.random.one_in(2).then(|| self.random.below(8));
                Event::CbDealloc(CbDealloc { place, program })
            }
            31..=32 => Event::ProgramRun { program: self.random.below(8), place: self.place() },
            33 if self.random.one_in(3) => {
                Event::Sweep { allocator: self.random.below(4), cause: SweepCause::Call }
            }
            34 if self.random.one_in(3) => Event::Close { place: Place::Mesh(self.small(4)) },
            35 if self.random.one_in(10) => Event::Lost(Lost { dropped: self.number() }),
            36 => {
                let names = ["ttnn.add", "ttnn.open_mesh_device", "clear_program_cache", ""];
                Event::OpBegin { name: names[self.random.index(4)].into(), arguments: None }
            }
            37 => Event::Mark { name: "m".into() },
            38 => Event::Fork { token: self.random.next() },
            39 => Event::Failure(Failure::Allocation(self.request())),
            _ => Event::OpEnd,
        }
    }

    fn request(&mut self) -> Request {
        let Alloc { place, allocator, buffer_type, layout, .. } = self.alloc();
        let (size_bytes, page_size_bytes) = (self.number(), self.number());
        let per_bank_bytes = (!self.random.one_in(4)).then(|| self.number());
        Request {
            place,
            allocator,
            buffer_type,
            layout,
            size_bytes,
            page_size_bytes,
            per_bank_bytes,
            n_cores: None,
            message: None,
        }
    }

    fn definition(&mut self) -> Line {
        let (mesh_id, allocator) = (self.small(4), self.random.below(4));
        match self.random.below(3) {
            0 => {
                let chips = (0..self.random.below(5)).map(|_| self.small(6)).collect();
                Line::Mesh(Mesh { mesh_id, chips, rows: 1, cols: 1, arch: "wormhole_b0".into() })
            }
            1 => {
                let bank_rounding_bytes = (!self.random.one_in(4)).then(|| self.random.below(3) * 32);
                let mut bank = |buffer_type| Bank {
                    buffer_type,
                    n_banks: self.small(64),
                    bank_size_bytes: self.number(),
                    base_address: self.random.one_in(2).then(|| self.number()),
                };
                let banks = vec![bank(BufferType::Dram), bank(BufferType::L1)];
                Line::Allocator(Allocator { allocator, mesh_id, bank_rounding_bytes, banks })
            }
            _ => {
                let range = |random: &mut Random| {
                    let mut at = || u32::try_from(random.below(12)).unwrap();
                    Range { x0: at(), y0: at(), x1: at(), y1: at() }
                };
                let ranges = (0..self.random.below(3)).map(|_| range(self.random)).collect();
                Line::Cores(Cores { cores: self.small(4), ranges })
            }
        }
    }

    fn line(&mut self) -> Line {
        // Most streams begin with definitions; all have some that come late, or contradict.
        if self.random.below(30) < if self.n == 0 { self.n_early } else { 1 } {
            return self.definition();
        }
        self.n += 1;
        let (n, tid) = (self.n, self.small(3));
        Line::Event(Stamp { n, t_ns: n * 100, tid, ctx: 0 }, self.event())
    }
}

fn source<'a>(random: &'a mut Random, numbers: Numbers) -> Source<'a> {
    let (has_ids, n_early) = (random.one_in(2), random.below(29));
    Source { random, numbers, has_ids, n_early, history: Vec::new(), n: 0 }
}

#[test]
fn the_sums_of_any_stream_agree_with_one_another() {
    for_some_time(|random| {
        let mut source = source(random, Numbers::Small);
        let n_lines = source.random.below(400);
        let mut ledger = Ledger::new();
        for _ in 0..n_lines {
            let line = source.line();
            let _ = ledger.apply(&line);
            if source.random.one_in(300) {
                ledger.enter_child(Moment::default());
            }
            if source.random.one_in(4) {
                check_circular(&ledger.snapshot());
                check_sums(&ledger.snapshot());
            }
        }
        check_end(ledger);
    });
}

#[test]
fn no_numbers_make_the_ledger_fail() {
    for_some_time(|random| {
        let mut source = source(random, Numbers::Any);
        let n_lines = source.random.below(400);
        let (mut ledger, mut growth) = (Ledger::new(), Growth::default());
        for _ in 0..n_lines {
            let line = source.line();
            let _ = ledger.apply(&line);
            if let Line::Event(_, Event::Failure(Failure::Allocation(request))) = &line {
                look_at_refusal(&ledger, request);
            }
            if source.random.one_in(20) {
                look_at_everything(&ledger);
                growth.note("m", Moment::default(), &ledger.snapshot());
            }
        }
        look_at_everything(&ledger);
        for of in growth.trends().iter().flat_map(|trend| &trend.types) {
            assert!(of.line.per_mark.is_finite() && of.marks_left().is_none_or(f64::is_finite), "{of:?}");
        }
        check_end(ledger);
    });
}

#[test]
fn no_bytes_make_the_reader_or_the_ledger_fail() {
    for_some_time(|random| {
        let mut source = source(random, Numbers::Any);
        let mut ledger = Ledger::new();
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.clear();
            source.line().write_to(&mut bytes);
            if source.random.one_in(2) {
                damage(&mut bytes, source.random);
            }
            for text in String::from_utf8_lossy(&bytes).lines() {
                if let Ok(line) = Line::parse(text) {
                    let _ = ledger.apply(&line);
                }
            }
        }
        look_at_everything(&ledger);
        check_end(ledger);
    });
}

/// Changes, cuts, doubles or mixes bytes.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.index(bytes.len().max(1));
        let Some(byte) = bytes.get_mut(at) else { return };
        match random.below(7) {
            0 => *byte = u8::try_from(random.below(256)).unwrap(),
            1 => *byte = b'0' + u8::try_from(random.below(10)).unwrap(),
            2 => *byte = b"\"{}[]:,.-\\\n"[random.index(11)],
            3 => bytes.truncate(at),
            4 => drop(bytes.remove(at)),
            5 => bytes.insert(at, b"9,\"}"[random.index(4)]),
            _ => {
                let upto = (at + random.index(40)).min(bytes.len());
                let part = bytes[at..upto].to_vec();
                bytes.extend(part);
            }
        }
    }
}

fn check_end(mut ledger: Ledger) {
    ledger.finish(Conclusion::Death);
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.n_live(), 0);
    let all = [snapshot.chips(), snapshot.places()].concat();
    assert!(all.iter().flat_map(|totals| &totals.types).all(|of| of.tally.buffers.live == 0));
    assert!(ledger.anomalies().first().len() <= 1000);
}

fn look_at_refusal(ledger: &Ledger, request: &Request) {
    let snapshot = ledger.snapshot();
    let _ = (snapshot.l1_below(request.place, u64::MAX), snapshot.lowest_l1(request.place));
    let _ = (snapshot.program_end(1), snapshot.held_bytes(request.place, request.buffer_type));
    let Some(refusal) = snapshot.refusal(request) else { return };
    for way in refusal.fewest.iter().chain(&refusal.least) {
        assert!(way.hole.bytes >= refusal.needed_bytes && !way.buffers.is_empty());
    }
}

fn look_at_everything(ledger: &Ledger) {
    let snapshot = ledger.snapshot();
    for totals in [snapshot.chips(), snapshot.places()].concat() {
        totals.types.iter().for_each(|of| check_peaks(&of.tally));
    }
    let _ = (snapshot.live(), snapshot.global(), snapshot.circular_buffers(), snapshot.circular_footprints());
    let _ = (snapshot.l1(), snapshot.least_headrooms());
    for map in snapshot.address_maps() {
        assert!((0.0..=1.0).contains(&map.fragmentation()));
    }
}

fn check_peaks(tally: &Tally) {
    for gauge in [tally.bytes, tally.bank_bytes, tally.buffers].iter().chain(&tally.classes) {
        assert!(gauge.live <= gauge.peak, "{tally:?}");
    }
}

/// The running sums of circular buffers, against those that are laid out.
fn check_circular(snapshot: &Snapshot<'_>) {
    let mut sums: BTreeMap<Place, u64> = (0..6).map(|number| (Place::Chip(number), 0)).collect();
    sums.extend((0..4).map(|number| (Place::Mesh(number), 0)));
    for cb in snapshot.circular_buffers().iter().filter(|cb| !cb.globally_allocated) {
        *sums.entry(cb.place).or_default() += cb.size_bytes;
    }
    sums.into_iter().for_each(|(place, sum)| assert_eq!(snapshot.circular_bytes(place), sum, "{place:?}"));
}

/// Logical bytes, bytes per bank, buffers.
type Sums = BTreeMap<(Place, BufferType), [u64; 3]>;

/// Figures of places, of chips and of all chips, against the live buffers.
fn check_sums(snapshot: &Snapshot<'_>) {
    let (mut by_place, mut owned, mut at_most) = (Sums::new(), Sums::new(), Sums::new());
    for buffer in snapshot.live().into_iter().filter(|buffer| snapshot.is_counted(buffer)) {
        let more = [buffer.alloc.size_bytes, buffer.bank_bytes, 1];
        let add = |to: &mut Sums, place: Place| {
            let sum = to.entry((place, buffer.alloc.buffer_type)).or_default();
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        };
        add(&mut by_place, buffer.place());
        for chip in snapshot.chips_of(buffer.place()) {
            add(&mut at_most, Place::Chip(*chip));
            if buffer.owns_memory() {
                add(&mut owned, Place::Chip(*chip));
            }
        }
    }
    let places = snapshot.places();
    assert_eq!(figures(&places, |totals| vec![totals.place.unwrap()]), by_place);
    let chips = snapshot.chips();
    let on_chips = figures(&chips, |totals| totals.chips.iter().map(|chip| Place::Chip(*chip)).collect());
    let of = |sums: &Sums, key| sums.get(key).copied().unwrap_or_default();
    for (key, live) in &on_chips {
        let (least, most) = (of(&owned, key), of(&at_most, key));
        assert!(
            (0..3).all(|at| least[at] <= live[at] && live[at] <= most[at]),
            "{key:?}: {least:?} {live:?} {most:?}"
        );
    }
    assert!(owned.keys().all(|key| on_chips.contains_key(key)));
    check_totals(snapshot, &chips, &on_chips);
}

fn figures(all: &[Totals], places: impl Fn(&Totals) -> Vec<Place>) -> Sums {
    let mut sums = Sums::new();
    for totals in all {
        for of in &totals.types {
            check_peaks(&of.tally);
            let (tally, by_class) = (of.tally, of.tally.classes.iter().map(|gauge| gauge.live));
            assert_eq!(by_class.sum::<u64>(), tally.bytes.live, "{totals:?}");
            assert_eq!(tally.at_peak().into_iter().sum::<u64>(), tally.bytes.peak, "{totals:?}");
            let live = [tally.bytes.live, tally.bank_bytes.live, tally.buffers.live];
            for place in places(totals).into_iter().filter(|_| live != [0; 3]) {
                assert!(sums.insert((place, of.buffer_type), live).is_none(), "{place:?} twice");
            }
        }
    }
    sums
}

fn check_totals(snapshot: &Snapshot<'_>, chips: &[Totals], on_chips: &Sums) {
    for totals in chips {
        let live: u64 = totals.types.iter().map(|of| of.tally.bytes.live).sum();
        let total = totals.total.unwrap();
        assert_eq!(total.live, live);
        let at_peak: u64 = totals.at_peak.iter().flat_map(|(_, by_class)| by_class).sum();
        assert_eq!(total.peak, at_peak, "{totals:?}");
    }
    let (all, types) = snapshot.global();
    assert_eq!(all.live, on_chips.values().map(|live| live[0]).sum::<u64>());
    for (buffer_type, gauge) in types {
        let here = on_chips.iter().filter(|((_, of), _)| *of == buffer_type);
        assert_eq!(gauge.live, here.map(|(_, live)| live[0]).sum::<u64>());
    }
}
