//! The earlier server's clients at ours: a model of them written in C, of every record size, and the log as its
//! readers expect it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use regex::Regex;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::Bench;
use tt_memtrace_wire::frame::{self, HEAD_BYTES, Hello, Kind, PROTOCOL, Role};

const SIZES: [&str; 4] = ["72", "112", "128", "144"];
const PATIENCE: Duration = Duration::from_secs(120);
/// The messages.
const ALLOC: u8 = 1;
const FREE: u8 = 2;
const QUERY: u8 = 3;
const DUMP_REMAINING: u8 = 5;
const DEVICE_INFO_QUERY: u8 = 6;
const CB_ALLOC: u8 = 8;
const CB_FREE: u8 = 9;
const KERNEL_LOAD: u8 = 10;
const KERNEL_UNLOAD: u8 = 11;
const DUMP_KERNELS: u8 = 12;

const ID: u64 = 2_560_032;
const MIB_4: u64 = 4_194_304;

/// Asks until the answer is there.
fn wait_for<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Server {
    bench: Bench,
    process: Child,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let bench = Bench::new();
        let log = File::create(bench.path("log")).unwrap();
        let mut command = bench.command();
        command.args(["serve", "--socket", "native.sock", "--legacy", "legacy.sock"]).args(options);
        let process = command.stdout(log).spawn().unwrap();
        let server = Self { bench, process };
        wait_for("socket", || UnixStream::connect(server.path("legacy.sock")).ok());
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    fn wait_for_line(&self, line: &str) {
        wait_for(&format!("line {line:?} in:\n{}", self.log()), || {
            self.log().lines().any(|known| known == line).then_some(())
        });
    }

    fn ctl(&self, words: &[&str]) -> String {
        let outcome = self.bench.run([&["ctl", "--socket", "native.sock"], words].concat());
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        outcome.stdout
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.ctl(&["--json", "state", "--top", "1000"])).unwrap()
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path("legacy.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The model of a client, in a process of its own.
struct Client {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

fn program() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/legacy/client.c");
        let built =
            Command::new("cc").args(["-O1", "-Wall", "-Werror", "-o"]).arg(&path).arg(source).status();
        assert!(built.unwrap().success());
        (folder, path)
    });
    path
}

impl Client {
    fn start(server: &Server, size: &str) -> Self {
        let mut command = Command::new(program());
        command.arg(server.path("legacy.sock")).arg(size).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input, output: BufReader::new(output) }
    }

    fn send(&mut self, message: u8, device: i32, size: u64, kind: u8, id: u64) {
        writeln!(self.input, "{message} {device} {size} {kind} {id}").unwrap();
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, message: u8, device: i32) -> String {
        self.send(message, device, 0, 0, 0);
        self.reply()
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends its input and gives its exit code.
    fn end(self) -> Option<i32> {
        let Self { mut process, input, .. } = self;
        drop(input);
        process.wait().unwrap().code()
    }
}

/// The fields of a reply with these values.
fn has(reply: &str, fields: &str) -> bool {
    fields.split(' ').all(|field| reply.split(' ').any(|known| known == field))
}

/// A monitor that asks once.
fn ask(server: &Server, size: &str, message: u8, device: i32) -> String {
    let mut monitor = Client::start(server, size);
    let reply = monitor.ask(message, device);
    assert_eq!(monitor.end(), Some(0));
    reply
}

fn live_on_chips(state: &Value) -> Vec<u64> {
    let sum = |chip: &Value| {
        chip["memory"].as_array().unwrap().iter().map(|m| m["live_bytes"].as_u64().unwrap()).sum()
    };
    state["chips"].as_array().unwrap().iter().map(sum).collect()
}

/// A buffer on a mesh of eight chips, as the generations of patched runtimes tell it: allocations, then frees.
fn generation(name: char) -> (Vec<i32>, Vec<i32>) {
    let devices: Vec<i32> = (0..8).collect();
    let with_backing = [vec![0], devices.clone()].concat();
    match name {
        'C' => (with_backing.clone(), [devices, vec![0]].concat()),
        'D' => (with_backing, vec![0]),
        _ => (devices.clone(), devices),
    }
}

