//! Whose a buffer is: each class on its own, and all of them against a model that sums live buffers anew after
//! every event.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use support::{Stream, T3K, dram, l1};
use tt_memtrace_ledger::{ByClass, Class, Conclusion, Gauge, Ledger, Moment, Rules};
use tt_memtrace_wire::*;

const MESH: Place = Place::Mesh(0);

fn index(class: Class) -> usize {
    Class::ALL.iter().position(|known| *known == class).unwrap()
}

/// The class of the live buffer at the address.
fn class_at(stream: &Stream, address: Address) -> Class {
    stream.ledger.snapshot().live().iter().find(|buffer| buffer.alloc.address == address).unwrap().class
}

/// The classes of the survivors, by address.
fn left(mut stream: Stream) -> Vec<(Address, Class)> {
    stream.ledger.finish(Conclusion::Exit);
    stream.ledger.survivors().iter().map(|left| (left.buffer.alloc.address, left.buffer.class)).collect()
}

fn sharded(address: Address, per_bank_bytes: u64) -> Alloc {
    let (layout, n_cores) = (BufferLayout::HeightSharded, Some(8));
    Alloc { layout, n_cores, per_bank_bytes, ..l1(MESH, address, per_bank_bytes * 8) }
}

#[test]
fn some_memory_types_tell_it_alone() {
    let mut stream = Stream::on_t3k();
    stream.alloc(Alloc { buffer_type: BufferType::Trace, ..dram(MESH, 64, 4096) });
    stream.alloc(Alloc { buffer_type: BufferType::L1Small, ..l1(MESH, 128, 4096) });
    assert_eq!(left(stream), [(64, Class::Trace), (128, Class::L1Small)]);
}

#[test]
fn a_semaphore_is_a_sharded_l1_buffer_of_at_most_16_bytes_in_a_bank() {
    let mut stream = Stream::on_t3k();
    stream.begin("ttnn.all_gather");
    stream.alloc(sharded(64, 16));
    stream.alloc(sharded(128, 17));
    stream.alloc(l1(MESH, 192, 16));
    stream.alloc(Alloc { buffer_type: BufferType::Dram, ..sharded(256, 16) });
    let user = [128, 192, 256].map(|address| (address, Class::User));
    assert_eq!(left(stream), [&[(64, Class::Semaphore)][..], &user].concat());
}

#[test]
fn without_ops_nobody_knows_whose_a_buffer_is() {
    let mut stream = Stream::on_t3k();
    stream.alloc(dram(MESH, 64, 4096));
    let _ = stream.event(Event::ProgramRun { program: 1, place: MESH });
    stream.mark("warm");
    stream.alloc(dram(MESH, 4096, 4096));
    // What opens a device, or clears the cache, tells of itself, but not that other ops would be told of.
    stream.begin("ttnn.open_mesh_device");
    stream.alloc(dram(MESH, 8192, 4096));
    stream.end();
    let unattributed = [64, 4096].map(|address| (address, Class::Unattributed));
    assert_eq!(left(stream), [&unattributed[..], &[(8192, Class::System)]].concat());
}

#[test]
fn what_was_there_before_the_first_op_is_judged_when_that_op_comes() {
    let mut stream = Stream::on_t3k();
    stream.alloc(dram(MESH, 64, 4096));
    assert_eq!(class_at(&stream, 64), Class::Unattributed);
    stream.begin("ttnn.add");
    assert_eq!(class_at(&stream, 64), Class::System);
    let tally = stream.on(0, BufferType::Dram);
    let live = |class| tally.classes[index(class)].live;
    assert_eq!([live(Class::System), live(Class::Unattributed)], [4096, 0]);
    stream.alloc(dram(MESH, 4096, 4096));
    assert_eq!(left(stream), [(64, Class::System), (4096, Class::User)]);
}

#[test]
fn the_first_op_the_first_program_and_the_first_mark_put_a_mesh_to_use() {
    let first_uses: [fn(&mut Stream); 3] = [
        |stream| stream.begin("ttnn.add"),
        |stream| drop(stream.event(Event::ProgramRun { program: 1, place: MESH })),
        |stream| stream.mark("warm"),
    ];
    for first_use in first_uses {
        let mut stream = Stream::on_t3k();
        stream.alloc(dram(MESH, 64, 4096));
        first_use(&mut stream);
        stream.end();
        stream.alloc(dram(MESH, 4096, 4096));
        stream.begin("ttnn.later");
        assert_eq!(left(stream), [(64, Class::System), (4096, Class::User)]);
    }
}

