//! `--strict`: what makes figures doubtful is an error, and said.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Bench, FOOTER, MESH, SAMPLE, alloc, capture, event, free};

#[test]
fn a_complete_capture_passes() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    for verb in ["summary", "stats", "leaks", "snapshot", "oom", "parse"] {
        let outcome = bench.run([verb, "--strict", "s.jsonl"]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{verb}");
    }
}

#[test]
fn each_reason_is_said_and_gives_the_same_code() {
    let bench = Bench::new();
    let lost = event("lost", 1, ",\"dropped\":3");
    let later = r#"{"kind":"later","n":1,"t_ns":1,"tid":1}"#;
    let stopped = FOOTER.replace("\"exit\"", "\"stopped\"");
    let recovery =
        r#"{"kind":"recovery","recorded":1,"recovered":1,"dropped":0,"unfinished":2,"unreadable":1}"#;
    let child = ",\"parent\":{\"capture\":\"/gone/p.jsonl\",\"pid\":10,\"token\":77}";
    for (more, lines, said) in [
        ("", [MESH, &lost, FOOTER], "3 events DROPPED"),
        ("", [MESH, &free(1, 64), FOOTER], "1 unknown_deallocation, see tt-memtrace stats"),
        ("", [MESH, later, FOOTER], "1 line of kinds this version does not know"),
        ("", [MESH, &alloc(1, 64, 8), &stopped], "the recording stopped before the process ended"),
        ("", [MESH, &alloc(1, 64, 8), recovery], "2 events CUT OFF"),
        ("", [MESH, &alloc(1, 64, 8), recovery], "1 record UNREADABLE"),
        ("", [MESH, &alloc(1, 64, 8), ""], "its last events MAY BE MISSING"),
        (child, [MESH, &alloc(1, 64, 8), FOOTER], "the capture of its parent was not found"),
    ] {
        bench.write("x.jsonl", capture(1, more, &lines).trim_end());
        // The schema of captures does not know of `stopped` yet, so `parse` cannot be held to it.
        let n_verbs = if lines[2] == stopped { 4 } else { 5 };
        for verb in &["summary", "stats", "leaks", "snapshot", "parse"][..n_verbs] {
            let lenient = bench.run([verb, &"x.jsonl"]);
            assert_eq!((lenient.code, lenient.stderr.contains("strict")), (0, false), "{verb}: {said}");
            let strict = bench.run([verb, &"--strict", &"x.jsonl"]);
            assert_eq!((strict.code, &strict.stdout), (4, &lenient.stdout), "{verb}: {said}");
            let line = format!("tt-memtrace: strict: x.jsonl: {said}\n");
            assert!(strict.stderr.contains(&line), "{verb}: {}", strict.stderr);
        }
    }
}

#[test]
fn a_killed_process_whose_spool_was_found_lacks_nothing() {
    let bench = Bench::new();
    let recovery =
        r#"{"kind":"recovery","recorded":1,"recovered":1,"dropped":0,"unfinished":0,"unreadable":0}"#;
    bench.write("k.jsonl", capture(1, "", &[MESH, &alloc(1, 64, 8), recovery]));
    let outcome = bench.run(["summary", "--strict", "k.jsonl"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let first = "k.jsonl: p1 pid 1, 1 event in 0.001 s, complete, ended abnormally (killed)\n";
    assert!(outcome.stdout.starts_with(first), "{}", outcome.stdout);
}

#[test]
fn a_torn_line_is_a_reason_and_an_unreadable_capture_a_worse_one() {
    let bench = Bench::new();
    let whole = capture(1, "", &[MESH, &alloc(1, 64, 8), &alloc(2, 128, 8)]);
    bench.write("d/a.jsonl", &whole.as_bytes()[..whole.len() - 30]);
    let torn = bench.run(["leaks", "--strict", "d"]);
    assert_eq!((torn.code, torn.stderr.contains("strict: d/a.jsonl: last line TORN\n")), (4, true));
    bench.write("d/b.jsonl", "");
    assert_eq!(bench.run(["leaks", "--strict", "d"]).code, 3);
}
