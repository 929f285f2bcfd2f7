//! Every event comes back from its 64 bytes as it went in, for every extreme of its numbers.

use proptest::prelude::*;
use tt_memtrace_wire::record::{
    BYTES, Decoded, Encoded, MOST_ALLOCATORS, MOST_SLOTS, MOST_TAIL, Slot, Tail, decode, encode,
    encode_definition, kind_number, n_slots,
};
use tt_memtrace_wire::{
    Alloc, BufferType, CbAlloc, CbDealloc, Clash, Dealloc, Event, Failure, Kernel, Place, Request,
    SweepCause, TraceStep, record::Kind,
};

/// Numbers around every border between a narrow record and a wide one, and all others.
fn number() -> impl Strategy<Value = u64> {
    let border = prop::sample::select(vec![4_u32, 16, 24, 32, 40, 44, 48, 53, 63])
        .prop_flat_map(|bits| ((1_u64 << bits) - 2)..=((1_u64 << bits) + 1));
    prop_oneof![0..10_u64, any::<u64>(), border, Just(u64::MAX), Just(u64::MAX - 1)]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0..8_u32, 14..18_u32, 65_534..65_538_u32, any::<u32>(), Just(u32::MAX)]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![small().prop_map(Place::Mesh), small().prop_map(Place::Chip)]
}

fn buffer_type() -> impl Strategy<Value = BufferType> {
    small().prop_map(BufferType::from)
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![0..1_u64 << 48, number()]
}

/// Narrow in about half of the cases, so that both forms are tried.
fn alloc() -> impl Strategy<Value = Event> {
    let narrow = (0..5_u32, 0..5_u32, 0..1_u64 << 48, 0..1_u64 << 40, 0..1_u64 << 24);
    let wide = (small(), small(), number(), number(), number());
    let figures = prop_oneof![narrow.boxed(), wide.boxed()];
    let optional = (
        prop::option::of(number()),
        prop::option::of(small()),
        prop::option::of(prop_oneof![1..70_000_u32, 1..=u32::MAX]),
        prop::option::of(prop_oneof![0..1_u64 << 44, number()]),
    );
    (place(), figures, size(), optional, any::<(Option<bool>, bool)>()).prop_map(
        |(place, figures, size_bytes, (allocator, n_cores, cores, unique_id), (owns_data, hooked))| {
            let (buffer_type, layout, address, per_bank_bytes, page_size_bytes) = figures;
            Event::Alloc(Alloc {
                place,
                allocator,
                buffer_type: buffer_type.into(),
                layout: layout.into(),
                address,
                size_bytes,
                page_size_bytes,
                per_bank_bytes,
                n_cores,
                cores,
                unique_id,
                owns_data,
                hooked,
            })
        },
    )
}

/// Longer than the limit in some cases, cut within a character in some of those.
fn name() -> impl Strategy<Value = String> {
    let long = (MOST_TAIL - 4..MOST_TAIL + 70, prop::sample::select(vec!["x", "\u{e9}", "\u{1f600}"]));
    prop_oneof![
        any::<String>(),
        (0..200_usize).prop_map(|n| "x".repeat(n)),
        long.prop_map(|(n, c)| "y".repeat(n % 5) + &c.repeat(n / c.len())),
    ]
}

