//! Deaths: every event whose call had returned is in the completed capture or counted as dropped, none twice,
//! and nothing of ours is left behind.
//!
//! `KILLS=1000 cargo test --release --test crash random` is the long version; `scripts/crash` runs it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod long;
mod support;

use long::{Long, recover, tool, u64s};
use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Bench, Outcome};
use tt_memtrace_wire::spool::{self, DURABLE, IDLE, MAGIC, PENDING, PHASE, WRITING, segment};
use tt_memtrace_wire::{Header, Recovery};

const N_THREADS: u64 = 4;

#[test]
fn killed_at_random_moments_it_keeps_every_event_whose_call_had_returned() {
    let n_kills = std::env::var("KILLS").map_or(25, |n| n.parse::<u64>().unwrap());
    let (mut n_events, mut n_recovered, mut n_dropped, mut n_unfinished, mut n_before) = (0, 0, 0, 0, 0);
    let mut kill = 0;
    while kill < n_kills {
        let death = Death::new();
        // Paced, as fast as it goes with and without a spill file, and with the smallest spool.
        let (pause, spill, spool) = [
            ("2000", "1G", "4M"),
            ("300", "1G", "4M"),
            ("0", "0", "4M"),
            ("2000", "0", "256K"),
            ("0", "1G", "4M"),
        ][usize::try_from(kill % 5).unwrap()];
        let most = if pause == "0" { 12_000 } else { 40_000 };
        let moment = (random() % most).to_string();
        let variables = [("TT_MEMTRACE_SPILL_MAX", spill), ("TT_MEMTRACE_SPOOL_SIZE", spool)];
        let outcome = death.run("0", pause, &["timer", &moment], &variables);
        assert_eq!((outcome.status.signal(), &*outcome.stderr), (Some(libc::SIGKILL), ""), "{moment} us");
        if death.is_before_the_first_event(&outcome) {
            // It is killed again: a busy machine may not come to the first event for long.
            n_before += 1;
            assert!(n_before < 100 * n_kills, "all are killed before the first event");
            continue;
        }
        kill += 1;
        let account = death.account();
        n_events += account.n_present;
        n_recovered += account.recovery.recovered;
        n_dropped += account.recovery.dropped;
        n_unfinished += account.recovery.unfinished;
    }
    println!(
        "{n_kills} kills, and {n_before} before the first event, {n_events} events in captures, \
         {n_recovered} of them from spools, {n_dropped} dropped, {n_unfinished} unfinished, 0 missing"
    );
    assert!(n_events > 0 && n_recovered > 0);
}

#[test]
fn killed_at_each_step_of_a_write_it_loses_and_doubles_nothing() {
    for (what, most) in [("write", 4), ("spill", 2)] {
        for (which, moment) in
            (1..=most).flat_map(|which| ["before", "half", "after"].map(|moment| (which, moment)))
        {
            let death = Death::new();
            let outcome = death.run("10000", "20000", &[what, &which.to_string(), moment], &[]);
            assert_eq!(outcome.status.signal(), Some(libc::SIGKILL), "{outcome:#?}");
            let account = death.account();
            assert!(account.n_present >= 40_000, "{what} {which} {moment}: {}", account.n_present);
        }
    }
}

#[test]
fn killed_while_the_header_is_written_it_leaves_a_header_or_nothing() {
    for moment in ["before", "half", "after"] {
        let death = Death::new();
        let outcome = death.run("100", "0", &["header", "1", moment], &[]);
        assert_eq!(outcome.status.signal(), Some(libc::SIGKILL), "{outcome:#?}");
        assert_eq!(death.is_before_the_first_event(&outcome), moment != "after");
        if moment == "after" {
            let account = death.account();
            assert!(account.n_present <= N_THREADS && account.recovery.recovered == account.n_present);
        }
    }
}

