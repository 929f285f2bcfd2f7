//! Filters choose what is shown. Their figures are those of a naive model that looks at nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{Bench, FOOTER, MESH, SAMPLE, alloc, capture, event, free};

const N_EVENTS: u64 = 400;

/// An event of the model: a buffer on some chips begins or ends.
#[derive(Clone)]
struct Step {
    n: u64,
    buffer: u64,
    chips: Vec<u64>,
    memory: &'static str,
    size: u64,
    is_end: bool,
}

/// Two meshes that share a chip, with buffers of many sizes that begin and end in no order.
fn program() -> (String, Vec<Step>) {
    let mut random = 12_345_u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let meshes = [vec![0, 1], vec![1, 2]];
    let mut lines: Vec<String> = Vec::new();
    for (mesh, chips) in meshes.iter().enumerate() {
        lines.push(format!(
            "{{\"kind\":\"mesh\",\"mesh_id\":{mesh},\"chips\":{chips:?},\"rows\":1,\"cols\":2,\"arch\":\"x\"}}"
        ));
    }
    let (mut live, mut steps) = (Vec::<Step>::new(), Vec::new());
    for n in 1..=N_EVENTS {
        let t_ns = 1_000_000_000 + n * 1_000_000;
        if !live.is_empty() && next(100) < 48 {
            let at = usize::try_from(next(live.len() as u64)).unwrap();
            let Step { buffer, chips, memory, size, .. } = live.swap_remove(at);
            let mesh = usize::from(chips == meshes[1]);
            lines.push(format!(
                "{{\"kind\":\"dealloc\",\"n\":{n},\"t_ns\":{t_ns},\"tid\":1,\"mesh_id\":{mesh},\"type\":\"{memory}\",\
                 \"address\":{},\"unique_id\":{buffer}}}",
                buffer << 20
            ));
            steps.push(Step { n, buffer, chips, memory, size, is_end: true });
            continue;
        }
        let mesh = usize::try_from(next(2)).unwrap();
        let memory = if next(3) == 0 { "L1" } else { "DRAM" };
        let size = 1 << next(16);
        let step = Step {
            n,
            buffer: n,
            chips: meshes[mesh].clone(),
            memory,
            size: size + next(size),
            is_end: false,
        };
        lines.push(format!(
            "{{\"kind\":\"alloc\",\"n\":{n},\"t_ns\":{t_ns},\"tid\":1,\"mesh_id\":{mesh},\"type\":\"{memory}\",\
             \"layout\":\"INTERLEAVED\",\"address\":{},\"size_bytes\":{size},\"page_size_bytes\":{size},\
             \"per_bank_bytes\":{size},\"owns_data\":true,\"unique_id\":{n}}}",
            n << 20,
            size = step.size
        ));
        live.push(step.clone());
        steps.push(step);
    }
    lines.push(FOOTER.into());
    (capture(7, "", &lines.iter().map(String::as_str).collect::<Vec<_>>()), steps)
}

/// What a chip held of a type: when the interval began, at most, at its end; and how many were allocated.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Figures {
    start: u64,
    peak: u64,
    end: u64,
    n_allocations: u64,
}

type ByChip = BTreeMap<(u64, String), Figures>;

fn model(steps: &[Step], after: u64, to: u64, keeps: impl Fn(&Step) -> bool) -> ByChip {
    let mut by_chip = ByChip::new();
    for step in steps.iter().filter(|step| step.n <= to && keeps(step)) {
        for chip in &step.chips {
            let of = by_chip.entry((*chip, step.memory.to_owned())).or_default();
            of.end = if step.is_end { of.end - step.size } else { of.end + step.size };
            if step.n <= after {
                (of.start, of.peak) = (of.end, of.end);
            } else {
                of.n_allocations += u64::from(!step.is_end);
                of.peak = of.peak.max(of.end);
            }
        }
    }
    by_chip.retain(|_, of| of.peak > 0 || of.n_allocations > 0);
    by_chip
}

fn reported(summary: &Value) -> ByChip {
    let mut by_chip = ByChip::new();
    for chip in summary["processes"][0]["chips"].as_array().unwrap() {
        for of in chip["types"].as_array().unwrap() {
            let number = |value: &Value| value.as_u64().unwrap();
            let figures = Figures {
                start: of.get("at_start").map_or(0, |start| number(&start["bytes"])),
                peak: number(&of["bytes"]["peak"]),
                end: number(&of["bytes"]["live"]),
                n_allocations: number(&of["n_allocations"]),
            };
            by_chip.insert((number(&chip["chip"]), of["type"].as_str().unwrap().into()), figures);
        }
    }
    by_chip
}