#[test]
fn each_mesh_has_a_first_use_of_its_own() {
    let mut stream = Stream::on_t3k();
    stream.begin("ttnn.add");
    stream.end();
    // A mesh that is opened after ops ran elsewhere.
    stream.define_mesh(1, &[0, 1], 2);
    let second = |address| Alloc { allocator: Some(2), ..dram(Place::Mesh(1), address, 4096) };
    stream.alloc(second(64));
    stream.alloc(dram(MESH, 64, 4096));
    let _ = stream.event(Event::ProgramRun { program: 1, place: Place::Mesh(1) });
    stream.alloc(second(8192));
    let told: Vec<(Place, Class)> =
        stream.ledger.snapshot().live().iter().map(|buffer| (buffer.place(), buffer.class)).collect();
    assert_eq!(told, [(MESH, Class::User), (Place::Mesh(1), Class::System), (Place::Mesh(1), Class::User)]);
}

#[test]
fn the_thread_that_opens_a_device_allocates_for_the_system() {
    let mut stream = Stream::on_t3k();
    stream.begin("ttnn.add");
    stream.end();
    stream.begin("my_app::open_mesh_device");
    stream.alloc(dram(MESH, 64, 4096));
    stream.tid = 2;
    stream.alloc(dram(MESH, 4096, 4096));
    stream.tid = 1;
    stream.begin("a part of it");
    stream.alloc(dram(MESH, 8192, 4096));
    stream.end();
    stream.end();
    stream.alloc(dram(MESH, 12288, 4096));
    let expected = [(64, Class::System), (4096, Class::User), (8192, Class::System), (12288, Class::User)];
    assert_eq!(left(stream), expected);
}

#[test]
fn what_the_clearing_of_the_program_cache_frees_was_held_by_it() {
    let mut stream = Stream::on_t3k();
    stream.begin("ttnn.add");
    let (cached, other) = (dram(MESH, 0x3FFF_F800, 12_288), dram(MESH, 64, 4096));
    stream.alloc(cached.clone());
    stream.alloc(other.clone());
    stream.end();
    assert_eq!(class_at(&stream, cached.address), Class::User);
    stream.begin("MeshDevice::disable_and_clear_program_cache");
    let ended = match stream.free(&cached) {
        tt_memtrace_ledger::Effect::Closed(ended) => ended,
        effect => panic!("{effect:?}"),
    };
    stream.end();
    assert_eq!(ended.buffer.class, Class::ProgramCache);
    let tally = stream.on(0, BufferType::Dram);
    assert_eq!(
        tally.classes[index(Class::ProgramCache)],
        Gauge { live: 0, peak: 12_288, peak_at: Moment { n: 6, t_ns: 6000 } }
    );
    // The peak lasted until then, so it is known what it was made of.
    assert_eq!(tally.at_peak()[index(Class::ProgramCache)], 12_288);
    assert_eq!(tally.at_peak()[index(Class::User)], 4096);
    // Outside, and on another thread, a free tells nothing.
    assert!(
        matches!(stream.free(&other), tt_memtrace_ledger::Effect::Closed(ended) if ended.buffer.class == Class::User)
    );
}

