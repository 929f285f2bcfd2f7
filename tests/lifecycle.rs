//! Beginnings and ends: how a process dies, forks, starts others, and what its captures then say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use support::{Bench, Capture, Outcome, library};
use tt_memtrace_wire::{Ending, Event, Parent};

#[test]
fn returning_from_main_and_exit_and_immediate_exit_all_end_with_a_footer() {
    for (how, status, ended) in [
        ("return", 6, Ending::Exit),
        ("exit", 3, Ending::Exit),
        ("_exit", 4, Ending::ImmediateExit),
        ("_Exit", 5, Ending::ImmediateExit),
    ] {
        let bench = Bench::new();
        let outcome = bench.program("ends.c").args([how]).run();
        assert_eq!((outcome.status.code(), outcome.stderr.as_str()), (Some(status), ""), "{how}");
        let capture = bench.capture();
        assert_eq!(capture.footer.map(|footer| footer.ended), Some(ended), "{how}");
        assert_eq!(capture.allocated(), [1, 2], "{how}");
    }
}

#[test]
fn an_end_while_another_thread_starts_the_recording_waits_for_a_capture_that_is_whole() {
    for (how, code, ending) in
        [("return", 6, Ending::Exit), ("exit", 3, Ending::Exit), ("_exit", 4, Ending::ImmediateExit)]
    {
        let bench = Bench::new();
        let outcome = bench.program("ends_in_start.c").args([how]).run();
        assert_eq!((outcome.status.code(), &*outcome.stderr), (Some(code), ""), "{how}");
        let capture = bench.capture();
        assert_eq!(capture.footer.map(|footer| footer.ended), Some(ending), "{how}");
        assert!(capture.spool().is_none(), "{how}");
    }
}

#[test]
fn a_killed_process_leaves_its_last_mark_in_the_file_and_the_rest_in_the_spool() {
    for (how, signal) in [("abort", libc::SIGABRT), ("kill", libc::SIGKILL)] {
        let bench = Bench::new();
        let outcome = bench.program("ends.c").args([how]).run();
        assert_eq!((outcome.status.signal(), outcome.stderr.as_str()), (Some(signal), ""), "{how}");
        let capture = bench.capture();
        assert_eq!((capture.footer, capture.recovery), (None, None), "{how}");
        assert_eq!(capture.marks(), ["last words"], "{how}");
        assert_eq!(capture.allocated()[0], 1, "{how}");

        let completed = capture.complete();
        assert_eq!((completed.allocated(), completed.marks()), (vec![1, 2], vec!["last words"]), "{how}");
        let recovery = completed.recovery.unwrap();
        assert_eq!((recovery.recorded, recovery.dropped, recovery.unfinished), (3, 0, 0), "{how}");
    }
}

#[test]
fn what_is_freed_after_main_is_recorded_before_the_footer() {
    let bench = Bench::new();
    bench.program("late_frees.cpp").run().quiet();
    let capture = bench.capture();
    let freed: HashSet<u64> = capture
        .events()
        .filter_map(|(_, event)| match event {
            Event::Dealloc(dealloc) => Some(dealloc.address),
            _ => None,
        })
        .collect();
    assert_eq!(freed, HashSet::from([1, 2, 3, 4, 5]));
    assert_eq!(capture.allocated(), [1, 2, 3]);
    assert_eq!(capture.footer.unwrap().ended, Ending::Exit);
}

#[test]
fn eight_threads_lose_nothing_and_each_keeps_its_order() {
    let bench = Bench::new();
    bench.program("threads.c").args(["8", "2000"]).run().quiet();
    let capture = bench.capture();
    assert_eq!(capture.footer.unwrap().recorded, 16_000);
    let mut next: HashMap<u32, u64> = HashMap::new();
    let mut threads = HashSet::new();
    for (stamp, event) in capture.events() {
        let Event::Alloc(alloc) = event else { panic!("{event:?}") };
        let next = next.entry(stamp.tid).or_insert(alloc.address);
        assert_eq!(alloc.address, *next);
        *next += 1;
        threads.insert(alloc.address >> 32);
    }
    assert_eq!((next.len(), threads.len()), (8, 8));
}

#[test]
fn a_thread_that_ends_right_before_the_process_is_recorded() {
    let bench = Bench::new();
    for _ in 0..20 {
        bench.program("threads.c").args(["1", "1"]).run().quiet();
    }
    let captures = bench.captures();
    assert_eq!(captures.len(), 20);
    assert!(captures.iter().all(|capture| capture.footer.unwrap().recorded == 1));
}

