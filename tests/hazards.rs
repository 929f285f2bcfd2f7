//! What programs do to whoever lives in them: leave calls by a jump, end while others work, fork workers that end at
//! once, write where nothing can be written. The program is always as without us, and what was recorded is right.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod long;
mod support;

use long::{Long, recover};
use std::collections::HashMap;
use support::{Bench, Capture, Outcome, find, library, program, skip};
use tt_memtrace_wire::{Ending, Event};

#[test]
fn a_jump_out_of_the_start_of_the_recording_costs_its_own_thread_alone() {
    let bench = Bench::new();
    let outcome = bench.program("jumps.c").args(["first"]).run().quiet();
    assert_eq!((outcome.number("begun"), outcome.number("left")), (2, 1));
    // The thread that jumped is the one that ends the process: to us it is inside a call for ever, and its last
    // words stay in the spool, from where whoever reads the capture takes them. The call that it left is counted. The
    // other thread's is recorded: it did not wait for a start that never ends, or it would have given up.
    let capture = bench.capture().complete();
    assert_eq!((capture.allocated(), capture.recovery.unwrap().dropped), (vec![1], 1));
}

#[test]
fn jumps_out_of_calls_at_random_leave_every_other_call_recorded_or_counted() {
    let bench = Bench::new();
    let path = bench.path("x.jsonl");
    let run = bench.program("jumps.c").env("TT_MEMTRACE_SPOOL_SIZE", "64M");
    let outcome = run.env("TT_MEMTRACE_OUTPUT", &path).run().quiet();
    let (begun, left) = (u64::from(outcome.number("begun")), u64::from(outcome.number("left")));
    let capture = Long::read(&path);
    let (n_recorded, n_counted) = (capture.events.len() as u64, capture.dropped);
    println!("{begun} calls, {left} of them left by a jump, {n_recorded} recorded, {n_counted} counted");
    assert!(capture.footer.is_some());
    assert!(
        (begun - left..=begun).contains(&(n_recorded + n_counted)),
        "{n_recorded} + {n_counted} of {begun}"
    );
    // The first and the last are of threads that nobody interrupted.
    let allocated: Vec<u64> = capture.events.iter().map(|event| event.address).collect();
    assert_eq!((allocated.first(), allocated.last()), (Some(&0), Some(&1)));
    no_doubles(&allocated[1..allocated.len() - 1]);
    // The bench would hold each of the many lines against the schema.
    std::fs::remove_file(&path).unwrap();
    outcome.forget_spool();
}

#[test]
fn a_cancellation_waits_until_a_call_is_over() {
    for words in [&["first"][..], &[]] {
        let bench = Bench::new();
        bench.program("cancels.c").args(words).run().quiet();
        let capture = bench.capture();
        let expected: Vec<u64> = (words.len() as u64..=4).map(|i| 64 * (i + 1)).collect();
        assert_eq!((capture.allocated(), capture.lost()), (expected, (0, 0)));
        // None was cut short.
        let n_freed = capture.events().filter(|(_, event)| matches!(event, Event::Dealloc(_))).count();
        assert_eq!((n_freed, capture.marks().len()), (4, 4));
    }
}

#[test]
fn while_a_debugger_holds_a_thread_inside_a_call_others_record() {
    for way in ["each", "detach"] {
        let bench = Bench::new();
        let outcome = bench.program("stopped.c").args([way]).run();
        if outcome.status.code() == Some(77) {
            return skip("right to trace a child");
        }
        let outcome = outcome.quiet();
        assert!(outcome.number("steps") >= 60, "{outcome:#?}");
        let capture = bench.capture();
        assert_eq!(capture.lost(), (0, 0));
        let mut allocated = capture.allocated();
        allocated.retain(|address| address >> 40 > 0);
        assert_eq!(allocated, [1 << 40, 2 << 40]);
    }
}

/// Each thread's addresses count on, and none comes twice; a jump may have taken one out.
fn no_doubles(allocated: &[u64]) {
    let mut next = HashMap::new();
    for address in allocated {
        let next = next.entry(address >> 32).or_insert(0);
        assert!(address & 0xffff_ffff >= *next, "{address:x} comes again, or late");
        *next = (address & 0xffff_ffff) + 1;
    }
}

#[test]
fn a_program_that_ends_while_its_threads_record_ends_as_it_would_and_the_capture_has_no_gap() {
    for (how, code, ending) in [
        ("return", 6, Some(Ending::Exit)),
        ("exit", 3, Some(Ending::Exit)),
        ("_exit", 4, Some(Ending::ImmediateExit)),
        ("quick_exit", 5, None),
    ] {
        let bench = Bench::new();
        let outcome = bench.program("exits_while_recording.c").args([how]).run();
        assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(code), ""), "{how}");
        let capture = bench.capture();
        let capture = if capture.spool().is_some() { capture.complete() } else { capture };
        if let Some(ending) = ending {
            assert_eq!(capture.footer.map(|footer| footer.ended), Some(ending), "{how}");
        }
        let mut next = [0; 4];
        for address in capture.allocated() {
            let next = &mut next[usize::try_from(address >> 32).unwrap()];
            assert_eq!(address & 0xffff_ffff, *next, "{how}");
            *next += 1;
        }
        assert!(next.iter().all(|n| *n >= 1000), "{how}: {next:?}");
    }
}

