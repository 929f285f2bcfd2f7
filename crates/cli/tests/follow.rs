//! `ctl --follow`: figures of each test while the capture grows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::{Bench, FOOTER, MESH, alloc, capture, event, free};

const PATIENCE: Duration = Duration::from_secs(120);

/// The capture of a process that runs.
fn running(pid: u32, lines: &[&str]) -> String {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = capture(pid, "", lines);
    text.replace("\"process_start\":1", "\"process_start\":0")
        .replace("\"boot_id\":\"none\"", &format!("\"boot_id\":\"{}\"", boot_id.trim()))
}

fn mark(n: u64, name: &str) -> String {
    event("mark", n, &format!(",\"name\":\"{name}\""))
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command, and its answers as they come. Each is held to the schema.
struct Following {
    command: Killed,
    answers: Receiver<Value>,
}

impl Following {
    fn start(bench: &Bench, words: &[&str]) -> Self {
        let mut command = bench.command();
        command.args(["ctl", "--follow"]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut command = Killed(command.spawn().unwrap());
        let lines = BufReader::new(command.0.stdout.take().unwrap()).lines();
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for line in lines {
                let line = line.unwrap();
                support::schema::check(&line);
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { command, answers }
    }

    fn next(&self) -> Value {
        self.answers.recv_timeout(PATIENCE).unwrap()
    }

    fn ended(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.command.0.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

fn left(answer: &Value) -> Vec<u64> {
    let sums = answer["left"]["sums"].as_array();
    sums.map(|sums| sums.iter().map(|of| of["bytes"].as_u64().unwrap()).collect()).unwrap_or_default()
}

#[test]
fn each_mark_is_answered_while_the_capture_grows() {
    let bench = Bench::new();
    let path = bench.write("p.jsonl", running(std::process::id(), &[MESH]));
    let mut following = Following::start(&bench, &["p.jsonl"]);
    append(&path, &format!("{}\n", mark(1, "t:begin")));
    assert_eq!(following.next()["mark"], "t:begin");
    // The line of a mark comes in two parts.
    let line = mark(3, "t:end");
    append(&path, &format!("{}\n{}", alloc(2, 64, 1000), &line[..30]));
    assert!(following.answers.recv_timeout(Duration::from_millis(300)).is_err());
    append(&path, &format!("{}\n", &line[30..]));
    let answer = following.next();
    assert_eq!((&answer["mark"], left(&answer)), (&json!("t:end"), vec![1000]));
    append(&path, &format!("{FOOTER}\n"));
    let last = following.next();
    assert_eq!((&last["mark"], &last["ended"]), (&Value::Null, &json!("exited")));
    assert!(following.ended());
}

#[test]
fn on_input_it_answers_when_told_and_when_nobody_can_tell_it() {
    let bench = Bench::new();
    let path = bench.write("p.jsonl", running(std::process::id(), &[MESH]));
    let mut following = Following::start(&bench, &["p.jsonl", "--on-input"]);
    let mut input = following.command.0.stdin.take().unwrap();
    for n in 1..100 {
        append(&path, &format!("{}\n", mark(n, "told")));
        input.write_all(b"\n").unwrap();
        assert_eq!(following.next()["at"]["n"], n);
    }
    append(&path, &format!("{}\n", mark(100, "not told")));
    assert_eq!(following.next()["mark"], "not told");
    drop(input);
    append(&path, &format!("{}\n{FOOTER}\n", mark(101, "nobody tells")));
    assert_eq!(following.next()["mark"], "nobody tells");
    assert_eq!(following.next()["ended"], "exited");
    assert!(following.ended());
}

#[test]
fn what_a_span_left_has_its_operation_and_line() {
    let bench = Bench::new();
    let definitions = [
        r#"{"kind":"text","text":1,"value":"ttnn.add"}"#,
        r#"{"kind":"text","text":2,"value":"/m/model.py"}"#,
        r#"{"kind":"text","text":3,"value":"forward"}"#,
        r#"{"kind":"stack","stack":1,"frames":[[2,3,31]],"is_cut":false}"#,
        r#"{"kind":"context","ctx":1,"op":1,"stack":1,"test":null}"#,
    ];
    let attributed = alloc(2, 64, 1000).replacen("\"tid\"", "\"ctx\":1,\"tid\"", 1);
    let (begin, end) = (mark(1, "t:begin"), mark(3, "t:end"));
    let mut lines = vec![MESH];
    lines.extend(definitions);
    lines.extend([begin.as_str(), &attributed, &end, FOOTER]);
    bench.write("p.jsonl", capture(1, "", &lines));
    let following = Following::start(&bench, &["p.jsonl"]);
    following.next();
    let largest = following.next()["left"]["largest"][0].clone();
    let expected = json!({"file": "/m/model.py", "line": 31, "function": "forward"});
    assert_eq!((&largest["op"], &largest["where"]), (&json!("ttnn.add"), &expected));
}

#[test]
fn a_killed_process_ends_the_answers_with_what_it_held() {
    let bench = Bench::new();
    let mut process = Killed(Command::new("sleep").arg("600").spawn().unwrap());
    let lines = [MESH, &mark(1, "t:begin"), &alloc(2, 64, 1000)];
    bench.write("p.jsonl", running(process.0.id(), &lines));
    let mut following = Following::start(&bench, &["p.jsonl"]);
    following.next();
    process.0.kill().unwrap();
    process.0.wait().unwrap();
    let last = following.next();
    assert_eq!((&last["mark"], &last["ended"]), (&Value::Null, &json!("killed")));
    assert_eq!(last["chips"][0]["types"][0]["peak_bytes"], 1000);
    assert!(following.ended());
}

#[test]
fn of_a_folder_the_capture_of_the_process_is_followed_once_it_is_there() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("runs")).unwrap();
    let other = Killed(Command::new("sleep").arg("600").spawn().unwrap());
    bench.write("runs/other.jsonl", running(other.0.id(), &[MESH, &mark(1, "other")]));
    let pid = std::process::id().to_string();
    let following = Following::start(&bench, &["runs", "--pid", &pid]);
    assert!(following.answers.recv_timeout(Duration::from_millis(300)).is_err());
    bench.write("runs/mine.jsonl", running(std::process::id(), &[MESH, &mark(1, "mine")]));
    assert_eq!(following.next()["mark"], "mine");
}

#[test]
fn it_ends_once_nobody_reads_the_answers() {
    for is_there in [true, false] {
        let bench = Bench::new();
        if is_there {
            bench.write("p.jsonl", running(std::process::id(), &[MESH]));
        }
        let mut command = bench.command();
        let command = command.args(["ctl", "--follow", "p.jsonl"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut command = Killed(command);
        drop(command.0.stdout.take());
        let deadline = Instant::now() + PATIENCE;
        while command.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it goes on, capture: {is_there}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn marks_that_bound_no_known_span_are_answered_without_a_verdict() {
    let bench = Bench::new();
    let names = ["u:end", "u:release", "u:hold", ":", "", "u", "u:begin", "v:end"];
    let marks: Vec<String> = (1..).zip(names).map(|(n, name)| mark(n, name)).collect();
    let mut lines = vec![MESH];
    lines.extend(marks.iter().map(String::as_str));
    lines.push(FOOTER);
    bench.write("p.jsonl", capture(1, "", &lines));
    let following = Following::start(&bench, &["p.jsonl"]);
    for name in names {
        let answer = following.next();
        assert_eq!((&answer["mark"], &answer["left"]), (&json!(name), &Value::Null));
    }
    assert_eq!(following.next()["ended"], "exited");
}

#[test]
fn two_thousand_tests_have_a_figure_each() {
    let bench = Bench::new();
    let mut lines = vec![MESH.to_owned()];
    for i in 0..2000 {
        let n = i * 5;
        lines.push(mark(n + 1, &format!("t{i}:begin")));
        lines.push(alloc(n + 2, 1 << 20, i + 1));
        lines.push(alloc(n + 3, (1 << 30) + i * 64, 7));
        lines.push(free(n + 4, 1 << 20));
        lines.push(mark(n + 5, &format!("t{i}:end")));
    }
    lines.push(FOOTER.to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    bench.write("p.jsonl", capture(1, "", &lines));
    let following = Following::start(&bench, &["p.jsonl"]);
    for i in 0..2000_u64 {
        following.next();
        let answer = following.next();
        let peak = answer["chips"][0]["types"][0]["peak_bytes"].as_u64();
        assert_eq!((peak, left(&answer)), (Some(i * 7 + i + 8), vec![7]), "of test {i}");
    }
}

#[test]
fn a_fixture_that_is_held_by_more_than_a_thousand_tests_is_judged_at_its_end() {
    let bench = Bench::new();
    let mut lines = vec![MESH.to_owned(), mark(1, "f:begin"), alloc(2, 64, 1000), mark(3, "f:hold")];
    for i in 0..1500 {
        lines.extend([mark(4 + i * 2, &format!("t{i}:begin")), mark(5 + i * 2, &format!("t{i}:end"))]);
    }
    lines.extend([mark(9000, "f:release"), FOOTER.to_owned()]);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    bench.write("p.jsonl", capture(1, "", &lines));
    let following = Following::start(&bench, &["p.jsonl"]);
    let answers: Vec<Value> = (0..3003).map(|_| following.next()).collect();
    assert!(answers[2..3002].iter().all(|answer| left(answer).is_empty()));
    assert_eq!(left(&answers[3002]), [1000]);
}
