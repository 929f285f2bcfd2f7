//! The C interface under `LD_PRELOAD`: what is called is what is recorded, and nothing else changes.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use support::{Bench, compile, project};
use tt_memtrace_wire::{
    Alloc, BufferLayout, BufferType, CbAlloc, CbDealloc, Cores, Dealloc, Device, Ending, Event, Kernel,
    KernelKind, Line, Mesh, Place, Range, SweepCause, TraceStep,
};

#[test]
fn every_call_is_recorded_as_it_was_made() {
    let bench = Bench::new();
    let outcome = bench.program("calls.c").run().quiet();
    let capture = bench.capture();

    let header = &capture.header;
    assert_eq!((header.pid, header.program.as_str()), (outcome.pid, "calls"));
    assert_eq!((&header.rank, &header.runtime, &header.parent), (&None, &None, &None));
    assert!(header.spool.is_some());
    assert_eq!(header.command.len(), 1);
    let footer = capture.footer.unwrap();
    assert_eq!((footer.ended, footer.dropped), (Ending::Exit, 0));

    let (events, definitions): (Vec<_>, Vec<_>) =
        capture.lines.into_iter().partition(|line| matches!(line, Line::Event(..)));
    assert_eq!(definitions, expected_definitions());
    let events: Vec<_> = events
        .into_iter()
        .map(|line| if let Line::Event(_, event) = line { event } else { Event::OpEnd })
        .collect();
    assert_eq!(events, expected_events());
}

fn expected_definitions() -> Vec<Line> {
    let arch = "wormhole_b0".to_owned();
    let ranges = vec![Range { x0: 0, y0: 0, x1: 7, y1: 6 }, Range { x0: 1, y0: 7, x1: 2, y1: 7 }];
    vec![
        Line::Mesh(Mesh { mesh_id: 3, chips: vec![4, 5, 6, 7], rows: 2, cols: 2, arch }),
        Line::Cores(Cores { cores: 1, ranges }),
        Line::Device(Device { chip: 8, arch: "blackhole".into() }),
    ]
}

fn expected_events() -> Vec<Event> {
    let (mesh, chip) = (Place::Mesh(3), Place::Chip(6));
    let on_mesh = Alloc {
        place: mesh,
        allocator: Some(99),
        buffer_type: BufferType::Dram,
        layout: BufferLayout::HeightSharded,
        address: 4096,
        size_bytes: 11001,
        page_size_bytes: 1100,
        per_bank_bytes: 1376,
        n_cores: None,
        cores: None,
        unique_id: Some(77),
        owns_data: Some(true),
        hooked: false,
    };
    let view = Alloc {
        place: Place::Chip(5),
        allocator: None,
        buffer_type: BufferType::L1Small,
        layout: BufferLayout::Interleaved,
        address: 8192,
        size_bytes: 11002,
        page_size_bytes: 1200,
        per_bank_bytes: 1408,
        unique_id: None,
        owns_data: Some(false),
        ..on_mesh
    };
    let cb = CbAlloc {
        place: chip,
        program: Some(42),
        cores: 1,
        address: 1000,
        size_bytes: 2048,
        globally_allocated: false,
    };
    let kernel =
        Kernel { place: mesh, kind: KernelKind::Dispatch, program: Some(42), size_bytes: 4321, n_cores: 64 };
    let global = CbAlloc { program: None, address: 5000, globally_allocated: true, ..cb.clone() };
    vec![
        Event::Alloc(on_mesh.clone()),
        Event::Alloc(view.clone()),
        Event::Dealloc(freed(&on_mesh)),
        Event::Dealloc(freed(&view)),
        Event::CbAlloc(cb),
        Event::CbAlloc(global),
        Event::ProgramRun { program: 42, place: mesh },
        Event::CbDealloc(CbDealloc { place: Some(mesh), program: Some(42) }),
        Event::CbDealloc(CbDealloc { place: Some(chip), program: None }),
        Event::CbDealloc(CbDealloc { place: None, program: Some(43) }),
        Event::PhaseBegin { name: "prefill".into() },
        Event::OpBegin { name: "ttnn::matmul".into(), arguments: Some("(a, b)".into()) },
        Event::Mark { name: "after matmul".into() },
        Event::OpEnd,
        Event::OpBegin { name: "ttnn::add".into(), arguments: None },
        Event::OpEnd,
        Event::PhaseEnd,
        Event::KernelLoad(kernel),
        Event::KernelUnload { place: chip, program: None },
        Event::Trace { step: TraceStep::Begin, place: mesh, trace: 17 },
        Event::Trace { step: TraceStep::End, place: mesh, trace: 17 },
        Event::Trace { step: TraceStep::Release, place: chip, trace: 17 },
        Event::Sweep { allocator: 99, cause: SweepCause::Call },
        Event::Close { place: mesh },
        Event::Close { place: Place::Chip(8) },
        Event::Close { place: Place::Chip(8) },
    ]
}

