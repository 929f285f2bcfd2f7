//! The figures that the reports show, and what they say about the capture.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use support::{Bench, FOOTER, MESH, SAMPLE, alloc, capture, event, free};

#[test]
fn the_summary_of_the_sample_has_its_figures() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let shown = bench.run(["summary", "s.jsonl"]);
    assert_eq!(shown.code, 0);
    let first = shown.stdout.lines().next().unwrap();
    assert_eq!(first, "s.jsonl: python3 pid 4242, 72 events in 0.344 s, complete, exited");
    assert!(shown.stdout.contains("chips 0-7, each  DRAM"), "{}", shown.stdout);
    assert!(shown.stdout.contains("37.00 MiB"), "{}", shown.stdout);
    assert!(shown.stdout.contains("left: 4 buffers not freed by the program (4 ended by mesh close)"));
    assert!(shown.stdout.lines().all(|line| line.len() <= 100), "{}", shown.stdout);

    let summary = bench.json(&["summary", "--json", "s.jsonl"]);
    assert_eq!((&summary["schema"], &summary["version"]), (&json!("tt-memtrace.summary"), &json!("1.0")));
    let process = &summary["processes"][0];
    assert_eq!(process["chips"].as_array().unwrap().len(), 8);
    let dram = &process["chips"][7]["types"][0];
    // 4 weights of 8 MiB, 3 kept tensors of 1 MiB and an activation of 2 MiB.
    assert_eq!(dram["bytes"]["peak"], 37 << 20);
    assert_eq!(dram["bank_bytes"]["peak"], 4 * 700_416 + 3 * 88_064 + 176_128);
    assert_eq!(dram["left"]["bytes"], 3 << 20);
    assert_eq!(dram["bank_size_bytes"], 1_072_692_096_u64);
    assert_eq!(process["circular_buffers"][3]["peak_bytes"], 65_536 + 65_536 + 131_072);
    assert_eq!(
        process["survivors"],
        json!({
            "n_buffers": 4,
            "n_leaks": 3,
            "n_unattributed": 0,
            "n_known": 1,
            "by_class": {
                "user": {"n_buffers": 3, "bytes": 3 << 20, "bank_bytes": 3 * 88_064},
                "semaphore": {"n_buffers": 1, "bytes": 256, "bank_bytes": 32},
            },
            "by_ending": {"close": 4},
            "n_inherited": 0,
            "n_freed_by_owner": 0,
            "n_live": 0,
        })
    );
}

#[test]
fn leaks_are_grouped_and_largest_first() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let shown = bench.run(["leaks", "s.jsonl"]);
    assert_eq!(shown.code, 0);
    let rows: Vec<&str> = shown.stdout.lines().filter(|line| line.contains("mesh 0 (chips 0-7)")).collect();
    assert!(rows[0].contains("3  DRAM  1.00 MiB  3.00 MiB"), "{}", rows[0]);
    assert!(rows[1].contains("semaphore"), "{}", rows[1]);
    assert!(shown.stdout.lines().all(|line| line.len() <= 100), "{}", shown.stdout);

    let leaks = bench.json(&["leaks", "--json", "s.jsonl"]);
    let survivors = leaks["processes"][0]["survivors"].as_array().unwrap();
    let shape = |survivor: &Value| (survivor["size_bytes"].clone(), survivor["since"]["n"].clone());
    let shapes: Vec<_> = survivors.iter().map(shape).collect();
    let mib = json!(1 << 20);
    assert_eq!(shapes[..3], [40, 51, 62].map(|n| (mib.clone(), json!(n))));
    assert_eq!(survivors[3]["class"], "semaphore");
    assert_eq!(survivors[0]["ending"], "close");
}

#[test]
fn a_snapshot_is_of_the_named_instant() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let live = |at: &str| {
        let shown = bench.json(&["snapshot", "--json", "--at", at, "s.jsonl"]);
        let process = &shown["processes"][0];
        (process["at"]["n"].as_u64().unwrap(), process["live"].as_array().unwrap().len())
    };
    assert_eq!(live("weights loaded"), (7, 4));
    assert_eq!(live("mark:step 1"), (54, 7));
    assert_eq!(live("3"), (3, 2));
    assert_eq!(live("0"), (0, 0));
    assert_eq!(live("0.25"), (4, 3));
    assert_eq!(live("0.1s"), (0, 0));
    assert_eq!(live("peak"), (62, 10));
    let unknown = bench.run(["snapshot", "--at", "step 9", "s.jsonl"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.contains("there are the marks \"step 0\", \"step 1\", \"step 2\", \"weights loaded\"")
    );
}

