//! `check`: gates that hold, that break, and that cannot be judged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::Value;
use support::{Bench, FOOTER, MESH, SAMPLE, alloc, capture, event, free};

/// A capture that marks an op, so that what is left has a class.
fn leaky(bytes: u64) -> String {
    let begin = event("op_begin", 1, ",\"name\":\"ttnn.zeros\"");
    let end = event("op_end", 2, "");
    capture(1, "", &[MESH, &begin, &end, &event("mark", 3, ",\"name\":\"go\""), &alloc(4, 64, bytes), FOOTER])
}

fn verdicts(json: &Value) -> Vec<(String, String)> {
    let gates = json["gates"].as_array().unwrap().iter();
    gates.map(|g| (g["gate"].as_str().unwrap().into(), g["verdict"].as_str().unwrap().into())).collect()
}

#[test]
fn a_peak_at_the_limit_passes_and_one_byte_less_fails() {
    let bench = Bench::new();
    bench.write("x.jsonl", capture(1, "", &[MESH, &alloc(1, 64, 100), &free(2, 64), FOOTER]));
    for (limit, code) in [("dram=100", 0), ("dram=99", 1), ("total=100", 0), ("total=99", 1), ("l1=0", 0)] {
        let outcome = bench.run(["check", "--peak-below", limit, "x.jsonl"]);
        assert_eq!(outcome.code, code, "{limit}: {}", outcome.stdout);
    }
    let outcome = bench.run(["check", "--peak-below", "dram=99", "x.jsonl"]);
    let said = "FAILED: peak of DRAM at most 99 B on a chip, measured 100 B on chips 0-1 at 0.001 s (n 1)\n";
    assert!(outcome.stdout.ends_with(said), "{}", outcome.stdout);
}

#[test]
fn what_the_program_left_fails_and_what_it_freed_does_not() {
    let bench = Bench::new();
    bench.write("leaky.jsonl", leaky(100));
    bench.write("clean.jsonl", capture(2, "", &[MESH, &alloc(1, 64, 100), &free(2, 64), FOOTER]));
    assert_eq!(bench.run(["check", "--no-leaks", "clean.jsonl"]).code, 0);
    let outcome = bench.run(["check", "--no-leaks", "leaky.jsonl", "clean.jsonl"]);
    assert_eq!(outcome.code, 1);
    let said = "FAILED: nothing leaked, measured 100 B in 1 buffer on chips 0-1, each\n";
    assert!(outcome.stdout.ends_with(said), "{}", outcome.stdout);
}

#[test]
fn survivors_that_nobody_can_attribute_are_not_measured() {
    let bench = Bench::new();
    bench.write("x.jsonl", capture(1, "", &[MESH, &alloc(1, 64, 100), FOOTER]));
    let outcome = bench.run(["check", "--no-leaks", "x.jsonl"]);
    assert_eq!(outcome.code, 125);
    assert!(outcome.stdout.contains("NOT MEASURED: nothing leaked, measured 0 B; 1 survivor unattributed"));
}

#[test]
fn losses_hide_a_pass_but_not_a_failure() {
    let bench = Bench::new();
    let lost = event("lost", 2, ",\"dropped\":3");
    bench.write("x.jsonl", capture(1, "", &[MESH, &alloc(1, 64, 100), &lost, &free(3, 64), FOOTER]));
    let outcome = bench.run(["check", "--peak-below", "dram=100", "x.jsonl"]);
    assert_eq!(
        (outcome.code, outcome.stdout.contains("3 events DROPPED")),
        (125, true),
        "{}",
        outcome.stdout
    );
    assert_eq!(bench.run(["check", "--peak-below", "dram=99", "x.jsonl"]).code, 1);
}

#[test]
fn what_cannot_be_read_is_not_measured_and_wrong_usage_is_an_error() {
    let bench = Bench::new();
    bench.write("good.jsonl", capture(1, "", &[MESH, FOOTER]));
    bench.write("bad.jsonl", "nonsense\n");
    bench.write("empty.toml", "");
    for (words, code) in [
        (vec!["check", "--no-leaks", "gone.jsonl"], 125),
        (vec!["check", "--no-leaks", "good.jsonl", "bad.jsonl"], 125),
        (vec!["check", "--no-leaks", "--device", "9", "good.jsonl"], 125),
        (vec!["check", "--no-leaks", "--between", "nomark,", "good.jsonl"], 125),
        (vec!["check", "good.jsonl"], 2),
        (vec!["check", "--peak-below", "dram", "good.jsonl"], 2),
        (vec!["check", "--tolerance", "2%", "--no-leaks", "good.jsonl"], 2),
        (vec!["check", "--budget", "empty.toml", "good.jsonl"], 2),
        (vec!["check", "--budget", "gone.toml", "good.jsonl"], 2),
        (vec!["check", "--no-leaks", "good.jsonl"], 0),
    ] {
        let outcome = bench.run(&words);
        assert_eq!((outcome.code, code != 0 && outcome.stderr.is_empty()), (code, false), "{words:?}");
    }
    let gone = bench.run(["check", "--budget", "gone.toml", "good.jsonl"]);
    assert_eq!(gone.stderr, "tt-memtrace: cannot read gone.toml: No such file or directory\n");
}

