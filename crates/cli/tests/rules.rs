//! `--rules`: whose survivors are leaks is the user's to say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::{Bench, SAMPLE};

#[test]
fn a_rule_of_the_users_makes_a_survivor_expected() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let mine = "leaks = [\"user\", \"semaphore\"]\n\
        [[rule]]\nclass = \"expected\"\ntype = [\"DRAM\"]\nmin_size_bytes = 1048576\n\
        [[rule]]\nclass = \"semaphore\"\ntype = [\"L1\"]\n";
    bench.write("mine.toml", mine);
    let left = |words: &[&str]| bench.json(words)["processes"][0]["left"].clone();
    let shipped = left(&["leaks", "--json", "s.jsonl"]);
    assert_eq!((&shipped["n_leaks"], &shipped["n_known"]), (&3.into(), &1.into()));
    let own = left(&["leaks", "--json", "--rules", "mine.toml", "s.jsonl"]);
    assert_eq!((&own["n_leaks"], &own["n_known"]), (&1.into(), &3.into()));
    let shown = bench.run(["leaks", "--rules", "mine.toml", "s.jsonl"]);
    assert!(shown.stdout.contains("1 LEAKED, 3 known to stay (3 expected)"), "{}", shown.stdout);
}

#[test]
fn rules_that_cannot_be_used_are_named() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    bench.write("wrong.toml", "leaks = [\"user\"]\n[[rule]]\nclass = \"mine\"\n");
    for (file, said) in [("wrong.toml", "mine"), ("none.toml", "No such file")] {
        let outcome = bench.run(["summary", "--rules", file, "s.jsonl"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{outcome:?}");
        assert!(outcome.stderr.starts_with(&format!("tt-memtrace: --rules {file}: ")), "{outcome:?}");
        assert!(outcome.stderr.contains(said), "{outcome:?}");
    }
}
