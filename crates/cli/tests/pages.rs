//! The pages on the verbs are true: their examples print what they show, and each output has its schema.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use support::schema::{complaints, docs, schema};
use support::{Bench, Outcome, SAMPLE};

/// Verbs whose examples need nothing but the sample.
const REPORTS: [&str; 6] = ["summary", "leaks", "snapshot", "stats", "parse", "check"];

/// The captures that the examples name are all the sample.
fn bench() -> Bench {
    let bench = Bench::new();
    for name in ["run.jsonl", "other.jsonl", "tt-memtrace-decode.20260102-030405/decode.4242.jsonl"] {
        bench.write(name, SAMPLE);
    }
    bench
}

fn run(bench: &Bench, command: &str) -> Outcome {
    let folder = Path::new(env!("CARGO_BIN_EXE_tt-memtrace")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("bash");
    shell.args(["-o", "pipefail", "-c", command]).current_dir(bench.path(".")).env("PATH", path);
    Outcome::of(shell.output().unwrap())
}

/// The indented blocks of a page, blank lines within them included.
fn blocks(page: &str) -> Vec<Vec<&str>> {
    let mut blocks = vec![Vec::new()];
    for line in page.lines() {
        match (line.strip_prefix("    "), line.is_empty()) {
            (Some(line), _) => blocks.last_mut().unwrap().push(line),
            (None, true) => blocks.last_mut().unwrap().push(""),
            (None, false) => blocks.push(Vec::new()),
        }
    }
    blocks.retain(|block| block.iter().any(|line| !line.is_empty()));
    blocks
}

/// Whether the lines are the expected ones, of which `...` stands for any number.
fn matches(expected: &[&str], lines: &[&str]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        (["...", rest @ ..], _) => (0..=lines.len()).any(|n| matches(rest, &lines[n..])),
        ([first, expected @ ..], [line, lines @ ..]) => first == line && matches(expected, lines),
        _ => false,
    }
}

fn trimmed<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut lines: Vec<&str> = lines.into_iter().collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

#[test]
fn the_examples_print_what_the_pages_show() {
    let bench = bench();
    let mut n_shown = 0;
    for verb in REPORTS {
        let page = std::fs::read_to_string(docs().join(format!("verbs/{verb}.md"))).unwrap();
        for block in blocks(&page) {
            let starts: Vec<usize> =
                (0..block.len()).filter(|at| block[*at].starts_with("$ tt-memtrace ")).collect();
            for (i, start) in starts.iter().enumerate() {
                let end = starts.get(i + 1).copied().unwrap_or(block.len());
                let outcome = run(&bench, &block[*start][2..]);
                let expected = trimmed(block[start + 1..end].iter().copied());
                let lines = trimmed(outcome.stdout.lines());
                assert!(matches(&expected, &lines), "{verb}.md: {}\n{}", block[*start], outcome.stdout);
                n_shown += 1;
            }
            for command in block
                .iter()
                .filter(|line| REPORTS.iter().any(|verb| line.starts_with(&format!("tt-memtrace {verb} "))))
            {
                let outcome = run(&bench, command);
                assert!(outcome.code == 0 && outcome.stderr.is_empty(), "{command}: {outcome:?}");
            }
        }
    }
    assert!(n_shown >= 5, "only {n_shown} examples");
}

#[test]
fn every_output_for_programs_has_a_schema_that_holds_it() {
    let bench = bench();
    for (verb, words) in [
        ("summary", vec!["summary", "--json", "run.jsonl"]),
        ("summary", vec!["demo", "--json"]),
        ("summary", vec!["summary", "--json", "--between", "1,50", "run.jsonl"]),
        ("leaks", vec!["leaks", "--json", "--between", "1,50", "run.jsonl"]),
        ("snapshot", vec!["snapshot", "--json", "--at", "peak", "run.jsonl"]),
        ("snapshot-marks", vec!["snapshot", "--at-marks", "--json", "run.jsonl"]),
        ("stats", vec!["stats", "--json", "run.jsonl"]),
        ("check", vec!["check", "--json", "--no-leaks", "--peak-below", "total=1GiB", "run.jsonl"]),
        ("summary-origins", vec!["summary", "--by", "line", "--json", "run.jsonl"]),
        ("tree", vec!["tree", "--json", "run.jsonl"]),
        ("l1", vec!["l1", "--json", "run.jsonl"]),
        ("oom", vec!["oom", "--json", "run.jsonl"]),
        ("recover", vec!["recover", "--json", "run.jsonl"]),
        ("doctor", vec!["doctor", "--json"]),
    ] {
        let outcome = bench.run(&words);
        let first: Value = serde_json::from_str(outcome.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(first["schema"], format!("tt-memtrace.{verb}"), "{words:?}");
        assert_eq!(complaints(verb, &first), [""; 0], "{words:?}");
        let mut more = first.clone();
        more["surplus"] = json!(1);
        assert!(!complaints(verb, &more).is_empty(), "{verb} allows any field");
        for field in first.as_object().unwrap().keys() {
            let mut fewer = first.clone();
            fewer.as_object_mut().unwrap().remove(field);
            assert!(!complaints(verb, &fewer).is_empty(), "{verb} does without {field}");
            let mut other = first.clone();
            other[field] = json!({"surplus": 1});
            assert!(!complaints(verb, &other).is_empty(), "{verb} allows anything as {field}");
        }
    }
}

#[test]
fn the_schemas_are_schemas_and_agree_with_each_other() {
    let mut definitions: BTreeMap<String, Value> = BTreeMap::new();
    let mut n_schemas = 0;
    for entry in std::fs::read_dir(docs().join("schemas")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let schema = schema(name.strip_suffix(".schema.json").unwrap());
        jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (what, definition) in schema["$defs"].as_object().into_iter().flatten() {
            let known = definitions.entry(what.clone()).or_insert_with(|| definition.clone());
            assert_eq!(known, definition, "{name}: {what}");
        }
        n_schemas += 1;
    }
    assert!(n_schemas >= 7);
}
