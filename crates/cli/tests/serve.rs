//! The tracking server: what it shows of processes that come, hold, go and die; and that nothing a peer sends
//! disturbs another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use support::server::{Fake, Server, eventually, header, header_with};
use support::{Bench, FOOTER, MESH, alloc, event, free};
use tt_memtrace_wire::frame::{self, Kind};

/// A process that opened chips 0 and 1 and holds so many bytes in DRAM of each, at one address.
fn holding(server: &Server, pid: u32, bytes: u64) -> Fake {
    let mut fake = Fake::connect(server, header(pid));
    fake.lines(&[MESH.to_owned(), alloc(1, 4096, bytes)]);
    fake.acked(1);
    fake
}

/// Of each chip: live bytes, peak and its basis.
fn dram(state: &Value) -> Vec<(u64, u64, String)> {
    let of = |chip: &Value| {
        let memory = &chip["memory"][0];
        let number = |field: &str| memory[field].as_u64().unwrap();
        (number("live_bytes"), number("peak_bytes"), memory["peak_basis"].as_str().unwrap().to_owned())
    };
    state["chips"].as_array().unwrap().iter().map(of).collect()
}

fn statuses(state: &Value) -> Vec<(u64, String)> {
    let of =
        |process: &Value| (process["pid"].as_u64().unwrap(), process["status"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = state["processes"].as_array().unwrap().iter().map(of).collect();
    all.sort();
    all
}

fn status(pid: u64, status: &str) -> (u64, String) {
    (pid, status.to_owned())
}

#[test]
fn two_processes_at_one_address_are_two_buffers_and_one_sum() {
    let server = Server::start();
    let mut a = holding(&server, 11, 1000);
    a.lines(&[alloc(2, 65536, 500), free(3, 65536)]);
    a.acked(3);
    assert_eq!(dram(&server.state()), [(1000, 1500, "exact".into()), (1000, 1500, "exact".into())]);
    let mut b = holding(&server, 12, 2000);
    let state = server.state();
    assert_eq!(dram(&state)[1], (3000, 3000, "lower_bound".into()));
    assert_eq!(state["chips"][0]["n_processes"], 2);
    assert_eq!(state["holders"].as_array().unwrap().len(), 2);
    assert_eq!(state["processes"][0]["memory"][0]["live_bytes"], 2000, "of both chips");
    b.lines(&[free(2, 4096), FOOTER.to_owned()]);
    b.acked(2);
    let state = server.state_where("12 is over", |state| statuses(state).contains(&status(12, "exited")));
    assert_eq!(dram(&state)[0].0, 1000);
    assert_eq!(statuses(&state), [status(11, "running"), status(12, "exited")]);
    server.says("p12 exited");
}

#[test]
fn who_exits_holding_something_is_told_of_and_gone_from_the_sums() {
    let server = Server::start();
    let mut a = holding(&server, 21, 1000);
    a.lines(&[FOOTER.to_owned()]);
    server.says("p21 exited, still holding DRAM 1.95 KiB");
    assert_eq!(dram(&server.state()), [(0, 1000, "exact".into()), (0, 1000, "exact".into())]);
}

/// Not a test of its own: the process that the next one kills.
#[test]
fn a_child_process_that_waits_to_be_killed() {
    let Some(socket) = std::env::var_os("TEST_SERVER") else { return };
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut bytes = Vec::new();
    let header = header_with(std::process::id(), 0, "", "");
    let role = frame::Role::Recorder;
    frame::Hello { version: frame::PROTOCOL, role, header: header.as_bytes() }.put(&mut bytes);
    frame::put_numbers(Kind::StateBegin, &[0, 0], &mut bytes);
    frame::put(Kind::StateEnd, b"", &mut bytes);
    support::server::put_lines(&[MESH.to_owned(), alloc(1, 4096, 7000)], &mut bytes);
    stream.write_all(&bytes).unwrap();
    // Whoever holds the other end of a connection says nothing of whether the process lives.
    let mut holder =
        Command::new("sleep").arg("600").stdin(std::os::fd::OwnedFd::from(stream)).spawn().unwrap();
    println!("holder {}", holder.id());
    let _ = holder.wait();
}

#[test]
fn exactly_the_buffers_of_a_killed_process_are_removed_even_while_another_holds_its_connection() {
    let server = Server::start();
    let _other = holding(&server, 31, 1000);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_process_that_waits_to_be_killed", "--nocapture"])
        .env("TEST_SERVER", server.socket())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let holder = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("holder ")?.1.to_owned()));
    server.state_where("the child holds", |state| dram(state).first().is_some_and(|of| of.0 == 8000));
    child.kill().unwrap();
    child.wait().unwrap();
    let pid = u64::from(child.id());
    let state =
        server.state_where("the child is gone", |state| statuses(state).contains(&status(pid, "killed")));
    assert_eq!(dram(&state)[0].0, 1000);
    server.says("was killed: 1 orphaned buffer removed (DRAM 13.67 KiB)");
    assert!(Command::new("kill").arg(holder.unwrap()).status().unwrap().success());
}