#[test]
fn other_rules_give_other_classes_and_other_leaks() {
    let rules = "
        leaks = ['unattributed', 'user']
        open_ops = ['boot']
        cache_clear_ops = ['forget']
        [[rule]]
        class = 'expected'
        type = ['DRAM', 'L1']
        layout = ['INTERLEAVED']
        min_size_bytes = 1000
        max_size_bytes = 2000
        [[rule]]
        class = 'system'
        allocated = 'during_open'
        [[rule]]
        class = 'program_cache'
        freed = 'in_cache_clear'
        [[rule]]
        class = 'user'
        ops_recorded = true
    ";
    let rules = Arc::new(Rules::parse(rules).unwrap());
    assert!([Class::Unattributed, Class::User].into_iter().all(|class| rules.is_leak(class)));
    assert!(!rules.is_leak(Class::System) && !rules.is_leak(Class::Expected));
    let mut stream = Stream::new(Ledger::with_rules(rules));
    stream.define_mesh(0, &T3K, 1);
    stream.begin("boot the board");
    stream.alloc(dram(MESH, 64, 999));
    stream.end();
    let sizes = [(4096, 1000), (8192, 2000), (12288, 2001)];
    sizes.into_iter().for_each(|(address, size)| stream.alloc(dram(MESH, address, size)));
    stream.alloc(Alloc { layout: BufferLayout::BlockSharded, ..dram(MESH, 16384, 1500) });
    // The shipped names mean nothing here.
    stream.begin("open_mesh_device");
    stream.alloc(dram(MESH, 20480, 1));
    stream.begin("forget it all");
    let _ = stream.free(&dram(MESH, 12288, 2001));
    let expected = [
        (64, Class::System),
        (4096, Class::Expected),
        (8192, Class::Expected),
        (16384, Class::User),
        (20480, Class::User),
    ];
    let tally = stream.on(3, BufferType::Dram);
    assert_eq!(tally.classes[index(Class::ProgramCache)].peak, 2001);
    assert_eq!(left(stream), expected);
}

// The model. Chips 1 and 2 are in two meshes, chip 3 is in none.

const MESHES: [(u32, &[u32]); 2] = [(0, &[0, 1, 2]), (1, &[1, 2])];
const PLACES: [Place; 3] = [Place::Mesh(0), Place::Mesh(1), Place::Chip(3)];
const TYPES: [BufferType; 4] = [BufferType::Dram, BufferType::L1, BufferType::Trace, BufferType::L1Small];

fn chips_of(place: Place) -> &'static [u32] {
    match place {
        Place::Mesh(id) => MESHES[usize::try_from(id).unwrap()].1,
        Place::Chip(_) => &[3],
    }
}

#[derive(Debug, Clone)]
struct Held {
    alloc: Alloc,
    during_open: bool,
    before_first_use: bool,
    freed_in_cache_clear: bool,
}

impl Held {
    /// The shipped rules, in other words.
    fn class(&self, ops_recorded: bool) -> Class {
        let is_sharded = self.alloc.layout != BufferLayout::Interleaved;
        match self.alloc.buffer_type {
            BufferType::Trace => Class::Trace,
            BufferType::L1Small => Class::L1Small,
            _ if self.during_open || (self.before_first_use && ops_recorded) => Class::System,
            _ if self.freed_in_cache_clear => Class::ProgramCache,
            BufferType::L1 if is_sharded && self.alloc.per_bank_bytes <= 16 => Class::Semaphore,
            _ if ops_recorded => Class::User,
            _ => Class::Unattributed,
        }
    }
}

/// A figure, its highest, and what it was made of then: so far as was known while it stayed there.
#[derive(Debug, Clone, Default)]
struct Peak<Parts> {
    highest: u64,
    at: u64,
    parts: Parts,
    lasts: bool,
}

impl<Parts> Peak<Parts> {
    fn note(&mut self, n: u64, value: u64, parts: Parts) {
        if value > self.highest {
            (self.highest, self.at, self.lasts) = (value, n, true);
        }
        if self.lasts {
            self.parts = parts;
        }
    }
}

type Key = (u32, BufferType);
type Split = BTreeMap<BufferType, ByClass>;

#[derive(Default)]
struct Model {
    live: Vec<Held>,
    ops: BTreeMap<u32, Vec<String>>,
    ops_recorded: bool,
    n_uses: u64,
    /// Places that were named, how many uses of everything there had been, and whether they were used.
    named: BTreeMap<Place, (u64, bool)>,
    types: BTreeMap<Key, Peak<ByClass>>,
    classes: BTreeMap<(Key, usize), Peak<()>>,
    chips: BTreeMap<u32, Peak<Split>>,
    all: Peak<()>,
    all_of_type: BTreeMap<BufferType, Peak<()>>,
}

impl Model {
    fn split(&self, chip: u32) -> Split {
        let mut split = Split::new();
        for held in self.live.iter().filter(|held| chips_of(held.alloc.place).contains(&chip)) {
            let by_class = split.entry(held.alloc.buffer_type).or_default();
            by_class[index(held.class(self.ops_recorded))] += held.alloc.size_bytes;
        }
        split
    }

