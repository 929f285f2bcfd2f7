//! What was written is read back as it was, for every kind of line and every extreme of its numbers.

use proptest::prelude::*;
use tt_memtrace_wire::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, any::<u64>(), Just(1 << 53), Just((1 << 53) + 1), Just(u64::MAX)]
}

fn number_of_definition() -> impl Strategy<Value = u32> {
    prop_oneof![1..10_u32, 1..=u32::MAX]
}

fn frame() -> impl Strategy<Value = Frame> {
    (number_of_definition(), number_of_definition(), any::<u32>()).prop_map(|(file, function, line)| Frame {
        file,
        function,
        line,
    })
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![any::<u32>().prop_map(Place::Mesh), any::<u32>().prop_map(Place::Chip)]
}

fn buffer_type() -> impl Strategy<Value = BufferType> {
    prop_oneof![0..8_u32, any::<u32>()].prop_map(BufferType::from)
}

fn alloc() -> impl Strategy<Value = Event> {
    let what = (
        place(),
        prop::option::of(number()),
        buffer_type(),
        0..8_u32,
        number(),
        number(),
        number(),
        number(),
    );
    let rest = (any::<[Option<u32>; 2]>(), prop::option::of(number()), any::<Option<bool>>(), any::<bool>());
    (what, rest).prop_map(
        |(
            (place, allocator, buffer_type, layout, address, size_bytes, page, bank),
            ([n_cores, cores], unique_id, owns, hooked),
        )| {
            Event::Alloc(Alloc {
                place,
                allocator,
                buffer_type,
                layout: layout.into(),
                address,
                size_bytes,
                page_size_bytes: page,
                per_bank_bytes: bank,
                n_cores,
                cores,
                unique_id,
                owns_data: owns,
                hooked,
            })
        },
    )
}

fn dealloc() -> impl Strategy<Value = Event> {
    let facts = (prop::option::of(number()), prop::option::of(number()), any::<bool>());
    (place(), prop::option::of(buffer_type()), number(), facts).prop_map(
        |(place, buffer_type, address, (size_bytes, unique_id, hooked))| {
            Event::Dealloc(Dealloc { place, buffer_type, address, size_bytes, unique_id, hooked })
        },
    )
}

fn cb_alloc() -> impl Strategy<Value = Event> {
    (place(), prop::option::of(number()), any::<u32>(), number(), number(), any::<bool>()).prop_map(
        |(place, program, cores, address, size_bytes, globally_allocated)| {
            Event::CbAlloc(CbAlloc { place, program, cores, address, size_bytes, globally_allocated })
        },
    )
}

