//! Colour, units, and how wide reports are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Bench, FOOTER, MESH, Outcome, SAMPLE, alloc, capture, event, free};

#[test]
fn there_is_no_colour_in_a_pipe_unless_it_is_asked_for() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let run = |options: &[&str], variables: &[(&str, &str)]| {
        let mut command = bench.command();
        command.args(["summary", "s.jsonl"]).args(options).env_remove("NO_COLOR");
        for name in ["CLICOLOR_FORCE", "FORCE_COLOR"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        Outcome::of(command.output().unwrap()).stdout.contains('\x1b')
    };
    assert!(!run(&[], &[]));
    assert!(run(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(run(&[], &[("FORCE_COLOR", "1")]));
    assert!(!run(&[], &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]));
    assert!(!run(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!run(&["--json"], &[("FORCE_COLOR", "1")]));
}

#[test]
fn colour_adds_nothing_that_is_not_in_words() {
    let bench = Bench::new();
    let lost = event("lost", 1, ",\"dropped\":3");
    bench.write("l.jsonl", capture(1, "", &[MESH, &lost, &free(2, 64), FOOTER]));
    for verb in ["summary", "stats", "leaks", "snapshot"] {
        let plain = bench.run([verb, "l.jsonl"]).stdout;
        let coloured = bench.run([verb, "--color=always", "l.jsonl"]).stdout;
        let mut bare = String::new();
        for (i, part) in coloured.split('\x1b').enumerate() {
            bare.push_str(if i == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(bare, plain, "{verb}");
        assert!(coloured.contains("\x1b[31;1m3 events DROPPED\x1b[0m"), "{coloured}");
    }
}

#[test]
fn units_are_the_users_choice_and_json_is_exact() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let peak = |units: &str, text: &str| {
        let shown = bench.run(["summary", "--units", units, "s.jsonl"]).stdout;
        assert!(shown.contains(text), "{shown}");
    };
    peak("iec", "37.00 MiB");
    peak("si", "38.80 MB");
    peak("bytes", "38797312");
    let json = |units: &str| bench.run(["summary", "--json", "--units", units, "s.jsonl"]).stdout;
    assert_eq!(json("bytes"), json("si"));
}

#[test]
fn tables_have_at_most_100_columns() {
    let bench = Bench::new();
    let chips = (0..32).map(|chip| (chip * 3).to_string()).collect::<Vec<_>>().join(",");
    let mesh = MESH.replace("[0,1]", &format!("[{chips}]"));
    let large = alloc(123_456, 0xffff_ffff, 12_884_901_888);
    bench.write("w.jsonl", capture(1, "", &[&mesh, &large, &alloc(123_457, 64, 9_999_999_999), FOOTER]));
    for units in ["iec", "bytes"] {
        for words in [
            &["summary"] as &[&str],
            &["summary", "--between", "1,123456"],
            &["summary", "--by", "process"],
            &["leaks"],
            &["stats"],
            &["snapshot"],
            &["snapshot", "--at-marks"],
        ] {
            let shown = bench.run([words, &["--units", units, "w.jsonl"]].concat());
            assert_eq!(shown.code, 0);
            for line in shown.stdout.lines().filter(|line| !line.starts_with("w.jsonl")) {
                assert!(line.chars().count() <= 100, "{words:?} {units}: {line}");
            }
        }
    }
}