#[test]
fn the_generations_of_runtimes_are_told_as_they_meant_it() {
    for (name, size) in
        [('C', "112"), ('C', "144"), ('D', "112"), ('D', "144"), ('F', "72"), ('F', "128"), ('F', "144")]
    {
        let server = Server::start(&["--classic"]);
        let mut client = Client::start(&server, size);
        let (allocs, frees) = generation(name);
        for round in 0..3 {
            allocs.iter().for_each(|device| client.send(ALLOC, *device, MIB_4, 0, ID));
            let state = wait_for("allocations", || {
                Some(server.state()).filter(|state| live_on_chips(state) == [MIB_4; 8])
            });
            assert_eq!(state["processes"][0]["protocol"], "legacy");
            assert_eq!(state["processes"][0]["pid"], client.pid());
            frees.iter().for_each(|device| client.send(FREE, *device, 0, 0, ID));
            let n_events = (allocs.len() + frees.len()) * (round + 1);
            wait_for("frees", || (server.state()["n_events"] == n_events).then_some(()));
            if name == 'D' {
                break;
            }
            assert_eq!(live_on_chips(&server.state()), [0; 8], "generation {name}");
        }
        let (pid, state) = (client.pid(), server.state());
        assert_eq!(state["processes"][0]["n_anomalies"], 0, "generation {name}: {state}");
        assert!(!server.log().contains("unknown buffer"), "{}", server.log());
        let text = server.ctl(&["dump"]);
        if name == 'D' {
            // Its views are never freed: they go with the process, and eight of nine references are left of chip 0.
            assert!(
                text.contains(&format!("      - Buffer 0x271020: 4096 KB (PID {pid}, ref_count=1)")),
                "{text}"
            );
            assert!(text.contains("\n  Total remaining buffers: 8\n"), "{text}");
            assert_eq!(client.end(), Some(0));
            server.wait_for_line(&format!("   ✓ Removed 8 buffers (32 MB) from PID {pid}"));
        } else {
            assert!(text.contains("✓ No buffers remaining - perfect cleanup!"), "{text}");
            assert_eq!(client.end(), Some(0));
        }
        wait_for("end", || (server.state()["processes"][0]["status"] == "exited").then_some(()));
        assert_eq!(live_on_chips(&server.state()), [0; 8]);
    }
}

#[test]
fn every_size_is_answered_in_its_own_and_chips_have_no_upper_end() {
    let server = Server::start(&[]);
    let mut writers: Vec<Client> = SIZES.iter().map(|size| Client::start(&server, size)).collect();
    for (at, writer) in (0..).zip(&mut writers) {
        for device in 0..32 {
            // Each writer holds something else on each chip, all at the same address.
            writer.send(ALLOC, device, 1024 * (at + 1), 0, ID);
            writer.send(ALLOC, device, 32, 1, ID);
            writer.send(ALLOC, device, 64, 2, ID);
            writer.send(ALLOC, device, 128, 3, ID);
            writer.send(ALLOC, device, 256, 4, ID);
            writer.send(CB_ALLOC, device, 2048, 0, 101_152);
            writer.send(KERNEL_LOAD, device, 57_344, 1, 77);
        }
    }
    wait_for("events", || (server.state()["n_events"] == 4 * 32 * 7).then_some(()));
    for size in SIZES {
        let mut monitor = Client::start(&server, size);
        let count = monitor.ask(DEVICE_INFO_QUERY, -1);
        assert!(has(&count, "type=7 device=-1"), "{count}");
        if size != "72" {
            assert!(has(&count, "devices=32 available=1"), "{size}: {count}");
        }
        for device in [0, 7, 8, 31] {
            let reply = monitor.ask(QUERY, device);
            let fields = format!("type=4 device={device} dram=10240 l1=128 l1_small=768 trace=1024");
            assert!(has(&reply, &fields), "{size}: {reply}");
            let has_circular = ["128", "144"].contains(&size);
            assert!(!has_circular || has(&reply, "cb=8192 kernel=229376"), "{size}: {reply}");
        }
        for device in [32, -7, 1 << 30] {
            let reply = monitor.ask(QUERY, device);
            assert!(
                has(&reply, &format!("type=4 device={device} dram=0 l1=0 l1_small=0 trace=0 cb=0")),
                "{reply}"
            );
        }
        assert_eq!(monitor.end(), Some(0));
    }
    assert_eq!(server.state()["processes"].as_array().unwrap().len(), 4, "who asks is no process");

    // One is killed: exactly its buffers are gone.
    let mut killed = writers.remove(0);
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    let left = "dram=9216 l1=96 trace=768 cb=6144 kernel=172032";
    wait_for("death", || has(&ask(&server, "144", QUERY, 31), left).then_some(()));
    // What one process frees is its own. Of several memory types at one address, it is the newest.
    writers[0].send(FREE, 31, 0, 0, ID);
    wait_for("free", || has(&ask(&server, "144", QUERY, 31), "dram=9216 l1=96 trace=512").then_some(()));
}