    fn look(&mut self, n: u64) {
        let mut all: BTreeMap<BufferType, u64> = BTreeMap::new();
        for chip in 0..4 {
            let split = self.split(chip);
            for buffer_type in TYPES {
                let by_class = split.get(&buffer_type).copied().unwrap_or_default();
                let key = (chip, buffer_type);
                self.types.entry(key).or_default().note(n, by_class.iter().sum(), by_class);
                for (class, bytes) in by_class.into_iter().enumerate() {
                    self.classes.entry((key, class)).or_default().note(n, bytes, ());
                }
                *all.entry(buffer_type).or_default() += by_class.iter().sum::<u64>();
            }
            self.chips.entry(chip).or_default().note(n, split.values().flatten().sum(), split);
        }
        self.all.note(n, all.values().sum(), ());
        all.into_iter().for_each(|(of, bytes)| self.all_of_type.entry(of).or_default().note(n, bytes, ()));
    }

    fn is_inside(&self, tid: u32, what: impl Fn(&str) -> bool) -> bool {
        self.ops.get(&tid).is_some_and(|open| open.iter().any(|op| what(op)))
    }

    fn end(&mut self, is_one: impl Fn(&Held) -> bool) {
        let ending: Vec<Held> = self.live.iter().filter(|held| is_one(held)).cloned().collect();
        for held in &ending {
            for chip in chips_of(held.alloc.place) {
                self.types.entry((*chip, held.alloc.buffer_type)).or_default().lasts = false;
                self.chips.entry(*chip).or_default().lasts = false;
            }
        }
        self.live.retain(|held| !is_one(held));
    }

    fn apply(&mut self, tid: u32, n: u64, event: &Event) {
        match event {
            Event::Alloc(alloc) => {
                let in_op = self.is_inside(tid, |op| op == USE);
                let (uses_before, is_used) = self.named.entry(alloc.place).or_insert((self.n_uses, false));
                *is_used |= in_op;
                let before_first_use = !*is_used && *uses_before == self.n_uses;
                let during_open = self.is_inside(tid, |op| op == OPEN);
                let alloc = alloc.clone();
                self.live.push(Held { alloc, during_open, before_first_use, freed_in_cache_clear: false });
            }
            Event::Dealloc(dealloc) => {
                let clears = self.is_inside(tid, |op| op == CLEAR);
                let is_it = |held: &Held| held.alloc.unique_id == dealloc.unique_id;
                if let Some(held) = self.live.iter_mut().find(|held| is_it(held)) {
                    held.freed_in_cache_clear = clears;
                    self.look(n);
                }
                self.end(is_it);
            }
            Event::Close { place } => self.end(|held| held.alloc.place == *place),
            Event::Sweep { allocator, .. } => self.end(|held| held.alloc.allocator == Some(*allocator)),
            Event::Mark { .. } => self.n_uses += 1,
            Event::ProgramRun { place, .. } => {
                self.named.entry(*place).or_insert((self.n_uses, false)).1 = true
            }
            Event::OpBegin { name, .. } => {
                if name == USE {
                    self.n_uses += 1;
                    self.ops_recorded = true;
                }
                self.ops.entry(tid).or_default().push(name.clone());
            }
            Event::OpEnd => drop(self.ops.entry(tid).or_default().pop()),
            _ => panic!("{event:?}"),
        }
        self.look(n);
    }
}

const USE: &str = "ttnn.add";
const OPEN: &str = "ttnn.open_mesh_device";
const CLEAR: &str = "disable_and_clear_program_cache";

