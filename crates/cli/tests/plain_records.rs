//! Captures that do not say who owns the memory, nor of which type what is freed was: what an earlier tracker's
//! socket tells.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use support::{Bench, FOOTER, capture};

const FREED_BY_OWNER: &str = include_str!("../../ledger/tests/streams/generation_d_plain.jsonl");

fn alloc(n: u64, chip: u32, address: u64, size: u64) -> String {
    support::alloc(n, address, size)
        .replace("\"mesh_id\":0", &format!("\"chip\":{chip}"))
        .replace("\"owns_data\":true", "\"owns_data\":null")
}

fn free(n: u64, chip: u32, address: u64) -> String {
    support::free(n, address)
        .replace("\"mesh_id\":0", &format!("\"chip\":{chip}"))
        .replace("\"DRAM\"", "null")
}

#[test]
fn what_only_the_owner_freed_is_shown_as_that_and_is_no_leak() {
    let bench = Bench::new();
    bench.write("d.jsonl", format!("{FREED_BY_OWNER}{FOOTER}\n"));
    let text = bench.run(["leaks", "--strict", "d.jsonl"]);
    assert_eq!(text.code, 0, "nothing is odd\n{}", text.stdout);
    for said in ["left: 8 buffers freed by their owner only", "exit+", "+ freed by its owner only: "] {
        assert!(text.stdout.contains(said), "{said}\n{}", text.stdout);
    }
    assert!(!text.stdout.contains("unattributed: "), "{}", text.stdout);

    let process = &bench.json(&["leaks", "--json", "d.jsonl"])["processes"][0];
    let left = &process["left"];
    let figures = ["n_freed_by_owner", "n_buffers", "n_leaks", "n_unattributed", "n_known"];
    assert_eq!(figures.map(|figure| left[figure].as_u64().unwrap()), [8, 0, 0, 0, 0]);
    assert_eq!(process["chips"], json!([]));
    let survivors = process["survivors"].as_array().unwrap();
    assert_eq!(survivors.len(), 8);
    assert!(survivors.iter().all(|of| of["freed_by_owner"] == true && of["is_leak"] == false));
    assert_eq!(bench.json(&["summary", "--json", "d.jsonl"])["processes"][0]["survivors"], *left);
    assert_eq!(bench.run(["check", "--no-leaks", "d.jsonl"]).code, 0);
}

#[test]
fn an_unknown_free_without_a_type_is_told_without_one() {
    let bench = Bench::new();
    bench.write("u.jsonl", capture(5, "", &[&alloc(1, 0, 64, 100), &free(2, 0, 128), FOOTER]));
    let stats = &bench.json(&["stats", "--json", "u.jsonl"])["processes"][0];
    let anomaly = &stats["anomalies"][0];
    assert_eq!((&anomaly["type"], &anomaly["cause"]), (&Value::Null, &json!("other")));
    assert!(anomaly["text"].as_str().unwrap().ends_with(": at 0x80 on chip 0, other"), "{anomaly}");
}

#[test]
fn an_allocation_that_is_announced_again_is_counted_once() {
    let bench = Bench::new();
    let again = [&alloc(1, 0, 64, 2048), &alloc(2, 0, 64, 4096), &free(3, 0, 64)];
    bench.write("a.jsonl", capture(5, "", &again.map(String::as_str)));
    let stats = &bench.json(&["stats", "--json", "a.jsonl"])["processes"][0];
    assert_eq!(stats["sizes"].as_array().unwrap().len(), 1);
    let summary = &bench.json(&["summary", "--json", "a.jsonl"])["processes"][0];
    assert_eq!(summary["survivors"]["n_buffers"], 1);
}

#[test]
fn filters_end_with_a_buffer_what_they_kept_of_it() {
    let bench = Bench::new();
    let lines = [
        alloc(1, 0, 64, 2048),
        alloc(2, 0, 64, 4096),
        alloc(3, 0, 128, 8192),
        free(4, 0, 64),
        support::event("mark", 5, ",\"name\":\"one left\""),
        free(6, 0, 64),
        support::event("mark", 7, ",\"name\":\"none left\""),
    ];
    bench.write("f.jsonl", capture(5, "", &lines.each_ref().map(String::as_str)));
    let live = |more: &[&str]| {
        let summary = bench.json(&[&["summary", "--json", "f.jsonl"], more].concat());
        summary["processes"][0]["chips"][0]["types"][0]["bytes"]["live"].as_u64()
    };
    assert_eq!(live(&["--between", ",one left"]), Some(4096 + 8192));
    assert_eq!(live(&["--min-size", "4000", "--between", ",one left"]), Some(4096 + 8192));
    assert_eq!(live(&["--min-size", "4000"]), Some(8192));
    assert_eq!(live(&["--min-size", "8000", "--between", "one left,none left"]), Some(8192));
    assert_eq!(live(&["--min-size", "4000", "--between", "one left,none left"]), Some(8192));
}
