//! `l1`: circular buffers from below, buffers from above, and what is left between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use support::{Bench, FOOTER, MESH, SAMPLE, capture, event};

const ALLOCATOR: &str = concat!(
    r#"{"kind":"allocator","allocator":5,"mesh_id":0,"bank_rounding_bytes":1,"banks":[{"type":"L1","#,
    r#""n_banks":10,"bank_size_bytes":9000,"base_address":1000}]}"#
);
const CORES: [&str; 2] = [
    r#"{"kind":"cores","cores":1,"ranges":[[0,0,3,1]]}"#,
    r#"{"kind":"cores","cores":2,"ranges":[[0,0,1,0]]}"#,
];

fn l1(n: u64, address: u64, bytes: u64, n_cores: Option<u32>) -> String {
    let layout = if n_cores.is_some() { "HEIGHT_SHARDED" } else { "INTERLEAVED" };
    let n_cores = json!(n_cores);
    let rest = format!(
        ",\"mesh_id\":0,\"allocator\":5,\"type\":\"L1\",\"layout\":\"{layout}\",\"address\":{address},\
         \"size_bytes\":{bytes},\"page_size_bytes\":{bytes},\"per_bank_bytes\":{bytes},\"n_cores\":{n_cores},\
         \"unique_id\":{n},\"owns_data\":true"
    );
    event("alloc", n, &rest)
}

fn cb(n: u64, chip: u32, program: u64, cores: u32, address: u64, bytes: u64) -> String {
    let rest = format!(
        ",\"chip\":{chip},\"program\":{program},\"cores\":{cores},\"address\":{address},\
         \"size_bytes\":{bytes},\"globally_allocated\":false"
    );
    event("cb_alloc", n, &rest)
}

fn launch(n: u64, program: u64) -> String {
    event("program_run", n, &format!(",\"mesh_id\":0,\"program\":{program}"))
}