#[test]
fn a_budget_file_holds_every_limit() {
    let bench = Bench::new();
    bench.write("run.jsonl", SAMPLE);
    bench.write(
        "budget.toml",
        "leaks = \"3MiB\"\nheadroom = \"1MiB\"\n[peak]\ndram = \"37MiB\"\nl1 = \"1KiB\"\n",
    );
    let outcome = bench.run(["check", "--json", "--budget", "budget.toml", "run.jsonl"]);
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let expected = [("peak", "passed"), ("peak", "failed"), ("leaks", "passed"), ("headroom", "passed")];
    assert_eq!(verdicts(&json), expected.map(|(gate, verdict)| (gate.to_owned(), verdict.to_owned())));
    assert_eq!((outcome.code, json["verdict"].as_str()), (1, Some("failed")));
}

#[test]
fn a_run_is_held_to_its_baseline_within_the_tolerance() {
    let bench = Bench::new();
    bench.write("old.jsonl", leaky(1000));
    bench.write("new.jsonl", leaky(1015));
    let written = bench.run(["check", "--write-baseline", "b.json", "old.jsonl"]);
    assert_eq!((written.code, written.stderr.as_str()), (0, "tt-memtrace: baseline written to b.json\n"));
    let check = |capture: &str, tolerance: &[&str]| {
        bench.run(["check", "--baseline", "b.json", capture].iter().chain(tolerance)).code
    };
    assert_eq!(check("old.jsonl", &[]), 0);
    assert_eq!(check("new.jsonl", &[]), 1);
    assert_eq!(check("new.jsonl", &["--tolerance", "1%"]), 1);
    assert_eq!(check("new.jsonl", &["--tolerance", "2%"]), 0);
    assert_eq!(check("new.jsonl", &["--tolerance", "1%,15"]), 0);

    assert_eq!(bench.run(["check", "--write-baseline", "b.json", "new.jsonl"]).code, 2, "it exists");
    assert_eq!(bench.run(["check", "--write-baseline", "b.json", "-f", "new.jsonl"]).code, 0);
    assert_eq!(check("new.jsonl", &[]), 0);
    bench.write("b.json", "{\"schema\":\"tt-memtrace.baseline\",\"version\":\"2.0\"}");
    assert_eq!(check("new.jsonl", &[]), 2);
}

#[test]
fn no_baseline_is_made_of_figures_that_may_be_too_low() {
    let bench = Bench::new();
    bench.write("torn.jsonl", &SAMPLE.as_bytes()[..SAMPLE.len() - 300]);
    for capture in ["torn.jsonl", "gone.jsonl"] {
        let outcome = bench.run(["check", "--write-baseline", "b.json", capture]);
        assert_eq!((outcome.code, bench.path("b.json").exists()), (125, false), "{}", outcome.stderr);
    }
}

#[test]
fn junit_tells_each_gate_and_is_well_formed() {
    let bench = Bench::new();
    bench.write("x.jsonl", capture(1, "", &[MESH, &alloc(1, 64, 100), FOOTER]));
    let words = ["check", "--no-leaks", "--peak-below", "dram=99,total=100", "--junit", "j.xml", "x.jsonl"];
    assert_eq!(bench.run(words).code, 1);
    let path = bench.path("j.xml");
    let script = "import sys, xml.etree.ElementTree as e\n\
                  s = e.parse(sys.argv[1]).getroot()\n\
                  print(s.get('tests'), s.get('failures'), s.get('skipped'), len(s.findall('testcase')),\n\
                  \x20     len(s.findall('testcase/failure')), len(s.findall('testcase/skipped')))";
    let python = std::process::Command::new("python3").args(["-c", script]).arg(path).output().unwrap();
    assert_eq!(String::from_utf8(python.stdout).unwrap(), "3 1 1 3 1 1\n");
}