fn failure() -> impl Strategy<Value = Event> {
    let request = (
        place(),
        prop::option::of(number()),
        buffer_type(),
        small(),
        number(),
        number(),
        prop::option::of(number()),
    );
    let message = || prop::option::of(".{0,300}");
    prop_oneof![
        (request, prop::option::of(any::<u32>()), message()).prop_map(
            |((place, allocator, buffer_type, layout, a, b, c), n_cores, message)| {
                Event::Failure(Failure::Allocation(Request {
                    place,
                    allocator,
                    buffer_type,
                    layout: layout.into(),
                    size_bytes: a,
                    page_size_bytes: b,
                    per_bank_bytes: c,
                    n_cores,
                    message,
                }))
            }
        ),
        (place(), any::<bool>(), prop::option::of(number()), message()).prop_map(
            |(place, is_dataflow, program, message)| {
                Event::Failure(Failure::Clash(Clash { place, is_dataflow, program, message }))
            }
        ),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let cause = prop_oneof![Just(SweepCause::Call), Just(SweepCause::Close), Just(SweepCause::Exit)];
    let step = prop::sample::select(vec![TraceStep::Begin, TraceStep::End, TraceStep::Release]);
    let dealloc = (
        place(),
        prop::option::of(buffer_type()),
        number(),
        prop::option::of(number()),
        prop::option::of(number()),
        any::<bool>(),
    );
    let cb = (place(), prop::option::of(number()), small(), number(), number(), any::<bool>());
    prop_oneof![
        6 => alloc(),
        2 => dealloc.prop_map(|(place, buffer_type, address, size_bytes, unique_id, hooked)| {
            Event::Dealloc(Dealloc { place, buffer_type, address, size_bytes, unique_id, hooked })
        }),
        1 => cb.prop_map(|(place, program, cores, address, size_bytes, globally_allocated)| {
            Event::CbAlloc(CbAlloc { place, program, cores, address, size_bytes, globally_allocated })
        }),
        1 => (place(), buffer_type(), number(), prop::option::of(number())).prop_map(
            |(place, buffer_type, address, unique_id)| Event::Retained {
                place,
                buffer_type,
                address,
                unique_id,
            }
        ),
        1 => (prop::option::of(place()), prop::option::of(number()))
            .prop_map(|(place, program)| Event::CbDealloc(CbDealloc { place, program })),
        1 => (number(), place()).prop_map(|(program, place)| Event::ProgramRun { program, place }),
        1 => (number(), cause).prop_map(|(allocator, cause)| Event::Sweep { allocator, cause }),
        1 => place().prop_map(|place| Event::Close { place }),
        1 => number().prop_map(|token| Event::Fork { token }),
        1 => name().prop_map(|name| Event::Mark { name }),
        1 => (name(), prop::option::of(name())).prop_map(|(name, arguments)| Event::OpBegin { name, arguments }),
        1 => Just(Event::OpEnd),
        1 => name().prop_map(|name| Event::PhaseBegin { name }),
        1 => Just(Event::PhaseEnd),
        1 => (place(), small(), prop::option::of(number()), number(), number()).prop_map(
            |(place, kind, program, size_bytes, n_cores)| Event::KernelLoad(Kernel {
                place,
                kind: kind.into(),
                program,
                size_bytes,
                n_cores,
            })
        ),
        1 => (place(), prop::option::of(number()))
            .prop_map(|(place, program)| Event::KernelUnload { place, program }),
        1 => (step, place(), number()).prop_map(|(step, place, trace)| Event::Trace { step, place, trace }),
        1 => failure(),
    ]
}

/// The slots of a record as the library lays them down: behind the first one, the spool holds what was there.
fn slots(encoded: &Encoded<'_>) -> Vec<Slot> {
    let mut slots = vec![[0xdead_beef_dead_beef; 8]; n_slots(&encoded.slot)];
    slots[0] = encoded.slot;
    let bytes = match encoded.tail {
        Tail::None => Vec::new(),
        Tail::Slot(slot, text) => [slot.map(u64::to_ne_bytes).as_flattened(), text].concat(),
        Tail::Bytes(name, more) => [name, more].concat(),
    };
    assert_eq!(slots.len(), 1 + bytes.len().div_ceil(BYTES));
    for (i, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0xaa; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        slots[1 + i / 8][i % 8] = u64::from_ne_bytes(word);
    }
    assert!((1..=MOST_SLOTS).contains(&slots.len()));
    slots
}

/// A name as far as it fits: cut between bytes, and what is left of a torn character replaced.
fn cut(name: &str) -> String {
    cut_to(MOST_TAIL, name)
}

fn cut_to(most: usize, name: &str) -> String {
    String::from_utf8_lossy(&name.as_bytes()[..name.len().min(most)]).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_event_comes_back_as_it_was(event in event(), ctx in small(), position in 0..MOST_ALLOCATORS as u64) {
        let mut known = None;
        let encoded = encode(&event, ctx, |number| { known = Some(number); Some(position) });
        let slots = slots(&encoded);
        let table = |at| (at == position).then_some(known).flatten();
        let Some(Decoded::Event(decoded, decoded_ctx)) = decode(&slots, table) else {
            return Err(TestCaseError::fail("not decoded"));
        };
        let expected = match event {
            Event::Mark { name } => Event::Mark { name: cut(&name) },
            Event::PhaseBegin { name } => Event::PhaseBegin { name: cut(&name) },
            Event::OpBegin { name, arguments } => {
                let room = MOST_TAIL - name.len().min(MOST_TAIL);
                Event::OpBegin { name: cut(&name), arguments: arguments.map(|arguments| cut_to(room, &arguments)) }
            }
            event => event,
        };
        prop_assert_eq!((decoded, decoded_ctx), (expected, ctx));
    }

    #[test]
    fn without_room_in_the_table_of_allocators_nothing_is_lost(event in alloc(), ctx in any::<u32>()) {
        let slots = slots(&encode(&event, ctx, |_| None));
        let Some(Decoded::Event(decoded, _)) = decode(&slots, |_| None) else {
            return Err(TestCaseError::fail("not decoded"));
        };
        prop_assert_eq!(decoded, event);
    }

    #[test]
    fn the_words_of_the_spool_are_left_free(event in event(), tid in any::<u32>(), clock in any::<u64>()) {
        // The spool adds clock, thread and commit word to what was encoded.
        let encoded = encode(&event, 7, |_| Some(3));
        prop_assert_eq!((encoded.slot[0], encoded.slot[1] >> 32, encoded.slot[7]), (0, 0, 0));
        let mut slots = slots(&encoded);
        slots[0][0] = clock;
        slots[0][1] |= u64::from(tid) << 32;
        slots[0][7] = u64::MAX;
        let decoded = decode(&slots, |at| (at == 3).then_some(99));
        prop_assert!(matches!(decoded, Some(Decoded::Event(_, 7))));
        prop_assert_eq!(tt_memtrace_wire::record::tid(&slots[0]), tid);
    }

    #[test]
    fn a_definition_comes_back_to_the_byte(line in prop::collection::vec(any::<u8>(), 0..2000)) {
        let slots = slots(&encode_definition(&line));
        let Some(Decoded::Definition(decoded)) = decode(&slots, |_| None) else {
            return Err(TestCaseError::fail("not decoded"));
        };
        prop_assert_eq!(decoded, line);
        prop_assert_eq!(kind_number(&slots[0]), Kind::Definition as usize);
    }

    #[test]
    fn any_words_are_an_event_or_nothing(
        first in any::<Slot>(),
        kind in 0..24_u64,
        more in prop::collection::vec(any::<Slot>(), 0..4),
        length in number(),
    ) {
        let mut first = first;
        first[1] = first[1] & !0xff | kind;
        first[3] = length;
        prop_assert!((1..=MOST_SLOTS).contains(&n_slots(&first)));
        let mut slots = vec![first];
        slots.extend(more);
        let _ = decode(&slots, Some);
        let _ = decode(&[], Some);
    }
}

#[test]
fn an_allocation_takes_one_slot_up_to_the_borders_and_two_beyond() {
    let narrow = Alloc {
        place: Place::Mesh(u32::MAX),
        allocator: Some(u64::MAX),
        buffer_type: BufferType::from(15),
        layout: 15.into(),
        address: (1 << 48) - 1,
        size_bytes: (1 << 48) - 1,
        page_size_bytes: (1 << 24) - 1,
        per_bank_bytes: (1 << 40) - 1,
        n_cores: Some(65_535),
        cores: Some(65_535),
        unique_id: Some((1 << 44) - 1),
        owns_data: Some(true),
        hooked: false,
    };
    let n = |change: &dyn Fn(&mut Alloc)| {
        let mut alloc = narrow.clone();
        change(&mut alloc);
        n_slots(&encode(&Event::Alloc(alloc), 1, |_| Some(511)).slot)
    };
    assert_eq!(n(&|_| ()), 1);
    for wide in [
        &|alloc: &mut Alloc| alloc.buffer_type = BufferType::from(16),
        &|alloc: &mut Alloc| alloc.layout = 16.into(),
        &|alloc: &mut Alloc| alloc.address += 1,
        &|alloc: &mut Alloc| alloc.size_bytes += 1,
        &|alloc: &mut Alloc| alloc.cores = Some(65_536),
        &|alloc: &mut Alloc| alloc.page_size_bytes += 1,
        &|alloc: &mut Alloc| alloc.per_bank_bytes += 1,
        &|alloc: &mut Alloc| alloc.n_cores = Some(65_536),
        &|alloc: &mut Alloc| alloc.unique_id = Some(1 << 44),
        &|alloc: &mut Alloc| alloc.owns_data = None,
    ] as [&dyn Fn(&mut Alloc); 10]
    {
        assert_eq!(n(wide), 2);
    }
}

#[test]
fn the_numbers_of_the_kinds_are_their_positions_from_one() {
    for (i, (kind, _)) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, i + 1);
    }
}
