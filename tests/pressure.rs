//! More than the sink can take, more threads than segments, less memory than wanted: what is not recorded is
//! counted, to the event, and nothing grows without bound.
//!
//! `scripts/pressure` is the long version of the slow sink.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod long;
mod support;

use long::{Long, recover, u64s};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use support::{Bench, Outcome, Run, library, release_library};
use tt_memtrace_wire::Line;

#[test]
fn without_a_spill_file_what_finds_no_room_is_counted_to_the_event() {
    let host = Host::new();
    let variables = [("TT_MEMTRACE_SPILL_MAX", "0"), ("TT_MEMTRACE_SPOOL_SIZE", "256K")];
    let outcome = host.run(4, 20_000, "0", &["held"], &variables);
    host.complete(&outcome);
    let capture = host.capture();
    // 16 segments of 256 records stood in the spool while nothing could be written.
    assert!(capture.dropped >= 80_000 - 16 * 256 - 4 * 256, "{}", capture.dropped);
    assert_eq!(capture.events.len() as u64 + capture.dropped, 80_000);
    host.nothing_is_left(&capture);
}

#[test]
fn a_sink_at_a_hundredth_of_its_speed_costs_events_but_no_figure_and_no_memory() {
    let seconds = std::env::var("SLOW_SECONDS").map_or(2, |n| n.parse::<u32>().unwrap());
    let host = Host::new();
    let ms = (seconds * 1000).to_string();
    let run = host.command(4, u32::MAX, "-200", &["throttled", "99", &ms]);
    let run = run.env("LD_PRELOAD", release_library()).env("TT_MEMTRACE_SPILL_MAX", "16M");
    let outcome = run.run_within(Duration::from_secs(300 + u64::from(seconds)));
    host.complete(&outcome);
    host.grew_by_the_spool_and_a_little(&outcome, 4096);
    let produced: u64 = u64s(&host.bench.path("returned")).iter().sum();
    let capture = host.capture();
    println!("{produced} events in {seconds} s, {} of them dropped", capture.dropped);
    assert!(capture.dropped > 0);
    assert_eq!(capture.events.len() as u64 + capture.dropped, produced);
    is_in_order(&capture);
    host.nothing_is_left(&capture);
}

#[test]
fn sixty_four_busy_threads_are_recorded_in_order_or_counted() {
    let host = Host::new();
    let run = host.command(64, 20_000, "0", &["return"]).env("LD_PRELOAD", release_library());
    let outcome = run.env("TT_MEMTRACE_SPILL_MAX", "32M").run();
    host.complete(&outcome);
    host.grew_by_the_spool_and_a_little(&outcome, 4096);
    let capture = host.capture();
    println!("{} of 1280000 dropped", capture.dropped);
    assert_eq!(capture.events.len() as u64 + capture.dropped, 64 * 20_000);
    is_in_order(&capture);
    host.nothing_is_left(&capture);
}

#[test]
fn a_burst_beyond_the_spool_goes_through_the_spill_file() {
    let host = Host::new();
    let outcome = host.run(2, 30_000, "0", &["held"], &[]);
    host.complete(&outcome);
    let capture = host.capture();
    assert_eq!((capture.events.len(), capture.dropped), (60_000, 0));
    host.nothing_is_left(&capture);
}

#[test]
fn two_million_events_leave_memory_as_it_was_but_for_the_spool_and_a_little() {
    let host = Host::new();
    let run = host.command(2, 1_000_000, "-1500", &["return"]).env("LD_PRELOAD", release_library());
    let outcome = run.run();
    host.complete(&outcome);
    host.grew_by_the_spool_and_a_little(&outcome, 4096);
    // Reading all of them as the other tests do would take longer than writing them.
    let (n, last) = Long::count(&host.path());
    let dropped = match last {
        Line::Footer(footer) => footer.dropped,
        Line::Recovery(recovery) => recovery.dropped,
        other => panic!("{other:?}"),
    };
    assert_eq!(n + dropped, 2_000_000);
}

