//! Circular buffers, cores and headroom against a model that keeps plain lists and looks at every core.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tt_memtrace_ledger::{Basis, L1Map, Ledger};
use tt_memtrace_wire::*;

/// Meshes that share chips. Of the last one's allocator nobody knows the banks.
const MESHES: [(u32, &[u32], bool); 3] = [(0, &[0, 1, 2], true), (1, &[1, 2], true), (2, &[3], false)];
const BANK: (u64, u64) = (1000, 5000);
/// Sets of cores on a grid of 5 columns and 4 rows. The last one is never defined.
const CORES: [&[[u32; 4]]; 5] =
    [&[[0, 0, 4, 3]], &[[1, 1, 3, 2]], &[[0, 0, 0, 0], [4, 3, 4, 3]], &[[2, 0, 4, 1], [0, 2, 1, 3]], &[]];
const UNDEFINED: u32 = 4;

fn chips_of(place: Place) -> &'static [u32] {
    const CHIPS: [u32; 4] = [0, 1, 2, 3];
    match place {
        Place::Chip(chip) => &CHIPS[chip as usize..=chip as usize],
        Place::Mesh(id) => MESHES[id as usize].1,
    }
}

fn definitions() -> Vec<Line> {
    let mut lines = Vec::new();
    for (mesh_id, chips, has_bank) in MESHES {
        let (rows, cols, arch) = (1, 1, "wormhole_b0".to_owned());
        lines.push(Line::Mesh(Mesh { mesh_id, chips: chips.to_vec(), rows, cols, arch }));
        let (buffer_type, bank_size_bytes) = (BufferType::L1, BANK.1 - BANK.0);
        let bank = Bank { buffer_type, n_banks: 20, bank_size_bytes, base_address: Some(BANK.0) };
        let banks = if has_bank { vec![bank] } else { Vec::new() };
        let allocator = Allocator { allocator: mesh_id.into(), mesh_id, bank_rounding_bytes: Some(1), banks };
        lines.push(Line::Allocator(allocator));
    }
    for (cores, ranges) in (0..UNDEFINED).zip(CORES) {
        let range = |[x0, y0, x1, y1]: &[u32; 4]| Range { x0: *x0, y0: *y0, x1: *x1, y1: *y1 };
        lines.push(Line::Cores(Cores { cores, ranges: ranges.iter().map(range).collect() }));
    }
    lines
}

#[derive(Default)]
struct Model {
    buffers: Vec<Alloc>,
    joined: BTreeSet<Place>,
    circular: Vec<CbAlloc>,
    announced_by: BTreeMap<Option<u64>, u32>,
    launched: BTreeMap<u64, (Place, u32)>,
    last: BTreeMap<Place, (u64, u64)>,
    least: BTreeMap<u32, (i64, u64)>,
    had_unsized: BTreeSet<u32>,
    had_several: BTreeSet<u32>,
}

impl Model {
    fn apply(&mut self, stamp: Stamp, event: &Event) {
        match event {
            Event::Alloc(alloc) => {
                self.buffers.retain(|b| (b.place, b.address) != (alloc.place, alloc.address));
                self.buffers.push(alloc.clone());
                self.joined.insert(alloc.place);
            }
            Event::Dealloc(dealloc) => self.buffers.retain(|b| b.unique_id != dealloc.unique_id),
            Event::CbAlloc(cb) => {
                self.announced_by.entry(cb.program).or_insert(stamp.tid);
                self.circular.push(cb.clone());
            }
            Event::CbDealloc(dealloc) => self.release(dealloc),
            Event::ProgramRun { program, place } => {
                self.launched.entry(*program).or_insert((*place, stamp.tid));
                self.last.insert(*place, (stamp.n, *program));
            }
            Event::Close { place } => self.close(*place),
            _ => {}
        }
        for chip in 0..4 {
            if let Some(room) = self.room(chip) {
                let least = self.least.entry(chip).or_insert((room, stamp.n));
                *least = (*least).min((room, stamp.n));
            }
        }
    }

