//! Where nothing is to be recorded, the library is not there: no file, no output, no thread, no descriptor.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use support::{Bench, Outcome, find, project};

const SWITCH: &str = "TT_ALLOC_TRACKING_ENABLED";

#[test]
fn switched_off_it_leaves_no_trace_whatever_is_called() {
    let bench = Bench::new();
    let bare = seen(bench.program("counts_itself.c").args(["events"]).without("LD_PRELOAD").run());
    assert_eq!(bare.1, "");
    assert_eq!(seen(bench.program("counts_itself.c").args(["events"]).without(SWITCH).run()), bare);
    for value in ["", "0"] {
        assert_eq!(seen(bench.program("counts_itself.c").args(["events"]).env(SWITCH, value).run()), bare);
    }
    assert_eq!(bench.files(), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn switched_on_it_leaves_no_trace_before_the_first_event() {
    let bench = Bench::new();
    let bare = seen(bench.program("counts_itself.c").without("LD_PRELOAD").run());
    assert_eq!(seen(bench.program("counts_itself.c").run()), bare);
    assert!(bench.files().is_empty());
}

#[test]
fn the_program_that_counts_would_notice_a_recording() {
    let bench = Bench::new();
    let bare = seen(bench.program("counts_itself.c").without("LD_PRELOAD").run());
    let recording = seen(bench.program("counts_itself.c").args(["events"]).run());
    assert_ne!(recording.0, bare.0);
    assert_eq!(recording.1, "enabled");
}

#[test]
fn shells_and_compilers_of_a_run_leave_no_trace() {
    let bench = Bench::new();
    let commands = [
        vec!["true"],
        vec!["sh", "-c", "echo a b | tr a-z A-Z | (cat; sh -c 'exit 0') && (exit 0)"],
        vec!["sh", "-c", "exit 7"],
        vec!["cc", "-c", "-pipe", "-I", "INCLUDE", "-o", "/dev/null", "SOURCE"],
    ];
    for words in commands {
        let words = words.into_iter().map(|word| match word {
            "INCLUDE" => project("include").into_os_string(),
            "SOURCE" => project("tests/c/calls.c").into_os_string(),
            word => word.into(),
        });
        let words: Vec<_> = words.collect();
        let run = || bench.command(find(&words[0]).unwrap()).args(&words[1..]);
        assert_eq!(seen(run().run()), seen(run().without("LD_PRELOAD").run()), "{words:?}");
    }
    assert!(bench.files().is_empty());
}

#[test]
fn a_switch_that_is_neither_on_nor_off_is_named_at_the_first_event_only() {
    let bench = Bench::new();
    let outcome = bench.program("counts_itself.c").args(["events"]).env(SWITCH, "yes").run();
    assert_eq!(outcome.said(), [format!("{SWITCH}=yes is not 1 or 0; nothing is recorded")]);
    assert_eq!(outcome.status.code(), Some(7));

    let outcome = bench.program("counts_itself.c").env(SWITCH, "yes").run();
    assert_eq!(outcome.stderr, "");
    assert!(bench.files().is_empty());
}

/// All that a user can see of a run.
fn seen(outcome: Outcome) -> (String, String, Option<i32>) {
    (outcome.stdout, outcome.stderr, outcome.status.code())
}