#[test]
fn circular_buffers_and_kernels_never_drift() {
    let server = Server::start(&["--classic"]);
    let mut client = Client::start(&server, "144");
    client.send(CB_FREE, 0, 4096, 0, 101_152);
    for (size, id) in [(4096, 101_152), (2048, 101_152), (4096, 105_248)] {
        client.send(CB_ALLOC, 0, size, 0, id);
    }
    assert!(has(&client.ask(QUERY, 0), "cb=10240"));
    for size in [4096, 2048, 2048, 2048] {
        client.send(CB_FREE, 0, size, 0, 101_152);
    }
    assert!(has(&client.ask(QUERY, 0), "cb=4096"));
    client.send(CB_FREE, 0, 4096, 0, 105_248);
    client.send(KERNEL_UNLOAD, 0, 57_344, 0, 9);
    for _ in 0..2 {
        client.send(KERNEL_LOAD, 0, 57_344, 2, 9);
    }
    assert!(has(&client.ask(QUERY, 0), "cb=0 kernel=114688"));
    client.send(DUMP_KERNELS, 0, 0, 0, 0);
    client.send(KERNEL_UNLOAD, 0, 57_344, 0, 9);
    assert!(has(&client.ask(QUERY, 0), "cb=0 kernel=0"));
    let told = |line: &str| server.wait_for_line(line);
    told("✓ [CB_ALLOC] Device 0: +0.00195312 MB (Total: 0.00585938 MB)");
    told("✗ [CB_FREE] Device 0: -0.00390625 MB (Total: 0 MB)");
    told("✓ [KERNEL_LOAD] Dispatch kernel on Device 0: +0.0546875 MB (Total: 0.109375 MB)");
    told("✗ [KERNEL_UNLOAD] Dispatch kernel on Device 0: -0.109375 MB (Total: 0 MB)");
    told("📋 Received DUMP_KERNELS request...");
    told("  Device 0: 0.109375 MB (1 kernels)");
    told("📋 DUMP_KERNELS complete.");
    let log = server.log();
    assert!(log.contains(&format!("      - Kernel 0x9: 112 KB (PID {}, age ", client.pid())), "{log}");
    assert!(server.ctl(&["kernels"]).contains("Total kernels: 0"));
}