#[test]
fn a_process_that_lost_its_connection_keeps_what_it_holds_and_comes_back_as_the_same() {
    let server = Server::start();
    let mut fake = holding(&server, 41, 1000);
    fake.lines(&[alloc(2, 65536, 500), free(3, 65536)]);
    fake.acked(3);
    drop(fake);
    let state = server.state_where("41 is cut off", |state| statuses(state) == [status(41, "disconnected")]);
    assert_eq!(dram(&state)[0], (1000, 1500, "exact".into()));
    // It went on without us: events 4 to 9 are in no figure but those of the present.
    let mut fake = Fake::hello(&server, header(41));
    assert_eq!(fake.next().unwrap().0, Kind::Welcome);
    fake.state(9, 2, &[MESH.to_owned(), alloc(5, 8192, 300)]);
    fake.lines(&[alloc(10, 65536, 50)]);
    fake.acked(10);
    let state = server.state();
    assert_eq!(statuses(&state), [status(41, "running")]);
    assert_eq!(state["processes"][0]["id"], 1);
    assert_eq!((&state["n_skipped"], &state["n_dropped"]), (&json!(6), &json!(2)));
    assert_eq!(dram(&state)[0], (350, 1500, "lower_bound".into()));
    assert_eq!(state["processes"][0]["memory"][0]["peak_bytes"], 3000);
    server.says("p41 connected, is back");
}

#[test]
fn half_a_state_is_never_shown() {
    let server = Server::start();
    let mut fake = holding(&server, 51, 1000);
    let mut bytes = Vec::new();
    frame::put_numbers(Kind::StateBegin, &[1, 0], &mut bytes);
    support::server::put_lines(&[MESH.to_owned()], &mut bytes);
    fake.send(&bytes);
    fake.acked(1);
    assert_eq!(dram(&server.state())[0].0, 1000);
    drop(fake);
    let state = server.state_where("51 is cut off", |state| statuses(state) == [status(51, "disconnected")]);
    assert_eq!(dram(&state)[0].0, 1000);
}

#[test]
fn a_forked_child_begins_with_what_its_parent_held_and_does_not_count_it_twice() {
    let server = Server::start();
    let mut parent = holding(&server, 61, 1000);
    parent.lines(&[event("fork", 2, ",\"token\":7"), alloc(3, 65536, 500)]);
    parent.acked(3);
    let more = ",\"parent\":{\"capture\":\"\",\"pid\":61,\"token\":7}";
    let mut child = Fake::connect(&server, header_with(62, 2, "pid:[1]", more));
    child.lines(&[alloc(1, 131_072, 30), free(2, 4096)]);
    child.acked(2);
    let state = server.state();
    assert_eq!(dram(&state)[0].0, 1530);
    assert_eq!(state["n_skipped"], 0);
    assert!(state["anomalies"].as_array().unwrap().is_empty(), "{state}");
    parent.lines(&[FOOTER.to_owned()]);
    let state = server.state_where("61 is over", |state| statuses(state).contains(&status(61, "exited")));
    assert_eq!(dram(&state)[0].0, 30);
}

#[test]
fn a_forked_child_of_an_unknown_parent_is_said_to_be_one() {
    let server = Server::start();
    let more = ",\"parent\":{\"capture\":\"\",\"pid\":99,\"token\":7}";
    let mut child = Fake::connect(&server, header_with(63, 2, "pid:[1]", more));
    child.lines(&[MESH.to_owned(), free(1, 4096)]);
    child.acked(1);
    server.says("p63: what it inherited at its fork is not known here");
    let notes = server.state()["anomalies"].to_string();
    assert!(notes.contains("other process"), "{notes}");
}

#[test]
fn a_child_that_is_faster_than_its_parents_line_about_the_fork_is_waited_for() {
    let server = Server::start();
    let mut parent = holding(&server, 64, 1000);
    let more = ",\"parent\":{\"capture\":\"\",\"pid\":64,\"token\":7}";
    let mut child = Fake::hello(&server, header_with(65, 2, "pid:[1]", more));
    assert_eq!(child.next().unwrap().0, Kind::Welcome);
    parent.lines(&[event("fork", 2, ",\"token\":7")]);
    child.lines(&[free(1, 4096)]);
    child.acked(1);
    assert!(server.state()["anomalies"].as_array().unwrap().is_empty());
}

