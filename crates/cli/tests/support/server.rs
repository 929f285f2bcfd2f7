//! A tracking server that runs while a test does, and recorders that are none: they speak the protocol by hand.

use super::{Bench, Outcome};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tt_memtrace_wire::frame::{self, HEAD_BYTES, Hello, Kind, PROTOCOL, Role};

/// Nothing that is waited for takes nearly as long.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until something is so.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub struct Server {
    pub bench: Bench,
    pub child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_in(Bench::new(), &[])
    }

    pub fn start_in(bench: Bench, more: &[&str]) -> Self {
        let socket = bench.path("s");
        let mut command = bench.command();
        command.arg("serve").arg("--socket").arg(&socket).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, told) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                told.lock().unwrap().push(line);
            }
        });
        eventually("the server listens", || UnixStream::connect(&socket).ok());
        Self { bench, child, log }
    }

    pub fn socket(&self) -> PathBuf {
        self.bench.path("s")
    }

    pub fn ctl(&self, words: &[&str]) -> Outcome {
        let mut command = self.bench.command();
        command.arg("ctl").args(words).arg("--socket").arg(self.socket());
        Outcome::of(command.output().unwrap())
    }

    pub fn state(&self) -> Value {
        let outcome = self.ctl(&["state"]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// Waits until the state is so.
    pub fn state_where(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            last = self.state();
            if is_so(&last) {
                return last;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("waited in vain: {what}: {last}");
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn says(&self, part: &str) {
        eventually(&format!("the log says {part}"), || {
            self.log().iter().any(|line| line.contains(part)).then_some(())
        });
    }

    /// Bytes of memory that it uses.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A recorder that is played by the test. By default one in a container, so that one test can play several.
pub struct Fake {
    pub stream: UnixStream,
    pub header: String,
}

/// The header of a process of that pid in a container.
pub fn header(pid: u32) -> String {
    header_with(pid, 1, "pid:[1]", "")
}

pub fn header_with(pid: u32, start: u64, namespace: &str, more: &str) -> String {
    format!(
        "{{\"kind\":\"header\",\"schema\":\"tt-memtrace.capture\",\"version\":\"1.0\",\"pid\":{pid},\
         \"process_start\":{start},\"host\":\"h\",\"boot_id\":\"b\",\"pid_namespace\":\"{namespace}\",\
         \"program\":\"p{pid}\",\"t_ns\":1000000000,\"wall_ns\":1700000000000000000{more}}}"
    )
}

impl Fake {
    /// Says hello and that it holds nothing yet.
    pub fn connect(server: &Server, header: String) -> Self {
        let mut fake = Self::hello(server, header);
        let (kind, _) = fake.next().unwrap();
        assert_eq!(kind, Kind::Welcome);
        fake.state(0, 0, &[]);
        fake
    }

    /// Says hello.
    pub fn hello(server: &Server, header: String) -> Self {
        let stream = UnixStream::connect(server.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut fake = Self { stream, header };
        let mut bytes = Vec::new();
        Hello { version: PROTOCOL, role: Role::Recorder, header: fake.header.as_bytes() }.put(&mut bytes);
        fake.send(&bytes);
        fake
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Tells anew of all it holds.
    pub fn state(&mut self, n: u64, n_dropped: u64, lines: &[String]) {
        let mut bytes = Vec::new();
        frame::put_numbers(Kind::StateBegin, &[n, n_dropped], &mut bytes);
        put_lines(lines, &mut bytes);
        frame::put(Kind::StateEnd, b"", &mut bytes);
        self.send(&bytes);
    }

    pub fn lines(&mut self, lines: &[String]) {
        let mut bytes = Vec::new();
        put_lines(lines, &mut bytes);
        self.send(&bytes);
    }

    /// Waits until an event is acknowledged.
    pub fn acked(&mut self, n: u64) {
        loop {
            let (kind, payload) = self.next().unwrap();
            assert_eq!(kind, Kind::Ack, "{}", String::from_utf8_lossy(&payload));
            if frame::parse_numbers::<1>(kind, &payload).unwrap()[0] >= n {
                return;
            }
        }
    }

    /// Waits until it is refused, and gives the reason.
    pub fn refused(&mut self) -> String {
        loop {
            match self.next().unwrap() {
                (Kind::Refused, why) => return String::from_utf8(why).unwrap(),
                (Kind::Ack | Kind::Welcome, _) => {}
                (kind, _) => panic!("{kind:?}"),
            }
        }
    }

    pub fn next(&mut self) -> io::Result<(Kind, Vec<u8>)> {
        let mut head = [0; HEAD_BYTES];
        self.stream.read_exact(&mut head)?;
        let (kind, length) = frame::parse_head(head).unwrap();
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok((kind, payload))
    }
}

pub fn put_lines(lines: &[String], out: &mut Vec<u8>) {
    if !lines.is_empty() {
        frame::put(Kind::Lines, (lines.join("\n") + "\n").as_bytes(), out);
    }
}
