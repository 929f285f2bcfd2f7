//! The front door of the stock runtime, with a fake of it: what a wheel cannot show is what happens when a
//! symbol is missing or the fields have moved. The real runtime is followed in `tests/ttnn`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use std::collections::BTreeMap;
use support::{Bench, Outcome, compile, project};
use tt_memtrace_wire::{Clash, Event, Failure, Line, Place};

/// Runs a program against a fake runtime that was built with these definitions.
fn run(bench: &Bench, definitions: &[&str]) -> Outcome {
    let library = bench.path("libtt_metal.so");
    let flags = [&["-std=c++17", "-O1", "-fPIC", "-shared"], definitions].concat();
    compile("c++", &flags, &project("tests/c/fake_runtime.cpp"), &library).unwrap();
    let outcome = bench.program("uses_fake_runtime.c").args([library]).run();
    // Whatever we make of it, the runtime's own functions were called each time.
    assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(0), "2\n4\n6\n"), "{outcome:#?}");
    outcome
}

#[test]
fn both_generations_of_the_runtime_are_followed() {
    for (definitions, unique_id) in [(&["-DACCESSORS"][..], Some(42)), (&[], None)] {
        let bench = Bench::new();
        run(&bench, definitions).quiet();
        let lines = bench.capture().lines;
        let mesh = lines.iter().find_map(|line| match line {
            Line::Mesh(mesh) => Some(mesh),
            _ => None,
        });
        let mesh = mesh.unwrap();
        assert_eq!((mesh.mesh_id, &mesh.chips[..], mesh.rows, mesh.cols), (7, &[1, 0][..], 1, 2));
        assert_eq!(mesh.arch, "wormhole_b0");
        let allocs = lines.iter().filter_map(|line| match line {
            Line::Event(_, Event::Alloc(alloc)) => Some(alloc),
            _ => None,
        });
        let allocs: Vec<_> = allocs.collect();
        assert_eq!(allocs.len(), 3);
        assert_eq!((allocs[0].place, allocs[0].address, allocs[0].size_bytes), (Place::Mesh(7), 4096, 8192));
        assert_eq!((allocs[0].per_bank_bytes, allocs[0].unique_id), (2048, unique_id));
    }
}

#[test]
fn a_missing_symbol_is_one_line_and_nothing_is_recorded() {
    for definitions in [&["-DNO_PER_BANK"][..], &["-DNO_PER_BANK", "-DACCESSORS"]] {
        let bench = Bench::new();
        let outcome = run(&bench, definitions);
        assert_eq!(
            outcome.said(),
            [
                "cannot record this ttnn runtime: its symbol _ZNK2tt8tt_metal6Buffer21aligned_size_per_bankEv is \
              missing; the program runs on, unrecorded"
            ]
        );
        assert!(bench.captures().is_empty());
    }
}

#[test]
fn fields_that_do_not_fit_together_are_one_line_and_nothing_is_recorded() {
    let bench = Bench::new();
    let outcome = run(&bench, &["-DWRONG_SIZE"]);
    assert_eq!(
        outcome.said(),
        ["cannot record this ttnn runtime: the fields of its buffers do not fit together; the program runs \
          on, unrecorded"]
    );
    assert!(bench.captures().is_empty());
}