#[test]
fn a_process_that_ends_with_its_last_thread_is_not_kept_alive() {
    for (arguments, n_captures) in [(&[][..], 1), (&["fork"], 2)] {
        let bench = Bench::new();
        bench.program("last_thread.c").args(arguments).run().quiet();
        let captures = bench.captures();
        assert_eq!(captures.len(), n_captures);
        assert!(captures.iter().all(|capture| capture.footer.unwrap().ended == Ending::Exit));
    }
}

#[test]
fn the_hosts_signals_stay_with_the_hosts_threads() {
    let bench = Bench::new();
    bench.program("signals.c").run().quiet();
    assert_eq!(bench.capture().footer.unwrap().recorded, 1);
}

/// Runs `forks.c` and returns the captures of the parent, the child and the grandchild, where there are some.
fn forks(how: &str) -> (Outcome, Vec<Capture>) {
    let bench = Bench::new();
    let outcome = bench.program("forks.c").args([how]).run().quiet();
    let mut pids = vec![outcome.pid, outcome.number("child")];
    if outcome.stdout.contains("grandchild") {
        pids.push(outcome.number("grandchild"));
    }
    let mut captures = bench.captures();
    captures.sort_by_key(|capture| pids.iter().position(|pid| *pid == capture.header.pid).unwrap());
    assert!(captures.iter().all(|capture| capture.footer.is_some()));
    (outcome, captures)
}

/// What a child's header must say of its parent, if the parent forked once.
fn only_fork_of(parent: &Capture) -> Option<Parent> {
    let tokens = parent.tokens();
    assert_eq!(tokens.len(), 1);
    let capture = parent.path.to_str().unwrap().to_owned();
    Some(Parent { capture, pid: parent.header.pid, token: tokens[0] })
}

#[test]
fn a_forked_child_that_records_has_its_own_capture_which_names_the_parents() {
    for (how, ended) in [("records", Ending::Exit), ("_exit", Ending::ImmediateExit)] {
        let (outcome, captures) = forks(how);
        let [parent, child] = &captures[..] else { panic!("{captures:#?}") };
        assert_eq!(child.header.pid, outcome.number("child"));
        assert_eq!((&parent.header.parent, &child.header.parent), (&None, &only_fork_of(parent)));
        assert_eq!((parent.allocated(), child.allocated()), (vec![1, 4], vec![2]));
        assert_eq!(child.footer.unwrap().ended, ended);
        assert_eq!(parent.footer.unwrap().ended, Ending::Exit);
        // Frees what it inherited: in its own capture alone.
        let frees = |capture: &Capture| {
            capture.events().filter(|(_, event)| matches!(event, Event::Dealloc(_))).count()
        };
        assert_eq!((frees(parent), frees(child)), (0, 1));
        let tids: HashSet<u32> = child.events().map(|(stamp, _)| stamp.tid).collect();
        assert_eq!(tids, HashSet::from([child.header.pid]));
    }
}

#[test]
fn a_forked_child_that_records_nothing_leaves_no_file() {
    for how in ["silent", "silent-_exit"] {
        let (_, captures) = forks(how);
        let [parent] = &captures[..] else { panic!("{captures:#?}") };
        assert_eq!((parent.allocated(), parent.tokens().len()), (vec![1, 4], 1));
    }
}

#[test]
fn a_grandchild_names_the_child() {
    let (_, captures) = forks("grandchild");
    let [parent, child, grandchild] = &captures[..] else { panic!("{captures:#?}") };
    assert_eq!(child.header.parent, only_fork_of(parent));
    assert_eq!(grandchild.header.parent, only_fork_of(child));
    assert_eq!(grandchild.allocated(), [3]);
}

#[test]
fn a_grandchild_of_a_child_that_recorded_nothing_names_the_parent() {
    let (_, captures) = forks("grandchild-of-silent");
    let [parent, grandchild] = &captures[..] else { panic!("{captures:#?}") };
    assert_eq!(grandchild.header.parent, only_fork_of(parent));
}

#[test]
fn a_child_forked_before_the_first_event_has_no_parent() {
    let (outcome, captures) = forks("before");
    let [child] = &captures[..] else { panic!("{captures:#?}") };
    assert_eq!((child.header.pid, &child.header.parent), (outcome.number("child"), &None));
}

