//! Reports of people who looked at memory with an earlier tracker, replayed: what they saw, and what is to be said
//! of it. The sizes, addresses and counts are theirs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Stream, T3K, dram, freed, plain, view_on};
use tt_memtrace_ledger::{Cause, Class, Conclusion, Effect, Ended, Ending, Ledger, What};
use tt_memtrace_wire::*;

const MESH: Place = Place::Mesh(0);
const CHIP_0: Place = Place::Chip(0);

/// DRAM on each chip of an open mesh before the first tensor.
const BASELINE: u64 = 14_753_792;

/// Ten mesh buffers that make up the baseline.
fn baseline() -> Vec<Alloc> {
    let sizes = [1_474_560; 9].into_iter().chain([BASELINE - 9 * 1_474_560]);
    (0..).zip(sizes).map(|(at, size)| dram(MESH, 32 + at * 131_072, size)).collect()
}

/// DRAM that the earlier tracker saw on chip 0 only: 14,827,520 bytes there, 14,753,792 on each other chip.
fn system_buffers_of_chip_0() -> Vec<Alloc> {
    (0..3).map(|at| dram(CHIP_0, 0x3FFF_0000 + at * 2048, 24_576)).collect()
}

/// 22,528 bytes of L1 on chip 0, from the first address that circular buffers have.
const CIRCULAR: [(Address, u64); 7] = [
    (101_152, 4096),
    (105_248, 4096),
    (109_344, 4096),
    (113_440, 4096),
    (117_536, 2048),
    (119_584, 2048),
    (121_632, 2048),
];

/// What the matmul of the report used, and freed on device 0 only, so far as one could see.
const TENSORS: [(Address, u64); 3] = [(3_700_768, 1_048_576), (3_610_656, 524_288), (3_655_712, 524_288)];

fn open_mesh(stream: &mut Stream) {
    stream.begin("ttnn.open_mesh_device");
    baseline().into_iter().for_each(|buffer| stream.alloc(buffer));
    stream.end();
}

#[test]
fn chip_0_has_13_buffers_and_7_circular_buffers_not_20_buffers() {
    let mut stream = Stream::on_t3k();
    open_mesh(&mut stream);
    system_buffers_of_chip_0().into_iter().for_each(|buffer| stream.alloc(buffer));
    CIRCULAR.into_iter().for_each(|(address, size)| stream.cb(CHIP_0, 1, address, size));

    assert_eq!(stream.live_on(0, BufferType::Dram), (13, 14_827_520));
    for chip in 1..8 {
        assert_eq!(stream.live_on(chip, BufferType::Dram), (10, BASELINE), "chip {chip}");
    }
    // Circular buffers are no buffers, and take no L1 from the allocator.
    assert!((0..8).all(|chip| stream.live_on(chip, BufferType::L1) == (0, 0)));
    let snapshot = stream.ledger.snapshot();
    let circular = snapshot.circular_buffers();
    assert!(circular.iter().all(|cb| cb.place == CHIP_0 && cb.program == Some(1)));
    assert_eq!((circular.len(), circular.iter().map(|cb| cb.size_bytes).sum::<u64>()), (7, 22_528));
    let footprints = snapshot.circular_footprints();
    assert_eq!(
        footprints.into_iter().map(|(chip, up)| (chip, up.peak_bytes())).collect::<Vec<_>>(),
        [(0, 22_528)]
    );
    // In all: ten on each of eight chips, and three more.
    assert_eq!(snapshot.global().0.live, 8 * BASELINE + 3 * 24_576);
    assert_eq!(snapshot.n_live(), 13);
}

#[test]
fn what_is_freed_on_a_mesh_is_freed_on_each_of_its_chips() {
    let mut stream = Stream::on_t3k();
    open_mesh(&mut stream);
    let tensors = TENSORS.map(|(address, size)| dram(MESH, address, size));
    tensors.iter().for_each(|tensor| stream.alloc(tensor.clone()));
    let mut left = 2_097_152;
    for tensor in tensors {
        assert!((0..8).all(|chip| stream.live_on(chip, BufferType::Dram).1 == BASELINE + left));
        assert!(matches!(stream.free(&tensor), Effect::Closed(_)));
        left -= tensor.size_bytes;
    }
    assert!((0..8).all(|chip| stream.live_on(chip, BufferType::Dram) == (10, BASELINE)));
}