#[test]
fn filtered_figures_are_those_of_a_naive_model() {
    let bench = Bench::new();
    let (capture, steps) = program();
    bench.write("r.jsonl", capture);
    let summary = |options: &[&str]| {
        let mut words = vec!["summary", "--json", "r.jsonl"];
        words.extend(options);
        reported(&bench.json(&words))
    };
    assert_eq!(summary(&[]), model(&steps, 0, u64::MAX, |_| true));
    for (after, to) in [(0, 50), (37, 38), (100, 100), (111, 333), (399, 400), (390, 900), (500, 600)] {
        let between = format!("{after},{to}");
        let expected = model(&steps, after, to, |_| true);
        assert_eq!(summary(&["--between", &between]), expected, "{between}");
        let large = model(&steps, after, to, |step| step.size >= 4096);
        assert_eq!(summary(&["--between", &between, "--min-size", "4KiB"]), large, "{between}");
        let mut on_two = model(&steps, after, to, |step| step.memory == "DRAM");
        on_two.retain(|(chip, _), _| *chip == 2);
        assert_eq!(summary(&["--between", &between, "--type", "dram", "--device", "2"]), on_two, "{between}");
    }
    assert_eq!(summary(&["--core", "0,0"]), model(&steps, 0, u64::MAX, |step| step.memory == "L1"));
}

#[test]
fn the_kept_events_are_those_of_the_model() {
    let bench = Bench::new();
    let (capture, steps) = program();
    bench.write("r.jsonl", capture);
    let count = |keeps: &dyn Fn(&Step) -> bool| {
        let n = |is_end| steps.iter().filter(|step| step.is_end == is_end && keeps(step)).count();
        json!({"alloc": n(false), "dealloc": n(true)})
    };
    let events = |options: &[&str]| {
        let mut words = vec!["stats", "--json", "r.jsonl"];
        words.extend(options);
        bench.json(&words)["processes"][0]["events"].clone()
    };
    assert_eq!(events(&["--between", "40,90"]), count(&|step| step.n > 40 && step.n <= 90));
    assert_eq!(events(&["--min-size", "100"]), count(&|step| step.size >= 100));
    assert_eq!(events(&["--device", "0"]), count(&|step| step.chips.contains(&0)));
    assert_eq!(events(&["--type", "l1"]), count(&|step| step.memory == "L1"));
    assert_eq!(events(&["--id-range", "20-60"]), count(&|step| (20..=60).contains(&step.buffer)));
    let parsed = bench.run(["parse", "--type", "l1", "--min-size", "1KiB", "--kind", "dealloc", "r.jsonl"]);
    let n = steps.iter().filter(|step| step.is_end && step.memory == "L1" && step.size >= 1024).count();
    assert_eq!(parsed.stdout.lines().count(), n);
}

#[test]
fn what_is_left_of_an_interval_was_allocated_in_it() {
    let bench = Bench::new();
    let (capture, steps) = program();
    bench.write("r.jsonl", capture);
    for (after, to) in [(0, 50), (111, 333), (300, 900)] {
        let mut live: Vec<u64> = Vec::new();
        for step in steps.iter().filter(|step| step.n > after && step.n <= to) {
            if step.is_end {
                live.retain(|buffer| *buffer != step.buffer);
            } else {
                live.push(step.buffer);
            }
        }
        let leaks = bench.json(&["leaks", "--json", "--between", &format!("{after},{to}"), "r.jsonl"]);
        let survivors = leaks["processes"][0]["survivors"].as_array().unwrap();
        let mut ids: Vec<u64> =
            survivors.iter().map(|buffer| buffer["unique_id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, live, "{after},{to}");
        let ending = if to > N_EVENTS { "exit" } else { "live" };
        assert!(survivors.iter().all(|buffer| buffer["ending"] == ending), "{after},{to}");
        let snapshot = bench.json(&["snapshot", "--json", "--between", &format!("{after},{to}"), "r.jsonl"]);
        assert_eq!(snapshot["processes"][0]["live"].as_array().unwrap().len(), live.len(), "{after},{to}");
    }
}

#[test]
fn filters_that_keep_everything_change_nothing() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    bench.write("r.jsonl", program().0);
    for capture in ["s.jsonl", "r.jsonl"] {
        for verb in ["summary", "leaks", "snapshot"] {
            let plain = bench.json(&[verb, "--json", capture]);
            let all = bench.json(&[verb, "--json", "--min-size", "0", "--device", "0-99", capture]);
            assert_eq!(plain["processes"], all["processes"], "{verb} {capture}");
            assert_eq!(all["filters"], json!({"device": [[0, 99]], "min_size_bytes": 0}));
        }
    }
}

#[test]
fn the_first_line_names_the_filters() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    let options = ["--device", "1,3-5", "--type", "dram,cb", "--min-size", "1MiB", "--between", "step 0,62"];
    for verb in ["summary", "leaks", "stats", "snapshot"] {
        let shown = bench.run([&[verb, "s.jsonl"], options.as_slice()].concat());
        assert_eq!(
            shown.stdout.lines().next().unwrap(),
            "s.jsonl: python3 pid 4242, 72 events in 0.344 s [only chip 1,3-5; DRAM,CB; sizes from 1.00 MiB; \
             from 0.291 s (n 43) to 0.301 s (n 62)], complete, exited",
        );
    }
    let shown = bench.json(&["leaks", "s.jsonl", "--json", "--between", "step 0,", "--id-range", "3"]);
    assert_eq!(shown["filters"], json!({"between": ["step 0", null], "id_range": [3, 3]}));
    let interval = &shown["processes"][0]["interval"];
    assert_eq!((&interval["from"]["n"], &interval["to"]["n"]), (&json!(43), &json!(72)));
}

