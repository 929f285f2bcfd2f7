//! Connections that say anything, in both protocols, through the code that serves real ones: nothing fails, every
//! connection comes to its end, and what is kept is no more than what was sent. FUZZ_SECONDS, divided between the
//! tests, says how long; a failure names its seed, and FUZZ_SEED replays that one connection.

use super::hub::Hub;
use super::legacy::Classic;
use super::listen::Door;
use super::peer::Peer;
use super::printer::Printer;
use super::process::Protocol;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tt_memtrace_wire::frame::{self, Hello, Kind, PROTOCOL, Role};
use tt_memtrace_wire::legacy::{Message, Record, RecordSize};

const N_TESTS: u32 = 2;
/// Of one connection.
const MOST_BYTES: usize = 1 << 16;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len.max(1)).unwrap())).unwrap()
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => self.next() << 11,
            1 => u64::MAX - self.below(2),
            _ => self.below(16) * 64,
        }
    }

    /// Changes, cuts, doubles or mixes bytes.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.index(bytes.len());
        match self.below(5) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
            1 => bytes.truncate(at),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, u8::try_from(self.below(14)).unwrap()),
            _ => bytes.extend_from_within(at..),
        }
    }
}

struct NamedOnPanic(u64);

impl Drop for NamedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with FUZZ_SEED={}", self.0);
        }
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn for_some_time(protocol: Protocol, said: impl Fn(&mut Random) -> Vec<u8>) {
    let only = number_from("FUZZ_SEED");
    let deadline = Instant::now() + Duration::from_secs(number_from("FUZZ_SECONDS").unwrap_or(4)) / N_TESTS;
    let mut door = door();
    for seed in only.unwrap_or(1).. {
        let named = NamedOnPanic(seed);
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut bytes = said(&mut random);
        bytes.truncate(MOST_BYTES);
        connect(&door.1, protocol, bytes, &mut random);
        check(&door.0);
        drop(named);
        if only.is_some() || Instant::now() > deadline {
            return eprintln!("{seed} connections");
        }
        if seed % 50 == 0 {
            door = self::door();
        }
    }
}

fn door() -> (Arc<Hub>, Door) {
    let hub = Arc::new(Hub::new("test".into(), Box::new(Classic::new(Printer::quiet()))));
    let door = Door::new(Arc::clone(&hub), false, Arc::new(|| {}));
    (hub, door)
}

/// Says this, in pieces, and takes what is answered. Comes back when the server let go of the connection.
fn connect(door: &Door, protocol: Protocol, bytes: Vec<u8>, random: &mut Random) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let pieces: Vec<usize> = (0..4).map(|_| 1 + random.index(400)).collect();
    std::thread::scope(|scope| {
        let (mut reader, mut writer) = (ours.try_clone().unwrap(), ours);
        scope.spawn(move || {
            let mut rest = &bytes[..];
            for size in pieces.iter().cycle() {
                let (piece, more) = rest.split_at((*size).min(rest.len()));
                if rest.is_empty() || writer.write_all(piece).is_err() {
                    break;
                }
                rest = more;
            }
            let _ = writer.shutdown(std::net::Shutdown::Write);
        });
        scope.spawn(move || while reader.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {});
        let peer = Arc::new(Peer::of(&theirs).unwrap());
        door.serve(theirs, peer, protocol);
    });
}

fn check(hub: &Hub) {
    for process in hub.all() {
        let state = process.lock();
        let n_live = state.ledger.snapshot().n_live();
        assert!(u64::try_from(n_live).unwrap() <= state.n_events + 64, "{n_live} of {}", state.n_events);
        assert!(state.ledger.anomalies().first().len() <= 1000);
    }
    hub.observer.tick(hub);
    let _ = (
        super::legacy::dump_remaining(hub, None),
        super::legacy::dump_kernels(hub),
        super::legacy::statistics(hub),
    );
}

#[test]
fn nothing_that_a_legacy_client_says_does_harm() {
    for_some_time(Protocol::Legacy, |random| {
        let size = *random.pick(&RecordSize::ALL);
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut bytes = Vec::new();
        for _ in 0..random.below(60) {
            let message = *random.pick(&Message::ALL);
            let device = i32::try_from(random.below(12)).unwrap() - 2;
            let record = Record {
                size_bytes: random.number(),
                kind: u8::try_from(random.below(6)).unwrap(),
                process_id: if random.one_in(20) { -5 } else { pid },
                buffer_id: random.number(),
                ..Record::new(message, device)
            };
            let size = if random.one_in(40) { *random.pick(&RecordSize::ALL) } else { size };
            record.write_to(size, &mut bytes);
        }
        while random.one_in(2) {
            random.damage(&mut bytes);
        }
        bytes
    });
}