#[test]
fn killed_while_the_spool_is_made_it_leaves_what_the_next_reader_of_the_capture_removes() {
    let bench = Bench::new();
    let capture = bench.path("x.jsonl");
    let run = bench.program("ends_in_start.c").args(["kill"]).env("TT_MEMTRACE_OUTPUT", &capture);
    let outcome = run.run();
    assert_eq!(outcome.status.signal(), Some(libc::SIGKILL), "{outcome:#?}");
    let [spool] = &spools_of(outcome.pid)[..] else { panic!("it left no spool") };
    // Not of a reader of another capture.
    for (name, is_removed) in [("y.jsonl", false), ("x.jsonl", true)] {
        std::fs::write(bench.path(name), "").unwrap();
        let output = Command::new(tool()).arg("summary").arg(bench.path(name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && said.contains("the capture is empty"), "{said}");
        assert_eq!(!spool.exists(), is_removed, "{name}");
        std::fs::remove_file(bench.path(name)).unwrap();
    }
}

#[test]
fn abort_and_a_fault_and_an_exit_of_one_thread_lose_nothing() {
    for (how, signal) in [("abort", libc::SIGABRT), ("segfault", libc::SIGSEGV)] {
        let death = Death::new();
        let outcome = death.run("3000", "500", &[how], &[]);
        assert_eq!((outcome.status.signal(), &*outcome.stderr), (Some(signal), ""), "{how}");
        assert!(death.account().n_present >= 3000, "{how}");
    }
}

#[test]
fn an_immediate_exit_of_one_thread_does_not_wait_for_the_others_to_stop() {
    let death = Death::new();
    let outcome = death.run("3000", "0", &["_exit"], &[]);
    assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(4), ""));
    let mut capture = Long::read(&death.capture());
    if capture.footer.is_none() {
        // On a starved machine the end of the process does not wait long enough; what is left is in the spool.
        recover(&death.capture());
        capture = Long::read(&death.capture());
        assert!(capture.recovery.is_some());
    }
    // The others go on until the very end; what is there of them has no gap.
    let mut next = [0; 4];
    for event in &capture.events {
        let next = &mut next[usize::try_from(event.mesh_id).unwrap()];
        assert_eq!(event.unique_id, *next);
        *next += 1;
    }
    assert!(next[0] == 3000 && next.iter().all(|n| *n >= 3000), "{next:?}");
    death.nothing_is_left(&capture.header);
}

#[test]
fn without_its_worker_it_goes_on_until_the_spool_is_full_and_then_counts() {
    let death = Death::new();
    let outcome = death.run("30000", "0", &["worker", "1"], &[("TT_MEMTRACE_SPOOL_SIZE", "1M")]);
    assert_eq!(outcome.status.code(), Some(0), "{outcome:#?}");
    assert_eq!(outcome.said().len(), 1, "{outcome:#?}");
    assert!(outcome.said()[0].starts_with("the last records are still in /dev/shm/"), "{outcome:#?}");
    let account = death.account();
    assert_eq!(account.n_present + account.recovery.dropped, 4 * 30_000);
    assert!(account.n_present >= 16_000 && account.recovery.unfinished == 0);
}

#[test]
fn a_recovery_that_is_killed_is_done_again_with_the_same_result() {
    for (what, moment) in [("write", "half"), ("write", "after"), ("spill", "half"), ("spill", "after")] {
        let death = Death::new();
        death.run("10000", "20000", &[what, "1", moment], &[]);
        let capture = death.capture();
        let (before, left) = (std::fs::read(&capture).unwrap(), Left::save(&death));
        recover(&capture);
        let whole = std::fs::read(&capture).unwrap();
        for part in [1, 2, 3, 9] {
            left.put_back();
            std::fs::write(&capture, &before).unwrap();
            let missing = whole.len() - before.len();
            let killed = recover_with_file_limit(&capture, before.len() + missing * part / 10);
            assert_eq!(killed, Some(libc::SIGXFSZ), "{what} {moment} at {part} tenths");
            assert_ne!(std::fs::read(&capture).unwrap(), whole);
            recover(&capture);
            assert!(std::fs::read(&capture).unwrap() == whole, "{what} {moment} after {part} tenths");
            assert!(left.files.iter().all(|(path, _)| !path.exists()));
        }
        death.account_of(&Long::read(&capture));
    }
}