#[test]
fn marks_of_one_name_bound_an_interval() {
    let bench = Bench::new();
    let marks = [1, 3, 5].map(|n| event("mark", n, ",\"name\":\"step\""));
    let lines = [MESH, &marks[0], &alloc(2, 64, 8), &marks[1], &alloc(4, 128, 9), &marks[2], FOOTER];
    bench.write("m.jsonl", capture(1, "", &lines));
    let stats = bench.json(&["stats", "--json", "--type", "dram", "--between", "step,step", "m.jsonl"]);
    assert_eq!(stats["processes"][0]["largest"][0]["size_bytes"], 8);
    let late = bench.run(["stats", "--between", "4,step", "--type", "dram", "m.jsonl"]);
    assert!(late.stdout.contains("the filters keep nothing; the capture has DRAM on chips 0-1"), "{late:?}");
    let none = bench.run(["stats", "--between", "5,step", "m.jsonl"]);
    assert_eq!(none.code, 2);
    assert_eq!(
        none.stderr,
        "tt-memtrace: there is no mark \"step\" after n 5; there are the marks \"step\"\n"
    );
}

#[test]
fn what_a_child_inherited_is_older_than_any_interval() {
    let bench = Bench::new();
    let fork = event("fork", 3, ",\"token\":77");
    bench.write("p.jsonl", capture(10, "", &[MESH, &alloc(1, 64, 100), &alloc(2, 256, 50), &fork, FOOTER]));
    let told = ",\"parent\":{\"capture\":\"p.jsonl\",\"pid\":10,\"token\":77}";
    bench.write("c.jsonl", capture(11, told, &[MESH, &alloc(1, 512, 7), &alloc(2, 1024, 9), FOOTER]));
    let leaks = bench.json(&["leaks", "--json", "--between", "0,2", "c.jsonl"]);
    let survivors = leaks["processes"][0]["survivors"].as_array().unwrap();
    assert_eq!(survivors.iter().map(|buffer| &buffer["size_bytes"]).collect::<Vec<_>>(), [9, 7]);
    let summary = bench.json(&["summary", "--json", "--min-size", "50", "c.jsonl"]);
    assert_eq!(summary["processes"][0]["chips"][0]["types"][0]["bytes"]["peak"], 150);
}

#[test]
fn a_filter_that_names_what_is_not_there_says_what_is() {
    let bench = Bench::new();
    bench.write("d/a.jsonl", capture(1, "", &[MESH, &alloc(1, 64, 8), FOOTER]));
    let other = MESH.replace("[0,1]", "[4,5]");
    bench.write("d/b.jsonl", capture(2, "", &[&other, &alloc(1, 64, 8), &free(2, 64), FOOTER]));
    let none = bench.run(["summary", "--device", "9", "d"]);
    assert_eq!(
        (none.code, none.stderr.as_str()),
        (2, "tt-memtrace: there is no chip 9; there are chips 0-1,4-5\n")
    );
    let one = bench.run(["summary", "--device", "4", "d"]);
    assert_eq!((one.code, one.stdout.lines().next().unwrap().starts_with("d/b.jsonl: ")), (0, true));
    assert_eq!(one.stderr, "tt-memtrace: d/a.jsonl: left out, there is no chip 4; there are chips 0-1\n");
    let some = bench.run(["leaks", "--device", "0,9", "d/a.jsonl"]);
    assert_eq!(some.stderr, "tt-memtrace: d/a.jsonl: there is no chip 9; there are chips 0-1\n");
    let nothing = bench.run(["leaks", "--type", "trace", "d/a.jsonl"]);
    assert_eq!(nothing.code, 0);
    assert!(nothing.stdout.contains("the filters keep nothing; the capture has DRAM on chips 0-1"));
    let kind = bench.run(["parse", "--kind", "aloc", "d/a.jsonl"]);
    assert!(kind.stderr.ends_with("no line is of kind aloc; there are alloc, footer, header, mesh\n"));
}

