//! Where buffers come from: the operation, the line and the test in the rows of reports.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use support::{Bench, FOOTER, MESH, alloc, capture, event};

const DEFINITIONS: [&str; 12] = [
    r#"{"kind":"text","text":1,"value":"/venv/ttnn/decorators.py"}"#,
    r#"{"kind":"text","text":2,"value":"ttnn.add"}"#,
    r#"{"kind":"text","text":3,"value":"/home/me/model.py"}"#,
    r#"{"kind":"text","text":4,"value":"Model.forward"}"#,
    r#"{"kind":"text","text":5,"value":"tests/test_model.py::test_one"}"#,
    r#"{"kind":"text","text":6,"value":"ttnn.zeros"}"#,
    r#"{"kind":"text","text":7,"value":"/venv/ttnn/device.py"}"#,
    r#"{"kind":"text","text":8,"value":"open_mesh_device"}"#,
    r#"{"kind":"stack","stack":1,"frames":[[1,2,99],[3,4,12]],"is_cut":false}"#,
    r#"{"kind":"stack","stack":2,"frames":[[7,8,3],[3,4,2]],"is_cut":false}"#,
    r#"{"kind":"context","ctx":1,"op":2,"stack":1,"test":5}"#,
    r#"{"kind":"context","ctx":2,"op":null,"stack":2,"test":null}"#,
];

fn within(line: String, ctx: u32) -> String {
    line.replacen("\"tid\"", &format!("\"ctx\":{ctx},\"tid\""), 1)
}