#[test]
fn a_recovery_that_is_killed_keeps_to_what_it_decided_about_an_unfinished_write() {
    // The capture lacks the end of a write. Records with older clocks came into the spool meanwhile, so that the
    // lines which recovery appends are others than those of the write.
    let bench = Bench::new();
    let folder = bench.path("");
    let (capture, spool_path) = (folder.join("x.jsonl"), folder.join("x.jsonl.spool"));
    let (header, spool) = a_spool_in_a_write(&spool_path, 300);
    let whole = {
        std::fs::write(&capture, &header).unwrap();
        std::fs::write(&spool_path, &spool).unwrap();
        recover(&capture);
        std::fs::read(&capture).unwrap()
    };
    for limit in (header.len()..whole.len()).step_by(2999).skip(1) {
        std::fs::write(&capture, &header).unwrap();
        std::fs::write(&spool_path, &spool).unwrap();
        assert_eq!(recover_with_file_limit(&capture, limit), Some(libc::SIGXFSZ), "{limit}");
        recover(&capture);
        assert!(std::fs::read(&capture).unwrap() == whole, "killed at {limit} of {} bytes", whole.len());
    }
    std::fs::remove_file(&capture).unwrap();
}

#[test]
fn a_recovery_that_is_killed_in_any_call_is_done_again_with_the_same_result() {
    let shim = killer();
    for is_spilled in [false, true] {
        let bench = Bench::new();
        let folder = bench.path("");
        let [capture, spool_path, spill_path] =
            ["x.jsonl", "x.jsonl.spool", "x.jsonl.spill"].map(|name| folder.join(name));
        let (header, spool, spill) = a_spool_with_a_spill(&spool_path, is_spilled);
        let put_back = || {
            std::fs::write(&capture, &header).unwrap();
            std::fs::write(&spool_path, &spool).unwrap();
            std::fs::write(&spill_path, &spill).unwrap();
        };
        put_back();
        assert_eq!(recover(&capture)["status"], "recovered");
        let whole = std::fs::read(&capture).unwrap();
        let text = String::from_utf8(whole.clone()).unwrap();
        assert_eq!(text.lines().count(), 1 + 4000 + 600 + 1);
        assert!(text.ends_with("\"unreadable\":0}\n"), "{}", &text[text.len() - 200..]);

        let (mut n_kills, mut n_resumed) = (0, 0);
        for (call, moment) in (1..).flat_map(|call| ["B", "H", "A"].map(|moment| (call, moment))) {
            put_back();
            let mut command = Command::new(tool());
            command.arg("recover").arg(&capture).env("LD_PRELOAD", &shim);
            let output = command.env("DIES_IN", format!("{call}{moment}")).output().unwrap();
            if output.status.signal() != Some(libc::SIGKILL) {
                assert!(output.status.success(), "{output:?}");
                break;
            }
            n_kills += 1;
            // Nothing is left to do only if the last file was gone.
            let is_last = !spool_path.exists();
            let status = recover(&capture)["status"].clone();
            assert!(status == "recovered" || status == "complete", "{call}{moment}: {status}");
            assert!(std::fs::read(&capture).unwrap() == whole, "killed at {call}{moment}");
            assert!(!spool_path.exists() && !spill_path.exists(), "killed at {call}{moment}");
            n_resumed += u32::from(!is_last);
        }
        assert!(n_kills > 20 && n_resumed > 20, "{n_kills} kills, {n_resumed} resumed");
        std::fs::remove_file(&capture).unwrap();
    }
}

#[test]
fn a_capture_that_was_moved_finds_its_spill_file_or_says_that_it_needs_it() {
    for is_spill_moved in [false, true] {
        let death = Death::new();
        death.run("10000", "500", &["spill", "2", "after"], &[]);
        let spill = death.bench.path("x.jsonl.spill");
        let moved = death.bench.path("elsewhere/y.jsonl");
        std::fs::create_dir(death.bench.path("elsewhere")).unwrap();
        std::fs::rename(death.capture(), &moved).unwrap();
        let kept = death.bench.path("kept");
        std::fs::rename(&spill, &kept).unwrap();

        let before = std::fs::read(&moved).unwrap();
        let output = Command::new(tool()).arg("recover").arg(&moved).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let wanted = format!("put that back as {0}.spill or {1}\n", moved.display(), spill.display());
        assert!(output.status.code() == Some(3) && said.ends_with(&wanted), "{said}");
        assert!(said.lines().count() == 1 && said.contains(" lacks the spill file "), "{said}");
        assert!(std::fs::read(&moved).unwrap() == before);

        let beside = death.bench.path("elsewhere/y.jsonl.spill");
        std::fs::rename(&kept, if is_spill_moved { &beside } else { &spill }).unwrap();
        recover(&moved);
        std::fs::rename(&moved, death.capture()).unwrap();
        let account = death.account_of(&Long::read(&death.capture()));
        assert!(account.n_present >= 40_000);
    }
}