#[test]
fn a_sink_that_stands_still_takes_no_memory() {
    for spill in ["0", "1G"] {
        let host = Host::new();
        let run = host.command(4, 300_000, "0", &["held"]).env("LD_PRELOAD", release_library());
        let outcome = run.env("TT_MEMTRACE_SPILL_MAX", spill).run();
        host.complete(&outcome);
        host.grew_by_the_spool_and_a_little(&outcome, 4096);
        let capture = host.capture();
        assert_eq!(capture.events.len() as u64 + capture.dropped, 1_200_000);
        host.nothing_is_left(&capture);
    }
}

#[test]
fn a_full_dev_shm_moves_the_spool_beside_the_capture() {
    let host = Host::new();
    // In a mount namespace of its own, where /dev/shm has no room.
    let script = "mount -t tmpfs -o size=64k none /dev/shm && shift && exec env LD_PRELOAD=\"$0\" \"$@\"";
    let run = host.bench.command("unshare").without("LD_PRELOAD").args(["-m", "sh", "-c", script]);
    let run = run.args([library().as_os_str(), "--".as_ref(), support::program("killed.c").as_os_str()]);
    let run = run.args([host.bench.path("returned")]).args(["2", "5000", "0", "held"]);
    let outcome = run.env("TT_MEMTRACE_OUTPUT", host.path()).run();
    if outcome.stderr.starts_with("unshare") || outcome.stderr.starts_with("mount") {
        return support::skip("right to mount");
    }
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:#?}");
    let capture = host.capture();
    assert_eq!(capture.header.spool.as_deref(), host.bench.path("x.jsonl.spool").to_str());
    assert_eq!((capture.events.len(), capture.dropped), (10_000, 0));
    host.nothing_is_left(&capture);
}

#[test]
fn two_thousand_threads_come_and_go_and_leave_no_segment_behind() {
    let host = Host::new();
    let run = host.bench.program("comings.c").args(["2000", "3"]).env("TT_MEMTRACE_OUTPUT", host.path());
    // Enough for the 64 that live at once, not for all.
    run.env("TT_MEMTRACE_SPOOL_SIZE", "512K").run().quiet();
    let capture = host.capture();
    assert_eq!((capture.events.len(), capture.dropped), (6000, 0));
    let mut threads: Vec<u64> = capture.events.iter().map(|event| event.address >> 32).collect();
    threads.sort_unstable();
    assert!(threads.chunks(3).enumerate().all(|(i, events)| events == [i as u64; 3]));
    host.nothing_is_left(&capture);
}

#[test]
fn a_thousand_threads_at_once_are_recorded_in_order_without_a_loss() {
    const N_THREADS: usize = 1000;
    const N_TURNS: usize = 12;
    let host = Host::new();
    let run = host.bench.program("crowd.c").args([N_THREADS.to_string(), N_TURNS.to_string()]);
    run.env("TT_MEMTRACE_OUTPUT", host.path()).run().quiet();
    let capture = host.capture();
    assert_eq!((capture.events.len(), capture.dropped), (N_THREADS * N_TURNS, 0));
    for (turn, events) in capture.events.chunks(N_THREADS).enumerate() {
        let mut addresses: Vec<u64> = events.iter().map(|event| event.address).collect();
        addresses.sort_unstable();
        let is_whole =
            addresses.iter().zip(0..).all(|(address, thread)| *address == (turn as u64) << 32 | thread);
        assert!(is_whole, "turn {turn} is mixed with another");
    }
    host.nothing_is_left(&capture);
}

#[test]
fn more_threads_than_there_is_room_for_are_counted() {
    let host = Host::new();
    let run = host.bench.program("crowd.c").args(["1000", "12"]).env("TT_MEMTRACE_OUTPUT", host.path());
    run.env("TT_MEMTRACE_SPOOL_SIZE", "256K").run().quiet();
    let capture = host.capture();
    assert!(capture.dropped > 0);
    assert_eq!(capture.events.len() as u64 + capture.dropped, 12_000);
    host.nothing_is_left(&capture);
}

