//! `oom` and `l1 --clash`: why there was no room, and what would make it fit.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use support::{Bench, FOOTER, MESH, Outcome, capture, event};

const ALLOCATOR: &str = concat!(
    r#"{"kind":"allocator","allocator":5,"mesh_id":0,"bank_rounding_bytes":10,"banks":[{"type":"DRAM","#,
    r#""n_banks":12,"bank_size_bytes":10000,"base_address":0},{"type":"L1","n_banks":10,"#,
    r#""bank_size_bytes":9000,"base_address":1000}]}"#
);
const CORES: &str = r#"{"kind":"cores","cores":1,"ranges":[[0,0,3,1]]}"#;

fn alloc(n: u64, memory: &str, address: u64, bytes: u64) -> String {
    let rest = format!(
        ",\"mesh_id\":0,\"allocator\":5,\"type\":\"{memory}\",\"layout\":\"INTERLEAVED\",\"address\":{address},\
         \"size_bytes\":{bytes},\"page_size_bytes\":{bytes},\"per_bank_bytes\":{bytes},\"n_cores\":null,\
         \"unique_id\":{n},\"owns_data\":true"
    );
    event("alloc", n, &rest)
}

fn dealloc(n: u64, memory: &str, address: u64, id: u64) -> String {
    let rest = format!(",\"mesh_id\":0,\"type\":\"{memory}\",\"address\":{address},\"unique_id\":{id}");
    event("dealloc", n, &rest)
}

fn refused(n: u64, memory: &str, per_bank: &str) -> String {
    let rest = format!(
        ",\"failure\":\"allocation\",\"mesh_id\":0,\"allocator\":5,\"type\":\"{memory}\",\
         \"layout\":\"INTERLEAVED\",\"size_bytes\":48000,\"page_size_bytes\":2000,\
         \"per_bank_bytes\":{per_bank},\"n_cores\":null,\"message\":null"
    );
    event("failure", n, &rest)
}

fn clash(n: u64, kind: &str, program: u64) -> String {
    let rest =
        format!(",\"failure\":\"{kind}_buffer_clash\",\"mesh_id\":0,\"program\":{program},\"message\":null");
    event("failure", n, &rest)
}

fn cb(n: u64, chip: u32, program: u64, address: u64, bytes: u64) -> String {
    let rest = format!(
        ",\"chip\":{chip},\"program\":{program},\"cores\":1,\"address\":{address},\"size_bytes\":{bytes},\
         \"globally_allocated\":false"
    );
    event("cb_alloc", n, &rest)
}

fn launch(n: u64, program: u64) -> String {
    event("program_run", n, &format!(",\"mesh_id\":0,\"program\":{program}"))
}

/// A DRAM that is in pieces, a program that ran and then has no room, and one that nobody knows the size of.
fn events() -> Vec<String> {
    vec![
        MESH.into(),
        ALLOCATOR.into(),
        CORES.into(),
        alloc(1, "DRAM", 0, 2000),
        alloc(2, "DRAM", 2000, 1000),
        alloc(3, "DRAM", 3000, 3000),
        alloc(4, "DRAM", 6000, 995),
        dealloc(5, "DRAM", 0, 1),
        dealloc(6, "DRAM", 3000, 3),
        refused(7, "DRAM", "3995"),
        alloc(8, "L1", 9000, 1000),
        launch(9, 7),
        cb(10, 0, 7, 1000, 3000),
        cb(11, 1, 7, 1000, 3000),
        cb(12, 0, 7, 4000, 1000),
        cb(13, 1, 7, 4000, 1000),
        alloc(14, "L1", 6000, 3000),
        alloc(15, "L1", 4600, 1400),
        alloc(16, "L1", 4500, 100),
        launch(17, 6),
        launch(18, 7),
        clash(19, "circular", 7),
        launch(20, 7),
        clash(21, "circular", 7),
        clash(22, "dataflow", 8),
        refused(23, "L1_SMALL", "null"),
        FOOTER.to_owned(),
    ]
}

fn stream(events: &[String]) -> String {
    capture(7, "", &events.iter().map(String::as_str).collect::<Vec<_>>())
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("run.jsonl", stream(&events()));
    bench
}

fn failure(bench: &Bench, number: &str) -> Value {
    let oom = bench.json(&["oom", "--json", "--failure", number, "run.jsonl"]);
    oom["processes"][0]["failure"].clone()
}

