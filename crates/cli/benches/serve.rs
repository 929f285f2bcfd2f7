//! How many events a second the tracking server takes, all clients included:
//! `cargo bench -p tt-memtrace-cli --bench serve`.
//!
//! Each client is a thread that sends lines as fast as the server reads them: allocations and deallocations of 100
//! buffers on a mesh of eight chips. Told are events per second of wall time, per second of the server's processor time
//! (what one core would do), and what the server uses of memory.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement stops where it is surprised")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tt_memtrace_wire::frame::{self, Hello, Kind, PROTOCOL, Role};

/// Events of each measurement, over all clients.
const N_EVENTS: u64 = 2_000_000;
/// Events in one frame.
const BATCH: u64 = 200;

fn main() {
    for n_clients in [1, 64] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tt-memtrace"));
        let mut server = command.args(["serve", "--quiet", "--socket"]).arg(&socket).spawn().unwrap();
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let began = Instant::now();
        let each = N_EVENTS / n_clients;
        let clients: Vec<_> = (1..=n_clients)
            .map(|pid| {
                let stream = UnixStream::connect(&socket).unwrap();
                std::thread::spawn(move || client(stream, pid, each))
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        report(n_clients, each * n_clients, began.elapsed(), &mut server);
    }
}

fn report(n_clients: u64, n_events: u64, took: Duration, server: &mut Child) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let pages: u64 = fields[21].parse().unwrap();
    let per_second = |ms: u128| u128::from(n_events) * 1000 / ms.max(1) / 1000;
    println!(
        "{n_clients} clients: {} k events/s of wall time, {} k events/s of server time, {} MiB",
        per_second(took.as_millis()),
        per_second(u128::from(ticks) * 10),
        pages >> 8
    );
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Sends so many events and waits until the last one is acknowledged.
fn client(mut stream: UnixStream, pid: u64, n_events: u64) {
    let header = format!(
        "{{\"kind\":\"header\",\"schema\":\"tt-memtrace.capture\",\"version\":\"1.0\",\"pid\":{pid},\
         \"process_start\":1,\"pid_namespace\":\"pid:[1]\",\"program\":\"bench\",\"t_ns\":0,\"wall_ns\":0}}"
    );
    let mut bytes = Vec::new();
    Hello { version: PROTOCOL, role: Role::Recorder, header: header.as_bytes() }.put(&mut bytes);
    let mesh = "{\"kind\":\"mesh\",\"mesh_id\":0,\"chips\":[0,1,2,3,4,5,6,7],\"rows\":2,\"cols\":4,\
                \"arch\":\"wormhole_b0\"}\n";
    frame::put(Kind::Lines, mesh.as_bytes(), &mut bytes);
    stream.write_all(&bytes).unwrap();
    let mut acks = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut head = [0; frame::HEAD_BYTES];
        loop {
            acks.read_exact(&mut head).unwrap();
            let (kind, length) = frame::parse_head(head).unwrap();
            let mut payload = vec![0; length];
            acks.read_exact(&mut payload).unwrap();
            if kind == Kind::Ack && frame::parse_numbers::<1>(kind, &payload).unwrap()[0] >= n_events {
                return;
            }
        }
    });
    let mut n = 0;
    while n < n_events {
        let mut lines = Vec::new();
        for _ in 0..BATCH.min(n_events - n) {
            n += 1;
            line(n, &mut lines);
        }
        bytes.clear();
        frame::put(Kind::Lines, &lines, &mut bytes);
        stream.write_all(&bytes).unwrap();
    }
    reader.join().unwrap();
}

/// A hundred allocations, then their deallocations.
fn line(n: u64, out: &mut Vec<u8>) {
    let (round, i) = ((n - 1) / 200, (n - 1) % 200);
    let address = 1024 * (i % 100 + 1);
    let id = round * 100 + i % 100;
    let rest = if i < 100 {
        "\"layout\":\"INTERLEAVED\",\"size_bytes\":1024,\"page_size_bytes\":1024,\"per_bank_bytes\":1024,\
         \"owns_data\":true"
    } else {
        "\"size_bytes\":1024"
    };
    let kind = if i < 100 { "alloc" } else { "dealloc" };
    writeln!(
        out,
        "{{\"kind\":\"{kind}\",\"n\":{n},\"t_ns\":{n},\"tid\":1,\"mesh_id\":0,\"type\":\"DRAM\",\
         \"address\":{address},\"unique_id\":{id},{rest}}}"
    )
    .unwrap();
}