/// Three entries of 4,096 bytes in L1, on chip 0 only, that stayed when tensors, cache and mesh were gone. The
/// earlier tracker saw each announced twice, the third once with 2,048 bytes.
const LEFT: [Address; 3] = [101_152, 105_248, 109_344];

#[test]
fn circular_buffers_of_cached_programs_are_reported_and_are_no_leak() {
    let mut stream = Stream::on_t3k();
    stream.begin("ttnn.add");
    LEFT.into_iter().for_each(|address| stream.cb(CHIP_0, 1, address, 4096));
    let _ = stream.event(Event::ProgramRun { program: 1, place: MESH });
    stream.end();
    stream.begin("ttnn.matmul");
    LEFT.into_iter().zip([4096, 4096, 2048]).for_each(|(address, size)| stream.cb(CHIP_0, 2, address, size));
    let _ = stream.event(Event::ProgramRun { program: 2, place: MESH });
    stream.end();

    let footprints = stream.ledger.snapshot().circular_footprints();
    // The two programs share the addresses: 12,288 bytes, not the sum of both.
    assert_eq!((footprints[&0].base, footprints[&0].peak_bytes()), (101_152, 12_288));
    assert_eq!(stream.ledger.snapshot().circular_buffers().len(), 6);
    assert_eq!(stream.ledger.snapshot().n_live(), 0);
    stream.close(0);
    stream.ledger.finish(Conclusion::Death);
    assert!(stream.ledger.survivors().is_empty());
    assert_eq!(stream.ledger.anomalies().total(), 0);
}

#[test]
fn the_same_as_plain_l1_records_survive_and_nobody_knows_whose_they_are() {
    // Who records so little tells of no ops, no meshes, no circular buffers, and not who owns what.
    let mut stream = Stream::new(Ledger::new());
    let tensor = plain(0, BufferType::Dram, 2_560_032, 4_194_304);
    stream.alloc(tensor.clone());
    for sizes in [[4096, 4096, 2048], [4096; 3]] {
        LEFT.into_iter().zip(sizes).for_each(|(at, size)| stream.alloc(plain(0, BufferType::L1, at, size)));
    }
    assert!(matches!(stream.free(&tensor), Effect::Closed(_)));
    assert_eq!(stream.live_on(0, BufferType::Dram), (0, 0));
    assert_eq!(stream.live_on(0, BufferType::L1), (3, 12_288));
    assert_eq!(stream.on(0, BufferType::L1).n_allocations, 3);
    stream.ledger.finish(Conclusion::Death);
    let survivors = stream.ledger.survivors();
    let told = |left: &Ended| (left.buffer.alloc.address, left.buffer.n_references(), left.buffer.class);
    assert_eq!(
        survivors.iter().map(told).collect::<Vec<_>>(),
        LEFT.map(|address| (address, 2, Class::Unattributed))
    );
    assert!(survivors.iter().all(|left| left.ending == Ending::Death && !left.buffer.is_freed_by_owner));
    assert!(!stream.ledger.rules().is_leak(Class::Unattributed));
    assert_eq!(stream.ledger.anomalies().total(), 0, "2,048 and 4,096 bytes at one address");
}

#[test]
fn the_size_of_a_plain_record_is_the_largest_announced() {
    let mut stream = Stream::new(Ledger::new());
    let of = |size| plain(0, BufferType::L1, 109_344, size);
    for (size, live) in [(2048, 2048), (4096, 4096), (1024, 4096)] {
        stream.alloc(of(size));
        assert_eq!(stream.live_on(0, BufferType::L1), (1, live));
    }
    for left in [2, 1] {
        let Effect::Lowered(buffer) = stream.free(&of(0)) else { unreachable!() };
        assert_eq!((buffer.n_references(), stream.live_on(0, BufferType::L1)), (left, (1, 4096)));
    }
    assert!(matches!(stream.free(&of(0)), Effect::Closed(_)));
    assert_eq!(stream.live_on(0, BufferType::L1), (0, 0));
    let tally = stream.on(0, BufferType::L1);
    assert_eq!((tally.bytes.peak, tally.buffers.peak, tally.n_allocations), (4096, 1, 1));
}

