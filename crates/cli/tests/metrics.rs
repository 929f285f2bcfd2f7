//! `serve --metrics`, by a plain client, by Prometheus's linter and by Prometheus itself; and the unit that starts it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Bench, MESH, alloc, capture};
use tt_memtrace_wire::frame::{self, Hello, Kind, PROTOCOL, Role};

const PATIENCE: Duration = Duration::from_secs(120);

/// A server, and a recorder that holds a buffer of 1000 bytes on chips 0 and 1.
struct Served {
    bench: Bench,
    server: Child,
    address: String,
    _recorder: UnixStream,
}

impl Served {
    fn start(more: &[&str]) -> Self {
        let bench = Bench::new();
        let mut command = bench.command();
        command.args(["serve", "--socket", "s", "--metrics", "127.0.0.1:0"]).args(more);
        let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (found, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines {
                let address =
                    line.strip_prefix("metrics at http://").and_then(|line| line.strip_suffix("/metrics"));
                address.map(|address| found.send(address.to_owned()));
            }
        });
        let address = address.recv_timeout(PATIENCE);
        let served = Self { address: address.unwrap(), _recorder: record(&bench), bench, server };
        wait_until("the buffer in the metrics", || {
            served.get("/metrics").contains("live_bytes{device=\"1\",buffer_type=\"DRAM\"} 1000")
        });
        served
    }

    /// What is at a path, without the head.
    fn get(&self, path: &str) -> String {
        let answer = self.answer(path);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn answer(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn record(bench: &Bench) -> UnixStream {
    let mut stream = UnixStream::connect(bench.path("s")).unwrap();
    let mut bytes = Vec::new();
    let header = capture(std::process::id(), "", &[]);
    Hello { version: PROTOCOL, role: Role::Recorder, header: header.trim_end().as_bytes() }.put(&mut bytes);
    frame::put_numbers(Kind::StateBegin, &[0, 0], &mut bytes);
    frame::put(Kind::StateEnd, b"", &mut bytes);
    frame::put(Kind::Lines, format!("{MESH}\n{}\n", alloc(1, 64, 1000)).as_bytes(), &mut bytes);
    stream.write_all(&bytes).unwrap();
    stream
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_there(tool: &str) -> bool {
    let is_there = Command::new(tool).arg("--version").output().is_ok();
    if !is_there {
        support::skip(tool);
    }
    is_there
}

#[test]
fn figures_and_state_are_served_and_pids_only_if_asked() {
    let served = Served::start(&[]);
    assert!(!served.get("/metrics").contains("pid"));
    let state = served.get("/state.json");
    support::schema::check(state.trim_end());
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(
        (&state["chips"][0]["memory"][0]["live_bytes"], &state["processes"]),
        (&json!(1000), &json!([]))
    );
    assert!(served.answer("/").starts_with("HTTP/1.1 404 "));
    let served = Served::start(&["--metrics-pids"]);
    let pid = std::process::id();
    assert!(served.get("/metrics").contains(&format!("tt_memtrace_process_live_bytes{{pid=\"{pid}\",")));
    let state: Value = serde_json::from_str(&served.get("/state.json")).unwrap();
    assert_eq!(state["holders"][0]["pid"], pid);
}

#[test]
fn an_address_that_other_hosts_reach_is_refused() {
    let bench = Bench::new();
    let refused = bench.run(["serve", "--socket", "s", "--metrics", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("--metrics-public"), "{refused:?}");
    assert!(!bench.path("s").exists(), "its socket was left behind");
    let unclear = bench.run(["serve", "--socket", "s", "--metrics", "localhost"]);
    assert!(unclear.code == 2 && unclear.stderr.contains("as 127.0.0.1:9464"), "{unclear:?}");
}

#[test]
fn the_linter_of_prometheus_finds_nothing() {
    if !is_there("promtool") {
        return;
    }
    let served = Served::start(&["--metrics-pids"]);
    let mut linter = Command::new("promtool");
    let linter =
        linter.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut linter = linter.spawn().unwrap();
    linter.stdin.take().unwrap().write_all(served.get("/metrics").as_bytes()).unwrap();
    let found = linter.wait_with_output().unwrap();
    let said = [found.stdout, found.stderr].concat();
    assert!(found.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn prometheus_scrapes_it() {
    if !is_there("prometheus") {
        return;
    }
    let served = Served::start(&[]);
    let config = format!(
        "scrape_configs:\n- job_name: tt\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  static_configs:\n  - targets: [\"{}\"]\n",
        served.address
    );
    let config = served.bench.write("prometheus.yml", config);
    let start = || {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", served.bench.path("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        (command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), port)
    };
    let (mut prometheus, mut port) = start();
    let query = |port| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = "/api/v1/query?query=tt_memtrace_live_bytes%7Bdevice%3D%221%22%7D";
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let deadline = Instant::now() + PATIENCE;
    let mut value = None;
    while value.is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        if prometheus.try_wait().unwrap().is_some() {
            // Another took the port meanwhile.
            (prometheus, port) = start();
        }
        value = query(port);
    }
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    assert_eq!(value.as_deref(), Some("1000"));
}

#[test]
fn the_unit_is_one_that_systemd_accepts_and_starts_what_there_is() {
    let unit = support::schema::docs().join("../contrib/tt-memtrace.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words = start.replace("%t/", "./no/such/folder/");
    let words: Vec<&str> = words.split(' ').skip(1).collect();
    let outcome = Bench::new().run(&words);
    // The command line is understood; only the folder is not there.
    assert!(outcome.code == 2 && !outcome.stderr.contains("Usage"), "{outcome:?}");
    if !is_there("systemd-analyze") {
        return;
    }
    // The verifier looks whether the command is there: here it is where it was built.
    let bench = Bench::new();
    let built = text.replace("%h/.local/bin/tt-memtrace", env!("CARGO_BIN_EXE_tt-memtrace"));
    assert_ne!(built, text);
    let copy = bench.write("tt-memtrace.service", built);
    let mut verifier = Command::new("systemd-analyze");
    let verifier = verifier.args(["--user", "verify"]).arg(copy).env("XDG_RUNTIME_DIR", bench.path("."));
    let verified = verifier.output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !said.contains("tt-memtrace.service:"), "{said}");
}