#[test]
fn a_process_in_a_container_is_left_alone_while_it_runs_and_recovered_from_outside_afterwards() {
    let death = Death::new();
    let returned = death.bench.path("returned");
    // Built before the process begins to live.
    tool();
    let life = std::time::Duration::from_secs(5);
    // The shell is the first process there, which no signal from inside can kill.
    let script = "\"$@\"; exit 0";
    let mut run =
        death.bench.command("unshare").without("LD_PRELOAD").args(["-pf", "sh", "-c", script, "sh"]);
    run = run.args([&support::program("killed.c"), &returned]).args(["4", "1000", "2000", "timer"]);
    run = run.args([life.as_micros().to_string()]);
    run = run.env("TT_MEMTRACE_OUTPUT", death.capture());
    run = run.env("LD_PRELOAD", support::library());
    let began = std::time::Instant::now();
    let running = std::thread::spawn(move || run.run());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let is_there = || std::fs::read(death.capture()).is_ok_and(|text| text.contains(&b'\n'));
    while !is_there() && !running.is_finished() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    if !is_there() {
        let outcome = running.join().unwrap();
        assert!(outcome.stderr.starts_with("unshare"), "{outcome:#?}");
        return support::skip("right to mount");
    }
    let here = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let header = death.header();
    assert!(here.to_str() != Some(&*header.pid_namespace) && header.pid < 10, "{header:?}");
    // Where the whole machine is seen, so is the process; in a container, nothing is done before nor after.
    let sees_all = here.to_str() == Some("pid:[4026531836]");
    let status = recover(&death.capture())["status"].clone();
    // On a starved machine it may be dead before it is looked at.
    let is_late = began.elapsed() >= life;
    assert!(is_late || status == if sees_all { "running" } else { "elsewhere" }, "{status}");
    running.join().unwrap();
    if sees_all {
        let was_recovered = status == "recovered";
        let status = recover(&death.capture())["status"].clone();
        assert_eq!(status, if was_recovered { "complete" } else { "recovered" });
        death.account_of(&Long::read(&death.capture()));
    } else {
        assert_eq!(recover(&death.capture())["status"], "elsewhere");
        std::fs::remove_file(death.spool()).unwrap();
    }
}