/// Records a mark and starts workers, which record one each and end as `multiprocessing` ends them, or sooner.
const WORKERS: &str = r#"
import ctypes, multiprocessing, os, sys
mark = ctypes.CDLL(None).tt_memtrace_mark
def work(i):
    mark(b"worker %d" % i)
    if i == 2: os._exit(7)
    if i == 3: sys.exit(8)
if __name__ == "__main__":
    mark(b"parent")
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=work, args=(i,)) for i in range(4)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    print([worker.exitcode for worker in workers])
"#;

#[test]
fn workers_of_multiprocessing_each_leave_a_whole_capture() {
    let Some(python) = find("python3") else { return skip("python3") };
    for method in ["fork", "spawn", "forkserver"] {
        let bench = Bench::new();
        // Not from the command line: `spawn` reads the file again.
        let script = bench.path("workers.py");
        std::fs::write(&script, WORKERS).unwrap();
        let outcome = bench.command(&python).args([script.as_os_str(), method.as_ref()]).run().quiet();
        assert_eq!(outcome.stdout, "[0, 0, 7, 8]\n", "{method}");
        let mut marks: Vec<String> = bench.captures().iter().map(of_one_mark).collect();
        marks.sort();
        assert_eq!(marks, ["parent", "worker 0", "worker 1", "worker 2", "worker 3"], "{method}");
        let parents = bench.captures().iter().filter(|capture| capture.header.parent.is_some()).count();
        assert_eq!(parents, if method == "fork" { 4 } else { 0 }, "{method}");
    }
}

/// The only mark of a capture that ended in order.
fn of_one_mark(capture: &Capture) -> String {
    assert!(capture.footer.is_some());
    let marks = capture.marks();
    assert_eq!(marks.len(), 1, "{marks:?}");
    marks[0].to_owned()
}

/// Runs a shell script in a mount namespace of its own, with the library as `$0` and these words as `$@`. `None`
/// without the right to mount.
fn with_mounts(bench: &Bench, script: &str, words: &[&std::ffi::OsStr]) -> Option<Outcome> {
    let run = bench.command("unshare").without("LD_PRELOAD").args(["-m", "sh", "-c", script]);
    let outcome = run.args([library().as_os_str()]).args(words).run();
    if outcome.stderr.starts_with("unshare") || outcome.stderr.starts_with("mount") {
        skip("right to mount");
        return None;
    }
    Some(outcome)
}

#[test]
fn a_read_only_folder_costs_one_line_and_nothing_else() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("frozen")).unwrap();
    let script = "mount --bind frozen frozen && mount -o remount,bind,ro frozen && cd frozen && \
                  unset TT_MEMTRACE_OUTPUT && exec env LD_PRELOAD=\"$0\" \"$@\"";
    let ends = program("ends.c");
    let Some(outcome) = with_mounts(&bench, script, &[ends.as_os_str(), "exit".as_ref()]) else { return };
    assert_eq!((outcome.status.code(), &*outcome.stdout), (Some(3), ""), "{outcome:#?}");
    let said = outcome.said();
    assert_eq!(said.len(), 1, "{outcome:#?}");
    let wanted = "Read-only file system (os error 30); nothing is recorded";
    assert!(said[0].starts_with("cannot write ") && said[0].ends_with(wanted), "{outcome:#?}");
    assert!(bench.files().is_empty());
}

#[test]
fn a_disk_that_fills_up_ends_the_recording_and_what_was_recorded_is_recovered_where_there_is_room() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("disk")).unwrap();
    // The capture outgrows the disk long before the program ends. What is left is taken to a larger one.
    let script = "mount -t tmpfs -o size=512k none disk && LD_PRELOAD=\"$0\" \"$@\"; code=$?; cp disk/* . && exit $code";
    let threads = program("threads.c");
    let words = [threads.as_os_str(), "2".as_ref(), "20000".as_ref()];
    let inside = bench.path("disk/x.jsonl");
    let script = format!("export TT_MEMTRACE_OUTPUT='{}'; {script}", inside.display());
    let Some(outcome) = with_mounts(&bench, &script, &words) else { return };
    // It asks whether all is in the file, and hears that it is not.
    assert_eq!((outcome.status.code(), &*outcome.stdout), (Some(3), ""), "{outcome:#?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    assert!(
        outcome.stderr.contains("No space left on device (os error 28); recording stops here"),
        "{outcome:#?}"
    );

    let path = bench.path("x.jsonl");
    let before = Capture::read(&path);
    assert!(!before.is_torn && before.footer.is_none());
    assert_eq!(recover(&path)["status"], "recovered");
    let after = Capture::read(&path);
    assert!(after.allocated().starts_with(&before.allocated()));
    assert!(after.allocated().len() > before.allocated().len());
    let mut next = [0; 2];
    for address in after.allocated() {
        let next = &mut next[usize::try_from(address >> 32).unwrap()];
        assert_eq!(address & 0xffff_ffff, *next);
        *next += 1;
    }
}
