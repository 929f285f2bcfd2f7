//! `live`: of a capture that grows, of the server, and on a real terminal.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::schema::complaints;
use support::{Bench, FOOTER, MESH, SAMPLE, alloc, capture, event, free};

/// The capture of a process that runs: this one.
fn of_a_running_process(lines: &[&str]) -> String {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = capture(std::process::id(), "", lines);
    text.replace("\"process_start\":1", "\"process_start\":0")
        .replace("\"boot_id\":\"none\"", &format!("\"boot_id\":\"{}\"", boot_id.trim()))
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_state_is_as_its_schema_says_and_lacks_nothing() {
    let bench = Bench::new();
    bench.write("run.jsonl", SAMPLE);
    let mut state = bench.json(&["live", "--json", "run.jsonl"]);
    assert_eq!(state["schema"], "tt-memtrace.state");
    assert_eq!(
        (&state["processes"][0]["status"], &state["processes"][0]["n_events"]),
        (&json!("exited"), &json!(72))
    );
    for field in state.clone().as_object().unwrap().keys() {
        let taken = state.as_object_mut().unwrap().remove(field).unwrap();
        assert!(!complaints("state", &state).is_empty(), "the schema does without {field}");
        state[field] = taken;
    }
}

#[test]
fn a_capture_is_followed_while_it_is_written_until_its_process_ends() {
    let bench = Bench::new();
    let path = bench.write("runs/p.jsonl", of_a_running_process(&[MESH, &alloc(1, 64, 1000)]));
    let mut child = bench.command();
    let child =
        child.args(["live", "--json", "--interval", "20", "runs"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let mut states = BufReader::new(child.0.stdout.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        support::schema::check(&line);
        serde_json::from_str::<Value>(&line).unwrap()
    });
    let dram = |state: &Value| state["chips"][1]["memory"][0]["live_bytes"].as_u64();
    assert!(states.any(|state| dram(&state) == Some(1000)));
    // A line comes in two parts, and another process joins.
    let line = alloc(2, 4096, 500);
    append(&path, &line[..40]);
    std::thread::sleep(Duration::from_millis(50));
    append(&path, &format!("{}\n", &line[40..]));
    assert!(states.any(|state| dram(&state) == Some(1500)));
    let other = of_a_running_process(&[MESH, &alloc(1, 64, 7)]);
    bench.write("runs/q.jsonl", other);
    assert!(
        states.any(|state| dram(&state) == Some(1507) && state["processes"].as_array().unwrap().len() == 2)
    );
    append(&path, &format!("{}\n{FOOTER}\n", free(3, 4096)));
    assert!(states.any(|state| dram(&state) == Some(7)));
    append(&bench.path("runs/q.jsonl"), &format!("{FOOTER}\n"));
    let last = states.last().unwrap();
    assert!(last["processes"].as_array().unwrap().iter().all(|process| process["status"] == "exited"));
    assert_eq!((&last["chips"][0]["memory"][0]["peak_bytes"], &last["holders"]), (&json!(1500), &json!([])));
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn a_killed_process_holds_nothing_and_is_said_to_be_killed() {
    let bench = Bench::new();
    let mut sleeper = Killed(Command::new("sleep").arg("600").spawn().unwrap());
    let text = of_a_running_process(&[MESH, &alloc(1, 64, 1000)]);
    let text =
        text.replace(&format!("\"pid\":{}", std::process::id()), &format!("\"pid\":{}", sleeper.0.id()));
    bench.write("p.jsonl", text);
    let running = bench.json(&["live", "--json", "p.jsonl"]);
    assert_eq!(
        (&running["processes"][0]["status"], &running["holders"][0]["size_bytes"]),
        (&json!("running"), &json!(1000))
    );
    sleeper.0.kill().unwrap();
    sleeper.0.wait().unwrap();
    let killed = bench.json(&["live", "--json", "p.jsonl"]);
    assert_eq!((&killed["processes"][0]["status"], &killed["holders"]), (&json!("killed"), &json!([])));
}

#[test]
fn a_forked_child_begins_with_what_its_parent_held_and_it_counts_once() {
    let bench = Bench::new();
    let fork = event("fork", 2, ",\"token\":9");
    let parent = bench.write("p.jsonl", of_a_running_process(&[MESH, &alloc(1, 64, 1000), &fork]));
    let more = format!(
        ",\"parent\":{{\"capture\":{:?},\"pid\":{},\"token\":9}}",
        parent.display().to_string(),
        std::process::id()
    );
    let child = of_a_running_process(&[MESH, &alloc(1, 4096, 10)]);
    bench.write("q.jsonl", child.replacen('}', &format!("{more}}}"), 1));
    let state = bench.json(&["live", "--json", "."]);
    assert_eq!(state["chips"][0]["memory"][0]["live_bytes"], 1010);
    let held: Vec<_> =
        state["processes"].as_array().unwrap().iter().map(|of| &of["memory"][0]["live_bytes"]).collect();
    assert!(held.contains(&&json!(2000)) && held.contains(&&json!(20)), "{held:?}");
}

#[test]
fn one_picture_is_plain_text() {
    let bench = Bench::new();
    bench.write("p.jsonl", of_a_running_process(&[MESH, &alloc(1, 64, 3 << 20)]));
    let shown = bench.run(["live", "--once", "--color", "always", "p.jsonl"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        shown.stdout.starts_with("tt-memtrace live p.jsonl\n1 of 1 process, 1 event, "),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("3.00 MiB") && shown.stdout.is_ascii() && !shown.stdout.contains('\x1b'));
}

#[test]
fn what_cannot_be_shown_is_said_with_what_to_do() {
    let bench = Bench::new();
    bench.write("damaged.jsonl", format!("{}rubbish\n", of_a_running_process(&[MESH])));
    bench.write("empty/readme.txt", "");
    for (words, code, said) in [
        (
            vec!["live", "--once", "--socket", "none.sock"],
            3,
            "no tracking server at none.sock (there is none): start one: tt-memtrace serve",
        ),
        (vec!["live", "--once", "none.jsonl"], 3, "none.jsonl: cannot read: No such file"),
        (vec!["live", "--json", "empty"], 3, "no capture (*.jsonl) in this directory"),
        (vec!["live", "--once", "damaged.jsonl"], 3, "damaged.jsonl:3: not a line of a capture"),
        (vec!["live", "damaged.jsonl"], 2, "live needs a terminal: --once gives one picture as text"),
    ] {
        let outcome = bench.run(&words);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert!(outcome.stderr.contains(said) && outcome.stdout.is_empty(), "{outcome:?}");
    }
}

#[test]
fn on_a_terminal_it_draws_obeys_keys_and_gives_the_terminal_back() {
    let Some(tmux) = Tmux::start() else { return };
    let bench = Bench::new();
    let path = bench.write("p.jsonl", of_a_running_process(&[MESH, &alloc(1, 64, 3 << 20)]));
    let command = env!("CARGO_BIN_EXE_tt-memtrace");
    for (end, said) in [("q", "ended 0"), ("TERM", "ended 143")] {
        tmux.run(&[
            "send-keys",
            "-t",
            "t",
            &format!("clear; {command} live {}; echo ended $?", path.display()),
            "Enter",
        ]);
        wait_until("the first picture", || tmux.screen().contains("3.00 MiB"));
        append(&path, &format!("{}\n", alloc(2, 4096 << 12, 5 << 20)));
        wait_until("a new buffer", || tmux.screen().contains("5.00 MiB"));
        tmux.run(&["resize-window", "-t", "t", "-x", "40", "-y", "10"]);
        tmux.run(&["resize-window", "-t", "t", "-x", "150", "-y", "50"]);
        tmux.run(&["send-keys", "-t", "t", "?"]);
        wait_until("the help", || tmux.screen().contains("merge processes"));
        if end == "q" {
            tmux.run(&["send-keys", "-t", "t", "xq"]);
        } else {
            let pid = tmux.child("tt-memtrace");
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        wait_until("the end", || tmux.screen().contains(said));
        // Echo and line mode are back, and the screen from before.
        assert!(!tmux.screen().contains("merge processes"), "{}", tmux.screen());
        tmux.run(&["send-keys", "-t", "t", "stty -a | tr ' ;' '\\n' | grep -xc -e echo -e icanon", "Enter"]);
        wait_until("the terminal's mode", || tmux.screen().lines().any(|line| line.trim() == "2"));
    }
}

#[test]
fn a_terminal_that_is_gone_ends_it() {
    let bench = Bench::new();
    let path = bench.write("p.jsonl", of_a_running_process(&[MESH, &alloc(1, 64, 3 << 20)]));
    // Not its controlling terminal, so no signal tells of its end.
    let script = "import os, select, subprocess, sys\n\
                  ours, theirs = os.openpty()\n\
                  live = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs)\n\
                  os.close(theirs)\n\
                  for i in range(20): select.select([ours], [], [], 1)[0] and os.read(ours, 4096)\n\
                  os.close(ours)\n\
                  print(live.wait(100))";
    let mut python = Command::new("python3");
    python.args(["-c", script, env!("CARGO_BIN_EXE_tt-memtrace"), "live"]).arg(path).env("TERM", "xterm");
    let output = python.output().unwrap();
    // 2 if it is drawing just then.
    assert!(["129\n", "2\n"].contains(&&*String::from_utf8_lossy(&output.stdout)), "{output:?}");
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A terminal.
struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    fn start() -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            support::skip("tmux");
            return None;
        }
        let tmux = Self { folder: tempfile::tempdir().unwrap() };
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", "100", "-y", "30", "sh"]);
        Some(tmux)
    }

    fn run(&self, words: &[&str]) -> String {
        let socket: PathBuf = self.folder.path().join("tmux");
        let mut command = Command::new("tmux");
        let output = command.arg("-S").arg(socket).args(words).env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p", "-t", "t"])
    }

    /// The pid of what the shell runs.
    fn child(&self, name: &str) -> String {
        let shell = self.run(&["list-panes", "-t", "t", "-F", "#{pane_pid}"]);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.trim())).unwrap();
        let is_it = |pid: &&str| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
        };
        children.split_ascii_whitespace().find(is_it).unwrap().to_owned()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let socket = self.folder.path().join("tmux");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}