#[test]
fn whatever_one_peer_sends_another_is_unharmed() {
    let server = Server::start();
    let mut good = holding(&server, 71, 1000);
    let connect = || {
        let stream = UnixStream::connect(server.socket()).unwrap();
        stream.set_read_timeout(Some(support::server::DEADLINE)).unwrap();
        Fake { stream, header: String::new() }
    };
    let mut junk = connect();
    junk.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(junk.refused(), "bytes that are no frame");
    let mut long = connect();
    long.send(&frame::head(Kind::Hello, 1 << 30));
    assert!(long.refused().contains("more than 1048576"));
    let mut early = connect();
    early.send(&frame::head(Kind::Lines, 0));
    assert!(early.refused().contains("before the hello"));
    let mut thief = Fake::hello(&server, header_with(1, 0, &own_namespace(), ""));
    assert!(thief.refused().contains("says that it is pid 1"));
    let mut liar = Fake::hello(&server, header_with(std::process::id(), 12, &own_namespace(), ""));
    assert!(liar.refused().contains("says that it started at 12"));
    let mut newer = Fake::hello(&server, header(72).replace("\"1.0\"", "\"2.0\""));
    assert!(newer.refused().contains("reads 1.x"));
    let mut headless = Fake::hello(&server, "{}".into());
    assert!(headless.refused().contains("not a line"));
    let mut asker = holding(&server, 73, 1);
    let mut request = Vec::new();
    frame::put(Kind::Request, b"{}", &mut request);
    asker.send(&request);
    assert!(asker.refused().contains("Request"));
    let mut garbage = holding(&server, 74, 1);
    garbage.lines(&["garbage".into()]);
    assert!(garbage.refused().contains("not a line of a capture"));
    let mut cut = holding(&server, 75, 1);
    cut.send(&frame::head(Kind::Lines, 100));
    drop(cut);
    let mut torn = holding(&server, 76, 1);
    torn.send(&[&frame::head(Kind::Lines, 1)[..], b"x"].concat());
    assert!(torn.refused().contains("Lines"));
    good.lines(&[alloc(2, 65536, 500)]);
    good.acked(2);
    let state = server.state();
    assert!(statuses(&state).contains(&status(71, "running")));
    server.says("pid 1");
    server.says("p74: not listened to any longer: not a line of a capture");
}

fn own_namespace() -> String {
    std::fs::read_link("/proc/self/ns/pid").unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_hello_that_comes_byte_by_byte_is_not_waited_for_without_end() {
    let server = Server::start();
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    let began = std::time::Instant::now();
    let head = frame::head(Kind::Hello, 1000);
    eventually("the server gives up", || {
        let byte = if began.elapsed().as_millis() < 100 { head[0] } else { 0 };
        stream.write_all(&[byte]).is_err().then_some(())
    });
    let mut good = holding(&server, 81, 1000);
    good.lines(&[free(2, 4096)]);
    good.acked(2);
}

#[test]
fn lines_of_kinds_and_values_of_a_later_version_are_passed_over() {
    let server = Server::start();
    let mut fake = holding(&server, 91, 1000);
    let odd = event("sweep", 3, ",\"allocator\":1,\"cause\":\"moonlight\"");
    fake.lines(&[event("novelty", 2, ""), odd, alloc(4, 65536, 500)]);
    fake.acked(4);
    assert_eq!(dram(&server.state())[0].0, 1500);
    let notes = server.state()["anomalies"].to_string();
    assert!(notes.contains("cause") && notes.contains("passed over"), "{notes}");
}

#[test]
fn thousands_of_connections_leave_room_for_others() {
    let wanted = std::env::var("CONNECTIONS").map_or(2000, |n| n.parse::<u64>().unwrap());
    // Ours count against the same limit as those of the tests beside this one.
    let (_, most_files) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most_files.min(1024 + 2 * wanted), most_files).unwrap();
    // Where no more are allowed, still more than the server takes of one process.
    let n_connections = wanted.min(most_files / 2);
    let server = Server::start();
    let mut good = holding(&server, 101, 1000);
    let before = server.resident_bytes();
    let mut all = Vec::new();
    for _ in 0..n_connections {
        // Those that are refused may be closed already.
        if let Ok(stream) = UnixStream::connect(server.socket()) {
            all.push(stream);
        }
    }
    server.says("too many connections");
    // `ctl` is another process, which one that connects too often does not keep out.
    assert_eq!(dram(&server.state())[0].0, 1000);
    good.lines(&[alloc(2, 65536, 500)]);
    good.acked(2);
    assert!(server.resident_bytes() < before + (64 << 20));
    drop(all);
    assert_eq!(dram(&server.state())[0].0, 1500);
    let n_lines = server.log().len();
    assert!(n_lines < 200, "{n_lines} lines of log");
}