/// What happened when versions were mixed, and what happens here.
#[test]
fn mixed_versions_work() {
    let server = Server::start(&["--classic"]);

    // A sender of 112 bytes under load, at a server that expected 128 or 144: "Invalid device_id 2657333".
    let mut p2 = Client::start(&server, "112");
    for at in 0..1000 {
        p2.send(ALLOC, 3, 4096, 1, ID + 4096 * at);
    }
    wait_for("burst", || has(&ask(&server, "144", QUERY, 3), "l1=4096000").then_some(()));
    assert!(!server.log().contains("Invalid"), "{}", server.log());

    // A monitor of 112 bytes at a server of 144: "0 devices", then out of step.
    let mut monitor = Client::start(&server, "112");
    assert!(has(&monitor.ask(DEVICE_INFO_QUERY, -1), "type=7 device=-1 devices=4 available=1"));
    for device in 0..4 {
        assert!(has(&monitor.ask(DEVICE_INFO_QUERY, device), &format!("type=7 device={device} available=0")));
    }
    for tick in 0..3 {
        for device in 0..4 {
            let l1 = if device == 3 { 4_096_000 } else { 0 };
            let reply = monitor.ask(QUERY, device);
            assert!(has(&reply, &format!("type=4 device={device} l1={l1}")), "tick {tick}: {reply}");
        }
    }

    // A script of 72 bytes that closes after its one record; one of 104 bytes, which no version ever had.
    for size in ["72", "104"] {
        let n_dumps = server.log().matches("_REMAINING complete.").count();
        let mut script = server.connect();
        let mut record = vec![0_u8; size.parse().unwrap()];
        record[0] = DUMP_REMAINING;
        script.write_all(&record).unwrap();
        drop(script);
        wait_for("dump", || (server.log().matches("_REMAINING complete.").count() > n_dumps).then_some(()));
    }
    let mut script = server.connect();
    script.write_all(&[&[DUMP_KERNELS][..], &[0; 103]].concat()).unwrap();
    drop(script);
    server.wait_for_line("📋 DUMP_KERNELS complete.");

    // A monitor that sends 24 bytes waited for ever; now its connection ends, and the log says why.
    let mut never_worked = server.connect();
    never_worked.write_all(&[&[FREE][..], &[0; 23]].concat()).unwrap();
    assert_eq!(never_worked.read(&mut [0; 8]).unwrap(), 0);
    wait_for("refusal", || {
        server.log().contains("sent 24 bytes, which is no record of any version").then_some(())
    });

    // A client that frees on device 0 what it allocated on another one.
    let mut python = Client::start(&server, "112");
    python.send(ALLOC, 2, 64, 0, 1);
    python.send(FREE, 0, 0, 0, 1);
    server.wait_for_line(&format!(
        "⚠ [PID {}] Deallocation for unknown buffer 0x1 on device 0 (allocated before tracking started)",
        python.pid()
    ));
    assert_eq!((p2.end(), monitor.end(), python.end()), (Some(0), Some(0), Some(0)));
}

#[test]
fn who_sends_nonsense_is_neither_believed_nor_killed() {
    let server = Server::start(&["--classic"]);
    let mut other = Client::start(&server, "72");
    other.send(ALLOC, 0, 64, 0, 1);
    let mut client = Client::start(&server, "144");
    for (device, size, kind) in [(2_657_333, 32, 0), (-1, 32, 0), (0, 0, 0), (0, u64::MAX, 0), (1, 32, 9)] {
        client.send(ALLOC, device, size, kind, 0x100);
    }
    client.send(ALLOC, 0, 32, 0, 0x100);
    for line in [
        "⚠️  Invalid device_id 2657333 - ignoring message",
        "⚠️  Invalid device_id -1 - ignoring message",
        "⚠️  Invalid size 0 - ignoring message",
        "⚠️  Invalid size 18446744073709551615 - ignoring message",
        "⚠️  Invalid buffer_type 9 for buffer 0x100 on device 1",
    ] {
        server.wait_for_line(line);
    }
    writeln!(client.input, "99 0 0 0 0").unwrap();
    server.wait_for_line("Unknown message type: 99");
    client.send(ALLOC, 0, 16, 0, 0x200);
    wait_for("figures", || has(&ask(&server, "144", QUERY, 0), "dram=112").then_some(()));
    for _ in 0..100 {
        writeln!(client.input, "raw 144 255").unwrap();
    }
    server.wait_for_line(
        "⚠️  Too many consecutive errors (10) - closing connection (likely protocol mismatch)",
    );
    for _ in 0..1000 {
        client.send(ALLOC, 0, 16, 0, 0x300);
    }
    assert_eq!(client.end(), Some(0), "its runtime has to survive");
    // Others are unharmed; what it held went with it.
    wait_for("figures", || has(&ask(&server, "144", QUERY, 0), "dram=64").then_some(()));

    // What speaks another protocol is let go.
    let mut stranger = server.connect();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(matches!(stranger.read(&mut [0; 8]), Ok(0) | Err(_)));
    wait_for("refusal", || server.log().contains("does not begin with a record").then_some(()));
}