    fn release(&mut self, dealloc: &CbDealloc) {
        let is_on = |place: Place| match (dealloc.place, place) {
            (None, _) => true,
            (Some(there), Place::Chip(chip)) => chips_of(there).contains(&chip),
            (Some(there), _) => there == place,
        };
        let had: BTreeSet<_> = self.circular.iter().map(|cb| cb.program).collect();
        let is_meant = |program| dealloc.program.is_none() || dealloc.program == program;
        self.circular.retain(|cb| !(is_meant(cb.program) && is_on(cb.place)));
        let has: BTreeSet<_> = self.circular.iter().map(|cb| cb.program).collect();
        let is_gone = |program: Option<u64>, place: Option<Place>| {
            is_meant(program)
                && !has.contains(&program)
                && (dealloc.program.is_some() || had.contains(&program) || place.is_some_and(is_on))
        };
        let places: BTreeMap<u64, Place> = self.launched.iter().map(|(p, (place, _))| (*p, *place)).collect();
        self.launched.retain(|program, (place, _)| !is_gone(Some(*program), Some(*place)));
        self.announced_by
            .retain(|program, _| !is_gone(*program, program.and_then(|p| places.get(&p).copied())));
    }

    fn close(&mut self, place: Place) {
        let gone: Vec<u64> =
            self.launched.iter().filter(|(_, (at, _))| *at == place).map(|(program, _)| *program).collect();
        let chips = chips_of(place).iter().copied();
        if gone.iter().any(|program| self.is_unsized(*program)) {
            self.had_unsized.extend(chips.clone());
        }
        if gone.iter().any(|program| self.is_of_several(Some(*program))) {
            self.had_several.extend(chips);
        }
        for program in gone {
            self.circular.retain(|cb| cb.program != Some(program));
            self.launched.remove(&program);
            self.announced_by.remove(&Some(program));
        }
        self.last.remove(&place);
        self.buffers.retain(|buffer| buffer.place != place);
        self.joined.remove(&place);
    }

    fn is_unsized(&self, program: u64) -> bool {
        self.circular.iter().all(|cb| cb.program != Some(program))
    }

    fn is_of_several(&self, program: Option<u64>) -> bool {
        let launcher = program.and_then(|program| self.launched.get(&program)).map(|(_, tid)| tid);
        let announcer = self.announced_by.get(&program);
        matches!((announcer, launcher), (Some(a), Some(b)) if a != b)
    }

    fn on(&self, chip: u32) -> impl Iterator<Item = &CbAlloc> {
        self.circular.iter().filter(move |cb| chips_of(cb.place).contains(&chip))
    }

    fn end(&self, chip: u32) -> Option<u64> {
        self.on(chip).filter_map(own_end).max()
    }

    fn lowest(&self, chip: u32) -> Option<u64> {
        let here = self.buffers.iter().filter(|buffer| chips_of(buffer.place).contains(&chip));
        here.map(|buffer| buffer.address).min()
    }

    fn bank(&self, chip: u32) -> Option<(u64, u64)> {
        let knows = |place: &Place| matches!(place, Place::Mesh(0 | 1)) && chips_of(*place).contains(&chip);
        self.joined.iter().any(knows).then_some(BANK)
    }

    fn room(&self, chip: u32) -> Option<i64> {
        let bank = self.bank(chip);
        let low = self.lowest(chip).or(bank.map(|bank| bank.1))?;
        let high = self.end(chip).or(bank.map(|bank| bank.0))?;
        Some(i64::try_from(low).unwrap() - i64::try_from(high).unwrap())
    }

    fn running(&self, chip: u32) -> Option<u64> {
        let here = self.last.iter().filter(|(place, _)| chips_of(**place).contains(&chip));
        here.map(|(_, (n, program))| (*n, *program)).max().map(|(_, program)| program)
    }