#[test]
fn memory_follows_what_is_live_not_what_happened() {
    let server = Server::start();
    let mut fake = holding(&server, 111, 1000);
    let mut n = 1;
    let mut churn = |fake: &mut Fake, rounds: u64| {
        for _ in 0..rounds {
            let pair =
                |i: u64| [alloc(n + 2 * i + 1, 65536 * (i + 2), 64), free(n + 2 * i + 2, 65536 * (i + 2))];
            let lines: Vec<String> = (0..500).flat_map(pair).collect();
            n += 1000;
            fake.lines(&lines);
            fake.acked(n);
        }
    };
    churn(&mut fake, 20);
    let before = server.resident_bytes();
    churn(&mut fake, 100);
    let after = server.resident_bytes();
    assert!(after < before + (4 << 20), "{before} to {after} bytes");
    assert_eq!(server.state()["n_events"], 120_001);
}

#[test]
fn what_a_killed_server_left_is_replaced_and_a_running_one_is_not() {
    let mut server = Server::start();
    let second = server.bench.run(["serve", "--socket", server.socket().to_str().unwrap()]);
    assert_eq!(second.code, 2);
    assert!(second.stderr.contains(&format!("already (pid {})", server.child.id())), "{}", second.stderr);
    assert!(second.stderr.contains(" shutdown, or take another socket"), "{}", second.stderr);
    let mut fake = holding(&server, 121, 1000);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert!(fake.next().is_err());
    assert!(server.socket().exists());
    let bench = std::mem::replace(&mut server.bench, Bench::new());
    let again = Server::start_in(bench, &[]);
    let mut fake = Fake::connect(&again, header(121));
    fake.state(1, 0, &[MESH.to_owned(), alloc(1, 4096, 1000)]);
    fake.lines(&[alloc(2, 65536, 500)]);
    fake.acked(2);
    assert_eq!(dram(&again.state())[0].0, 1500);
}