/// Makes an event of a draw: its kind, a place, a memory type, a size, and one of the buffers so far.
fn event(
    (what, at, of, size, pick): (u32, usize, usize, u64, usize),
    n: u64,
    history: &mut Vec<Alloc>,
) -> Event {
    let place = PLACES[at];
    match what {
        0..=49 => {
            let layout = if size % 2 == 0 { BufferLayout::WidthSharded } else { BufferLayout::Interleaved };
            let (address, allocator) =
                (n * 64, matches!(place, Place::Mesh(_)).then_some(10 + u64::try_from(at).unwrap()));
            let (size_bytes, per_bank_bytes, unique_id) = (size * 100, size, Some(n));
            let buffer_type = TYPES[of];
            let alloc = Alloc {
                layout,
                allocator,
                per_bank_bytes,
                unique_id,
                buffer_type,
                ..dram(place, address, size_bytes)
            };
            history.push(alloc.clone());
            Event::Alloc(alloc)
        }
        50..=79 => match history.get(pick % history.len().max(1)) {
            Some(alloc) => Event::Dealloc(support::freed(alloc)),
            None => Event::OpEnd,
        },
        80..=84 => Event::OpBegin { name: CLEAR.into(), arguments: None },
        85..=87 => Event::OpBegin { name: OPEN.into(), arguments: None },
        88..=89 => Event::OpBegin { name: USE.into(), arguments: None },
        90..=95 => Event::OpEnd,
        96 => Event::Mark { name: "m".into() },
        97 => Event::ProgramRun { program: 1, place },
        98 => Event::Sweep { allocator: 10 + u64::try_from(at).unwrap(), cause: SweepCause::Call },
        _ => Event::Close { place: Place::Mesh(u32::try_from(at).unwrap()) },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_class_and_every_peak_equals_a_naive_model(
        draws in prop::collection::vec((0..100_u32, 0..3_usize, 0..4_usize, 1..40_u64, 0..64_usize), 0..100),
        tids in prop::collection::vec(1..3_u32, 100),
    ) {
        let (mut stream, mut model) = (Stream::new(Ledger::new()), Model::default());
        for (mesh_id, chips) in MESHES {
            stream.define_mesh(mesh_id, chips, 10 + u64::from(mesh_id));
            model.named.insert(Place::Mesh(mesh_id), (0, false));
        }
        let mut history = Vec::new();
        for (draw, tid) in draws.into_iter().zip(tids) {
            let event = event(draw, stream.n + 1, &mut history);
            stream.tid = tid;
            let _ = stream.event(event.clone());
            model.apply(tid, stream.n, &event);
            compare(&stream, &model)?;
        }
    }
}

fn compare(stream: &Stream, model: &Model) -> Result<(), TestCaseError> {
    let (n, snapshot) = (stream.n, stream.ledger.snapshot());
    for held in &model.live {
        let is_it = |buffer: &&&tt_memtrace_ledger::Buffer| buffer.alloc.unique_id == held.alloc.unique_id;
        let class = snapshot.live().iter().find(is_it).map(|buffer| buffer.class);
        prop_assert_eq!(class, Some(held.class(model.ops_recorded)), "event {}", n);
    }
    for chip in 0..4 {
        let split = model.split(chip);
        for buffer_type in TYPES {
            let (key, tally) = ((chip, buffer_type), stream.on(chip, buffer_type));
            let live = split.get(&buffer_type).copied().unwrap_or_default();
            prop_assert_eq!(tally.classes.map(|gauge| gauge.live), live, "chip {}, event {}", chip, n);
            let peak = &model.types[&key];
            prop_assert_eq!((tally.bytes.peak, tally.bytes.peak_at.n), (peak.highest, peak.at));
            prop_assert_eq!(tally.at_peak(), peak.parts, "{:?}, event {}", key, n);
            for (class, gauge) in tally.classes.into_iter().enumerate() {
                let peak = &model.classes[&(key, class)];
                prop_assert_eq!((gauge.peak, gauge.peak_at.n), (peak.highest, peak.at), "event {}", n);
            }
        }
        let totals = snapshot.chips().into_iter().find(|totals| totals.chips.contains(&chip));
        let (total, at_peak) = totals.map_or_else(Default::default, |totals| (totals.total, totals.at_peak));
        let peak = &model.chips[&chip];
        prop_assert_eq!(total.unwrap_or_default().peak, peak.highest, "chip {}, event {}", chip, n);
        let at_peak: Split =
            at_peak.into_iter().filter(|(_, by_class)| *by_class != ByClass::default()).collect();
        prop_assert_eq!(&at_peak, &peak.parts, "chip {}, event {}", chip, n);
    }
    let (all, types) = snapshot.global();
    prop_assert_eq!((all.peak, all.peak_at.n), (model.all.highest, model.all.at), "all, event {}", n);
    for (buffer_type, gauge) in types {
        let peak = &model.all_of_type[&buffer_type];
        prop_assert_eq!(
            (gauge.peak, gauge.peak_at.n),
            (peak.highest, peak.at),
            "{:?}, event {}",
            buffer_type,
            n
        );
    }
    Ok(())
}