#[test]
fn a_snapshot_at_marks_is_one_line_per_mark() {
    let bench = Bench::new();
    let view = alloc(3, 64, 100).replace("\"owns_data\":true", "\"owns_data\":false");
    let hooked = alloc(4, 0, 100).replace("\"owns_data\"", "\"hooked\":true,\"owns_data\"");
    let large = alloc(5, (1 << 53) + 2, 7)
        .replace("\"mesh_id\":0", "\"chip\":1")
        .replace("\"tid\"", "\"unique_id\":9,\"tid\"");
    let large = large.replace(&((1_u64 << 53) + 2).to_string(), "\"9007199254740994\"");
    let marks = [event("mark", 1, ",\"name\":\"a\""), event("mark", 6, ",\"name\":\"b\"")];
    let mesh = MESH.replace("[0,1]", "[1,0]");
    let lines = [&mesh as &str, &marks[0], &alloc(2, 64, 100), &view, &hooked, &large, &marks[1]];
    bench.write("m.jsonl", capture(5, "", &lines));
    let shown = bench.run(["snapshot", "--at-marks", "--json", "m.jsonl"]);
    let lines: Vec<Value> = shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let schema = ("tt-memtrace.snapshot-marks", "1.0");
    let empty = json!({"schema": schema.0, "version": schema.1, "mark": "a", "pid": 5,
        "t_ns": 1_001_000_000, "live": [], "memories": []});
    assert_eq!(lines[0], empty);
    let mesh = json!({"mesh_id": 0, "chips": [1, 0], "type": "DRAM", "address": 64, "size_bytes": 100,
        "per_bank_bytes": 100, "unique_id": null, "op": null, "where": null, "test": null});
    let chip = json!({"mesh_id": null, "chips": [1], "type": "DRAM", "address": "9007199254740994",
        "size_bytes": 7, "per_bank_bytes": 7, "unique_id": 9, "op": null, "where": null, "test": null});
    assert_eq!(lines[1]["live"], json!([mesh, chip]));
}

