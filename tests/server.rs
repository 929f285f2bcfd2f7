//! The recorder and the tracking server, which a fake stands for here: late, dead, slow, rude or absent, it changes
//! nothing for the program, and what it was told is right.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{Bench, Outcome, Run};
use tt_memtrace_wire::frame::{self, HEAD_BYTES, Hello, Kind, Role};
use tt_memtrace_wire::{Ending, Event, Header, Line};

const PATIENCE: Duration = Duration::from_secs(120);

/// What a fake server was told on one connection.
#[derive(Debug, Default)]
struct Told {
    header: Vec<u8>,
    /// `n` and what was dropped, of each state that was told.
    states: Vec<(u64, u64)>,
    /// The lines since the last state began.
    lines: Vec<u8>,
    /// The lines of the first state that was not told of nothing, or came first.
    state_lines: Vec<u8>,
    is_in_state: bool,
}

impl Told {
    fn header(&self) -> Header {
        let Line::Header(header) = parse(std::str::from_utf8(&self.header).unwrap().trim_end()) else {
            panic!()
        };
        *header
    }

    fn lines(&self) -> Vec<Line> {
        std::str::from_utf8(&self.lines).unwrap().lines().map(parse).collect()
    }

    fn footer(&self) -> Option<Ending> {
        self.lines().into_iter().find_map(|line| match line {
            Line::Footer(footer) => Some(footer.ended),
            _ => None,
        })
    }

    fn n(&self) -> u64 {
        let last = self.lines().iter().rev().find_map(|line| match line {
            Line::Event(stamp, _) => Some(stamp.n),
            _ => None,
        });
        last.unwrap_or(0).max(self.states.last().map_or(0, |(n, _)| *n))
    }

    /// The addresses that are held after all that was told.
    fn held(&self) -> BTreeSet<u64> {
        let mut held = BTreeSet::new();
        for line in self.lines() {
            match line {
                Line::Event(_, Event::Alloc(alloc)) => drop(held.insert(alloc.address)),
                Line::Event(_, Event::Dealloc(dealloc)) => drop(held.remove(&dealloc.address)),
                _ => {}
            }
        }
        held
    }

    fn take(&mut self, kind: Kind, payload: &[u8]) {
        match kind {
            Kind::Hello => {
                let hello = Hello::parse(payload).unwrap();
                assert_eq!(hello.role, Role::Recorder);
                self.header = hello.header.to_vec();
            }
            Kind::StateBegin => {
                let [n, dropped] = frame::parse_numbers(kind, payload).unwrap();
                self.states.push((n, dropped));
                self.lines.clear();
                self.is_in_state = true;
            }
            Kind::StateEnd => {
                assert!(std::mem::replace(&mut self.is_in_state, false));
                self.state_lines.clone_from(&self.lines);
            }
            Kind::Lines => {
                assert!(payload.ends_with(b"\n"), "whole lines only");
                self.lines.extend_from_slice(payload);
            }
            other => panic!("a recorder says {other:?}"),
        }
    }
}

fn parse(line: &str) -> Line {
    Line::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// One frame; nothing at the end of the connection.
fn next_frame(stream: &mut UnixStream) -> Option<(Kind, Vec<u8>)> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).ok()?;
    let (kind, length) = frame::parse_head(head).unwrap();
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).ok()?;
    Some((kind, payload))
}

/// Welcomes, takes and acknowledges everything, until the end, or until `is_enough`.
fn serve(stream: &mut UnixStream, mut is_enough: impl FnMut(&Told) -> bool) -> Told {
    let mut told = Told::default();
    let mut answer = Vec::new();
    frame::put(Kind::Welcome, b"{}", &mut answer);
    stream.write_all(&answer).unwrap();
    while let Some((kind, payload)) = next_frame(stream) {
        told.take(kind, &payload);
        if matches!(kind, Kind::StateEnd | Kind::Lines) && !told.is_in_state {
            answer.clear();
            frame::put_numbers(Kind::Ack, &[told.n()], &mut answer);
            // It may have ended meanwhile.
            let _ = stream.write_all(&answer);
            if is_enough(&told) {
                break;
            }
        }
    }
    told
}