/// A program with circular buffers, then one that announces none, then a buffer in the way of the first one.
fn stream() -> String {
    let free = ",\"mesh_id\":0,\"type\":\"L1\",\"address\":4500,\"unique_id\":11";
    let lines = [
        MESH.into(),
        ALLOCATOR.into(),
        CORES[0].into(),
        CORES[1].into(),
        l1(1, 9000, 1000, None),
        launch(2, 7),
        cb(3, 0, 7, 1, 1000, 3000),
        cb(4, 1, 7, 1, 1000, 3000),
        cb(5, 0, 7, 2, 4000, 1000),
        cb(6, 1, 7, 2, 4000, 1000),
        event("mark", 7, ",\"name\":\"laid out\""),
        l1(8, 6000, 3000, Some(2)).replace(r#""n_cores":2"#, r#""n_cores":2,"cores":2"#),
        launch(9, 8),
        event("mark", 10, ",\"name\":\"unsized\""),
        l1(11, 4500, 500, Some(10)),
        event("dealloc", 12, free),
        event("close", 13, ",\"mesh_id\":0"),
        FOOTER.to_owned(),
    ];
    capture(7, "", &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("c.jsonl", stream());
    bench
}

#[test]
fn without_an_instant_it_is_shown_when_the_room_was_least() {
    let shown = bench().run(["l1", "c.jsonl"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert_eq!(shown.stdout, include_str!("l1/least.txt"));
}

#[test]
fn the_page_shows_what_is_printed() {
    let bench = Bench::new();
    bench.write("run.jsonl", stream());
    let printed = bench.run(["l1", "run.jsonl"]).stdout;
    let mut printed = printed.lines();
    let page = std::fs::read_to_string(support::schema::docs().join("verbs/l1.md")).unwrap();
    let example = page.lines().skip_while(|line| *line != "    $ tt-memtrace l1 run.jsonl").skip(1);
    let example = example.take_while(|line| line.is_empty() || line.starts_with("    "));
    for line in example.filter_map(|line| line.strip_prefix("    ")).filter(|line| *line != "...") {
        assert!(printed.any(|other| other == line), "{line}");
    }
}

#[test]
fn at_a_mark_each_core_has_what_was_announced_for_it() {
    let l1 = bench().json(&["l1", "--json", "--at", "laid out", "c.jsonl"]);
    let chips = l1["processes"][0]["chips"].as_array().unwrap();
    assert_eq!(chips.len(), 1);
    let chip = &chips[0];
    assert_eq!(chip["chips"], json!([0, 1]));
    assert_eq!(chip["l1"], json!({"start": 1000, "end": 10000, "n_cores": 10}));
    let room = json!({"bytes": 4000, "basis": "exact", "lowest_reserved": 9000, "highest_end": 5000});
    assert_eq!(chip["room"], room);
    let rooms: Vec<_> = chip["cores"].as_array().unwrap().iter().map(|of| of["room_bytes"].clone()).collect();
    assert_eq!(rooms, [4000, 5000]);
    assert_eq!(chip["cores"][0]["cores"], json!([[0, 0, 1, 0]]));
    assert_eq!(chip["cores"][1]["n_cores"], 6);
    assert_eq!(chip["running"]["program"], 7);
    assert_eq!((&chip["top_program"], &chip["lowest_buffer"]["unique_id"]), (&json!(7), &json!(1)));
    assert_eq!(chip["unsized_programs"], json!({"n": 0, "programs": []}));
}

#[test]
fn a_program_without_sizes_makes_every_end_a_lower_bound() {
    let l1 = bench().json(&["l1", "--json", "--at", "unsized", "c.jsonl"]);
    let chip = &l1["processes"][0]["chips"][0];
    assert_eq!((&chip["room"]["bytes"], &chip["room"]["basis"]), (&json!(1000), &json!("upper_bound")));
    assert_eq!(chip["unsized_programs"], json!({"n": 1, "programs": [8]}));
    assert_eq!(chip["cores"][0]["basis"], "lower_bound");
    assert_eq!((&chip["running"]["program"], &chip["programs"][0]["is_running"]), (&json!(8), &json!(false)));
}

#[test]
fn a_sharded_buffer_resides_on_its_grid_and_is_reserved_everywhere() {
    let bench = bench();
    let chip = |name: &str| {
        let l1 = bench.json(&["l1", "--json", "--at", "unsized", name]);
        l1["processes"][0]["chips"][0].clone()
    };
    let resident = |chip: &Value| -> Vec<Value> {
        chip["cores"].as_array().unwrap().iter().map(|group| group["resident_bytes"].clone()).collect()
    };
    let known = chip("c.jsonl");
    assert_eq!(
        (resident(&known), &known["resident_elsewhere_bytes"]),
        (vec![json!(4000), json!(1000)], &json!(1000))
    );
    let sharded = &known["buffers"][0];
    assert_eq!((&sharded["resides"], &sharded["cores"]), (&json!("on"), &json!([[0, 0, 1, 0]])));
    assert_eq!(
        (&known["room"]["lowest_reserved"], &known["is_residence_known"]),
        (&json!(6000), &json!(true))
    );
    // As before ttnn 0.80: only the number of cores; and fewer cores than the grid has.
    bench.write("old.jsonl", stream().replace(r#","cores":2,"unique_id""#, r#","unique_id""#));
    bench.write("few.jsonl", stream().replace(r#""n_cores":2,"#, r#""n_cores":1,"#));
    for (name, resides) in [("old.jsonl", "unknown"), ("few.jsonl", "among")] {
        let unknown = chip(name);
        assert_eq!(resident(&unknown), [1000, 1000]);
        assert_eq!(
            (&unknown["buffers"][0]["resides"], &unknown["is_residence_known"]),
            (&json!(resides), &json!(false))
        );
    }
}

#[test]
fn filters_leave_chips_cores_and_kinds_of_memory() {
    let bench = bench();
    let shown = |more: &[&str]| {
        let words = [&["l1", "--json", "--at", "laid out"], more, &["c.jsonl"]].concat();
        bench.json(&words)["processes"][0]["chips"][0].clone()
    };
    let count = |chip: &Value, key: &str| chip[key].as_array().unwrap().len();
    assert_eq!(shown(&["--device", "1"])["chips"], json!([1]));
    // Core 3,1 has only the lower circular buffer.
    let low = shown(&["--core", "3,1"]);
    assert_eq!((&low["room"]["bytes"], &low["room"]["highest_end"]), (&json!(5000), &json!(4000)));
    assert_eq!(low["programs"][0]["circular_buffers"].as_array().unwrap().len(), 1);
    // Nothing was announced for 9,9: the whole of L1 below the buffers is free.
    let none = shown(&["--core", "9,9"]);
    assert_eq!((&none["room"]["bytes"], &none["top_program"]), (&json!(8000), &Value::Null));
    let buffers = shown(&["--type", "l1"]);
    assert_eq!(
        (count(&buffers, "buffers"), count(&buffers, "programs"), count(&buffers, "cores")),
        (1, 0, 0)
    );
    let circular = shown(&["--type", "cb"]);
    assert_eq!((count(&circular, "buffers"), count(&circular, "programs")), (0, 1));
    let unknown = bench.run(["l1", "--device", "5", "c.jsonl"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
}

#[test]
fn circular_buffers_announced_by_another_thread_may_be_of_other_chips() {
    let bench = Bench::new();
    bench.write("c.jsonl", stream().replace(r#""tid":1,"chip""#, r#""tid":2,"chip""#));
    let l1 = bench.json(&["l1", "--json", "--at", "laid out", "c.jsonl"]);
    let chip = &l1["processes"][0]["chips"][0];
    assert_eq!((&chip["room"]["bytes"], &chip["room"]["basis"]), (&json!(4000), &json!("lower_bound")));
    assert_eq!(chip["programs"][0]["is_of_several"], true);
    let l1 = bench.json(&["l1", "--json", "--at", "unsized", "c.jsonl"]);
    assert_eq!(l1["processes"][0]["chips"][0]["room"]["basis"], "estimate");
}

#[test]
fn the_sample_is_shown_and_fits_the_screen() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let shown = bench.run(["l1", "s.jsonl"]);
    assert_eq!(shown.code, 0);
    assert!(
        shown.stdout.contains("circular buffers up to 0x59d60: program 7, on 0,0-7,7"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 100), "{}", shown.stdout);
    // At the beginning no chip is in use.
    assert!(bench.run(["l1", "--at", "0", "s.jsonl"]).stdout.contains("no chip's L1 was in use"));
}

/// 140 cores, each with an end of its own, and long lists: the worst case for the width.
#[test]
fn a_large_grid_with_different_cores_fits_the_screen() {
    let mut lines = vec![MESH.to_owned(), ALLOCATOR.replace(r#""n_banks":10"#, r#""n_banks":140"#)];
    for core in 0..140 {
        let (x, y) = (core % 14, core / 14);
        lines.push(format!(r#"{{"kind":"cores","cores":{core},"ranges":[[{x},{y},{x},{y}]]}}"#));
    }
    lines.push(l1(1, 9000, 1000, None));
    for core in 0..140 {
        let (n, cores) = (u64::from(core) + 2, core);
        lines.push(cb(n, 0, 7, cores, 1000, 1000 + u64::from(core)));
    }
    lines.extend((0..60).map(|i| launch(142 + i, 1_000_000_000_000 + i)));
    let bench = Bench::new();
    bench.write("c.jsonl", capture(1, "", &lines.iter().map(String::as_str).collect::<Vec<_>>()));
    let shown = bench.run(["l1", "--at", "201", "-n", "0", "c.jsonl"]);
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 100), "{}", shown.stdout);
    assert!(shown.stdout.contains("   9  23  23"), "{}", shown.stdout);
}