#[test]
fn a_directory_holds_one_capture_per_process_in_the_order_of_their_start() {
    let bench = Bench::new();
    bench.write("d/a.jsonl", capture(20, "", &[MESH, &alloc(1, 64, 8), FOOTER]));
    bench.write("d/b.jsonl", capture(10, "", &[MESH, &alloc(1, 64, 16), &free(2, 64), FOOTER]));
    bench.write("d/notes.txt", "no capture");
    let summary = bench.json(&["summary", "--json", "d"]);
    let processes = summary["processes"].as_array().unwrap();
    assert_eq!(processes.iter().map(|p| p["pid"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(processes[0]["survivors"]["n_buffers"], 0);
    assert_eq!(processes[1]["survivors"]["by_ending"], json!({"exit": 1}));
    assert_eq!(processes[1]["chips"][1]["types"][0]["bytes"]["live"], 8);
}

#[test]
fn a_process_without_a_footer_was_killed_and_a_living_one_still_runs() {
    let bench = Bench::new();
    bench.write("dead.jsonl", capture(1, "", &[MESH, &alloc(1, 64, 8)]));
    let leaks = bench.json(&["leaks", "--json", "dead.jsonl"]);
    assert_eq!(leaks["processes"][0]["status"], "killed");
    assert_eq!(leaks["processes"][0]["survivors"][0]["ending"], "death");

    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap();
    let alive = capture(std::process::id(), "", &[MESH, &alloc(1, 64, 8)])
        .replace("\"boot_id\":\"none\"", &format!("\"boot_id\":\"{}\"", boot_id.trim()))
        .replace("\"process_start\":1", &format!("\"process_start\":{start}"));
    bench.write("alive.jsonl", alive);
    let shown = bench.run(["leaks", "alive.jsonl"]);
    assert!(shown.stdout.contains("complete, still running\nleft: 1 buffer still live"), "{}", shown.stdout);
}

#[test]
fn losses_are_in_the_first_line() {
    let bench = Bench::new();
    let lost = event("lost", 1, ",\"dropped\":3");
    bench.write("l.jsonl", capture(1, "", &[MESH, &lost, &free(2, 64), FOOTER]));
    let shown = bench.run(["stats", "l.jsonl"]);
    assert!(shown.stdout.starts_with("l.jsonl: p1 pid 1, 2 events in 0.002 s, 3 events DROPPED, exited\n"));
    assert!(
        shown
            .stdout
            .contains("odd: unknown_deallocation 1\n  0.002 s (n 2): DRAM at 0x40 on mesh 0, events lost")
    );
}

#[test]
fn a_forked_child_begins_with_what_its_parent_held() {
    let bench = Bench::new();
    let fork = event("fork", 3, ",\"token\":77");
    let parent = [MESH, &alloc(1, 64, 100), &alloc(2, 256, 50), &fork, &free(4, 64), &free(5, 256), FOOTER];
    bench.write("p.jsonl", capture(10, "", &parent));
    let told = ",\"parent\":{\"capture\":\"/gone/p.jsonl\",\"pid\":10,\"token\":77}";
    let child = [&free(1, 64), &alloc(2, 64, 7), &event("mark", 3, ",\"name\":\"m\"") as &str, FOOTER];
    bench.write("c.jsonl", capture(11, told, &child));
    let marks = bench.json(&["snapshot", "--at-marks", "--json", "c.jsonl"]);
    let sizes: Vec<_> = marks["live"].as_array().unwrap().iter().map(|b| b["size_bytes"].clone()).collect();
    assert_eq!(sizes, [7, 50]);
    let summary = bench.json(&["summary", "--json", "c.jsonl"]);
    let process = &summary["processes"][0];
    assert_eq!(
        process["survivors"],
        json!({
            "n_buffers": 1,
            "n_leaks": 0,
            "n_unattributed": 1,
            "n_known": 0,
            "by_class": {"unattributed": {"n_buffers": 1, "bytes": 7, "bank_bytes": 7}},
            "by_ending": {"exit": 1},
            "n_inherited": 1,
            "n_freed_by_owner": 0,
            "n_live": 0,
        })
    );
    assert_eq!(process["chips"][0]["types"][0]["bytes"]["peak"], 150);
    assert_eq!(process["anomalies"], json!({}));

    std::fs::remove_file(bench.path("p.jsonl")).unwrap();
    let orphan = bench.run(["stats", "c.jsonl"]);
    assert!(orphan.stdout.contains("the parent's capture was not found"), "{}", orphan.stdout);
    assert!(orphan.stdout.contains("inherited"), "{}", orphan.stdout);
}

#[test]
fn parse_prints_the_lines_of_the_wanted_kinds() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let all = bench.run(["parse", "s.jsonl"]);
    assert_eq!(all.stdout.lines().count(), SAMPLE.lines().count());
    let some = bench.run(["parse", "--kind", "sweep,close", "s.jsonl"]);
    let kinds: Vec<_> = some.stdout.lines().map(|line| line[..16].to_owned()).collect();
    assert_eq!(kinds, ["{\"kind\":\"sweep\",", "{\"kind\":\"close\","]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let binary = env!("CARGO_BIN_EXE_tt-memtrace");
    let script =
        format!("'{binary}' parse $(yes s.jsonl | head -200) | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}");
    let output =
        std::process::Command::new("bash").args(["-c", &script]).current_dir(bench.path(".")).output();
    let output = output.unwrap();
    assert_eq!((String::from_utf8_lossy(&output.stdout).trim(), output.stderr.len()), ("0", 0));
}

#[test]
fn the_demo_shows_the_sample_and_leaves_nothing() {
    let bench = Bench::new();
    let outcome = bench.command().arg("demo").env("TMPDIR", bench.path(".")).output().unwrap();
    let shown = String::from_utf8(outcome.stdout).unwrap();
    assert!(shown.starts_with("This is a sample capture"));
    assert!(shown.contains("3  DRAM  1.00 MiB  3.00 MiB") && shown.contains("tt-memtrace run -- python"));
    assert_eq!(bench.names(), [""; 0]);
}