#[test]
fn a_plain_free_of_what_nobody_has_is_unknown() {
    let mut stream = Stream::new(Ledger::new());
    let (dram, l1) = (plain(3, BufferType::Dram, 4096, 64), plain(3, BufferType::L1, 4096, 32));
    assert_eq!(stream.free(&dram), Effect::Odd(What::UnknownDealloc(Cause::Other)));
    assert_eq!(stream.ledger.anomalies().first()[0].buffer_type, None);
    // The newest at the address is meant, whatever its type.
    stream.alloc(dram.clone());
    stream.alloc(l1.clone());
    for buffer_type in [BufferType::L1, BufferType::Dram] {
        let Effect::Closed(ended) = stream.free(&dram) else { unreachable!() };
        assert_eq!(ended.buffer.alloc.buffer_type, buffer_type);
    }
    assert!(matches!(stream.free(&dram), Effect::Odd(What::DoubleDealloc { first_n: 5 })));
    assert_eq!(stream.ledger.anomalies().first()[1].buffer_type, Some(BufferType::Dram));
    // The same address on another chip was never anybody's.
    let elsewhere = plain(4, BufferType::Dram, 4096, 64);
    assert!(matches!(stream.free(&elsewhere), Effect::Odd(What::UnknownDealloc(Cause::Other))));
}

#[test]
fn eight_frees_of_each_of_131_mesh_buffers_after_their_own_are_no_unknown_ones() {
    // About 1,045 warnings in one run of a LLaMA model, eight for each mesh buffer.
    for has_numbers in [true, false] {
        let mut stream = Stream::on_t3k();
        let number = |at: u64, of: u64| has_numbers.then_some(at * 9 + of);
        let buffers: Vec<Alloc> = (0..131_u64)
            .map(|at| Alloc { unique_id: number(at, 0), ..dram(MESH, 32 + at * 32_768, 262_144) })
            .collect();
        let views: Vec<Vec<Alloc>> = (0..)
            .zip(&buffers)
            .map(|(at, buffer)| {
                let view =
                    |chip| Alloc { unique_id: number(at, 1 + u64::from(chip)), ..view_on(chip, buffer) };
                T3K.into_iter().map(view).collect()
            })
            .collect();
        for (buffer, views) in buffers.iter().zip(&views) {
            stream.alloc(buffer.clone());
            views.iter().for_each(|view| stream.alloc(view.clone()));
        }
        assert_eq!(stream.ledger.snapshot().n_live(), 131 * 9);
        for chip in 0..8 {
            assert_eq!(stream.live_on(chip, BufferType::Dram), (131, 131 * 262_144), "chip {chip}");
        }
        let mut n_expected = 0;
        for (buffer, views) in buffers.iter().zip(&views) {
            assert!(matches!(stream.free(buffer), Effect::Closed(_)));
            n_expected += views.iter().filter(|view| stream.free(view) == Effect::Expected).count();
        }
        assert_eq!(n_expected, 1048);
        assert_eq!(stream.ledger.anomalies().total(), 0);
        stream.ledger.finish(Conclusion::Exit);
        assert!(stream.ledger.survivors().is_empty());
        assert!((0..8).all(|chip| stream.live_on(chip, BufferType::Dram) == (0, 0)));
    }
}

