//! What can go wrong goes wrong for the recording alone: one line says so, and the program is as without us.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use std::collections::HashMap;
use support::{Bench, Capture};

#[test]
fn an_output_that_cannot_be_written_costs_one_line_and_nothing_else() {
    let bench = Bench::new();
    std::fs::write(bench.path("file"), "theirs").unwrap();
    for output in ["file/out", "file/out/run.jsonl", "file/%p.jsonl", "missing/run.jsonl"] {
        let outcome = bench.program("ends.c").args(["exit"]).env("TT_MEMTRACE_OUTPUT", output).run();
        assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(3), ""), "{outcome:#?}");
        let said = outcome.said();
        let shown = output.replace("%p", &outcome.pid.to_string());
        assert_eq!(said.len(), 1, "{outcome:#?}");
        assert!(said[0].starts_with(&format!("cannot write {shown}: ")), "{outcome:#?}");
        assert!(said[0].ends_with("; nothing is recorded"), "{outcome:#?}");
    }
    assert_eq!(bench.files(), [bench.path("file")]);
    assert_eq!(std::fs::read_to_string(bench.path("file")).unwrap(), "theirs");
}

/// Enough for the spool, which is reserved first, and too little for the capture.
const MOST: u64 = 5 << 20;

#[test]
fn a_full_disk_costs_one_line_and_the_capture_ends_with_a_whole_line() {
    // With the signal of the limit ignored, and with its deadly default.
    for more in [&[][..], &["default"]] {
        let bench = Bench::new();
        let outcome = bench.program("limited.c").args([&MOST.to_string(), "50000"]).args(more).run();
        assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(7), "alive\n"), "{outcome:#?}");
        assert_eq!(outcome.said().len(), 1, "{outcome:#?}");
        assert!(outcome.said()[0].ends_with("; recording stops here"), "{outcome:#?}");
        let capture = bench.capture();
        assert!(!capture.is_torn && capture.footer.is_none());
        assert!(!capture.lines.is_empty() && std::fs::metadata(&capture.path).unwrap().len() <= MOST);
    }
}

#[test]
fn a_disk_that_is_full_from_the_start_costs_one_line() {
    for more in [&[][..], &["default"]] {
        let bench = Bench::new();
        let outcome = bench.program("limited.c").args(["0", "10"]).args(more).run();
        assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(7), "alive\n"), "{outcome:#?}");
        assert_eq!(outcome.said().len(), 1, "{outcome:#?}");
        for left in bench.files() {
            // Not even a header fits: nobody could read it.
            std::fs::remove_file(left).unwrap();
        }
    }
}

#[test]
fn a_taken_name_is_left_alone_and_the_next_free_one_is_said() {
    let bench = Bench::new();
    std::fs::write(bench.path("%e.jsonl"), "").unwrap();
    std::fs::write(bench.path("ends.jsonl"), "theirs\n").unwrap();
    let outcome = bench.program("ends.c").args(["exit"]).env("TT_MEMTRACE_OUTPUT", "%e.jsonl").run();
    let path = bench.path("ends.1.jsonl");
    assert_eq!(outcome.said(), [format!("the usual name is taken; recording to {}", path.display())]);
    assert_eq!(Capture::read(&path).allocated(), [1, 2]);
    assert_eq!(std::fs::read_to_string(bench.path("ends.jsonl")).unwrap(), "theirs\n");
    std::fs::remove_file(bench.path("%e.jsonl")).unwrap();
    std::fs::remove_file(bench.path("ends.jsonl")).unwrap();
}

#[test]
fn a_single_file_that_exists_is_left_alone_and_the_capture_stands_beside_it() {
    let bench = Bench::new();
    let path = bench.path("run.jsonl");
    std::fs::write(&path, "theirs\n").unwrap();
    let outcome = bench.program("ends.c").args(["exit"]).env("TT_MEMTRACE_OUTPUT", "run.jsonl").run();
    assert_eq!(outcome.status.code(), Some(3));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\n");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(bench.capture().path, bench.path(&format!("run.{}.jsonl", outcome.pid)));
}

#[test]
fn a_misspelt_variable_and_a_bad_value_are_named_once_and_the_defaults_hold() {
    let bench = Bench::new();
    let run = || bench.program("ends.c").args(["exit"]);
    for (name, value, line) in [
        ("TT_MEMTRACE_OUTPT", "x", "unknown variable TT_MEMTRACE_OUTPT; did you mean TT_MEMTRACE_OUTPUT?"),
        (
            "TT_MEMTRACE_LOG",
            "loud",
            "TT_MEMTRACE_LOG=loud is not one of warn, error, info, debug; using warn",
        ),
        (
            "TT_MEMTRACE_STACKS",
            "?",
            "TT_MEMTRACE_STACKS=? is not one of none, python, native, both; using none",
        ),
    ] {
        let outcome = run().env(name, value).run();
        assert_eq!((outcome.said(), outcome.status.code()), (vec![line], Some(3)));
    }
    assert_eq!(run().env("TT_MEMTRACE_OUTPT", "x").env("TT_MEMTRACE_LOG", "error").run().stderr, "");
    assert_eq!(bench.captures().len(), 4);
    assert!(bench.captures().iter().all(|capture| capture.footer.is_some()));
}

#[test]
fn a_burst_that_no_queue_holds_is_counted_to_the_last_event() {
    let bench = Bench::new();
    let run = bench.program("threads.c").args(["4", "500000"]);
    run.env("TT_MEMTRACE_SPOOL_SIZE", "256K").env("TT_MEMTRACE_SPILL_MAX", "64K").run().quiet();
    let capture = bench.capture();
    assert!(capture.lost().0 > 0, "the burst was too small for this test: {:?}", capture.footer);
    assert_eq!(produced(&capture), 2_000_000);
}

#[test]
fn a_burst_that_goes_through_the_spill_file_is_counted_to_the_last_event_and_stays_in_order() {
    let bench = Bench::new();
    bench.program("threads.c").args(["4", "15000"]).run().quiet();
    let capture = bench.capture();
    assert_eq!(produced(&capture), 60_000);
    let mut last_of = HashMap::new();
    for address in capture.allocated() {
        let last = last_of.insert(address >> 32, address);
        assert!(last.is_none_or(|last| last < address), "{address:x} after {last:x?}");
    }
    assert_eq!(last_of.len(), 4);
}

/// What was recorded and what was refused.
fn produced(capture: &Capture) -> u64 {
    let footer = capture.footer.unwrap();
    let (dropped, n_lost) = capture.lost();
    assert_eq!(footer.dropped, dropped);
    footer.recorded - n_lost + dropped
}

#[test]
fn a_standard_error_that_nobody_reads_does_not_kill_the_program() {
    let bench = Bench::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = bench.program("ends.c").args(["exit"]).env("TT_MEMTRACE_OUTPT", "x");
    assert_eq!(run.run_with_stderr(writer).code(), Some(3));
    assert_eq!(bench.capture().allocated(), [1, 2]);
}