fn socket(bench: &Bench) -> PathBuf {
    bench.path("server.sock")
}

fn listen(path: &Path) -> UnixListener {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).unwrap()
}

/// Serves the first connection to its end.
fn serve_one(bench: &Bench) -> JoinHandle<Told> {
    let listener = listen(&socket(bench));
    std::thread::spawn(move || serve(&mut listener.accept().unwrap().0, |_| false))
}

fn told(run: Run, bench: &Bench) -> Run {
    run.env("TT_MEMTRACE_SERVER", socket(bench))
}

fn start(run: Run) -> JoinHandle<Outcome> {
    std::thread::spawn(move || run.run())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The program `waits.c`, with its two files, and arguments behind.
fn waits(bench: &Bench, n_held: u64, n_others: u64) -> (Run, PathBuf, PathBuf) {
    let (ready, go) = (bench.path("ready"), bench.path("go"));
    let args = [n_held.to_string(), n_others.to_string(), "ready".into(), "go".into()];
    (told(bench.program("waits.c").args(args), bench), ready, go)
}

fn is_absent_line(stderr: &str, bench: &Bench) -> bool {
    let path = socket(bench);
    let tail = format!(
        "no tracking server at {} (start one: tt-memtrace serve); trying again quietly\n",
        path.display()
    );
    stderr.starts_with("tt-memtrace[") && stderr.ends_with(&tail) && stderr.lines().count() == 1
}

#[test]
fn a_server_that_is_there_gets_the_bytes_of_the_capture() {
    for (how, ended) in [("return", Ending::Exit), ("_exit", Ending::ImmediateExit)] {
        let bench = Bench::new();
        let server = serve_one(&bench);
        let outcome = told(bench.program("ends.c").args([how]), &bench).run();
        assert_eq!(outcome.stderr, "", "{how}");
        let told = server.join().unwrap();
        assert_eq!((told.states.as_slice(), told.footer()), ([(0, 0)].as_slice(), Some(ended)), "{how}");
        let capture = std::fs::read(&bench.capture().path).unwrap();
        assert_eq!([told.header, told.lines].concat(), capture, "{how}");
    }
}

#[test]
fn a_late_server_is_told_what_is_held_and_the_rest_as_it_comes() {
    let bench = Bench::new();
    let (run, ready, go) = waits(&bench, 3, 500);
    let run = start(run);
    wait_until("the program begins", || ready.exists());
    // Then it was looked for in vain, too: before anything was written.
    wait_until("all is written", || {
        let mut captures =
            bench.files().into_iter().filter(|path| path.extension().is_some_and(|of| of == "jsonl"));
        captures.any(|path| std::fs::read_to_string(path).unwrap().contains("\"n\":1003,"))
    });
    let listener = listen(&socket(&bench));
    let told = serve(&mut listener.accept().unwrap().0, |_| {
        std::fs::write(&go, "").unwrap();
        false
    });
    let outcome = run.join().unwrap();
    assert_eq!((outcome.status.code(), outcome.stdout.as_str()), (Some(0), "flush 0\n"));
    // On a busy machine the server is there before the first look for it.
    assert!(outcome.stderr.is_empty() || is_absent_line(&outcome.stderr, &bench), "{}", outcome.stderr);
    assert_eq!(told.states, [(1003, 0)]);
    let state = Told { lines: told.state_lines.clone(), ..Told::default() };
    assert_eq!(state.held(), BTreeSet::from([0x1000, 0x1001, 0x1002]));
    assert!(state.lines().iter().any(|line| matches!(line, Line::Mesh(_))), "definitions");
    assert_eq!(told.held(), BTreeSet::from([0x1000, 0x1001, 0x1002, 0x8000000]));
    assert_eq!((told.n(), told.footer()), (1004, Some(Ending::Exit)));
}

#[test]
fn a_server_that_dies_and_comes_back_is_told_everything_again() {
    let bench = Bench::new();
    let (run, ready, go) = waits(&bench, 2, 50);
    let listener = listen(&socket(&bench));
    let run = start(run);
    for _ in 0..3 {
        let (mut stream, _) = listener.accept().unwrap();
        let told = serve(&mut stream, |told| ready.exists() || !told.lines.is_empty());
        assert_eq!(told.states.len(), 1);
    }
    drop(listener);
    wait_until("the program begins", || ready.exists());
    let listener = listen(&socket(&bench));
    let last = serve(&mut listener.accept().unwrap().0, |told| {
        if told.n() >= 102 {
            std::fs::write(&go, "").unwrap();
        }
        false
    });
    let outcome = run.join().unwrap();
    // What was said was at most that it was absent once; it was there at first, so not even that.
    assert_eq!(
        (outcome.status.code(), outcome.stdout.as_str(), outcome.stderr.as_str()),
        (Some(0), "flush 0\n", "")
    );
    assert_eq!(last.held(), BTreeSet::from([0x1000, 0x1001, 0x8000000]));
    assert_eq!(last.footer(), Some(Ending::Exit));
}

#[test]
fn a_server_that_does_not_read_costs_the_program_nothing_and_the_capture_no_event() {
    let bench = Bench::new();
    let listener = listen(&socket(&bench));
    let accepted = std::thread::spawn(move || listener.accept().unwrap());
    let outcome = told(bench.program("waits.c").args(["5", "20000", "-", "-"]), &bench).run();
    drop(accepted.join().unwrap());
    outcome.quiet();
    let footer = bench.capture().footer.unwrap();
    assert_eq!((footer.recorded, footer.dropped), (40_005, 0));
}

#[test]
fn a_server_that_falls_behind_misses_lines_and_is_right_again_when_it_has_caught_up() {
    let bench = Bench::new();
    let (run, ready, go) = waits(&bench, 5, 20_000);
    let listener = listen(&socket(&bench));
    let run = start(run);
    let (mut stream, _) = listener.accept().unwrap();
    // 40,005 events take far more than the buffers of both sides.
    wait_until("the burst is over", || ready.exists());
    let mut n_states = 0;
    let told = serve(&mut stream, |told| {
        n_states = told.states.len();
        if told.n() >= 40_005 {
            std::fs::write(&go, "").unwrap();
        }
        false
    });
    let outcome = run.join().unwrap();
    assert_eq!(
        (outcome.status.code(), outcome.stdout.as_str(), outcome.stderr.as_str()),
        (Some(0), "flush 0\n", "")
    );
    assert!(n_states > 1, "{n_states} states");
    let expected = BTreeSet::from([0x1000, 0x1001, 0x1002, 0x1003, 0x1004, 0x8000000]);
    assert_eq!((told.held(), told.n()), (expected, 40_006));
    assert_eq!(bench.capture().footer.unwrap().recorded, 40_006);
}

#[test]
fn a_rude_server_changes_nothing() {
    type Rudeness = fn(UnixStream);
    let refused = |mut stream: UnixStream| {
        let mut answer = Vec::new();
        frame::put(Kind::Refused, b"not\x1b[2J today", &mut answer);
        let _ = stream.write_all(&answer);
    };
    let rude: [(&str, Rudeness); 4] = [
        ("closes", drop),
        ("junk", |mut stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"))),
        ("long", |mut stream| drop(stream.write_all(&frame::head(Kind::Welcome, 1 << 20)))),
        ("refuses", refused),
    ];
    for (what, rudeness) in rude {
        let bench = Bench::new();
        let listener = listen(&socket(&bench));
        std::thread::spawn(move || listener.incoming().flatten().for_each(rudeness));
        let outcome = told(bench.program("flushes.c"), &bench).run();
        assert_eq!(outcome.status.code(), Some(0), "{what}");
        if what == "refuses" {
            // Whether it is read before the end is a matter of time; if so, it is said once, and fit for a terminal.
            let said =
                outcome.stderr.lines().all(|line| line.ends_with("refuses this process: not [2J today"));
            assert!(said && outcome.stderr.lines().count() <= 1, "{}", outcome.stderr);
        } else {
            assert_eq!(outcome.stderr, "", "{what}");
        }
        assert!(bench.capture().footer.is_some(), "{what}");
    }
}

#[test]
fn a_forked_child_has_a_connection_of_its_own_and_not_its_parents() {
    let bench = Bench::new();
    let listener = listen(&socket(&bench));
    let server = std::thread::spawn(move || {
        let serve = |_| {
            let (mut stream, _) = listener.accept().unwrap();
            std::thread::spawn(move || serve(&mut stream, |_| false))
        };
        let both = [0, 1].map(serve);
        both.map(|one| one.join().unwrap())
    });
    let outcome = told(bench.program("forks.c"), &bench).run();
    assert_eq!((outcome.status.code(), outcome.stderr.as_str()), (Some(0), ""));
    let mut both = server.join().unwrap();
    // On a busy machine the child may be the first to connect.
    both.sort_by_key(|told| told.header().parent.is_some());
    let [parent, child] = both;
    assert_eq!(parent.held(), BTreeSet::from([1, 4]));
    let of = child.header().parent.unwrap();
    assert_eq!(of.pid, parent.header().pid);
    let is_its = |line: &Line| matches!(line, Line::Event(_, Event::Fork { token }) if *token == of.token);
    assert!(parent.lines().iter().any(is_its));
    assert_eq!((child.held(), child.footer()), (BTreeSet::from([2]), Some(Ending::Exit)));
}

#[test]
fn the_death_of_a_parent_is_seen_although_its_child_lives_on() {
    let bench = Bench::new();
    let (run, ready, go) = waits(&bench, 2, 0);
    let server = serve_one(&bench);
    let run = start(run.args(["fork"]));
    let told = server.join().unwrap();
    assert!(ready.exists() && !go.exists());
    std::fs::write(&go, "").unwrap();
    assert_eq!((told.held(), told.footer()), (BTreeSet::from([0x1000, 0x1001]), None));
    assert_eq!(run.join().unwrap().status.signal(), Some(libc::SIGKILL));
}

#[test]
fn with_a_server_alone_there_is_no_file() {
    let bench = Bench::new();
    let server = serve_one(&bench);
    let run = told(bench.program("ends.c"), &bench).without("TT_MEMTRACE_OUTPUT");
    assert_eq!(run.run().stderr, "");
    let told = server.join().unwrap();
    assert_eq!((told.held(), told.footer()), (BTreeSet::from([1, 2]), Some(Ending::Exit)));
    assert_eq!(bench.files(), [socket(&bench)]);
    let spool = told.header().spool.unwrap();
    assert!(!Path::new(&spool).exists());
}

#[test]
fn a_killed_process_without_a_file_leaves_a_spool_that_says_so() {
    let bench = Bench::new();
    let server = serve_one(&bench);
    let run = told(bench.program("ends.c").args(["kill"]), &bench).without("TT_MEMTRACE_OUTPUT");
    assert_eq!(run.run().status.signal(), Some(libc::SIGKILL));
    let told = server.join().unwrap();
    assert!(told.held().contains(&1));
    assert_eq!(told.footer(), None);
    let path = told.header().spool.unwrap();
    let spool = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let spool = tt_memtrace_wire::spool::DeadSpool::open(&spool, spool.len() as u64).unwrap();
    assert_eq!(spool.origin().capture, tt_memtrace_wire::spool::Origin::NO_CAPTURE);
}

#[test]
fn without_a_server_and_a_file_the_program_runs_and_one_line_is_said() {
    let bench = Bench::new();
    let run = told(bench.program("threads.c").args(["4", "20000"]), &bench).without("TT_MEMTRACE_OUTPUT");
    let outcome = run.run();
    assert_eq!(outcome.status.code(), Some(0));
    assert!(is_absent_line(&outcome.stderr, &bench), "{}", outcome.stderr);
    assert_eq!(bench.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_host_that_closes_every_descriptor_keeps_its_files_and_the_server_its_figures() {
    let bench = Bench::new();
    let listener = listen(&socket(&bench));
    let server = std::thread::spawn(move || {
        let mut last = Told::default();
        while last.footer().is_none() {
            last = serve(&mut listener.accept().unwrap().0, |_| false);
        }
        last
    });
    let outcome = told(bench.program("closes_everything.c"), &bench).run();
    assert_eq!((outcome.status.code(), outcome.stderr.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read(bench.path("theirs")).unwrap(), [b'x'; 20]);
    assert_eq!(bench.capture().allocated(), [1, 2, 3]);
    // It ends before the library connects again, or it does not.
    drop(server);
}