#[test]
fn eight_more_frees_of_each_of_131_mesh_buffers_as_plain_records_are_no_unknown_ones() {
    let mut stream = Stream::new(Ledger::new());
    let of = |chip, at: u64| plain(chip, BufferType::Dram, 32 + at * 32_768, 262_144);
    for at in 0..131 {
        // The buffer itself is reported on chip 0, where its view is, too.
        (0..8).chain([0]).for_each(|chip| stream.alloc(of(chip, at)));
    }
    for chip in 0..8 {
        assert_eq!(stream.live_on(chip, BufferType::Dram), (131, 131 * 262_144), "chip {chip}");
    }
    for at in 0..131 {
        assert!(matches!(stream.free(&of(0, at)), Effect::Lowered(_)));
        assert!((0..8).all(|chip| matches!(stream.free(&of(chip, at)), Effect::Closed(_))));
    }
    assert_eq!(stream.ledger.anomalies().total(), 0);
    assert_eq!(stream.ledger.snapshot().n_live(), 0);
    assert_eq!(stream.on(0, BufferType::Dram).n_allocations, 131);
}

#[test]
fn a_free_too_many_is_still_told() {
    let mut stream = Stream::on_t3k();
    let buffer = dram(MESH, 32, 262_144);
    stream.alloc(buffer.clone());
    stream.alloc(view_on(3, &buffer));
    let _ = stream.free(&buffer);
    let again = Event::Dealloc(freed(&view_on(3, &buffer)));
    assert_eq!(stream.event(again.clone()), Effect::Expected);
    assert!(matches!(stream.event(again), Effect::Odd(_)));
    assert!(matches!(stream.free(&buffer), Effect::Odd(_)));
}

#[test]
fn a_free_that_never_came_excuses_none_of_the_next_buffer_there() {
    let mut stream = Stream::on_t3k();
    let buffer = dram(MESH, 32, 262_144);
    let view = view_on(3, &buffer);
    stream.alloc(buffer.clone());
    stream.alloc(view.clone());
    let _ = stream.free(&buffer);
    stream.alloc(buffer.clone());
    stream.alloc(view.clone());
    assert!(matches!(stream.free(&view), Effect::Closed(_)));
    assert!(matches!(stream.free(&view), Effect::Odd(_)));
}

#[test]
fn what_the_opening_of_the_device_took_is_system_memory_and_no_leak() {
    let mut stream = Stream::on_t3k();
    open_mesh(&mut stream);
    // Some more before the first op, outside the call that opened the mesh: 36 KB as the report has them.
    let later = dram(MESH, 0x3FFF_F000, 36_864);
    stream.alloc(later.clone());
    stream.begin("ttnn.add");
    let tensor = dram(MESH, 2_560_032, 4_194_304);
    stream.alloc(tensor.clone());
    stream.end();

    for chip in 0..8 {
        let tally = stream.on(chip, BufferType::Dram);
        let live =
            |class: Class| tally.classes[Class::ALL.iter().position(|known| *known == class).unwrap()].live;
        assert_eq!([live(Class::System), live(Class::User)], [BASELINE + 36_864, 4_194_304], "chip {chip}");
        assert_eq!(tally.bytes.live, BASELINE + 36_864 + 4_194_304);
    }
    let _ = stream.free(&tensor);
    // "All freed, and yet 14 MB are left": with the mesh, and as whose they are.
    assert_eq!(stream.live_on(5, BufferType::Dram), (11, BASELINE + 36_864));
    stream.close(0);
    let survivors = stream.ledger.survivors();
    assert_eq!(survivors.len(), 11);
    assert!(survivors.iter().all(|left| left.buffer.class == Class::System && left.ending == Ending::Close));
    assert!(!stream.ledger.rules().is_leak(Class::System));
}

#[test]
fn three_runs_in_one_process_do_not_pile_up_the_baseline() {
    // 14, 28, 42 MB over three runs: the frees at close were not reported.
    let mut stream = Stream::new(Ledger::new());
    for run in 0..3 {
        stream.define_mesh(run, &T3K, u64::from(run) + 1);
        for buffer in baseline() {
            stream.alloc(Alloc { place: Place::Mesh(run), allocator: Some(u64::from(run) + 1), ..buffer });
        }
        assert_eq!(stream.live_on(7, BufferType::Dram), (10, BASELINE), "run {run}");
        stream.close(run);
    }
    assert_eq!(stream.on(7, BufferType::Dram).bytes.peak, BASELINE);
    assert_eq!(stream.ledger.anomalies().total(), 0);
}