#[test]
fn two_recoveries_at_once_do_it_once() {
    let death = Death::new();
    death.run("10000", "500", &["spill", "1", "after"], &[]);
    let (capture, left) = (death.capture(), Left::save(&death));
    let before = std::fs::read(&capture).unwrap();
    for _ in 0..5 {
        left.put_back();
        std::fs::write(&capture, &before).unwrap();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let mut command = Command::new(tool());
                command.args(["recover", "--json"]).arg(&capture).stdout(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let answers = readers.into_iter().map(|reader| reader.wait_with_output().unwrap());
        let answers: Vec<_> = answers.map(|answer| String::from_utf8(answer.stdout).unwrap()).collect();
        let n_recovered = answers.iter().filter(|answer| answer.contains("\"recovered\",")).count()
            + answers.iter().filter(|answer| answer.contains("\"status\":\"recovered\"}")).count();
        assert_eq!(n_recovered, 1, "{answers:#?}");
        death.account_of(&Long::read(&capture));
        assert!(left.files.iter().all(|(path, _)| !path.exists()));
    }
}

#[test]
fn every_reading_verb_recovers_by_itself() {
    let death = Death::new();
    death.run("500", "500", &["write", "1", "half"], &[]);
    let output = Command::new(tool()).args(["stats", "--json"]).arg(death.capture()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the process was killed; recovered its last"), "{said}");
    death.account_of(&Long::read(&death.capture()));
}

#[test]
fn a_cut_spool_and_a_foreign_one_are_left_alone() {
    let death = Death::new();
    death.run("500", "500", &["write", "1", "half"], &[]);
    let capture = death.capture();
    let before = std::fs::read(&capture).unwrap();
    let (header, spool) = (death.header(), death.spool());
    let (whole, pid) = (std::fs::read(&spool).unwrap(), header.pid);
    let text = std::str::from_utf8(&before).unwrap();

    let folder = death.bench.path("");
    let mut foreign = whole.clone();
    foreign[spool::OWNER * 8..][..4].copy_from_slice(&(pid + 1).to_ne_bytes());
    let named = |name: &str| text.replace(spool.to_str().unwrap(), folder.join(name).to_str().unwrap());
    for (name, contents, header) in [
        ("cut.jsonl.spool", &whole[..whole.len() / 2], named("cut.jsonl.spool")),
        ("short.jsonl.spool", &whole[..20], named("short.jsonl.spool")),
        ("empty.jsonl.spool", &[], named("empty.jsonl.spool")),
        ("foreign.jsonl.spool", &foreign, named("foreign.jsonl.spool")),
        ("letters.jsonl.spool", b"dear diary", named("letters.jsonl.spool")),
        ("letters.txt", &whole, named("letters.txt")),
        ("relative.jsonl.spool", &whole, text.replace(spool.to_str().unwrap(), "relative.jsonl.spool")),
    ] {
        std::fs::write(&capture, &header).unwrap();
        std::fs::write(folder.join(name), contents).unwrap();
        let mut command = Command::new(tool());
        let output = command.arg("recover").arg(&capture).current_dir(&folder).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {output:?}");
        assert!(std::fs::read(folder.join(name)).unwrap() == contents, "{name} was touched");
        assert!(std::fs::read(&capture).unwrap() == header.as_bytes(), "{name}: the capture was changed");
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    std::fs::write(&capture, &before).unwrap();
    death.account();
}

#[test]
fn a_capture_that_was_cut_or_cannot_be_written_keeps_its_spool() {
    let death = Death::new();
    death.run("500", "500", &["write", "3", "after"], &[]);
    let (capture, spool) = (death.capture(), death.spool());
    let before = std::fs::read(&capture).unwrap();
    let header_only = before.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    std::fs::write(&capture, &before[..header_only]).unwrap();
    let output = Command::new(tool()).arg("recover").arg(&capture).output().unwrap();
    assert!(!output.status.success() && spool.exists(), "{output:?}");
    assert_eq!(std::fs::read(&capture).unwrap(), &before[..header_only]);

    // A full disk, which also stands for a read-only capture: root may write to those.
    std::fs::write(&capture, &before).unwrap();
    assert_eq!(recover_with_file_limit(&capture, before.len()), Some(libc::SIGXFSZ));
    assert!(spool.exists());
    death.account();
}

/// A program that dies, and what it leaves.
struct Death {
    bench: Bench,
}

/// What the completed capture of a killed process says.
struct Account {
    n_present: u64,
    recovery: Recovery,
}

impl Death {
    fn new() -> Self {
        Self { bench: Bench::new() }
    }

    fn run(&self, burst: &str, pause: &str, how: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let returned = self.bench.path("returned");
        let n_threads = N_THREADS.to_string();
        let mut run = self.bench.program("killed.c");
        run = run.args([returned.to_str().unwrap(), &n_threads, burst, pause]).args(how);
        run = run.env("TT_MEMTRACE_OUTPUT", self.capture());
        for (name, value) in variables {
            run = run.env(name, value);
        }
        run.run()
    }

    fn capture(&self) -> PathBuf {
        self.bench.path("x.jsonl")
    }

    fn header(&self) -> Header {
        let text = String::from_utf8_lossy(&std::fs::read(self.capture()).unwrap()).into_owned();
        let Ok(tt_memtrace_wire::Line::Header(header)) =
            tt_memtrace_wire::Line::parse(text.lines().next().unwrap())
        else {
            panic!("no header in {text}")
        };
        *header
    }

    fn spool(&self) -> PathBuf {
        self.header().spool.unwrap().into()
    }

    /// Killed while the recording began. Then no call had returned, and only here may a spool be left that no
    /// capture names: who opens the capture removes it.
    fn is_before_the_first_event(&self, outcome: &Outcome) -> bool {
        let text = std::fs::read(self.capture()).unwrap_or_default();
        if text.contains(&b'\n') {
            return false;
        }
        let returned = self.bench.path("returned");
        assert!(!returned.exists() || u64s(&returned).iter().all(|n| *n == 0));
        if self.capture().exists() {
            let output = Command::new(tool()).arg("recover").arg(self.capture()).output().unwrap();
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            std::fs::remove_file(self.capture()).unwrap();
        }
        for spool in spools_of(outcome.pid) {
            // It was killed before it could say whose it is. `doctor` finds it by its name.
            let head = std::fs::read(&spool).unwrap();
            assert!(head.iter().take(4096).all(|byte| *byte == 0), "{} is left", spool.display());
            std::fs::remove_file(spool).unwrap();
        }
        true
    }

    /// Recovers the capture with the command, and checks all of it.
    fn account(&self) -> Account {
        let answer = recover(&self.capture());
        assert_eq!(answer["status"], "recovered");
        let capture = Long::read(&self.capture());
        let account = self.account_of(&capture);
        assert_eq!(answer["recovered"], account.recovery.recovered);
        assert_eq!(answer["dropped"], account.recovery.dropped);
        assert_eq!(answer["unfinished"], account.recovery.unfinished);
        account
    }

    fn account_of(&self, capture: &Long) -> Account {
        let recovery = capture.recovery.unwrap();
        assert!(recovery.unfinished <= N_THREADS);
        self.counted(capture, recovery.unfinished);
        self.nothing_is_left(&capture.header);
        Account { n_present: capture.events.len() as u64, recovery }
    }

    /// Holds the capture against the counters of returned calls.
    fn counted(&self, capture: &Long, n_unfinished: u64) {
        let returned: Vec<u64> = u64s(&self.bench.path("returned")).into_iter().step_by(8).collect();
        let mut next = vec![0; returned.len()];
        let (mut n_present, mut n_in_flight) = (0, 0);
        for event in &capture.events {
            let thread = usize::try_from(event.mesh_id).unwrap();
            assert_eq!(event.address, event.unique_id);
            assert!(event.unique_id >= next[thread], "{event:?} comes twice, or late");
            next[thread] = event.unique_id + 1;
            // At most one call of a thread had not returned yet.
            assert!(event.unique_id <= returned[thread], "{event:?} was never recorded");
            n_present += 1;
            n_in_flight += u64::from(event.unique_id == returned[thread]);
        }
        let n_returned: u64 = returned.iter().sum();
        let n_missing = n_returned - (n_present - n_in_flight);
        let may_be = n_missing..=n_missing + (N_THREADS - n_in_flight - n_unfinished);
        assert!(may_be.contains(&capture.dropped), "{n_missing} are missing, {} dropped", capture.dropped);
        let tids: HashSet<u32> = capture.events.iter().map(|event| event.tid).collect();
        assert!(tids.len() <= returned.len());
    }

    fn nothing_is_left(&self, header: &Header) {
        let spool = header.spool.as_deref().unwrap();
        assert!(!Path::new(spool).exists(), "{spool} is left");
        let files = self.bench.files();
        assert!(
            files.iter().all(|file| file.ends_with("returned") || file.ends_with("x.jsonl")),
            "{files:?}"
        );
    }
}

impl Drop for Death {
    /// The bench would hold each of the many lines against the schema.
    fn drop(&mut self) {
        if !std::thread::panicking() && self.capture().exists() {
            std::fs::remove_file(self.capture()).unwrap();
        }
    }
}

/// Spool and spill of a dead process, to recover from more than once.
struct Left {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Left {
    fn save(death: &Death) -> Self {
        let spill = death.bench.path("x.jsonl.spill");
        let files = [death.spool(), spill].into_iter().filter(|path| path.exists());
        Self { files: files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect() }
    }

    fn put_back(&self) {
        for (path, bytes) in &self.files {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// Those in shared memory.
fn spools_of(pid: u32) -> Vec<PathBuf> {
    let ours = format!("tt-memtrace-{pid}-");
    let files = std::fs::read_dir("/dev/shm").unwrap().map(Result::unwrap);
    files
        .filter(|file| file.file_name().to_string_lossy().starts_with(&ours))
        .map(|file| file.path())
        .collect()
}

/// Runs `recover` so that the kernel kills it when it writes beyond so many bytes. Returns the signal.
fn recover_with_file_limit(capture: &Path, bytes: usize) -> Option<i32> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(tool());
    command.arg("recover").arg(capture).stdout(Stdio::null()).stderr(Stdio::null());
    let limit = libc::rlimit { rlim_cur: bytes as u64, rlim_max: bytes as u64 };
    let limits = move || {
        // SAFETY: the argument is a valid limit.
        unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
        Ok(())
    };
    // SAFETY: the function makes one system call.
    unsafe { command.pre_exec(limits) };
    command.status().unwrap().signal()
}

/// The header of a capture, and its spool: a write of all that the first segment holds was begun, and the second
/// segment has as many records which are older.
fn a_spool_in_a_write(path: &Path, n: u64) -> (Vec<u8>, Vec<u8>) {
    use tt_memtrace_wire::spool::{ANCHORS, Journal, Layout, OWNED, OWNER, SHAPE};
    use tt_memtrace_wire::{Event, Line, record};
    let gone = Command::new("true").spawn().unwrap();
    let pid = gone.id();
    gone.wait_with_output().unwrap();
    let mut header = Vec::new();
    Line::Header(Box::new(Header {
        version: tt_memtrace_wire::version::CURRENT,
        tool: "0.1.0".into(),
        pid,
        process_start: 1,
        host: String::new(),
        boot_id: String::new(),
        pid_namespace: String::new(),
        rank: None,
        program: "gone".into(),
        command: vec![],
        t_ns: 0,
        wall_ns: 0,
        runtime: None,
        stacks: "none".into(),
        spool: Some(path.to_str().unwrap().into()),
        parent: None,
    }))
    .write_to(&mut header);

    let layout = Layout { n_segments: 2, n_slots: 512, n_small: 0 };
    let mut words = vec![0; layout.total_words()];
    words[0] = MAGIC;
    words[SHAPE] = layout.to_word();
    words[OWNER] = u64::from(pid);
    words[ANCHORS + 2] = 1 << 20;
    words[ANCHORS + 3] = 1 << 20;
    for of_segment in 0..2 {
        words[layout.segment_word(of_segment, segment::STATE)] = 1 << 32 | OWNED;
        for i in 0..n {
            let slot = usize::try_from(i).unwrap();
            let event = Event::Fork { token: i * 2 + 1 - of_segment as u64 };
            let mut record = record::encode(&event, 0, |_| None).slot;
            record[0] = 1000 + i * 2 + 1 - of_segment as u64;
            record[7] = spool::commit_word(1, slot);
            words[layout.slot(of_segment, slot)..][..8].copy_from_slice(&record);
        }
    }
    let durable = Journal { capture_bytes: header.len() as u64, ..Journal::default() };
    let pending = Journal { capture_bytes: header.len() as u64 + n * 60, n, ..Journal::default() };
    words[DURABLE..][..5].copy_from_slice(&durable.to_words());
    words[PENDING..][..5].copy_from_slice(&pending.to_words());
    words[layout.segment_word(0, segment::PENDING_READ)] = 1 << 32 | n;
    words[PHASE] = WRITING;
    assert_ne!(words[PHASE], IDLE);
    (header, words.into_iter().flat_map(u64::to_ne_bytes).collect())
}

/// The same with a spill file of 4000 older records. If they are `spilled`, the first segment is in that file, too,
/// and the spool does not know yet that the write was done.
fn a_spool_with_a_spill(path: &Path, is_spilled: bool) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    use tt_memtrace_wire::spool::{Journal, Layout, SPILLING};
    use tt_memtrace_wire::{Event, record};
    let (header, mut spool) = a_spool_in_a_write(path, 300);
    let layout = Layout { n_segments: 2, n_slots: 512, n_small: 0 };
    let mut spill = Vec::new();
    for i in 0..4000 {
        let mut record = record::encode(&Event::Fork { token: i }, 0, |_| None).slot;
        record[0] = 1 + i / 5;
        spill.extend(record.into_iter().flat_map(u64::to_ne_bytes));
    }
    let mut journal = Journal { capture_bytes: header.len() as u64, ..Journal::default() };
    journal.spilled_bytes = spill.len() as u64;
    let mut put = |at: usize, words: &[u64]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        spool[at * 8..][..bytes.len()].copy_from_slice(&bytes);
    };
    put(DURABLE, &journal.to_words());
    if is_spilled {
        journal.spilled_bytes += 300 * 64;
        put(PENDING, &journal.to_words());
        put(PHASE, &[SPILLING]);
        let segment = layout.slot(0, 0) * 8;
        spill.extend_from_slice(&spool[segment..][..300 * 64]);
    }
    (header, spool, spill)
}

/// A library that kills whom it is preloaded into, see its source.
fn killer() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ours = tempfile::Builder::new().suffix(".so").tempfile_in(folder).unwrap().into_temp_path();
    let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra"];
    support::compile("cc", &flags, &support::project("tests/c/dies_in_call.c"), &ours).unwrap();
    let library = folder.join("dies_in_call.so");
    std::fs::rename(&ours, &library).unwrap();
    library
}

/// Different in every run: the moments of death are to be.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
