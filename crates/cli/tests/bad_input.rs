//! No file makes the command crash, hang, or hide what other files hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Bench, FOOTER, MESH, SAMPLE, alloc, capture};

/// One line on stderr that names the file and a remedy, and code 3, for every verb that reads captures.
fn refused(content: &[u8], said: &str) {
    let bench = Bench::new();
    bench.write("x.jsonl", content);
    for verb in ["summary", "stats", "leaks", "snapshot", "oom", "parse"] {
        let outcome = bench.run([verb, "x.jsonl"]);
        assert_eq!(outcome.code, 3, "{verb}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stderr.starts_with("tt-memtrace: x.jsonl:"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}

#[test]
fn an_empty_a_foreign_a_cut_and_a_newer_capture_are_refused() {
    refused(b"", "is empty");
    refused(b"\x89PNG\r\n\x1a\n", ":1: not a tt-memtrace capture: name a .jsonl");
    refused(b"{\"traceEvents\":[]}\n", ":1: not a tt-memtrace capture");
    refused(&SAMPLE.as_bytes()[..40], ":1: the capture is cut off within its first line: copy it again");
    let newer = SAMPLE.replacen("\"version\":\"1.0\"", "\"version\":\"2.0\"", 1);
    refused(newer.as_bytes(), ":1: format version 2.0, this tt-memtrace reads 1.x: use a newer tt-memtrace");
    let damaged = SAMPLE.replacen("\"kind\":\"mesh\"", "\"kind\":mesh", 1);
    refused(damaged.as_bytes(), ":2: not a line of a capture");
    let missing = SAMPLE.replacen("\"layout\":\"INTERLEAVED\",", "", 1);
    refused(missing.as_bytes(), "a \"alloc\" line whose \"layout\" is missing or impossible");
}

#[test]
fn a_later_minor_version_is_read_and_its_kinds_are_passed_over() {
    let bench = Bench::new();
    let lines = [MESH, r#"{"kind":"later_kind","n":1,"t_ns":1,"tid":1}"#, &alloc(2, 64, 8), FOOTER];
    bench.write("x.jsonl", capture(1, "", &lines).replace("\"1.0\"", "\"1.9\""));
    let outcome = bench.run(["summary", "-v", "x.jsonl"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("passed over 1 lines of kinds this version does not know"));
    assert!(outcome.stdout.contains("left: 1 buffer not freed"));
}

#[test]
fn a_torn_last_line_is_read_up_to_and_said() {
    let bench = Bench::new();
    let whole = capture(1, "", &[MESH, &alloc(1, 64, 8), &alloc(2, 128, 8)]);
    bench.write("x.jsonl", &whole.as_bytes()[..whole.len() - 30]);
    let outcome = bench.run(["leaks", "x.jsonl"]);
    assert_eq!(outcome.code, 0);
    let first = outcome.stdout.lines().next().unwrap();
    assert!(
        first.contains("1 event in 0.001 s, last line TORN, ")
            && first.ends_with("ended abnormally (killed)"),
        "{first}"
    );
}

#[test]
fn any_cut_of_a_capture_is_read_or_refused() {
    let bench = Bench::new();
    for cut in (0..SAMPLE.len()).step_by(397) {
        bench.write("x.jsonl", &SAMPLE.as_bytes()[..cut]);
        let outcome = bench.run(["summary", "x.jsonl"]);
        assert!(matches!(outcome.code, 0 | 3), "cut at {cut}: {outcome:?}");
        assert!(!outcome.stderr.contains("panicked"), "cut at {cut}: {outcome:?}");
    }
}

#[test]
fn one_unreadable_capture_does_not_hide_the_others() {
    let bench = Bench::new();
    bench.write("d/a.jsonl", SAMPLE);
    bench.write("d/b.jsonl", "");
    let outcome = bench.run(["summary", "d"]);
    assert_eq!(outcome.code, 3);
    assert!(outcome.stdout.contains("37.00 MiB"));
    assert_eq!(outcome.stderr.lines().count(), 1);
    let json = bench.run(["summary", "--json", "d"]);
    let summary: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, summary["processes"].as_array().unwrap().len()), (3, 1));
}

#[test]
fn what_is_no_file_is_refused() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    for (path, said) in [
        ("missing.jsonl", "missing.jsonl: cannot read: No such file or directory"),
        ("empty", "empty: no capture (*.jsonl) in this directory"),
        ("/dev/tty", "/dev/tty: cannot read: is not a regular file"),
    ] {
        let outcome = bench.run(["summary", path]);
        assert_eq!((outcome.code, outcome.stderr.contains(said)), (3, true), "{}", outcome.stderr);
    }
}

#[test]
fn an_endless_line_is_refused() {
    let bench = Bench::new();
    bench.write("x.jsonl", format!("{}{}", capture(1, "", &[]), "x".repeat(17 << 20)));
    let outcome = bench.run(["summary", "x.jsonl"]);
    assert_eq!((outcome.code, outcome.stderr.contains("more than 16 MiB")), (3, true), "{}", outcome.stderr);
}

#[test]
fn extreme_numbers_do_not_overflow() {
    let bench = Bench::new();
    let max = format!("\"{}\"", u64::MAX);
    let huge = alloc(1, 64, 8).replace(":8,", &format!(":{max},"));
    let other = alloc(2, 77, 8).replace(":8,", &format!(":{max},")).replace(":77,", &format!(":{max},"));
    bench.write("x.jsonl", capture(1, "", &[MESH, &huge, &other, FOOTER]));
    for verb in ["summary", "stats", "leaks", "snapshot", "oom"] {
        let outcome = bench.run([verb, "x.jsonl"]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
}

#[test]
fn captures_that_name_each_other_as_parents_are_read() {
    let bench = Bench::new();
    let parent =
        |pid: u32, name: &str| format!(",\"parent\":{{\"capture\":\"{name}\",\"pid\":{pid},\"token\":1}}");
    bench.write("a.jsonl", capture(1, &parent(2, "b.jsonl"), &[MESH, FOOTER]));
    bench.write("b.jsonl", capture(2, &parent(1, "a.jsonl"), &[MESH, FOOTER]));
    let outcome = bench.run(["summary", "a.jsonl"]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stdout.contains("was not found"), "{}", outcome.stdout);
}