#[test]
fn events_of_signal_handlers_are_recorded_or_counted_and_harm_no_other() {
    let host = Host::new();
    let run = host.bench.program("interrupted.c").args(["100000"]).env("TT_MEMTRACE_OUTPUT", host.path());
    let outcome = run.env("TT_MEMTRACE_SPOOL_SIZE", "64M").run().quiet();
    let capture = host.capture();
    let (produced, inside) = (u64::from(outcome.number("produced")), u64::from(outcome.number("inside")));
    println!("{produced} produced, {} of them inside another and dropped", capture.dropped);
    assert_eq!(inside, 2);
    assert!(capture.dropped >= inside);
    assert_eq!(capture.events.len() as u64 + capture.dropped, produced);
    let mut addresses: Vec<u64> = capture.events.iter().map(|event| event.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), capture.events.len());
    assert!(addresses.iter().all(|address| *address < produced));
    host.nothing_is_left(&capture);
}

/// Each thread's events, in the order in which it recorded them.
fn is_in_order(capture: &Long) {
    let mut last = HashMap::new();
    for event in &capture.events {
        let before = last.insert(event.mesh_id, event.address);
        assert!(before.is_none_or(|before| before < event.address), "{event:?} after {before:?}");
    }
}

/// A program under the library, in a folder of its own.
struct Host {
    bench: Bench,
}

impl Host {
    fn new() -> Self {
        Self { bench: Bench::new() }
    }

    fn path(&self) -> PathBuf {
        self.bench.path("x.jsonl")
    }

    fn command(&self, n_threads: u32, n_events: u32, pause: &str, how: &[&str]) -> Run {
        let returned = self.bench.path("returned");
        let (n_threads, n_events) = (n_threads.to_string(), n_events.to_string());
        let run =
            self.bench.program("killed.c").args([returned.to_str().unwrap(), &n_threads, &n_events, pause]);
        run.args(how).env("TT_MEMTRACE_OUTPUT", self.path())
    }

    fn run(
        &self,
        n_threads: u32,
        n_events: u32,
        pause: &str,
        how: &[&str],
        variables: &[(&str, &str)],
    ) -> Outcome {
        let command = self.command(n_threads, n_events, pause, how);
        variables.iter().fold(command, |run, (name, value)| run.env(name, value)).run()
    }

    /// The end waits for the worker, but not for ever: what is still in the spool then is recovered.
    fn complete(&self, outcome: &Outcome) {
        assert!(outcome.status.success(), "{outcome:#?}");
        if !outcome.stderr.is_empty() {
            assert!(outcome.said()[0].starts_with("the last records are still in "), "{outcome:#?}");
            recover(&self.path());
        }
    }

    /// How much more memory was resident at most than without the library: the spool, and 4 MB. What the sink does
    /// makes no difference.
    fn grew_by_the_spool_and_a_little(&self, outcome: &Outcome, spool_kb: u32) {
        let bare = Self::new().command(2, 10, "0", &["return"]).without("LD_PRELOAD").run().quiet();
        let grown = outcome.number("kilobytes").saturating_sub(bare.number("kilobytes"));
        assert!(grown <= spool_kb + 4_000_000 / 1024, "{grown} kB more than without the library");
        assert!(grown > spool_kb / 2, "{grown} kB: the library was not there");
    }

    fn capture(&self) -> Long {
        let capture = Long::read(&self.path());
        assert!(capture.footer.is_some() || capture.recovery.is_some());
        capture
    }

    fn nothing_is_left(&self, capture: &Long) {
        let spool = capture.header.spool.as_deref().unwrap();
        assert!(!std::path::Path::new(spool).exists(), "{spool} is left");
        let files = self.bench.files();
        assert!(
            files.iter().all(|file| file.ends_with("returned") || file.ends_with("x.jsonl")),
            "{files:?}"
        );
    }
}

impl Drop for Host {
    /// The bench would hold each of the many lines against the schema.
    fn drop(&mut self) {
        if !std::thread::panicking() && self.path().exists() {
            std::fs::remove_file(self.path()).unwrap();
        }
    }
}