#[test]
fn two_hundred_forks_under_load_hang_nothing_and_lose_nothing() {
    let bench = Bench::new();
    let outcome = bench.program("forks_under_load.c").run().quiet();
    let (parents, children): (Vec<_>, Vec<_>) =
        bench.captures().into_iter().partition(|capture| capture.header.pid == outcome.pid);
    assert_eq!((parents.len(), children.len()), (1, 200));
    assert_eq!(parents[0].footer.unwrap().dropped, 0);
    let tokens: HashSet<u64> = parents[0].tokens().into_iter().collect();
    let named: HashSet<u64> =
        children.iter().map(|child| child.header.parent.as_ref().unwrap().token).collect();
    assert_eq!((tokens.len(), named), (200, tokens));
    let own: HashSet<Vec<u64>> = children.iter().map(Capture::allocated).collect();
    assert_eq!(own, (1000..1200).map(|address| vec![address]).collect());
}

#[test]
fn programs_that_are_started_without_a_plain_fork_leave_no_trace() {
    let bench = Bench::new();
    assert_eq!(bench.program("starts_programs.c").run().quiet().stdout, "");
    let capture = bench.capture();
    assert_eq!((capture.allocated(), capture.footer.unwrap().recorded), (vec![1, 2], 2));
}

#[test]
fn the_capture_of_a_program_that_was_replaced_reaches_to_its_last_mark() {
    let bench = Bench::new();
    let outcome = bench.program("execs.c").run();
    assert!(outcome.status.success(), "{outcome:#?}");
    // The second program has the name and the pid of the first, and says that it took another file.
    assert_eq!(outcome.said().len(), 1, "{outcome:#?}");
    let captures = bench.captures();
    let (ended, replaced): (Vec<_>, Vec<_>) = captures.iter().partition(|capture| capture.footer.is_some());
    assert_eq!((ended.len(), replaced.len()), (1, 1));
    assert_eq!((replaced[0].marks(), replaced[0].allocated()), (vec!["before exec"], vec![1]));
    assert_eq!((ended[0].allocated(), &ended[0].header.parent), (vec![2], &None));
}

#[test]
fn a_host_that_closes_every_descriptor_keeps_its_own_files_and_the_recording_goes_on() {
    let bench = Bench::new();
    assert_eq!(bench.program("closes_everything.c").run().quiet().stdout, "");
    assert_eq!(std::fs::read_to_string(bench.path("theirs")).unwrap(), "x".repeat(20));
    assert_eq!(bench.capture().allocated(), [1, 2, 3]);
}

#[test]
fn a_host_that_closes_every_descriptor_and_removes_the_capture_keeps_its_own_files() {
    let bench = Bench::new();
    let path = bench.path("run.jsonl");
    let outcome = bench.program("closes_everything.c").args([&path]).env("TT_MEMTRACE_OUTPUT", &path).run();
    assert_eq!((outcome.stdout.as_str(), outcome.said().len()), ("", 1), "{outcome:#?}");
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_eq!(std::fs::read_to_string(bench.path("theirs")).unwrap(), "x".repeat(20));
    outcome.forget_spool();
}

#[test]
fn a_capture_stays_where_it_began_when_the_program_changes_its_folder() {
    for output in [None, Some("here/run.jsonl"), Some("here")] {
        let bench = Bench::new();
        std::fs::create_dir(bench.path("here")).unwrap();
        let run = bench.program("changes_folder.c").without("TT_MEMTRACE_OUTPUT");
        let run = if let Some(output) = output { run.env("TT_MEMTRACE_OUTPUT", output) } else { run };
        let outcome = run.run().quiet();
        let name = format!("tt-memtrace-changes_folder.{}.jsonl", outcome.pid);
        let expected = match output {
            Some("here") => format!("here/{name}"),
            Some(file) => file.to_owned(),
            None => name,
        };
        let capture = bench.capture();
        assert_eq!(capture.path, bench.path(&expected));
        assert_eq!(capture.allocated(), [1, 2, 3]);
    }
}

#[test]
fn a_library_that_is_opened_by_hand_stays_when_it_is_closed() {
    let bench = Bench::new();
    bench.program("loads_by_name.c").args([library()]).without("LD_PRELOAD").run().quiet();
    let capture = bench.capture();
    assert_eq!(capture.marks(), ["by hand", "after dlclose", "by hand", "after dlclose"]);
    assert!(capture.footer.is_some());
}