fn freed(alloc: &Alloc) -> Dealloc {
    let Alloc { place, address, size_bytes, unique_id, hooked, .. } = *alloc;
    let (buffer_type, size_bytes) = (Some(alloc.buffer_type), Some(size_bytes));
    Dealloc { place, buffer_type, address, size_bytes, unique_id, hooked }
}

#[test]
fn garbage_is_refused_or_recorded_as_given_and_the_program_lives_on() {
    let bench = Bench::new();
    assert_eq!(bench.program("garbage.c").run().quiet().stdout, "alive\n");
    let capture = bench.capture();
    // Null pointers, structs that are too small, and a misaligned one.
    assert_eq!(capture.lost().0, 8);
    let events = capture.events().map(|(_, event)| event).filter(|event| !matches!(event, Event::Lost(_)));
    let events: Vec<&Event> = events.collect();
    assert_eq!(events.len(), 20, "{events:#?}");

    let op = |name: &str, arguments: Option<&str>| Event::OpBegin {
        name: name.to_owned(),
        arguments: arguments.map(str::to_owned),
    };
    assert_eq!(events[..2], [&op("", None), &op("", Some("()"))]);
    let Event::Alloc(huge) = events[2] else { unreachable!("{:?}", events[2]) };
    assert_eq!((huge.address, huge.size_bytes), (u64::MAX - 1, 1 << 63));
    assert_eq!(huge.place, Place::Mesh(u32::MAX - 1));
    assert_eq!((huge.buffer_type, huge.layout), (BufferType::Unknown(250), BufferLayout::Unknown(u32::MAX)));
    assert_eq!(huge.owns_data, Some(false));

    let marks = capture.marks();
    assert_eq!(marks[0], "caf\u{fffd} \u{fffd}\u{fffd} \"quoted\" \\ \n \u{1}");
    assert_eq!(marks[1], "x".repeat(4096));
    assert_eq!(events[5], &op(&"x".repeat(15_000), Some(&"x".repeat(296))));
    assert_eq!(events[6], &Event::PhaseBegin { name: "\0\u{fffd}".into() });

    let sizes = capture.lines.iter().filter_map(|line| match line {
        Line::Cores(cores) => Some(cores.ranges.len()),
        _ => None,
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [1000, 0]);
    let Event::KernelLoad(kernel) = events[10] else { unreachable!("{:?}", events[10]) };
    assert_eq!(
        (kernel.kind, kernel.size_bytes, kernel.n_cores),
        (KernelKind::Unknown(250), 1 << 63, u64::MAX)
    );
    let nowhere = Place::Chip(u32::MAX);
    assert_eq!(events[11], &Event::Trace { step: TraceStep::Release, place: nowhere, trace: u64::MAX });
    assert_eq!(events[12..17], [&Event::OpEnd; 5]);
    assert_eq!(events[17..19], [&Event::PhaseEnd; 2]);
    assert_eq!(events[19], &Event::Close { place: Place::Mesh(u32::MAX) });
}

#[test]
fn errno_is_kept_by_every_call() {
    let bench = Bench::new();
    assert_eq!(bench.program("keeps_errno.c").run().quiet().stdout, "");
    let capture = bench.capture();
    let (dropped, n_lost) = capture.lost();
    assert_eq!((capture.footer.unwrap().recorded - n_lost, dropped), (18, 1));
}

#[test]
fn errno_is_kept_when_nothing_can_be_recorded() {
    let bench = Bench::new();
    std::fs::write(bench.path("file"), "").unwrap();
    let outcome = bench.program("keeps_errno.c").env("TT_MEMTRACE_OUTPUT", bench.path("file/out")).run();
    assert!(outcome.status.success(), "{outcome:#?}");
}

#[test]
fn a_mark_is_in_the_file_when_flush_has_returned() {
    let bench = Bench::new();
    let capture = bench.path("run.jsonl");
    bench.program("reads_its_capture.c").args([&capture]).env("TT_MEMTRACE_OUTPUT", &capture).run().quiet();
    assert_eq!(bench.capture().marks().len(), 100);
}

#[test]
fn handlers_record_whatever_they_interrupt() {
    let bench = Bench::new();
    let outcome = bench.program("handler.c").args(["500"]).run().quiet();
    let capture = bench.capture();
    let (dropped, n_lost) = capture.lost();
    let [produced, empty] = ["produced", "empty"].map(|name| u64::from(outcome.number(name)));
    // The calls that give nothing to record, and no other: no handler finds its thread inside the library, and there is
    // room for all.
    assert_eq!((capture.footer.unwrap().recorded - n_lost, dropped), (produced - empty, empty));
}

#[test]
fn calls_before_main_and_after_it_are_recorded() {
    let bench = Bench::new();
    bench.program("around_main.c").run().quiet();
    let capture = bench.capture();
    assert_eq!(capture.allocated(), [1, 2, 3, 4]);
    assert_eq!((capture.footer.unwrap().recorded, capture.lost()), (4 * 6, (0, 0)));
}

#[test]
fn a_constructor_that_runs_before_ours_is_recorded() {
    let bench = Bench::new();
    let (include, shared, here) = (project("include"), project("tests/c"), bench.path(""));
    let flags = ["-fPIC", "-shared", "-I", include.to_str().unwrap()];
    compile("cc", &flags, &shared.join("early_library.c"), &bench.path("libearly.so")).unwrap();
    // After the source in the command line would be usual; --no-as-needed lets it stand before.
    let rpath = format!("-Wl,--no-as-needed,-rpath,{}", here.display());
    let flags = [&rpath, "-L", here.to_str().unwrap(), "-l:libearly.so"];
    compile("cc", &flags, &shared.join("uses_early_library.c"), &bench.path("early")).unwrap();

    let outcome = bench.command(bench.path("early")).run().quiet();
    let capture = bench.capture();
    assert_eq!((capture.allocated(), outcome.stdout.as_str()), (vec![77, 78], "enabled 1\n"));
    assert_eq!(capture.header.command.len(), 1);

    let off = bench.command(bench.path("early")).env("TT_ALLOC_TRACKING_ENABLED", "0").run().quiet();
    assert_eq!((bench.captures().len(), off.stdout.as_str()), (1, "enabled 0\n"));
}

#[test]
fn flush_tells_written_from_not_yet_and_from_never() {
    let bench = Bench::new();
    let told = bench.program("flushes.c").run().quiet().stdout;
    assert_eq!(told, "enabled 1\nbefore 2\nafter 0\nimpatient 1\nenabled 1\n");

    let told = bench.program("flushes.c").env("TT_ALLOC_TRACKING_ENABLED", "0").run().quiet().stdout;
    assert_eq!(told, "enabled 0\nbefore 2\nafter 2\nimpatient 2\nenabled 0\n");
    assert_eq!(bench.captures().len(), 1);
}

#[test]
fn a_process_can_ask_where_it_is_recorded_to() {
    let bench = Bench::new();
    let capture = bench.path("run.jsonl");
    let told = bench.program("asks_path.c").env("TT_MEMTRACE_OUTPUT", &capture).run().quiet().stdout;
    assert_eq!(told, format!("before 0\nshort 1 untouched\nafter 1 {}\n", capture.display()));
}