/// Lines of a capture, of which many contradict one another, and some are none.
const LINES: [&str; 14] = [
    r#"{"kind":"mesh","mesh_id":0,"chips":[0,1,2,3],"rows":2,"cols":2,"arch":"wormhole_b0"}"#,
    r#"{"kind":"mesh","mesh_id":1,"chips":[3,9],"rows":1,"cols":2,"arch":""}"#,
    r#"{"kind":"alloc","n":@,"t_ns":@,"tid":1,"mesh_id":0,"type":"DRAM","layout":"INTERLEAVED","address":@,"size_bytes":@,"page_size_bytes":1,"per_bank_bytes":@,"owns_data":true}"#,
    r#"{"kind":"alloc","n":@,"t_ns":@,"tid":1,"chip":3,"type":"L1","layout":"HEIGHT_SHARDED","address":@,"size_bytes":@,"page_size_bytes":1,"per_bank_bytes":@,"owns_data":false}"#,
    r#"{"kind":"alloc","n":@,"t_ns":@,"tid":1,"chip":3,"type":"TYPE_9","layout":"HEIGHT_SHARDED","address":@,"size_bytes":@,"page_size_bytes":1,"per_bank_bytes":@,"owns_data":null}"#,
    r#"{"kind":"dealloc","n":@,"t_ns":@,"tid":1,"mesh_id":0,"type":"DRAM","address":@}"#,
    r#"{"kind":"dealloc","n":@,"t_ns":@,"tid":1,"chip":3,"address":@}"#,
    r#"{"kind":"cb_alloc","n":@,"t_ns":@,"tid":1,"mesh_id":0,"program":@,"cores":0,"address":@,"size_bytes":@,"globally_allocated":false}"#,
    r#"{"kind":"cb_dealloc","n":@,"t_ns":@,"tid":1,"mesh_id":0,"program":@}"#,
    r#"{"kind":"close","n":@,"t_ns":@,"tid":1,"mesh_id":0}"#,
    r#"{"kind":"kernel_load","n":@,"t_ns":@,"tid":1,"mesh_id":0,"kernel":"FABRIC","program":@,"size_bytes":@,"n_cores":@}"#,
    r#"{"kind":"kernel_unload","n":@,"t_ns":@,"tid":1,"mesh_id":0,"program":@}"#,
    r#"{"kind":"fork","n":@,"t_ns":@,"tid":1,"token":@}"#,
    r#"{"kind":"footer","t_ns":@,"recorded":@,"dropped":@,"ended":"exit"}"#,
];

#[test]
fn nothing_that_a_recorder_or_an_asker_says_does_harm() {
    for_some_time(Protocol::Native, |random| {
        let mut bytes = Vec::new();
        let is_recorder = !random.one_in(4);
        let header = format!(
            r#"{{"kind":"header","schema":"tt-memtrace.capture","version":"1.0","pid":{},"process_start":0,"host":"","boot_id":"","program":"p","t_ns":1,"wall_ns":1}}"#,
            std::process::id()
        );
        let (role, header) =
            if is_recorder { (Role::Recorder, header) } else { (Role::Asker, String::new()) };
        Hello { version: PROTOCOL, role, header: header.as_bytes() }.put(&mut bytes);
        for _ in 0..random.below(30) {
            match random.below(12) {
                0 => frame::put_numbers(Kind::StateBegin, &[random.number(), random.number()], &mut bytes),
                1 => frame::put(Kind::StateEnd, &[], &mut bytes),
                2 => frame::put(Kind::Request, br#"{"request":"dump","device":3}"#, &mut bytes),
                3 => {
                    let name = *random.pick(&["state", "stats", "kernels", "baseline", "mark", "", "\u{0}"]);
                    let request = format!(r#"{{"request":"{name}","top":{},"name":"x"}}"#, random.number());
                    frame::put(Kind::Request, request.as_bytes(), &mut bytes);
                }
                4 if random.one_in(4) => {
                    let kind =
                        Kind::from_number(u8::try_from(random.below(10)).unwrap()).unwrap_or(Kind::Ack);
                    frame::put(kind, &[0; 16], &mut bytes);
                }
                _ => frame::put(Kind::Lines, lines(random).as_bytes(), &mut bytes),
            }
        }
        while random.one_in(3) {
            random.damage(&mut bytes);
        }
        bytes
    });
}

fn lines(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(8) {
        for part in random.pick(&LINES).split_inclusive('@') {
            match part.strip_suffix('@') {
                Some(part) => text.push_str(&format!("{part}{}", random.number() >> random.below(40))),
                None => text.push_str(part),
            }
        }
        text.push('\n');
    }
    text
}
