//! `run`: the command comes first, and nothing is overwritten.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use support::{Bench, Outcome, SAMPLE};

fn run(bench: &Bench, library: &Path, words: &[&str]) -> Outcome {
    let output = bench.command().arg("run").args(words).env("TT_MEMTRACE_LIB", library).output();
    Outcome::of(output.unwrap())
}

#[test]
fn the_commands_status_streams_and_words_are_its_own() {
    let bench = Bench::new();
    let library = bench.library();
    let outcome = run(
        &bench,
        &library,
        &["-q", "--", "sh", "-c", "echo out \"$1\"; echo err >&2; exit 7", "x", "a  b"],
    );
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (7, "out a  b\n", "err\n"));
    assert_eq!(run(&bench, &library, &["-q", "--", "sh", "-c", "kill -9 $$"]).code, 137);
    assert_eq!(run(&bench, &library, &["-q", "--", "sh", "-c", "kill -TERM $$"]).code, 143);
    assert_eq!(bench.names(), ["libtt_memtrace.so"]);
    std::fs::create_dir(bench.path("mine")).unwrap();
    assert_eq!(run(&bench, &library, &["-q", "-o", "mine", "--", "true"]).code, 0);
    assert_eq!(bench.names(), ["libtt_memtrace.so", "mine"]);
}

#[test]
fn a_command_that_cannot_be_started_ends_as_in_a_shell() {
    let bench = Bench::new();
    let library = bench.library();
    let missing = run(&bench, &library, &["--", "no-such-command"]);
    assert_eq!(
        (missing.code, missing.stderr.as_str()),
        (127, "tt-memtrace: no-such-command: command not found\n")
    );
    let script = bench.write("script", "echo ran $1\n");
    let denied = run(&bench, &library, &["--", "./script"]);
    assert_eq!((denied.code, denied.stderr.as_str()), (126, "tt-memtrace: ./script: Permission denied\n"));
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(&bench, &library, &["-q", "--", "./script", "5"]).stdout, "ran 5\n");
}

#[test]
fn the_command_is_told_where_to_record_and_what_to_load() {
    let bench = Bench::named("two words:");
    let library = bench.library();
    let script = "echo \"$TT_MEMTRACE_OUTPUT|$TT_ALLOC_TRACKING_ENABLED\"; tr '\\0' '\\n' </proc/$$/environ | grep ^LD_P";
    let outcome = run(&bench, &library, &["-o", "out", "--", "sh", "-c", script]);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], format!("{}|1", bench.path("out").display()));
    let preload = lines[1].strip_prefix("LD_PRELOAD=").unwrap();
    assert!(!preload.contains([' ', ':']), "{preload}");
    assert_eq!(std::fs::canonicalize(preload).unwrap(), library.canonicalize().unwrap());
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .starts_with("tt-memtrace: no device-memory event was recorded; why: tt-memtrace doctor -- sh")
    );
    assert!(!bench.path("out").exists());
    std::fs::remove_file(preload).unwrap();
}

#[test]
fn an_existing_preload_is_kept_behind_ours() {
    let bench = Bench::new();
    let library = bench.library();
    let other = bench.path("other.so");
    std::fs::copy(&library, &other).unwrap();
    let mut command = bench.command();
    command.args(["run", "-q", "--", "sh", "-c", "echo $LD_PRELOAD"]).env("LD_PRELOAD", &other);
    let outcome = Outcome::of(command.env("TT_MEMTRACE_LIB", &library).output().unwrap());
    let library = library.canonicalize().unwrap();
    assert_eq!(outcome.stdout.trim(), format!("{}:{}", library.display(), other.display()));
}

#[test]
fn an_existing_output_is_refused_before_the_command_starts() {
    let bench = Bench::new();
    let library = bench.library();
    bench.write("x.jsonl", "old");
    bench.write("x.12.jsonl", "old");
    bench.write("dir/old.jsonl", "old");
    bench.write("dir/notes.txt", "mine");
    bench.write("file", "mine");
    for output in ["x.jsonl", "dir", "file"] {
        let outcome = run(&bench, &library, &["-o", output, "--", "touch", "started"]);
        assert_eq!((outcome.code, outcome.stderr.lines().count()), (2, 1), "{}", outcome.stderr);
    }
    assert_eq!(run(&bench, &library, &["-f", "-o", "file", "--", "touch", "started"]).code, 2);
    assert_eq!(run(&bench, &library, &["-o", "a.%q", "--", "touch", "started"]).code, 2);
    assert!(!bench.path("started").exists());
    for output in ["x.jsonl", "dir"] {
        assert_eq!(run(&bench, &library, &["-f", "-o", output, "--", "touch", "started"]).code, 0);
    }
    assert_eq!(bench.names(), ["dir", "file", "libtt_memtrace.so", "started"]);
    assert!(bench.path("dir/notes.txt").exists() && !bench.path("dir/old.jsonl").exists());
}