    fn unsized_programs(&self, chip: u32) -> Vec<u64> {
        let is_shown = |(program, (place, _)): &(&u64, &(Place, u32))| {
            self.is_unsized(**program) && chips_of(*place).contains(&chip) && self.last.contains_key(place)
        };
        self.launched.iter().filter(is_shown).map(|(program, _)| *program).collect()
    }

    /// Bytes that reside on all cores, on this one besides, and whether that is all there is to know.
    fn resident(&self, chip: u32, x: u32, y: u32) -> (u64, u64, bool) {
        let (mut on_all, mut here, mut is_known) = (0, 0, true);
        for buffer in self.buffers.iter().filter(|buffer| chips_of(buffer.place).contains(&chip)) {
            let grid = buffer.cores.filter(|cores| *cores < UNDEFINED).map(|cores| CORES[cores as usize]);
            let n_in_grid =
                grid.map(|ranges| ranges.iter().map(|[a, b, c, d]| (c - a + 1) * (d - b + 1)).sum());
            match (buffer.n_cores, grid) {
                (None, _) => on_all += buffer.per_bank_bytes,
                (Some(20), _) if self.bank(chip).is_some() => on_all += buffer.per_bank_bytes,
                (n_cores, Some(ranges)) if n_cores == n_in_grid => {
                    if ranges.iter().any(|range| is_in(range, x, y)) {
                        here += buffer.per_bank_bytes;
                    }
                }
                _ => is_known = false,
            }
        }
        (on_all, here, is_known)
    }

    /// The highest end on a core, of all programs or of one, and whose ends are as high.
    fn on_core(&self, chip: u32, x: u32, y: u32, of: Option<u64>) -> Option<(u64, Vec<Option<u64>>)> {
        let is_there = |cb: &&CbAlloc| CORES[cb.cores as usize].iter().any(|range| is_in(range, x, y));
        let is_of = |cb: &&CbAlloc| of.is_none() || cb.program == of;
        let here: Vec<_> = self.on(chip).filter(is_there).filter(is_of).collect();
        let end = here.iter().filter_map(|cb| own_end(cb)).max()?;
        Some((end, here.iter().filter(|cb| own_end(cb) == Some(end)).map(|cb| cb.program).collect()))
    }
}

fn is_in([x0, y0, x1, y1]: &[u32; 4], x: u32, y: u32) -> bool {
    (*x0..=*x1).contains(&x) && (*y0..=*y1).contains(&y)
}

fn own_end(cb: &CbAlloc) -> Option<u64> {
    (!cb.globally_allocated).then_some(cb.address + cb.size_bytes)
}

fn basis(may_be_higher: bool, may_be_lower: bool) -> Basis {
    match (may_be_higher, may_be_lower) {
        (false, false) => Basis::Exact,
        (true, false) => Basis::LowerBound,
        (false, true) => Basis::UpperBound,
        (true, true) => Basis::Estimate,
    }
}