#[test]
fn a_child_that_goes_on_with_the_connection_of_its_dead_parent_is_not_killed_for_it() {
    let server = Server::start(&[]);
    let mut client = Client::start(&server, "144");
    client.send(ALLOC, 0, 64, 0, 1);
    wait_for("allocation", || has(&ask(&server, "144", QUERY, 0), "dram=64").then_some(()));
    writeln!(client.input, "fork").unwrap();
    client.process.wait().unwrap();
    wait_for("end", || (server.state()["processes"][0]["status"] == "exited").then_some(()));
    assert!(has(&ask(&server, "144", QUERY, 0), "dram=0"));
    for _ in 0..100 {
        client.send(ALLOC, 0, 64, 0, 1);
    }
    let said = "is over, what others tell on its connection is ignored";
    wait_for("line", || server.log().contains(said).then_some(()));
    // The child still takes orders: a broken pipe would end this.
    client.send(ALLOC, 0, 64, 0, 1);
    std::thread::sleep(Duration::from_millis(50));
    client.send(ALLOC, 0, 64, 0, 1);
    assert!(has(&ask(&server, "144", QUERY, 0), "dram=0"));
}

/// Every line that the earlier server could print. Readers of its log look for these.
const SHAPES: [&str; 24] = [
    r"^🚀 Allocation Server started$",
    r"^   Listening on: .+$",
    r"^   Press Ctrl\+C to stop$",
    r"^🔄 Background cleanup thread started \(checking every 10s\)$",
    r"^✓ \[PID (\d+)\] Allocated (\d+) bytes of (DRAM|L1|SYSTEM_MEMORY|L1_SMALL|TRACE) on device (\d+) \(buffer_id=(0x[0-9a-f]+)(?:, ref_count=(\d+))?\)$",
    r"^✗ \[PID (\d+)\] Freed buffer (0x[0-9a-f]+) on device (\d+) \((\d+) bytes(?:, FINAL|, ref_count=(\d+) remaining)?\)$",
    r"^⚠ \[PID (\d+)\] Deallocation for unknown buffer (0x[0-9a-f]+) on device (\d+) \(allocated before tracking started\)$",
    r"^✓ \[CB_ALLOC\] Device (\d+): \+([0-9.e+-]+) MB \(Total: ([0-9.e+-]+) MB\)$",
    r"^✗ \[CB_FREE\] Device (\d+): -([0-9.e+-]+) MB \(Total: ([0-9.e+-]+) MB\)$",
    r"^✓ \[KERNEL_LOAD\] (Application|Fabric|Dispatch|Unknown) kernel on Device (\d+): \+([0-9.e+-]+) MB \(Total: ([0-9.e+-]+) MB\)$",
    r"^✗ \[KERNEL_UNLOAD\] (Application|Fabric|Dispatch|Unknown) kernel on Device (\d+): -([0-9.e+-]+) MB \(Total: ([0-9.e+-]+) MB\)$",
    r"^$",
    r"^⚠️  Detected dead processes, cleaning up orphaned buffers\.\.\.$",
    r"^   PID (\d+) is dead, removing its buffers\.\.\.$",
    r"^   ✓ Removed (\d+) (buffers|CBs|kernels) \(([0-9.e+-]+) MB\) from PID (\d+)$",
    r"^📊 Current Statistics:$",
    r"^  Device (\d+):$",
    r"^    Buffers: (\d+)$",
    r"^    (DRAM|L1|SYSTEM_MEMORY|L1_SMALL|TRACE|CBs|Kernels): (\d+) bytes \(([0-9.e+-]+) KB\)$",
    r"^    Total: (\d+) bytes$",
    r"^  Active allocations: (\d+)$",
    r"^🛑 Allocation Server stopped$",
    r"^📋 (?:Received DUMP_REMAINING request\.\.\.|DUMP_REMAINING complete\.)$",
    r"^(?:[╔╚]═+[╗╝]|║ +REMAINING ALLOCATED BUFFERS +║|Total tracked allocations: \d+|    [A-Z0-9_]+: \d+ buffers, [0-9.e+-]+ MB total|      - Buffer 0x[0-9a-f]+: [0-9.e+-]+ KB \(PID \d+, ref_count=\d+\)|  Total remaining buffers: \d+)$",
];