#[test]
fn a_bad_filter_is_one_clear_error() {
    let bench = Bench::new();
    bench.write("s.jsonl", SAMPLE);
    for (option, value, said) in [
        ("--device", "x", "expected a chip's number"),
        ("--type", "l2", "expected dram, l1, l1_small, trace, system_memory or cb"),
        ("--core", "3", "expected a core as in 2,3"),
        ("--between", "5", "expected two instants"),
        ("--between", "9,8", "the second instant is before the first"),
        ("--between", "60,step 0", "there is no mark \"step 0\" after n 60"),
        ("--between", "0.3,0.2", "the second instant is before the first"),
        ("--between", "62,0.2", "the second instant is before the first"),
        ("--min-size", "big", "expected bytes as in 65536"),
        ("--id-range", "7-3", "expected a buffer's unique_id"),
        ("--units", "kb", "possible values: iec, si, bytes"),
    ] {
        let outcome = bench.run(["stats", option, value, "s.jsonl"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{option} {value}");
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
    let cb = bench.run(["leaks", "--type", "cb", "s.jsonl"]);
    assert_eq!((cb.code, cb.stderr.lines().count()), (2, 1), "{}", cb.stderr);
}

#[test]
fn circular_buffers_are_kept_by_core_and_size() {
    let bench = Bench::new();
    let cores =
        |number: u32, ranges: &str| format!("{{\"kind\":\"cores\",\"cores\":{number},\"ranges\":{ranges}}}");
    let cb = |n: u64, cores: u32, address: u64, size: u64| {
        let rest = format!(
            ",\"chip\":0,\"program\":{cores},\"cores\":{cores},\"address\":{address},\"size_bytes\":{size},\
             \"globally_allocated\":false"
        );
        event("cb_alloc", n, &rest)
    };
    let (left, right) = (cores(1, "[[0,0,1,7]]"), cores(2, "[[2,0,3,7],[7,7,7,7]]"));
    let (small, large) = (cb(1, 1, 1000, 64), cb(2, 2, 1000, 4096));
    bench.write("c.jsonl", capture(1, "", &[MESH, &left, &right, &small, &large, FOOTER]));
    let peak = |options: &[&str]| {
        let summary = bench.json(&[&["summary", "--json", "c.jsonl"], options].concat());
        summary["processes"][0]["circular_buffers"][0]["peak_bytes"].clone()
    };
    assert_eq!(peak(&[]), 4096);
    assert_eq!(peak(&["--core", "1,3"]), 64);
    assert_eq!(peak(&["--core", "0,0-7,7"]), 4096);
    assert_eq!(peak(&["--core", "5,5-9,9", "--type", "cb"]), 4096);
    assert_eq!(peak(&["--core", "8,8"]), Value::Null);
    assert_eq!(peak(&["--min-size", "4KiB"]), 4096);
    assert_eq!(peak(&["--min-size", "4097"]), Value::Null);
    assert_eq!(peak(&["--between", "0,1"]), 64);
    assert_eq!(peak(&["--type", "dram"]), Value::Null);
    let listed = bench.run(["snapshot", "--core", "0,0", "c.jsonl"]);
    assert!(listed.stdout.contains("0x3e8  0x428"), "{}", listed.stdout);
    assert!(!listed.stdout.contains("4.00 KiB"), "{}", listed.stdout);
}

#[test]
fn sharded_buffers_are_kept_by_the_cores_they_may_be_on() {
    let bench = Bench::new();
    let l1 = |n: u64, address: u64, size: u64, cores: &str| {
        alloc(n, address, size)
            .replace("\"DRAM\"", "\"L1\"")
            .replace("\"size_bytes\"", &format!("{cores}\"size_bytes\""))
    };
    let (left, right) = ("\"n_cores\":4,\"cores\":1,", "\"n_cores\":1,\"cores\":2,");
    let lines = [
        MESH.to_owned(),
        "{\"kind\":\"cores\",\"cores\":1,\"ranges\":[[0,0,1,1]]}".to_owned(),
        "{\"kind\":\"cores\",\"cores\":2,\"ranges\":[[2,0,3,7]]}".to_owned(),
        l1(1, 4096, 1, left),
        l1(2, 8192, 2, right),
        l1(3, 12288, 4, "\"n_cores\":1,"), // On which core, nobody tells.
        l1(4, 16384, 8, ""),               // On all.
        alloc(5, 64, 16),
    ];
    bench.write("s.jsonl", capture(1, "", &lines.each_ref().map(String::as_str)));
    let live = |options: &[&str]| {
        let summary = bench.json(&[&["summary", "--json", "s.jsonl"], options].concat());
        let types = &summary["processes"][0]["chips"][0]["types"];
        types.as_array().unwrap().iter().map(|of| of["bytes"]["live"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(live(&[]), 31);
    assert_eq!(live(&["--core", "1,1"]), 1 + 4 + 8);
    assert_eq!(live(&["--core", "2,5"]), 2 + 4 + 8);
    assert_eq!(live(&["--core", "1,0-2,0"]), 1 + 2 + 4 + 8);
    assert_eq!(live(&["--core", "7,7"]), 4 + 8);
    // What is reserved is reserved on every core.
    let shown = bench.json(&["l1", "--json", "--core", "7,7", "s.jsonl"]);
    assert_eq!(shown["processes"][0]["chips"][0]["buffers"].as_array().unwrap().len(), 4);
}

#[test]
fn chips_that_are_not_used_alike_have_a_skew_and_one_runs_out_first() {
    let bench = Bench::new();
    let allocator = r#"{"kind":"allocator","allocator":1,"mesh_id":0,"bank_rounding_bytes":32,"banks":[{"type":"DRAM","n_banks":12,"bank_size_bytes":1024,"base_address":0}]}"#;
    let lone = alloc(2, 128, 256).replace("\"mesh_id\":0", "\"chip\":1");
    bench.write("p.jsonl", capture(1, "", &[MESH, allocator, &alloc(1, 64, 256), &lone, FOOTER]));
    let shown = bench.run(["summary", "p.jsonl"]);
    let said = "DRAM: chip 1 runs out first (skew 1.33); at its peak 512 B (50.0 %) of a bank was free";
    assert!(shown.stdout.contains(said), "{}", shown.stdout);
    let summary = bench.json(&["summary", "--json", "p.jsonl"]);
    let pressure = &summary["processes"][0]["pressure"][0];
    assert_eq!((&pressure["fullest_chips"], &pressure["free_bank_bytes"]), (&json!([1]), &json!(512)));
    let one = bench.run(["summary", "--device", "0", "p.jsonl"]);
    assert!(one.stdout.contains("DRAM: at its peak 768 B (75.0 %) of a bank was free"), "{}", one.stdout);
}

#[test]
fn several_captures_begin_with_a_line_on_all_of_them() {
    let bench = Bench::new();
    let lost = event("lost", 2, ",\"dropped\":3");
    bench.write("d/a.jsonl", capture(10, "", &[MESH, &alloc(1, 64, 8), FOOTER]));
    bench.write("d/b.jsonl", capture(20, "", &[MESH, &alloc(1, 64, 16), &lost, FOOTER]));
    let first = |words: &[&str]| bench.run(words).stdout.lines().next().unwrap().to_owned();
    let all = "d: 2 processes, 3 events in 0.002 s, 1 of them LOSSY";
    for verb in ["summary", "leaks", "stats", "snapshot"] {
        assert_eq!(first(&[verb, "d"]), all);
    }
    let filtered =
        "2 sources: 2 processes, 3 events in 0.002 s [only DRAM; from start to 5 s], 1 of them LOSSY";
    assert_eq!(first(&["leaks", "--type", "dram", "--between", ",5.0", "d/a.jsonl", "d/b.jsonl"]), filtered);
    let table = bench.run(["summary", "--by", "process", "d"]);
    assert!(table.stdout.starts_with(all), "{}", table.stdout);
    let rows: Vec<&str> = table.stdout.lines().filter(|line| line.contains("DRAM")).collect();
    assert!(rows[0].starts_with(" 10  p10") && rows[1].contains("16 B"), "{}", table.stdout);
    bench.write("d/c.jsonl", "");
    assert!(first(&["summary", "d"]).ends_with("1 of them LOSSY, another one UNREADABLE"));
}