fn check(model: &Model, maps: &[L1Map<'_>], least: &BTreeMap<u32, (i64, u64)>) -> Result<(), TestCaseError> {
    let mut shown = BTreeSet::new();
    for map in maps {
        for &chip in &map.chips {
            prop_assert!(shown.insert(chip), "chip {} twice", chip);
            check_chip(model, map, chip)?;
        }
    }
    for chip in 0..4 {
        let is_used = model.end(chip).is_some() || model.lowest(chip).is_some();
        prop_assert!(shown.contains(&chip) || !is_used, "chip {} is missing", chip);
    }
    prop_assert_eq!(least, &model.least);
    Ok(())
}

fn check_chip(model: &Model, map: &L1Map<'_>, chip: u32) -> Result<(), TestCaseError> {
    prop_assert_eq!(map.room.map(|room| room.bytes()), model.room(chip), "room on chip {}", chip);
    let ids: BTreeSet<_> = map.buffers.iter().map(|of| of.buffer.alloc.unique_id).collect();
    let here = model.buffers.iter().filter(|buffer| chips_of(buffer.place).contains(&chip));
    prop_assert_eq!(ids, here.map(|buffer| buffer.unique_id).collect::<BTreeSet<_>>());
    let programs: BTreeSet<_> = map.programs.iter().map(|program| program.program).collect();
    prop_assert_eq!(programs, model.on(chip).map(|cb| cb.program).collect::<BTreeSet<_>>());
    let unsized_programs = model.unsized_programs(chip);
    prop_assert_eq!(&map.unsized_programs.programs, &unsized_programs);
    prop_assert_eq!(map.running.map(|launch| launch.program), model.running(chip));
    for program in &map.programs {
        let its = || model.on(chip).filter(|cb| cb.program == program.program);
        prop_assert_eq!(program.end, its().filter_map(own_end).max());
        let laid_out = program.circular_buffers.iter();
        let laid_out = laid_out.map(|cb| (cb.cores, cb.address, cb.size_bytes, cb.globally_allocated));
        let expected = its().map(|cb| (cb.cores, cb.address, cb.size_bytes, cb.globally_allocated));
        prop_assert_eq!(laid_out.collect::<BTreeSet<_>>(), expected.collect::<BTreeSet<_>>());
        prop_assert_eq!(program.is_of_several, model.is_of_several(program.program));
        prop_assert_eq!(
            program.is_running,
            program.program.is_some() && program.program == model.running(chip)
        );
    }
    let is_unsized = !unsized_programs.is_empty();
    let tops = map.programs.iter().filter(|program| program.end == model.end(chip));
    let is_at_most = tops.clone().count() > 0 && tops.clone().all(|program| program.is_of_several);
    prop_assert_eq!(map.basis, basis(is_unsized, is_at_most));
    let has_several = map.programs.iter().any(|program| program.is_of_several);
    let (had_unsized, had_several) = (model.had_unsized.contains(&chip), model.had_several.contains(&chip));
    prop_assert_eq!(map.least_basis, basis(is_unsized || had_unsized, has_several || had_several));
    check_cores(model, map, chip, is_unsized)
}

fn check_cores(model: &Model, map: &L1Map<'_>, chip: u32, is_unsized: bool) -> Result<(), TestCaseError> {
    for (x, y) in (0..5).flat_map(|x| (0..4).map(move |y| (x, y))) {
        let has = |range: &&Range| (range.x0..=range.x1).contains(&x) && (range.y0..=range.y1).contains(&y);
        let groups: Vec<_> = map.cores.iter().filter(|group| group.ranges.iter().any(|r| has(&r))).collect();
        let (on_all, here, is_known) = model.resident(chip, x, y);
        prop_assert_eq!((map.resident_elsewhere_bytes, map.is_residence_known), (on_all, is_known));
        let top = model.on_core(chip, x, y, None);
        prop_assert_eq!(groups.len(), usize::from(top.is_some() || here > 0), "core {},{} of {}", x, y, chip);
        let Some(group) = groups.first() else { continue };
        prop_assert_eq!(group.resident_bytes, on_all + here);
        prop_assert_eq!(group.end, top.as_ref().map(|(end, _)| *end));
        let Some((_, owners)) = top else { continue };
        prop_assert!(owners.contains(&groups[0].program));
        let is_at_most = owners.iter().all(|program| model.is_of_several(*program));
        prop_assert_eq!(groups[0].basis, basis(is_unsized, is_at_most));
        let running = model.running(chip);
        let running_end = running.and_then(|_| model.on_core(chip, x, y, running)).map(|(end, _)| end);
        prop_assert_eq!(groups[0].running_end, running_end);
    }
    for group in &map.cores {
        let size = |range: &Range| (range.x1 - range.x0 + 1) * (range.y1 - range.y0 + 1);
        prop_assert_eq!(group.n_cores, group.ranges.iter().map(size).sum::<u32>());
    }
    Ok(())
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![(0..3_u32).prop_map(Place::Mesh), (0..4_u32).prop_map(Place::Chip)]
}

/// On how many cores, and the number of the set in which they are.
fn shards() -> impl Strategy<Value = (Option<u32>, Option<u32>)> {
    prop_oneof![
        Just((None, None)),
        Just((Some(20), Some(0))),
        Just((Some(6), Some(1))),
        Just((Some(2), Some(2))),
        (prop::option::of(1..10_u32), prop::option::of(0..5_u32)),
    ]
}

/// Buffers are on meshes, as the runtime has them; few addresses, so that they meet.
fn event() -> impl Strategy<Value = Event> {
    let program = || prop::option::weighted(0.9, 0..5_u64);
    prop_oneof![
        6 => (0..3_u32, 0..8_u64, 0..4_u64, shards()).prop_map(|(mesh, cell, size, (n_cores, cores))| Event::Alloc(Alloc {
            place: Place::Mesh(mesh),
            allocator: Some(mesh.into()),
            buffer_type: BufferType::L1,
            layout: BufferLayout::Interleaved,
            address: 1500 + cell * 400,
            size_bytes: 1,
            page_size_bytes: 1,
            per_bank_bytes: size * 100,
            n_cores,
            cores,
            unique_id: None,
            owns_data: Some(true),
            hooked: false,
        })),
        5 => (0..100_u64).prop_map(|pick| Event::Dealloc(Dealloc {
            place: Place::Mesh(0),
            buffer_type: Some(BufferType::L1),
            address: 0,
            size_bytes: None,
            unique_id: Some(pick),
            hooked: false,
        })),
        8 => (place(), program(), 0..5_u32, 0..8_u64, 1..8_u64, prop::bool::weighted(0.2)).prop_map(
            |(place, program, cores, cell, size, globally_allocated)| {
                let (address, size_bytes) = (1000 + cell * 100, size * 100);
                Event::CbAlloc(CbAlloc { place, program, cores, address, size_bytes, globally_allocated })
            }
        ),
        3 => (prop::option::of(place()), program())
            .prop_map(|(place, program)| Event::CbDealloc(CbDealloc { place, program })),
        5 => (0..5_u64, 0..3_u32)
            .prop_map(|(program, mesh)| Event::ProgramRun { program, place: Place::Mesh(mesh) }),
        1 => (0..3_u32).prop_map(|mesh_id| Event::Close { place: Place::Mesh(mesh_id) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_core_of_every_chip_equals_a_naive_model(
        events in prop::collection::vec((event(), 0..2_u32), 0..80),
    ) {
        let (mut ledger, mut model) = (Ledger::new(), Model::default());
        for line in definitions() {
            let _ = ledger.apply(&line);
        }
        for (n, (mut event, tid)) in (1..).zip(events) {
            match &mut event {
                Event::Alloc(alloc) => alloc.unique_id = Some(n),
                Event::Dealloc(dealloc) if model.buffers.is_empty() => dealloc.unique_id = Some(n),
                Event::Dealloc(dealloc) => {
                    let pick = usize::try_from(dealloc.unique_id.unwrap()).unwrap() % model.buffers.len();
                    let Alloc { place, address, unique_id, .. } = model.buffers[pick];
                    *dealloc = Dealloc { place, address, unique_id, ..dealloc.clone() };
                }
                _ => {}
            }
            let stamp = Stamp { n, t_ns: n * 10, tid, ctx: 0 };
            model.apply(stamp, &event);
            let _ = ledger.apply(&Line::Event(stamp, event));
            let snapshot = ledger.snapshot();
            let least = snapshot.least_headrooms().into_iter();
            check(&model, &snapshot.l1(), &least.map(|(chip, l)| (chip, (l.room.bytes(), l.at.n))).collect())?;
        }
    }
}