/// Tells of a mesh of two chips and a buffer on it, by our own protocol.
fn recorder(server: &Server) -> UnixStream {
    let header = support::capture(std::process::id(), "", &[]);
    let mut bytes = Vec::new();
    Hello { version: PROTOCOL, role: Role::Recorder, header: header.trim_end().as_bytes() }.put(&mut bytes);
    frame::put_numbers(Kind::StateBegin, &[0, 0], &mut bytes);
    frame::put(Kind::StateEnd, &[], &mut bytes);
    let allocator = r#"{"kind":"allocator","allocator":1,"mesh_id":0,"bank_rounding_bytes":32,"banks":[
        {"type":"DRAM","n_banks":12,"bank_size_bytes":1073741792,"base_address":32},
        {"type":"L1","n_banks":64,"bank_size_bytes":1395424,"base_address":103712}]}"#;
    let lines = [
        support::MESH.to_owned(),
        allocator.replace('\n', ""),
        support::alloc(1, 4096, 8192).replace("\"per_bank", "\"allocator\":1,\"per_bank"),
        support::alloc(2, 65_536, 32),
        support::free(3, 65_536),
    ];
    frame::put(Kind::Lines, (lines.join("\n") + "\n").as_bytes(), &mut bytes);
    let mut stream = UnixStream::connect(server.path("native.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&bytes).unwrap();
    stream.read_exact(&mut [0; HEAD_BYTES]).unwrap();
    stream
}

#[test]
fn the_log_has_the_shapes_that_its_readers_know() {
    let mut server = Server::start(&["--classic"]);
    let mut client = Client::start(&server, "144");
    let pid = client.pid();
    client.send(ALLOC, 3, MIB_4, 0, ID);
    client.send(ALLOC, 3, 1024, 0, ID);
    client.send(FREE, 3, 0, 0, ID);
    client.send(ALLOC, 3, 12, 4, 0x40);
    client.send(ALLOC, 3, 48, 2, 0x60);
    client.send(FREE, 3, 0, 0, 0x60);
    client.send(FREE, 3, 0, 0, 0x60);
    client.send(CB_ALLOC, 3, 4096, 0, 101_152);
    client.send(KERNEL_LOAD, 3, 57_344, 0, 5);
    for line in [
        format!("✓ [PID {pid}] Allocated 4194304 bytes of DRAM on device 3 (buffer_id=0x271020)"),
        format!("✓ [PID {pid}] Allocated 1024 bytes of DRAM on device 3 (buffer_id=0x271020, ref_count=2)"),
        format!("✗ [PID {pid}] Freed buffer 0x271020 on device 3 (4194304 bytes, ref_count=1 remaining)"),
        format!("✓ [PID {pid}] Allocated 12 bytes of TRACE on device 3 (buffer_id=0x40)"),
        format!("✗ [PID {pid}] Freed buffer 0x60 on device 3 (48 bytes, FINAL)"),
        format!(
            "⚠ [PID {pid}] Deallocation for unknown buffer 0x60 on device 3 (allocated before tracking started)"
        ),
        "✓ [CB_ALLOC] Device 3: +0.00390625 MB (Total: 0.00390625 MB)".into(),
        "✓ [KERNEL_LOAD] Application kernel on Device 3: +0.0546875 MB (Total: 0.0546875 MB)".into(),
    ] {
        server.wait_for_line(&line);
    }

    // Those of our own protocol are told chip by chip, and what a chip is is known from them.
    let native = recorder(&server);
    let own = std::process::id();
    for chip in [0, 1] {
        server.wait_for_line(&format!(
            "✓ [PID {own}] Allocated 8192 bytes of DRAM on device {chip} (buffer_id=0x1000)"
        ));
        server
            .wait_for_line(&format!("✗ [PID {own}] Freed buffer 0x10000 on device {chip} (32 bytes, FINAL)"));
    }
    let facts = ask(&server, "144", DEVICE_INFO_QUERY, 1);
    let known = "total_dram=12884901504 arch=2 channels=12 channel_size=1073741792 available=1";
    assert!(has(&facts, known), "{facts}");

    let dump = server.ctl(&["dump"]);
    assert!(
        dump.contains("  Device 3:\n    DRAM: 1 buffers, 4 MB total\n      - Buffer 0x271020: 4096 KB (PID "),
        "{dump}"
    );
    assert!(
        dump.contains("    TRACE: 1 buffers, 1.14441e-05 MB total\n      - Buffer 0x40: 0.0117188 KB (PID "),
        "{dump}"
    );
    client.send(DUMP_REMAINING, 0, 0, 0, 0);
    server.wait_for_line("📋 DUMP_REMAINING complete.");

    // They are printed again and again; on a busy machine the first may have come before all of this was told.
    let statistics = "\n📊 Current Statistics:\n  Device 0:\n    Buffers: 1\n    DRAM: 8192 bytes (8 KB)\n    L1: 0 bytes (0 KB)\n    \
         Total: 8192 bytes\n";
    wait_for("statistics of chip 0", || server.log().contains(statistics).then_some(()));
    let statistics = "  Device 3:\n    Buffers: 2\n    DRAM: 4194304 bytes (4096 KB)\n    L1: 0 bytes (0 KB)\n    TRACE: 12 bytes \
         (0.0117188 KB)\n    CBs: 4096 bytes (4 KB)\n    Kernels: 57344 bytes (56 KB)\n    Total: 4194316 bytes\n  Active \
         allocations: 4\n";
    wait_for("statistics of chip 3", || server.log().contains(statistics).then_some(()));

    client.process.kill().unwrap();
    client.process.wait().unwrap();
    for line in [
        "⚠️  Detected dead processes, cleaning up orphaned buffers...".to_owned(),
        format!("   PID {pid} is dead, removing its buffers..."),
        format!("   ✓ Removed 2 buffers (4.00001 MB) from PID {pid}"),
        format!("   ✓ Removed 1 CBs (0.00390625 MB) from PID {pid}"),
        format!("   ✓ Removed 1 kernels (0.0546875 MB) from PID {pid}"),
    ] {
        server.wait_for_line(&line);
    }
    drop(native);
    server.ctl(&["shutdown"]);
    assert!(server.process.wait().unwrap().success());
    server.wait_for_line("🛑 Allocation Server stopped");
    let shapes: Vec<Regex> = SHAPES.iter().map(|shape| Regex::new(shape).unwrap()).collect();
    for line in server.log().lines() {
        assert!(shapes.iter().any(|shape| shape.is_match(line)), "{line:?} has no shape that is known");
    }
}