#[test]
fn an_unwritable_output_leaves_the_command_unharmed() {
    let bench = Bench::new();
    let library = bench.library();
    for output in ["/proc/none", "missing/x.jsonl", "missing/x.%p.jsonl"] {
        let outcome =
            run(&bench, &library, &["-o", output, "--", "sh", "-c", "echo $LD_PRELOAD ran; exit 4"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (4, "ran\n"), "{output}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("cannot write"), "{}", outcome.stderr);
    }
}

#[test]
fn a_missing_library_is_said_before_the_command_starts() {
    let bench = Bench::new();
    let outcome = run(&bench, Path::new("/no/lib.so"), &["--", "touch", "started"]);
    assert_eq!(outcome.code, 2);
    assert_eq!(outcome.stderr, "tt-memtrace: TT_MEMTRACE_LIB names /no/lib.so: No such file or directory\n");
    assert!(!bench.path("started").exists());
}

#[test]
fn a_short_summary_and_the_next_command_come_at_the_end() {
    let bench = Bench::new();
    let library = bench.library();
    bench.write("sample", SAMPLE);
    let outcome = run(&bench, &library, &["-o", "out", "--", "cp", "sample", "out/a.jsonl"]);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(
        lines[0],
        "tt-memtrace: out/a.jsonl: python3 pid 4242, 72 events in 0.344 s, complete, exited"
    );
    assert_eq!(
        lines[1],
        "tt-memtrace: chips 0-7, each: DRAM peak 37.00 MiB (0.3 % of a bank), left 3.00 MiB"
    );
    assert_eq!(lines[4], "tt-memtrace:   3 LEAKED, 1 known to stay (1 semaphore)");
    assert_eq!(lines[5], "tt-memtrace: next: tt-memtrace leaks out");
    assert_eq!((lines.len(), outcome.stdout.as_str()), (6, ""));
    let pattern = run(&bench, &library, &["-o", "r.%p.jsonl", "--", "cp", "sample", "r.17.jsonl"]);
    assert!(pattern.stderr.ends_with("next: tt-memtrace leaks r.17.jsonl\n"), "{}", pattern.stderr);
}

#[test]
fn a_misspelt_variable_is_named() {
    let bench = Bench::new();
    let mut command = bench.command();
    command.args(["run", "-q", "--", "true"]).env("TT_MEMTRACE_STACK", "python");
    let outcome = Outcome::of(command.env("TT_MEMTRACE_LIB", bench.library()).output().unwrap());
    assert_eq!(
        outcome.stderr,
        "tt-memtrace: warning: unknown variable TT_MEMTRACE_STACK, did you mean TT_MEMTRACE_STACKS?\n"
    );
}

/// Starts a shell that says when it is ready, sends us the signal, and gives the outcome.
fn signalled(script: &str, signal: Signal) -> (i32, String) {
    let bench = Bench::new();
    let mut command = bench.command();
    command.args(["run", "-q", "--", "sh", "-c", script]).env("TT_MEMTRACE_LIB", bench.library());
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    if signal == Signal::SIGINT {
        drop(child.stdin.take());
    }
    let said = lines.map(Result::unwrap).collect::<Vec<_>>().join("\n");
    (child.wait().unwrap().code().unwrap(), said)
}

#[test]
fn a_request_to_end_is_passed_on_and_an_interrupt_is_left_to_the_command() {
    let waits = "sleep 600 & trap \"echo told; kill $!; exit 5\" TERM; echo ready; wait";
    assert_eq!(signalled(waits, Signal::SIGTERM), (5, "told".to_owned()));
    assert_eq!(
        signalled("echo ready; cat; echo unharmed; exit 6", Signal::SIGINT),
        (6, "unharmed".to_owned())
    );
}

#[test]
fn the_doctor_looks_at_the_library_and_the_command() {
    let bench = Bench::new();
    let library = bench.library();
    let mut command = bench.command();
    command.args(["doctor", "--json", "--", "no-such-command"]).env("TT_MEMTRACE_LIB", &library);
    let outcome = Outcome::of(command.output().unwrap());
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let status = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["status"].clone()
    };
    assert_eq!(
        (status("library"), status("loads"), status("command")),
        ("ok".into(), "ok".into(), "fail".into())
    );
    assert_eq!(outcome.code, 2);

    bench.write("libtt_memtrace.so", "not a library");
    let broken =
        Outcome::of(bench.command().arg("doctor").env("TT_MEMTRACE_LIB", &library).output().unwrap());
    assert_eq!(broken.code, 2);
    assert!(broken.stdout.contains("FAIL  loads"), "{}", broken.stdout);
}

#[test]
fn the_command_is_told_which_server_to_tell_only_if_there_is_one() {
    let bench = Bench::new();
    let library = bench.library();
    let echo = ["sh", "-c", "echo \"$TT_MEMTRACE_SERVER\""];
    for (option, value) in
        [(None, ""), (Some("--server"), "1"), (Some("--server=/run/x.sock"), "/run/x.sock")]
    {
        let words: Vec<&str> = ["-q"].into_iter().chain(option).chain(["--"]).chain(echo).collect();
        assert_eq!(run(&bench, &library, &words).stdout.trim(), value, "{option:?}");
    }
}