#[test]
fn a_refusal_is_recorded_as_its_exception_passes_unchanged() {
    let both = [&["-DREFUSES", "-DACCESSORS"][..], &["-DREFUSES"]].map(|of| (of, Some(2048)));
    for (definitions, per_bank) in both.into_iter().chain([(&["-DREFUSES", "-DNO_BANKS"][..], None)]) {
        let bench = Bench::new();
        let library = bench.path("libtt_metal.so");
        let flags = [&["-std=c++17", "-O1", "-fPIC", "-shared"], definitions].concat();
        compile("c++", &flags, &project("tests/c/fake_runtime.cpp"), &library).unwrap();
        let outcome = bench.program("asks_for_too_much.c").args([library]).run().quiet();
        assert_eq!(
            outcome.stdout,
            "4096\nOut of Memory\nbacktrace:\n --- somewhere 1\ncircular buffers clash\n17\n"
        );
        let capture = bench.capture();
        let failures: Vec<_> = capture
            .events()
            .map(|(_, event)| match event {
                Event::Failure(failure) => failure.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let [Failure::Allocation(request), circular, dataflow] = &failures[..] else {
            panic!("{failures:?}")
        };
        assert_eq!(
            (request.place, request.size_bytes, request.per_bank_bytes),
            (Place::Mesh(7), 16384, per_bank)
        );
        assert_eq!(request.message.as_deref(), Some("Out of Memory"));
        assert!(capture.lines.iter().any(|line| {
            matches!(line, Line::Allocator(allocator) if Some(allocator.allocator) == request.allocator)
        }));
        for (clash, is_dataflow) in [(circular, false), (dataflow, true)] {
            // Neither of these exceptions is a `runtime_error`.
            let expected = Clash { place: Place::Chip(3), is_dataflow, program: Some(11), message: None };
            assert_eq!(*clash, Failure::Clash(expected));
        }
    }
}

#[test]
fn exceptions_of_a_program_without_the_runtime_are_as_before() {
    let bench = Bench::new();
    let outcome = bench.program("throws.cpp").run().quiet();
    assert_eq!(outcome.stdout, "before main\nxxxxxxxxxx\nspecial\nin a thread\n");
    assert!(bench.captures().is_empty());
}

#[test]
fn a_thread_that_ends_inside_a_request_was_not_refused() {
    let bench = Bench::new();
    let library = bench.path("libtt_metal.so");
    let flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-DREFUSES", "-DACCESSORS"];
    compile("c++", &flags, &project("tests/c/fake_runtime.cpp"), &library).unwrap();
    let words = [library.as_os_str(), "end_in_requests".as_ref()];
    let outcome = bench.program("asks_for_too_much.c").args(words).run().quiet();
    assert_eq!(outcome.stdout, "4\n");
    // What the last one asked for while it ended.
    let capture = bench.capture();
    assert_eq!(capture.events().map(|(_, event)| event.kind()).collect::<Vec<_>>(), ["failure"]);
}

#[test]
fn a_patched_runtime_has_no_refusals_in_its_capture() {
    let bench = Bench::new();
    let library = bench.path("libtt_metal.so");
    let include = project("include");
    let flags =
        ["-std=c++17", "-O1", "-fPIC", "-shared", "-DREFUSES", "-DMARKED", "-I", include.to_str().unwrap()];
    compile("c++", &flags, &project("tests/c/fake_runtime.cpp"), &library).unwrap();
    let outcome = bench.program("asks_for_too_much.c").args([library]).run().quiet();
    assert_eq!(outcome.stdout.lines().count(), 6);
    assert!(bench.captures().iter().all(|capture| capture.events().count() == 0));
}

const N: u64 = 8 * 200;

/// What was recorded of eight threads' buffers and one program, where the runtime was built with these definitions,
/// by kind.
fn through_both_doors(definitions: &[&str], has_extension: bool) -> (Bench, BTreeMap<&'static str, u64>) {
    let bench = Bench::new();
    let library = bench.path("libtt_metal.so");
    let include = project("include");
    let mut flags = vec!["-std=c++17", "-O1", "-fPIC", "-shared", "-I", include.to_str().unwrap()];
    flags.extend(["-DACCESSORS"].iter().chain(definitions));
    compile("c++", &flags, &project("tests/c/fake_runtime.cpp"), &library).unwrap();
    let extension = bench.path("libextension.so");
    compile("cc", &["-fPIC", "-shared"], &project("tests/c/marked_extension.c"), &extension).unwrap();
    let extension = if has_extension { extension.into_os_string() } else { "".into() };
    let each = (N / 8).to_string();
    bench.program("uses_both_doors.c").args([library.as_os_str(), &extension, each.as_ref()]).run().quiet();
    let capture = bench.capture();
    assert_eq!(capture.lost(), (0, 0));
    let mut counts = BTreeMap::new();
    for (_, event) in capture.events() {
        *counts.entry(event.kind()).or_default() += 1;
    }
    (bench, counts)
}

fn once_each() -> BTreeMap<&'static str, u64> {
    let program = ["cb_alloc", "program_run", "cb_dealloc", "sweep", "close"].map(|kind| (kind, 1));
    [("alloc", N), ("dealloc", N)].into_iter().chain(program).collect()
}

#[test]
fn a_stock_runtime_is_followed_by_its_hooks_whatever_an_extension_says() {
    for has_extension in [false, true] {
        assert_eq!(through_both_doors(&[], has_extension).1, once_each());
    }
}

#[test]
fn a_marked_runtime_is_recorded_once_whichever_thread_comes_first() {
    let (bench, counts) = through_both_doors(&["-DPATCHED", "-DMARKED"], true);
    assert_eq!(counts, once_each());
    // The hooks tell the program, which the runtime does not name where it reports circular buffers.
    let capture = bench.capture();
    let programs = capture.events().filter_map(|(_, event)| match event {
        Event::CbAlloc(cb) => Some(cb.program),
        Event::CbDealloc(cb) => Some(cb.program),
        _ => None,
    });
    assert_eq!(programs.collect::<Vec<_>>(), [Some(11), Some(11)]);
}

#[test]
fn calls_without_the_marker_only_add() {
    let (_bench, counts) = through_both_doors(&["-DPATCHED"], false);
    assert_eq!((counts["alloc"], counts["dealloc"]), (2 * N, 2 * N));
    // Sweep and close are the same ones, seen from inside and from outside.
    assert_eq!((counts["sweep"], counts["close"]), (1, 1));
}