#[test]
fn a_server_ends_in_order_by_a_signal_and_by_request() {
    for by_request in [false, true] {
        let mut server = Server::start();
        let _fake = holding(&server, 131, 1000);
        if by_request {
            assert_eq!(server.ctl(&["shutdown"]).stdout, "the server ends\n");
        } else {
            server.signal("TERM");
        }
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        assert!(!server.socket().exists());
        let outcome = server.ctl(&["stats"]);
        assert_eq!(outcome.code, 3);
        assert!(outcome.stderr.contains("start one: tt-memtrace serve"), "{}", outcome.stderr);
    }
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let bench = Bench::new();
    bench.write("s", "precious");
    let outcome = bench.run(["serve", "--socket", "s"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("is no socket"), "{}", outcome.stderr);
    assert_eq!(std::fs::read_to_string(bench.path("s")).unwrap(), "precious");
}

#[test]
fn ctl_answers_in_text_and_json() {
    let server = Server::start();
    let mut fake = holding(&server, 141, 1000);
    let kernel = ",\"mesh_id\":0,\"kernel\":\"APPLICATION\",\"program\":5,\"size_bytes\":100,\"n_cores\":8";
    fake.lines(&[event("kernel_load", 2, kernel)]);
    fake.acked(2);
    for request in ["stats", "dump", "kernels"] {
        let text = server.ctl(&[request]);
        assert_eq!((text.code, text.stderr.as_str()), (0, ""));
        assert!(text.stdout.contains("141"), "{}", text.stdout);
        let json: Value = serde_json::from_str(&server.ctl(&[request, "--json"]).stdout).unwrap();
        assert_eq!((&json["schema"], &json["request"]), (&json!("tt-memtrace.ctl"), &json!(request)));
    }
    let json: Value = serde_json::from_str(&server.ctl(&["kernels", "--json"]).stdout).unwrap();
    assert_eq!(json["kernels"][0]["size_bytes"], 800);
    let elsewhere: Value =
        serde_json::from_str(&server.ctl(&["dump", "--device", "7", "--json"]).stdout).unwrap();
    assert_eq!(elsewhere["buffers"], json!([]));
    assert_eq!(server.ctl(&["mark", "warm"]).stdout, "marked: warm\n");
    server.says("mark warm");
    assert!(server.state()["anomalies"].to_string().contains("mark warm"));
}

#[test]
fn after_a_baseline_every_figure_can_be_shown_as_a_difference() {
    let server = Server::start();
    let mut fake = holding(&server, 151, 1 << 20);
    assert_eq!(server.state()["chips"][0]["memory"][0]["baseline_bytes"], Value::Null);
    assert_eq!(server.ctl(&["baseline"]).code, 0);
    fake.lines(&[alloc(2, 1 << 24, 2 << 20)]);
    fake.acked(2);
    let state = server.state();
    assert_eq!(state["chips"][0]["memory"][0]["baseline_bytes"], 1 << 20);
    assert_eq!(state["processes"][0]["memory"][0]["baseline_bytes"], 2 << 20);
    let text = server.ctl(&["stats"]).stdout;
    assert!(text.contains("since baseline") && text.contains("+2.00 MiB"), "{text}");
    server.ctl(&["baseline", "--clear"]);
    assert_eq!(server.state()["baseline_wall_ns"], Value::Null);
}

#[test]
fn requests_that_are_none_are_answered() {
    let server = Server::start();
    let mut asker = UnixStream::connect(server.socket()).unwrap();
    let mut bytes = Vec::new();
    let role = frame::Role::Asker;
    frame::Hello { version: frame::PROTOCOL, role, header: b"" }.put(&mut bytes);
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for request in [r#"{"request":"tea"}"#, "tea", "[1]", &nested, r#"{"request":"mark"}"#] {
        frame::put(Kind::Request, request.as_bytes(), &mut bytes);
    }
    asker.write_all(&bytes).unwrap();
    let mut asker = Fake { stream: asker, header: String::new() };
    assert_eq!(asker.next().unwrap().0, Kind::Welcome);
    for part in ["known are: state, follow", "not a request", "unknown request", "not a request", "a name"] {
        let (kind, answer) = asker.next().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(kind == Kind::Answer && answer.contains("\"ok\":false") && answer.contains(part), "{answer}");
    }
}

#[test]
fn a_viewer_is_told_again_and_again() {
    let server = Server::start();
    let mut fake = holding(&server, 161, 1000);
    let mut bytes = Vec::new();
    frame::Hello { version: frame::PROTOCOL, role: frame::Role::Asker, header: b"" }.put(&mut bytes);
    frame::put(Kind::Request, br#"{"request":"follow","every_ms":20,"top":3}"#, &mut bytes);
    let mut viewer = Fake { stream: UnixStream::connect(server.socket()).unwrap(), header: String::new() };
    viewer.stream.set_read_timeout(Some(support::server::DEADLINE)).unwrap();
    viewer.send(&bytes);
    assert_eq!(viewer.next().unwrap().0, Kind::Welcome);
    fake.lines(&[alloc(2, 65536, 500)]);
    eventually("the viewer sees it", || {
        let (_, answer) = viewer.next().unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        (dram(&answer["state"])[0].0 == 1500).then_some(())
    });
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let bench = Bench::new();
    let socket = bench.path("s");
    let mut command = bench.command();
    command.arg("serve").arg("--socket").arg(&socket).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    eventually("the server listens", || UnixStream::connect(&socket).ok());
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(support::server::DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    let hello = header(171);
    frame::Hello { version: frame::PROTOCOL, role: frame::Role::Recorder, header: hello.as_bytes() }
        .put(&mut bytes);
    // Each line about a mesh is one of the log: more than a pipe holds.
    let lines: Vec<String> =
        (0..20_000).map(|i| MESH.replace("\"mesh_id\":0", &format!("\"mesh_id\":{i}"))).collect();
    lines.chunks(1000).for_each(|lines| support::server::put_lines(lines, &mut bytes));
    support::server::put_lines(&[alloc(1, 4096, 1000)], &mut bytes);
    stream.write_all(&bytes).unwrap();
    let mut fake = Fake { stream, header: hello };
    assert_eq!(fake.next().unwrap().0, Kind::Welcome);
    fake.acked(1);
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_dump_is_whole_however_long() {
    let server = Server::start();
    let mut fake = holding(&server, 181, 1000);
    let lines: Vec<String> = (2..=5001).map(|n| alloc(n, 65536 * n, n)).collect();
    fake.lines(&lines);
    fake.acked(5001);
    let dump: Value = serde_json::from_str(&server.ctl(&["dump", "--json"]).stdout).unwrap();
    let sizes: Vec<u64> =
        dump["buffers"].as_array().unwrap().iter().map(|b| b["size_bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes.len(), 5001);
    assert!(sizes.is_sorted_by(|a, b| a >= b));
    assert!(server.ctl(&["dump"]).stdout.starts_with("5,001 buffers\n"));
}