fn addresses(buffers: &Value) -> Vec<u64> {
    buffers.as_array().unwrap().iter().map(|buffer| buffer["address"].as_u64().unwrap()).collect()
}

#[test]
fn a_memory_in_pieces_is_told_from_one_that_is_full() {
    let bench = bench();
    let fragmented = failure(&bench, "1");
    let allocation = &fragmented["allocation"];
    assert_eq!((&fragmented["number"], &fragmented["at"]["n"]), (&json!(1), &json!(7)));
    assert_eq!(allocation["verdict"], "fragmented");
    // Rounded to 10, the allocator's unit, as is what is held.
    assert_eq!((&allocation["needed_bytes"], &allocation["short_bytes"]), (&json!(4000), &json!(1000)));
    let memory = &allocation["memory"];
    assert_eq!((&memory["free_bytes"], &memory["largest_hole_bytes"]), (&json!(8000), &json!(3000)));
    assert_eq!(addresses(&allocation["fewest"]["buffers"]), [2000]);
    assert_eq!(allocation["fewest"]["can_be_moved"], true);
    let growth: Vec<_> =
        allocation["growth"].as_array().unwrap().iter().map(|of| &of["held_bytes"]).collect();
    assert_eq!(growth, [2000, 3000, 6000, 7000, 5000, 2000]);

    let full: Vec<String> = events().into_iter().filter(|line| !line.contains("\"dealloc\"")).collect();
    bench.write("run.jsonl", stream(&full));
    let allocation = failure(&bench, "1")["allocation"].clone();
    assert_eq!((&allocation["verdict"], &allocation["short_bytes"]), (&json!("exhausted"), &json!(1000)));
    assert_eq!(addresses(&allocation["fewest"]["buffers"]), [6000]);
}

#[test]
fn a_memory_without_a_bank_is_named() {
    let shown = bench().run(["oom", "run.jsonl"]);
    assert!(shown.stdout.contains("NO BANK: no L1_SMALL was reserved"), "{}", shown.stdout);
    assert!(shown.stdout.contains("failure 5 of 5"), "{}", shown.stdout);
    assert_eq!(failure(&bench(), "5")["allocation"]["verdict"], "unknown");
}

#[test]
fn a_clash_names_the_buffers_below_the_end_and_when_the_program_had_room() {
    let found = failure(&bench(), "3");
    let clash = &found["clash"];
    assert_eq!((&found["failure"], &clash["program"]), (&json!("circular_buffer_clash"), &json!(7)));
    assert_eq!(
        (&clash["region_end"], &clash["lowest_address"], &clash["short_bytes"], &clash["basis"]),
        (&json!(5000), &json!(4500), &json!(500), &json!("exact"))
    );
    assert_eq!(addresses(&clash["blocking"]), [4500, 4600]);
    assert_eq!(clash["circular_buffers"].as_array().unwrap().len(), 2);
    assert_eq!(clash["cores"], json!([[0, 0, 3, 1]]));
    // Not the launch that was refused before.
    assert_eq!((&clash["ran"]["at"]["n"], &clash["ran"]["lowest_address"]), (&json!(9), &json!(9000)));
    assert_eq!(found["launch_before"]["program"], 6);
}

#[test]
fn the_end_of_dataflow_buffers_is_bounded_by_when_they_had_room() {
    let bench = bench();
    let unknown = failure(&bench, "4");
    // Program 7 was launched later, and refused.
    assert_eq!(unknown["launch_before"]["program"], 6);
    let unknown = unknown["clash"].clone();
    assert_eq!((&unknown["basis"], &unknown["region_end"]), (&json!("not_reported"), &Value::Null));
    assert_eq!(
        (&unknown["short_bytes"], addresses(&unknown["blocking"])),
        (&Value::Null, vec![4500, 4600, 6000, 9000])
    );
    let shown = bench.run(["oom", "--failure", "4", "run.jsonl"]);
    assert!(shown.stdout.contains("size not reported by the runtime"), "{}", shown.stdout);

    let mut ran = events();
    let at = ran.iter().position(|line| line.contains("\"n\":14,")).unwrap();
    ran[at] = launch(14, 8);
    bench.write("run.jsonl", stream(&ran));
    let bounded = failure(&bench, "4")["clash"].clone();
    assert_eq!((&bounded["basis"], &bounded["region_end"]), (&json!("upper_bound"), &json!(9000)));
    assert_eq!((&bounded["short_bytes"], addresses(&bounded["blocking"])), (&json!(4500), vec![4500, 4600]));

    let told = stream(&ran).replace(
        r#""program":8,"message":null"#,
        r#""program":8,"message":"at a place\ninfo:\nThey clash on core range [0-0 - 1-2]. L1 buffer allocated at 4500 and static dataflow buffer region ends at 4520\n""#,
    );
    bench.write("run.jsonl", told);
    let told = failure(&bench, "4")["clash"].clone();
    assert_eq!((&told["basis"], &told["short_bytes"]), (&json!("exact"), &json!(20)));
    assert_eq!((addresses(&told["blocking"]), &told["cores"]), (vec![4500], &json!([[0, 0, 1, 2]])));
}

