//! A buffer that two sources tell of, as where an extension of a stock runtime reports what is interposed already.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use support::{Stream, dram};
use tt_memtrace_ledger::{Effect, What};
use tt_memtrace_wire::{Alloc, BufferType, Event, Kernel, KernelKind, Place, TraceStep};

fn numbered(allocator: Option<u64>) -> Alloc {
    Alloc { unique_id: Some(7), allocator, ..dram(Place::Mesh(0), 4096, 1200) }
}

#[test]
fn it_is_one_buffer_whichever_source_comes_first() {
    for allocators in [[Some(1), None], [None, Some(1)]] {
        let mut stream = Stream::on_t3k();
        for (allocator, effect) in allocators.into_iter().zip([Effect::Opened, Effect::Merged]) {
            assert_eq!(stream.event(Event::Alloc(numbered(allocator))), effect);
            assert_eq!(stream.live_on(3, BufferType::Dram), (1, 1200));
        }
        let Effect::Closed(ended) = stream.free(&numbered(None)) else { unreachable!() };
        assert_eq!(ended.buffer.alloc.allocator, Some(1), "each tells what it knows");
        assert_eq!(stream.free(&numbered(None)), Effect::Expected);
        assert_eq!(stream.live_on(3, BufferType::Dram), (0, 0));
        assert_eq!(stream.ledger.anomalies().total(), 0);
        // A third time is once too often.
        assert!(matches!(stream.free(&numbered(None)), Effect::Odd(What::DoubleDealloc { .. })));
    }
}

#[test]
fn kernels_phases_and_traces_are_no_memory() {
    let mut stream = Stream::on_t3k();
    let place = Place::Mesh(0);
    let kernel =
        Kernel { place, kind: KernelKind::Fabric, program: Some(1), size_bytes: 1 << 40, n_cores: 64 };
    for event in [
        Event::KernelLoad(kernel),
        Event::KernelUnload { place, program: None },
        Event::PhaseBegin { name: "prefill".into() },
        Event::PhaseEnd,
        Event::Trace { step: TraceStep::Begin, place, trace: 1 },
    ] {
        assert_eq!(stream.event(event), Effect::Nothing);
    }
    assert_eq!(stream.live_on(0, BufferType::L1), (0, 0));
}

#[test]
fn the_close_of_a_lone_device_ends_what_was_on_it_alone() {
    let mut stream = Stream::on_t3k();
    stream.alloc(dram(Place::Chip(3), 0, 100));
    stream.alloc(dram(Place::Mesh(0), 4096, 1000));
    assert_eq!(stream.event(Event::Close { place: Place::Chip(3) }), Effect::Swept(1));
    assert_eq!(stream.live_on(3, BufferType::Dram), (1, 1000));
}
