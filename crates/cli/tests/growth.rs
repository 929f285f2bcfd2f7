//! `leaks` on a program that repeats itself: what becomes more from mark to mark.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use support::Bench;

const HEADER: &str = r#"{"kind":"header","schema":"tt-memtrace.capture","version":"1.0","pid":7,"process_start":1,"program":"p","t_ns":0,"wall_ns":0}
{"kind":"mesh","mesh_id":0,"chips":[0,1],"rows":1,"cols":2,"arch":"wormhole_b0"}
{"kind":"allocator","allocator":1,"mesh_id":0,"bank_rounding_bytes":32,"banks":[{"type":"L1","n_banks":64,"bank_size_bytes":65536,"base_address":0}]}
"#;

/// Twenty steps; each keeps `kept` buffers of 64 bytes, and frees one of 4096.
fn steps(kept: u64) -> String {
    let (mut text, mut n, mut address) = (HEADER.to_owned(), 0, 4096);
    let mut event = |kind: &str, more: &str| {
        n += 1;
        text += &format!("{{\"kind\":\"{kind}\",\"n\":{n},\"t_ns\":{n},\"tid\":1,\"ctx\":0{more}}}\n");
    };
    let alloc = |address: u64, bytes: u64| {
        format!(
            ",\"mesh_id\":0,\"allocator\":1,\"type\":\"L1\",\"layout\":\"INTERLEAVED\",\"address\":{address},\
             \"size_bytes\":{bytes},\"page_size_bytes\":32,\"per_bank_bytes\":{bytes},\"n_cores\":null,\
             \"unique_id\":null,\"owns_data\":true"
        )
    };
    for step in 0..20 {
        event("alloc", &alloc(0, 4096));
        for _ in 0..kept {
            event("alloc", &alloc(address, 64));
            address += 64;
        }
        event("dealloc", ",\"mesh_id\":0,\"type\":\"L1\",\"address\":0");
        event("mark", &format!(",\"name\":\"step {step}\""));
    }
    text
}

#[test]
fn sixty_four_bytes_a_step_are_found_and_their_end_is_told() {
    let bench = Bench::new();
    bench.write("s.jsonl", steps(1));
    let shown = bench.run(["leaks", "s.jsonl"]).stdout;
    // 20 are live at the last mark: 65536 - 20 * 64 bytes are left for 64 a step.
    for said in [
        "GROWS over 20 marks \"step\"",
        "  L1 by 64 B from mark to mark (64 B per bank) on chips 0-1, each, full after 1,004 marks more\n",
        "    +1.00 buffers of 64 B L1, unattributed, from mark to mark; 20 at the last\n",
    ] {
        assert!(shown.contains(said), "{shown}");
    }
    let growth = bench.json(&["leaks", "--json", "s.jsonl"])["processes"][0]["growth"][0].clone();
    assert_eq!((&growth["marks"], &growth["n_marks"]), (&"step".into(), &20.into()));
    assert_eq!(growth["types"][0]["bytes_per_mark"], 64.0);
    assert_eq!(growth["types"][0]["marks_left"], 1004.0);
    assert_eq!(growth["groups"][0]["bytes_per_mark"], 64.0);
}

#[test]
fn a_program_that_keeps_nothing_is_steady() {
    let bench = Bench::new();
    bench.write("s.jsonl", steps(0));
    let shown = bench.run(["leaks", "s.jsonl"]).stdout;
    assert!(shown.contains("steady over 20 marks \"step\", judged from "), "{shown}");
    let growth = bench.json(&["leaks", "--json", "s.jsonl"])["processes"][0]["growth"][0].clone();
    assert_eq!(growth["types"][0]["grows"], false);
    let none =
        bench.json(&["leaks", "--json", "--type", "dram", "s.jsonl"])["processes"][0]["growth"].clone();
    assert_eq!(none, serde_json::json!([]));
}