#[test]
fn buffers_beyond_the_end_of_l1_fit_nowhere() {
    let bench = bench();
    let beyond = stream(&events())
        .replace(r#""address":4000,"size_bytes":1000"#, r#""address":4000,"size_bytes":9000"#);
    bench.write("run.jsonl", beyond);
    assert_eq!(failure(&bench, "2")["clash"]["is_beyond_l1"], true);
    let shown = bench.run(["oom", "--failure", "2", "run.jsonl"]).stdout;
    assert!(
        shown.contains("TOO LARGE: its buffers reach beyond the end of L1")
            && !shown.contains("to make it fit")
    );
}

#[test]
fn clashes_of_circular_buffers_follow_from_a_capture_that_recorded_none() {
    let bench = bench();
    let plain: Vec<String> = events().into_iter().filter(|line| !line.contains("\"failure\"")).collect();
    bench.write("plain.jsonl", stream(&plain));
    let oom = bench.json(&["oom", "--json", "plain.jsonl"]);
    let process = &oom["processes"][0];
    assert_eq!(process["n_failures"], 2);
    let found = &process["failure"];
    assert_eq!((&found["is_derived"], &found["at"]["n"]), (&json!(true), &json!(20)));
    assert_eq!(found["clash"]["short_bytes"], 500);
    // Laid out over a buffer: one clash, however many circular buffers there are.
    let laid: Vec<String> = [
        &plain[..3],
        &[alloc(1, "L1", 4500, 100), launch(2, 7)],
        &[cb(3, 0, 7, 4000, 1000), cb(4, 1, 7, 4000, 1000)],
    ]
    .concat();
    bench.write("laid.jsonl", stream(&laid));
    let oom = bench.json(&["oom", "--json", "laid.jsonl"]);
    assert_eq!(
        (&oom["processes"][0]["n_failures"], &oom["processes"][0]["failure"]["at"]["n"]),
        (&json!(1), &json!(4))
    );
}

#[test]
fn l1_shows_the_cores_at_the_last_clash() {
    let bench = bench();
    let l1 = bench.json(&["l1", "--clash", "--json", "run.jsonl"]);
    let process = &l1["processes"][0];
    assert_eq!(
        (&process["at"]["n"], &process["failure"]["failure"]),
        (&json!(22), &json!("dataflow_buffer_clash"))
    );
    assert_eq!(process["chips"][0]["room"]["bytes"], -500);
    let shown = bench.run(["l1", "--clash", "--between", ",21", "run.jsonl"]).stdout;
    assert!(shown.contains("CLASH: its buffers reach 500 B into the L1 buffers"), "{shown}");
    assert!(shown.contains("L1 at 0.021 s (n 21)"), "{shown}");
}

#[test]
fn filters_choose_among_the_refusals() {
    let bench = bench();
    let n = |words: &[&str]| {
        let words = [&["oom", "--json"], words, &["run.jsonl"]].concat();
        bench.json(&words)["processes"][0]["n_failures"].clone()
    };
    assert_eq!(n(&[]), 5);
    assert_eq!(n(&["--type", "dram"]), 1);
    assert_eq!(n(&["--type", "cb"]), 3);
    assert_eq!(n(&["--between", "7,21"]), 2);
    assert_eq!(n(&["--min-size", "1MB"]), 3);
    let unknown = bench.run(["oom", "--failure", "6", "run.jsonl"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("there is no failure 6; there are 5"), "{}", unknown.stderr);
}

/// Runs a command that leaves this capture and ends with this status; gives what is said about it.
fn said_by_run(events: &[String], status: &str) -> Vec<String> {
    let bench = Bench::new();
    bench.write("sample", stream(events));
    let mut command = bench.command();
    let script = format!("cp sample out/p.7.jsonl; exit {status}");
    command.args(["run", "-o", "out", "--", "sh", "-c", &script]).env("TT_MEMTRACE_LIB", bench.library());
    let outcome = Outcome::of(command.output().unwrap());
    assert_eq!((outcome.code.to_string().as_str(), outcome.stdout.as_str()), (status, ""));
    outcome.stderr.lines().map(|line| line.strip_prefix("tt-memtrace: ").unwrap().to_owned()).collect()
}

#[test]
fn a_run_that_ends_with_a_refusal_explains_it() {
    let mut many = events();
    many.truncate(10);
    let said = said_by_run(&many, "1");
    let verdict = said.iter().position(|line| line.starts_with("FRAGMENTED: ")).unwrap();
    assert!(said[verdict - 1].contains("failure 1 of 1"), "{said:#?}");
    assert!(said.iter().any(|line| line.starts_with("to make it fit, free 1 buffer")), "{said:#?}");
    assert_eq!(said.last().unwrap(), "next: tt-memtrace oom out");
    // Deallocations and the close that follow are how a program ends.
    many.extend([dealloc(8, "DRAM", 2000, 2), event("close", 9, ",\"mesh_id\":0")]);
    assert!(said_by_run(&many, "1").iter().any(|line| line.starts_with("FRAGMENTED: ")));
    // Without a failure of the command it is its own business.
    let quiet = said_by_run(&many, "0");
    assert!(quiet.iter().all(|line| !line.contains("FRAGMENTED") && !line.contains("refus")), "{quiet:#?}");
}

#[test]
fn a_run_that_went_on_after_a_refusal_only_says_so() {
    let mut went_on = events();
    went_on.truncate(13);
    let said = said_by_run(&went_on, "3");
    assert_eq!(said[said.len() - 2], "out/p.7.jsonl: 1 refusal of memory, the program went on");
    assert_eq!(said[said.len() - 1], "next: tt-memtrace oom out");
    let mut known = attributed();
    known.truncate(22);
    let said = said_by_run(&known, "1");
    let expected = "out/p.7.jsonl: 1 refusal of memory, the program went on; the last asked for by ttnn.add at model.py:31";
    assert_eq!(said[said.len() - 2], expected);
}

#[test]
fn the_explanation_of_a_run_is_at_most_30_lines() {
    let mut clashes = events()[..3].to_vec();
    clashes.extend((1..=40).map(|n| alloc(n, "DRAM", 100 * n, 60 + n % 30)));
    clashes.push(refused(41, "DRAM", "9900"));
    let said = said_by_run(&clashes, "1");
    let start = said.iter().position(|line| line.contains("failure 1 of 1")).unwrap();
    assert!((10..=30).contains(&(said.len() - start)), "{said:#?}");
}

#[test]
fn buffers_are_named_by_the_mark_before_them() {
    let bench = bench();
    let mut marked = events();
    marked[3] = event("mark", 1, ",\"name\":\"warm-up\"");
    let at = marked.iter().position(|line| line.contains("\"n\":14,")).unwrap();
    marked[at] = event("mark", 14, ",\"name\":\"test_first\"");
    bench.write("run.jsonl", stream(&marked));
    let found = failure(&bench, "3");
    assert_eq!(found["clash"]["blocking"][0]["mark"], "test_first");
    let allocation = &failure(&bench, "1")["allocation"];
    assert_eq!(
        (&allocation["fewest"]["buffers"][0]["mark"], &allocation["holders"][0]["mark"]),
        (&json!("warm-up"), &json!("warm-up"))
    );
    let shown = bench.run(["oom", "--failure", "3", "run.jsonl"]).stdout;
    assert!(shown.contains("free or move all of these 2 buffers, made after mark test_first"), "{shown}");
}

/// The same, with who did what.
fn attributed() -> Vec<String> {
    let mut attributed = events();
    let contexts = [
        r#"{"kind":"text","text":1,"value":"/home/me/model.py"}"#,
        r#"{"kind":"text","text":2,"value":"forward"}"#,
        r#"{"kind":"text","text":3,"value":"ttnn.add"}"#,
        r#"{"kind":"text","text":4,"value":"ttnn.zeros"}"#,
        r#"{"kind":"text","text":5,"value":"tests/deep/test_model.py::test_first[a/b]"}"#,
        r#"{"kind":"stack","stack":1,"frames":[[1,2,31]],"is_cut":false}"#,
        r#"{"kind":"stack","stack":2,"frames":[[1,2,12]],"is_cut":false}"#,
        r#"{"kind":"context","ctx":1,"op":3,"stack":1,"test":null}"#,
        r#"{"kind":"context","ctx":2,"op":4,"stack":2,"test":5}"#,
    ];
    attributed.splice(3..3, contexts.map(str::to_owned));
    for (n, ctx) in [(2, 2), (4, 2), (7, 1), (15, 2), (16, 2), (17, 1), (21, 1)] {
        let line = attributed.iter_mut().find(|line| line.contains(&format!("\"n\":{n},"))).unwrap();
        *line = line.replacen("\"tid\":1", &format!("\"tid\":1,\"ctx\":{ctx}"), 1);
    }
    attributed
}

#[test]
fn who_asked_and_who_made_what_is_in_the_way_are_named() {
    let bench = bench();
    let attributed = attributed();
    bench.write("run.jsonl", stream(&attributed));

    let found = failure(&bench, "3");
    assert_eq!(
        (&found["op"], &found["where"]["line"], &found["test"]),
        (&json!("ttnn.add"), &json!(31), &Value::Null)
    );
    assert_eq!(found["launch_before"]["op"], "ttnn.add");
    for buffer in found["clash"]["blocking"].as_array().unwrap() {
        assert_eq!((&buffer["op"], &buffer["where"]["line"]), (&json!("ttnn.zeros"), &json!(12)));
    }
    let shown = bench.run(["oom", "--failure", "3", "run.jsonl"]).stdout;
    for words in [
        "asked for by ttnn.add at model.py:31\n",
        "before it   program 6 was launched by ttnn.add at model.py:31 at ",
        "these 2 buffers, made in test_model.py::test_first[a/b] (no fewer would do)",
        "ttnn.zeros  model.py:12  test_first[a/b]\n",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let holders = &failure(&bench, "1")["allocation"]["holders"];
    let of_op: Vec<_> = holders.as_array().unwrap().iter().map(|of| of["op"].clone()).collect();
    assert_eq!(of_op, ["ttnn.zeros", "ttnn.zeros"]);
}

#[test]
fn a_refusal_on_a_thread_of_the_runtime_is_of_who_launched_the_program() {
    let bench = Bench::new();
    let lines: Vec<String> = attributed()
        .into_iter()
        .map(|line| match () {
            () if line.contains("\"n\":20,") => line.replacen("\"tid\":1", "\"tid\":1,\"ctx\":1", 1),
            () if line.contains("\"n\":21,") => line.replacen("\"tid\":1,\"ctx\":1", "\"tid\":9", 1),
            () => line,
        })
        .collect();
    bench.write("run.jsonl", stream(&lines));
    let found = failure(&bench, "3");
    assert_eq!((&found["op"], &found["is_of_launch"]), (&json!("ttnn.add"), &json!(true)));
    let shown = bench.run(["oom", "--failure", "3", "run.jsonl"]).stdout;
    assert!(shown.contains("\nlaunched by ttnn.add at model.py:31\n"), "{shown}");
    assert_eq!(failure(&bench, "1")["is_of_launch"], false);
}

/// The same in tests: these events belong to these, those of `FIXTURE of TEST` to a fixture that was set up for it.
fn in_tests(tests: &[(u64, &str)]) -> String {
    let mut events = events();
    let mut known: Vec<&str> = tests.iter().map(|(_, test)| *test).collect();
    known.sort_unstable();
    known.dedup();
    for (number, known) in (1..).zip(&known) {
        let (fixture, test) = known.split_once(" of ").map_or((None, *known), |(of, test)| (Some(of), test));
        let text = |number, value: &str| format!(r#"{{"kind":"text","text":{number},"value":"{value}"}}"#);
        let mut lines = vec![text(number, &format!("tests/{test}"))];
        let mut stack = "null".to_owned();
        if let Some(fixture) = fixture {
            let of = number * 100;
            let values =
                ["conftest.py", "make", fixture, "site/_pytest/fixtures.py", "call_fixture_func", "main"];
            lines.extend((of..).zip(values).map(|(n, value)| text(n, value)));
            let frames = [(of, of + 1, 3), (of, of + 2, 7), (of + 3, of + 4, 900), (of, of + 5, 1)];
            let frames = frames.map(|(file, function, line)| format!("[{file},{function},{line}]")).join(",");
            lines.push(format!(r#"{{"kind":"stack","stack":{number},"frames":[{frames}],"is_cut":false}}"#));
            stack = number.to_string();
        }
        lines.push(format!(
            r#"{{"kind":"context","ctx":{number},"op":null,"stack":{stack},"test":{number}}}"#
        ));
        events.splice(3..3, lines);
    }
    for (n, test) in tests {
        let ctx = known.iter().position(|known| known == test).unwrap() + 1;
        let line = events.iter_mut().find(|line| line.contains(&format!("\"n\":{n},"))).unwrap();
        *line = line.replacen("\"tid\":1", &format!("\"tid\":1,\"ctx\":{ctx}"), 1);
    }
    stream(&events)
}

const A: &str = "x.py::test_a";
const B: &str = "x.py::test_b";
const HELD_A: &str = "held of x.py::test_a";
const ME: &str = "y.py::test_me";

#[test]
fn a_test_that_would_have_fitted_without_what_an_earlier_one_left_is_told_so() {
    let no = "nobody knows whether";
    // The refused DRAM buffer needs 4000 in each bank. Free are 0-2000, 3000-6000 and 7000-10000.
    // The clash at 21 is of circular buffers up to 5000; L1 buffers are at 4500, 4600, 6000 and 9000.
    // Nothing is known of the program that is refused at 22.
    for (failure, tests, expected) in [
        (
            "1",
            &[(2, A), (7, ME)][..],
            "test_me would have fitted without the buffer that x.py::test_a left (1000 B in each bank)",
        ),
        (
            "1",
            &[(2, A), (4, B), (7, ME)],
            "the buffer that x.py::test_a left (1000 B in each bank), or without what 1 other test left, each alone",
        ),
        ("1", &[(2, A), (7, A)], ""),
        ("1", &[(2, A)], ""),
        (
            "3",
            &[(15, A), (16, A), (21, ME)],
            "test_me would have fitted without the 2 buffers that x.py::test_a left (1.46 KiB in each bank)",
        ),
        (
            "3",
            &[(15, A), (16, B), (21, ME)],
            "test_me would have fitted without the 2 buffers that 2 earlier tests left (1.46 KiB in each bank)",
        ),
        (
            "3",
            &[(15, A), (21, ME)],
            "test_me would not have fitted even without the buffer that x.py::test_a left (1.37 KiB in each bank)",
        ),
        (
            "3",
            &[(15, B), (14, A), (21, ME)],
            "test_me would not have fitted even without the 2 buffers that 2 earlier tests left",
        ),
        (
            "1",
            &[(2, HELD_A), (7, ME)],
            "without the buffer that fixture held, set up for x.py::test_a, holds (1000 B in each bank)",
        ),
        (
            "3",
            &[(15, HELD_A), (16, A), (21, ME)],
            "test_me would have fitted without the 2 buffers that 2 earlier tests or fixtures left (1.46 KiB in each bank)\n  \
             1 buffer, 1.37 KiB in each bank: fixture held, set up for x.py::test_a\n  1 buffer, 100 B in each bank: x.py::test_a\n\n",
        ),
        ("1", &[(2, "held of y.py::test_me"), (7, ME)], ""),
        (
            "4",
            &[(15, A), (22, ME)],
            "test_me would not have fitted even without the buffer that x.py::test_a left",
        ),
        (
            "4",
            &[(15, A), (16, A), (22, ME)],
            "nobody knows whether test_me would have fitted without the 2 buffers",
        ),
    ] {
        let bench = Bench::new();
        bench.write("run.jsonl", in_tests(tests));
        let shown = bench.run(["oom", "--failure", failure, "run.jsonl"]).stdout;
        let earlier = &self::failure(&bench, failure)["earlier_tests"];
        if expected.is_empty() {
            assert!(!shown.contains("fitted") && earlier.is_null(), "{shown}");
            continue;
        }
        assert!(shown.contains(expected), "{expected}\n{shown}");
        let would_fit = match () {
            () if expected.contains(no) => Value::Null,
            () => json!(!expected.contains("not have fitted")),
        };
        assert_eq!(earlier["fits_without"], would_fit, "{expected}");
        assert_eq!(earlier["n_buffers"], tests.len() - 1, "{expected}");
        assert_eq!(earlier["tests"][0]["test"], format!("tests/{A}"), "{expected}");
        let fixture = if tests[0].1 == HELD_A { json!("held") } else { Value::Null };
        assert_eq!(earlier["tests"][0]["fixture"], fixture, "{expected}");
    }
}

#[test]
fn of_those_who_left_something_as_many_are_listed_as_rows_are_wanted() {
    let bench = Bench::new();
    bench.write("run.jsonl", in_tests(&[(15, HELD_A), (16, A), (21, ME)]));
    let shown = bench.run(["oom", "-n", "1", "--failure", "3", "run.jsonl"]).stdout;
    let expected =
        "\n  1 buffer, 1.37 KiB in each bank: fixture held, set up for x.py::test_a\n... and 1 holder more\n";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn a_run_that_went_on_says_it_too() {
    let lines: Vec<String> = in_tests(&[(2, A), (7, ME)]).lines().skip(1).map(str::to_owned).collect();
    let end = lines.iter().position(|line| line.contains("\"n\":9,")).unwrap();
    let said = said_by_run(&lines[..=end], "1");
    let expected =
        "test_me would have fitted without the buffer that x.py::test_a left (1000 B in each bank)";
    assert_eq!(said[said.len() - 2], expected);
}

#[test]
fn a_program_that_a_thread_of_the_runtime_refuses_was_asked_for_where_it_was_launched() {
    let bench = bench();
    let mut events = attributed();
    let at = |events: &[String], n: u64| events.iter().position(|line| line.contains(&format!("\"n\":{n},")));
    let (launched, refused) = (at(&events, 20).unwrap(), at(&events, 21).unwrap());
    events[launched] = events[launched].replacen("\"tid\":1", "\"tid\":1,\"ctx\":1", 1);
    // Another program of the workload, launched before the first is refused.
    events[refused] = launch(21, 5).replacen("\"tid\":1", "\"tid\":1,\"ctx\":1", 1);
    let clash = |n, program| clash(n, "circular", program).replacen("\"tid\":1", "\"tid\":2", 1);
    events.splice(refused + 1..=refused + 2, [clash(22, 7), clash(23, 5), dealloc(24, "L1", 4500, 16)]);
    bench.write("run.jsonl", stream(&events));
    let found = failure(&bench, "3");
    assert_eq!((&found["op"], &found["where"]["line"]), (&json!("ttnn.add"), &json!(31)));
    assert_eq!(found["clash"]["ran"]["at"]["n"], 9);
    assert_eq!(failure(&bench, "4")["clash"]["ran"], Value::Null);
}

#[test]
fn where_nothing_was_refused_it_is_said() {
    let bench = Bench::new();
    bench.write("run.jsonl", stream(&events()[..6]));
    let shown = bench.run(["oom", "run.jsonl"]);
    assert_eq!((shown.code, shown.stdout.contains("nothing was refused")), (0, true));
    assert_eq!(bench.json(&["oom", "--json", "run.jsonl"])["processes"][0]["failure"], Value::Null);
}

#[test]
fn the_page_shows_what_is_printed() {
    let bench = bench();
    let page = std::fs::read_to_string(support::schema::docs().join("verbs/oom.md")).unwrap();
    let mut n_shown = 0;
    for command in ["oom --failure 1 run.jsonl", "oom --failure 3 run.jsonl"] {
        let printed = bench.run(command.split(' ')).stdout;
        let start = format!("    $ tt-memtrace {command}");
        let example = page.lines().skip_while(|line| *line != start).skip(1);
        let example = example.take_while(|line| line.is_empty() || line.starts_with("    "));
        let example: Vec<&str> = example.map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
        let printed: Vec<&str> = printed.trim_end().lines().collect();
        assert_eq!(example.join("\n").trim_end(), printed.join("\n"));
        n_shown += 1;
    }
    assert_eq!(n_shown, 2);
}