fn failure() -> impl Strategy<Value = Event> {
    let request = (
        place(),
        prop::option::of(number()),
        buffer_type(),
        0..6_u32,
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
    let step = prop_oneof![Just(TraceStep::Begin), Just(TraceStep::End), Just(TraceStep::Release)];
    prop_oneof![
        alloc(),
        dealloc(),
        cb_alloc(),
        (place(), buffer_type(), number(), prop::option::of(number())).prop_map(
            |(place, buffer_type, address, unique_id)| Event::Retained {
                place,
                buffer_type,
                address,
                unique_id
            }
        ),
        (prop::option::of(place()), prop::option::of(number()))
            .prop_map(|(place, program)| Event::CbDealloc(CbDealloc { place, program })),
        (number(), place()).prop_map(|(program, place)| Event::ProgramRun { program, place }),
        (number(), cause).prop_map(|(allocator, cause)| Event::Sweep { allocator, cause }),
        place().prop_map(|place| Event::Close { place }),
        number().prop_map(|token| Event::Fork { token }),
        any::<String>().prop_map(|name| Event::Mark { name }),
        (any::<String>(), prop::option::of(any::<String>()))
            .prop_map(|(name, arguments)| Event::OpBegin { name, arguments }),
        Just(Event::OpEnd),
        any::<String>().prop_map(|name| Event::PhaseBegin { name }),
        Just(Event::PhaseEnd),
        (place(), 0..6_u32, prop::option::of(number()), number(), number()).prop_map(
            |(place, kind, program, size_bytes, n_cores)| {
                Event::KernelLoad(Kernel { place, kind: kind.into(), program, size_bytes, n_cores })
            }
        ),
        (place(), prop::option::of(number()))
            .prop_map(|(place, program)| Event::KernelUnload { place, program }),
        (step, place(), number()).prop_map(|(step, place, trace)| Event::Trace { step, place, trace }),
        failure(),
        number().prop_map(|dropped| Event::Lost(Lost { dropped })),
    ]
}

fn header() -> impl Strategy<Value = Line> {
    let who = (any::<u32>(), number(), any::<String>(), prop::option::of(any::<u32>()), any::<Vec<String>>());
    let rest = (
        number(),
        number(),
        prop::option::of((prop::option::of(any::<String>()), any::<String>())),
        prop::option::of(any::<String>()),
        prop::option::of((any::<String>(), any::<u32>(), number())),
    );
    (who, rest).prop_map(
        |((pid, process_start, host, rank, command), (t_ns, wall_ns, runtime, spool, parent))| {
            Line::Header(Box::new(Header {
                version: version::CURRENT,
                tool: "0.1.0".into(),
                pid,
                process_start,
                boot_id: host.clone(),
                pid_namespace: host.clone(),
                program: host.clone(),
                host,
                rank,
                command,
                t_ns,
                wall_ns,
                runtime: runtime.map(|(version, library)| Runtime { version, library }),
                stacks: "none".into(),
                spool,
                parent: parent.map(|(capture, pid, token)| Parent { capture, pid, token }),
            }))
        },
    )
}

fn line() -> impl Strategy<Value = Line> {
    let stamp = (number(), number(), any::<u32>(), any::<u32>()).prop_map(|(n, t_ns, tid, ctx)| Stamp {
        n,
        t_ns,
        tid,
        ctx,
    });
    let bank = (buffer_type(), any::<u32>(), number(), prop::option::of(number())).prop_map(
        |(buffer_type, n_banks, bank_size_bytes, base_address)| Bank {
            buffer_type,
            n_banks,
            bank_size_bytes,
            base_address,
        },
    );
    let range = any::<[u32; 4]>().prop_map(|[x0, y0, x1, y1]| Range { x0, y0, x1, y1 });
    let ending = prop_oneof![Just(Ending::Exit), Just(Ending::ImmediateExit), Just(Ending::Stopped)];
    prop_oneof![
        4 => (stamp, event()).prop_map(|(stamp, event)| Line::Event(stamp, event)),
        1 => header(),
        1 => (any::<u32>(), any::<Vec<u32>>(), any::<u32>(), any::<u32>(), any::<String>()).prop_map(
            |(mesh_id, chips, rows, cols, arch)| Line::Mesh(Mesh { mesh_id, chips, rows, cols, arch })
        ),
        1 => (any::<u32>(), any::<String>()).prop_map(|(chip, arch)| Line::Device(Device { chip, arch })),
        1 => (number(), any::<u32>(), prop::option::of(number()), prop::collection::vec(bank, 0..4)).prop_map(
            |(allocator, mesh_id, bank_rounding_bytes, banks)| {
                Line::Allocator(Allocator { allocator, mesh_id, bank_rounding_bytes, banks })
            }
        ),
        1 => (any::<u32>(), prop::collection::vec(range, 0..4))
            .prop_map(|(cores, ranges)| Line::Cores(Cores { cores, ranges })),
        1 => (number_of_definition(), any::<String>()).prop_map(|(text, value)| Line::Text(Text { text, value })),
        1 => (number_of_definition(), prop::collection::vec(frame(), 0..40), any::<bool>())
            .prop_map(|(stack, frames, is_cut)| Line::Stack(Stack { stack, frames, is_cut })),
        1 => (number_of_definition(), prop::array::uniform3(prop::option::of(number_of_definition())))
            .prop_map(|(ctx, [op, stack, test])| Line::Context(Context { ctx, op, stack, test })),
        1 => any::<[u64; 5]>().prop_map(|[recorded, recovered, dropped, unfinished, unreadable]| {
            Line::Recovery(Recovery { recorded, recovered, dropped, unfinished, unreadable })
        }),
        1 => (number(), number(), number(), ending)
            .prop_map(|(t_ns, recorded, dropped, ended)| Line::Footer(Footer { t_ns, recorded, dropped, ended })),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(line in line()) {
        let mut bytes = Vec::new();
        line.write_to(&mut bytes);
        prop_assert_eq!(bytes.pop(), Some(b'\n'));
        let text = String::from_utf8(bytes).unwrap();
        prop_assert!(!text.contains('\n'));
        prop_assert_eq!(Line::parse(&text).unwrap(), line);
    }

    #[test]
    fn no_text_breaks_the_reader(text in any::<String>()) {
        let _ = Line::parse(&text);
    }

    #[test]
    fn no_cut_line_breaks_the_reader(line in line(), cut in 0..400_usize) {
        let mut bytes = Vec::new();
        line.write_to(&mut bytes);
        bytes.truncate(cut.min(bytes.len().saturating_sub(2)));
        prop_assert!(Line::parse(&String::from_utf8_lossy(&bytes)).is_err());
    }
}

#[test]
fn integers_above_two_to_the_53_are_strings() {
    let mut bytes = Vec::new();
    Line::Event(Stamp { n: 1, ..Stamp::default() }, Event::Fork { token: (1 << 53) + 1 })
        .write_to(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(
        text,
        "{\"kind\":\"fork\",\"n\":1,\"t_ns\":0,\"tid\":0,\"ctx\":0,\"token\":\"9007199254740993\"}\n"
    );
}

#[test]
fn unknown_keys_are_ignored_and_unknown_kinds_are_named() {
    let close = r#"{"kind":"close","n":3,"t_ns":1,"tid":2,"ctx":0,"mesh_id":7,"added_later":[1,{"x":2}]}"#;
    assert!(matches!(
        Line::parse(close),
        Ok(Line::Event(Stamp { n: 3, .. }, Event::Close { place: Place::Mesh(7) }))
    ));
    assert_eq!(Line::parse(r#"{"kind":"omen","n":1}"#), Ok(Line::Unknown("omen".into())));
}

#[test]
fn a_missing_field_is_named() {
    let error = Line::parse(r#"{"kind":"close","n":3,"t_ns":1,"tid":2}"#).unwrap_err();
    assert_eq!(error, LineError::Field { kind: "close".into(), field: "mesh_id" });
    let foreign = Line::parse(r#"{"kind":"header","schema":"other","version":"1.0"}"#).unwrap_err();
    assert_eq!(foreign, LineError::Field { kind: "header".into(), field: "schema" });
}