/// A buffer from the opening of the device, two of one line, and one of nobody.
fn sample() -> String {
    let mut lines: Vec<String> = [MESH].into_iter().chain(DEFINITIONS).map(str::to_owned).collect();
    lines.extend([
        within(alloc(1, 64, 8), 2),
        within(alloc(2, 128, 100), 1),
        within(alloc(3, 256, 100), 1),
        alloc(4, 512, 50),
        event("close", 5, ",\"mesh_id\":0"),
        FOOTER.to_owned(),
    ]);
    capture(5, "", &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn survivors_of_one_line_are_one_row_with_its_operation() {
    let bench = Bench::new();
    bench.write("m.jsonl", sample());
    let shown = bench.run(["leaks", "m.jsonl"]).stdout;
    let row = shown.lines().find(|line| line.contains("ttnn.add")).unwrap();
    assert!(row.trim_start().starts_with("2 ") && row.ends_with("model.py:12"), "{shown}");
    let system = shown.lines().find(|line| line.contains("model.py:2")).unwrap();
    assert!(system.contains("system"), "{shown}");
}

#[test]
fn rows_for_programs_have_the_operation_the_line_and_the_test() {
    let bench = Bench::new();
    bench.write("m.jsonl", sample());
    let at = json!({"file": "/home/me/model.py", "line": 12, "function": "Model.forward"});
    for (verb, list) in [("leaks", "survivors"), ("snapshot", "live"), ("stats", "largest")] {
        let mut words = vec![verb, "--json", "m.jsonl"];
        if verb == "snapshot" {
            words.extend(["--at", "4"]);
        }
        let shown: Value = serde_json::from_str(&bench.run(words).stdout).unwrap();
        let rows = shown["processes"][0][list].as_array().unwrap();
        let known: Vec<_> = rows.iter().filter(|row| row["op"] == "ttnn.add").collect();
        assert_eq!(known.len(), 2, "{verb}");
        assert!(known.iter().all(|row| row["where"] == at && row["test"] == "tests/test_model.py::test_one"));
        let unknown = rows.iter().find(|row| row["address"] == 512).unwrap();
        assert_eq!([&unknown["op"], &unknown["where"], &unknown["test"]], [&Value::Null; 3], "{verb}");
    }
}

#[test]
fn what_the_program_made_in_python_is_its_own_and_what_opens_a_device_is_not() {
    let bench = Bench::new();
    bench.write("m.jsonl", sample());
    let shown: Value = serde_json::from_str(&bench.run(["leaks", "--json", "m.jsonl"]).stdout).unwrap();
    let classes = shown["processes"][0]["survivors"].as_array().unwrap().iter();
    let mut classes: Vec<_> =
        classes.map(|row| (row["address"].as_u64().unwrap(), row["class"].as_str().unwrap())).collect();
    classes.sort_unstable();
    assert_eq!(classes, [(64, "system"), (128, "user"), (256, "user"), (512, "user")]);
}

#[test]
fn the_tree_sums_what_each_line_and_all_below_it_hold() {
    let bench = Bench::new();
    bench.write("m.jsonl", sample());
    let shown = bench.run(["tree", "m.jsonl"]).stdout;
    let rows: Vec<&str> =
        shown.lines().skip_while(|line| !line.contains("share")).skip(1).map(str::trim).collect();
    assert_eq!(
        rows[..5],
        [
            "200 B  77.5 %        2  Model.forward  model.py:12",
            "200 B  77.5 %        2    ttnn.add  decorators.py:99",
            "8 B   3.1 %        1  Model.forward  model.py:2",
            "8 B   3.1 %        1    open_mesh_device  device.py:3",
            "50 B  19.3 %        1  no Python stack",
        ],
        "{shown}"
    );
    let folded = bench.run(["tree", "--folded", "m.jsonl"]).stdout;
    assert_eq!(
        folded,
        "Model.forward (model.py:12);ttnn.add (decorators.py:99) 200\n\
         Model.forward (model.py:2);open_mesh_device (device.py:3) 8\n\
         no Python stack 50\n"
    );
    let json: Value = serde_json::from_str(&bench.run(["tree", "--json", "m.jsonl"]).stdout).unwrap();
    let stacks = json["processes"][0]["stacks"].as_array().unwrap();
    let held: Vec<_> = stacks.iter().map(|stack| (stack["op"].as_str(), stack["bytes"].as_u64())).collect();
    assert_eq!(held, [(Some("ttnn.add"), Some(200)), (None, Some(50)), (None, Some(8))]);
    assert_eq!(stacks[0]["frames"][0]["function"], "Model.forward");
}

#[test]
fn a_summary_by_operation_or_line_has_what_each_allocated_held_and_left() {
    let bench = Bench::new();
    bench.write("m.jsonl", sample());
    let rows = |by| {
        let shown = bench.run(["summary", "--by", by, "m.jsonl"]).stdout;
        let rows = shown.lines().skip_while(|line| !line.contains("at peak")).skip(1).map(str::trim);
        rows.take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        rows("op"),
        [
            "200 B        2       2   200 B  200 B  ttnn.add",
            "58 B        2       2    58 B   58 B  not known"
        ]
    );
    assert_eq!(
        rows("line"),
        [
            "200 B        2       2   200 B  200 B  model.py:12  Model.forward",
            "50 B        1       1    50 B   50 B  not known",
            "8 B        1       1     8 B    8 B  model.py:2  Model.forward",
        ]
    );
}

/// Programs of four kinds: laid out by who launched it, laid out by a thread of the runtime, not launched yet, and
/// launched by a thread that runs no Python but within a test.
fn programs(stacks: &str) -> String {
    let definitions = [
        r#"{"kind":"context","ctx":3,"op":6,"stack":2,"test":null}"#,
        r#"{"kind":"context","ctx":4,"op":null,"stack":null,"test":5}"#,
        r#"{"kind":"cores","cores":1,"ranges":[[0,0,3,1]]}"#,
        r#"{"kind":"allocator","allocator":5,"mesh_id":0,"bank_rounding_bytes":10,"banks":[{"type":"L1","n_banks":10,"bank_size_bytes":9000,"base_address":1000}]}"#,
    ];
    let cb = |n, program: u64, bytes: u64| {
        let rest = format!(
            ",\"chip\":0,\"program\":{program},\"cores\":1,\"address\":1000,\"size_bytes\":{bytes},\
             \"globally_allocated\":false"
        );
        event("cb_alloc", n, &rest).replacen("\"tid\":1", "\"tid\":9", 1)
    };
    let run = |n, program: u64| event("program_run", n, &format!(",\"mesh_id\":0,\"program\":{program}"));
    let mut lines: Vec<String> = [MESH].into_iter().chain(DEFINITIONS).map(str::to_owned).collect();
    lines.extend(definitions.map(str::to_owned));
    lines.extend([
        within(cb(1, 1, 50), 3),
        within(run(2, 1), 1),
        within(cb(3, 2, 80), 4),
        within(run(4, 2), 1),
        cb(5, 3, 20),
        within(cb(6, 4, 30), 4),
        within(run(7, 4), 4),
        // Again, from elsewhere.
        within(run(8, 2), 3),
        FOOTER.to_owned(),
    ]);
    let settings = format!(",\"settings\":{{\"stacks\":\"{stacks}\"}}");
    capture(8, &settings, &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn circular_buffers_that_the_runtime_laid_out_are_of_who_launched_their_program_first() {
    let bench = Bench::new();
    bench.write("m.jsonl", programs("python"));
    let shown: Value =
        serde_json::from_str(&bench.run(["summary", "--by", "op", "--json", "m.jsonl"]).stdout).unwrap();
    let rows = shown["processes"][0]["origins"].as_array().unwrap().iter();
    let rows = rows.map(|row| {
        let [n, of_launch, bytes] = ["n_programs", "n_programs_of_launch", "circular_bytes"]
            .map(|field| row[field].as_u64().unwrap());
        (row["op"].as_str(), n, of_launch, bytes)
    });
    let rows: Vec<_> = rows.collect();
    let expected = [(Some("ttnn.add"), 1, 1, 80), (Some("ttnn.zeros"), 1, 0, 50), (None, 2, 0, 30)];
    assert_eq!(rows, expected);
    let shown = bench.run(["summary", "--by", "line", "m.jsonl"]).stdout;
    for words in [
        "  80 B  model.py:12  Model.forward\n",
        "circular: 1 program laid out by threads of the runtime: by who launched each first\n",
        "circular: 1 program not known whose: neither laid out nor launched from Python\n",
        "circular: 1 program not known whose: laid out by the runtime and never launched\n",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    // Where nothing was recorded of anybody, that is the reason.
    bench.write("none.jsonl", programs("none"));
    let shown = bench.run(["summary", "--by", "op", "none.jsonl"]).stdout;
    assert!(shown.contains("lines and operations were not recorded"), "{shown}");
}

#[test]
fn the_programs_in_l1_have_the_operation_and_the_line_that_made_them_or_the_reason_why_not() {
    let bench = Bench::new();
    bench.write("m.jsonl", programs("python"));
    let shown: Value =
        serde_json::from_str(&bench.run(["l1", "--at", "8", "--json", "m.jsonl"]).stdout).unwrap();
    let programs = shown["processes"][0]["chips"][0]["programs"].as_array().unwrap().iter();
    let mut makers: Vec<_> = programs.map(|of| json!([of["program"], of["maker"], of["op"]])).collect();
    makers.sort_by_key(|of| of[0].as_u64());
    let expected = [
        json!([1, "laid_out", "ttnn.zeros"]),
        json!([2, "launched", "ttnn.add"]),
        json!([3, "not_launched", null]),
        json!([4, "unknown", null]),
    ];
    assert_eq!(makers, expected);
    let shown = bench.run(["l1", "--at", "8", "m.jsonl"]).stdout;
    for words in ["  ~ttnn.add   model.py:12\n", "not launched yet\n", "not from Python\n", "~ laid out by"] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}
