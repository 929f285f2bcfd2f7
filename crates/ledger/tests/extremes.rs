//! No stream of lines makes the ledger fail: not numbers at their limits, not events of places that nobody
//! defined, not definitions that contradict each other.

use proptest::prelude::*;
use tt_memtrace_ledger::{Conclusion, Ledger, Moment};
use tt_memtrace_wire::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, Just(u64::MAX - 1), Just(u64::MAX)]
}

fn place() -> impl Strategy<Value = Place> {
    (any::<bool>(), 0..3_u32).prop_map(|(mesh, id)| if mesh { Place::Mesh(id) } else { Place::Chip(id) })
}

fn alloc() -> impl Strategy<Value = Event> {
    let what = (place(), prop::option::of(0..3_u64), 0..3_u32, number(), number(), number());
    (what, prop::option::of(number()), any::<Option<bool>>(), prop::bool::weighted(0.1)).prop_map(
        |((place, allocator, buffer_type, address, size_bytes, bank), unique_id, owns_data, hooked)| {
            Event::Alloc(Alloc {
                place,
                allocator,
                buffer_type: buffer_type.into(),
                layout: BufferLayout::Interleaved,
                address,
                size_bytes,
                page_size_bytes: 0,
                per_bank_bytes: bank,
                n_cores: None,
                cores: None,
                unique_id,
                owns_data,
                hooked,
            })
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let buffer = || (place(), 0..3_u32, number(), prop::option::of(number()));
    prop_oneof![
        6 => alloc(),
        4 => (buffer(), any::<bool>()).prop_map(|((place, buffer_type, address, unique_id), hooked)| {
            // What a number above the limit names, the event does not.
            let buffer_type = Some(buffer_type).filter(|number| *number < 2).map(BufferType::from);
            Event::Dealloc(Dealloc { place, buffer_type, address, size_bytes: None, unique_id, hooked })
        }),
        1 => buffer().prop_map(|(place, buffer_type, address, unique_id)| {
            Event::Retained { place, buffer_type: buffer_type.into(), address, unique_id }
        }),
        2 => (place(), prop::option::of(number()), number(), number(), any::<bool>()).prop_map(
            |(place, program, address, size_bytes, globally_allocated)| {
                Event::CbAlloc(CbAlloc { place, program, cores: 1, address, size_bytes, globally_allocated })
            }
        ),
        1 => (prop::option::of(place()), prop::option::of(number()))
            .prop_map(|(place, program)| Event::CbDealloc(CbDealloc { place, program })),
        1 => (place(), number()).prop_map(|(place, program)| Event::ProgramRun { program, place }),
        1 => (0..3_u64).prop_map(|allocator| Event::Sweep { allocator, cause: SweepCause::Exit }),
        1 => (0..3_u32).prop_map(|mesh_id| Event::Close { place: Place::Mesh(mesh_id) }),
        1 => number().prop_map(|dropped| Event::Lost(Lost { dropped })),
    ]
}

fn corner() -> impl Strategy<Value = Range> {
    let at = || prop_oneof![0..4_u32, Just(u32::MAX)];
    (at(), at(), at(), at()).prop_map(|(x0, y0, x1, y1)| Range { x0, y0, x1, y1 })
}

fn line() -> impl Strategy<Value = Line> {
    let chips = prop::collection::vec(0..4_u32, 0..4);
    prop_oneof![
        20 => (number(), number(), 0..3_u32, event())
            .prop_map(|(n, t_ns, tid, event)| Line::Event(Stamp { n, t_ns, tid, ctx: 0 }, event)),
        1 => (0..3_u32, chips).prop_map(|(mesh_id, chips)| {
            Line::Mesh(Mesh { mesh_id, chips, rows: 0, cols: 0, arch: String::new() })
        }),
        1 => prop::collection::vec(corner(), 0..3).prop_map(|ranges| Line::Cores(Cores { cores: 1, ranges })),
        1 => (0..3_u64, 0..3_u32, prop::option::of(number()), number()).prop_map(
            |(allocator, mesh_id, bank_rounding_bytes, bank_size_bytes)| {
                let buffer_type = if mesh_id == 0 { BufferType::Dram } else { BufferType::L1 };
                let bank = Bank { buffer_type, n_banks: 0, bank_size_bytes, base_address: bank_rounding_bytes };
                Line::Allocator(Allocator { allocator, mesh_id, bank_rounding_bytes, banks: vec![bank] })
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_makes_the_ledger_fail(lines in prop::collection::vec(line(), 0..80), fork_at in 0..80_usize) {
        let mut ledger = Ledger::new();
        for (at, line) in lines.iter().enumerate() {
            let _ = ledger.apply(line);
            if at == fork_at {
                ledger.enter_child(Moment::default());
            }
            let snapshot = ledger.snapshot();
            prop_assert_eq!(snapshot.live().len(), snapshot.n_live());
            for totals in snapshot.chips().iter().chain(&snapshot.places()) {
                for of in &totals.types {
                    prop_assert!(of.tally.buffers.live <= of.tally.buffers.peak);
                    prop_assert!(of.tally.bytes.live <= of.tally.bytes.peak);
                    prop_assert!(of.tally.bank_bytes.live <= of.tally.bank_bytes.peak);
                }
            }
            let _ = (snapshot.circular_footprints(), snapshot.circular_buffers());
            let chips: Vec<u32> = snapshot.l1().into_iter().flat_map(|map| map.chips).collect();
            prop_assert!(chips.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", chips);
        }
        ledger.finish(Conclusion::Death);
        let snapshot = ledger.snapshot();
        prop_assert_eq!(snapshot.n_live(), 0);
        for totals in snapshot.chips().iter().chain(&snapshot.places()) {
            prop_assert!(totals.types.iter().all(|of| of.tally.buffers.live == 0), "{:?}", totals);
        }
    }
}
