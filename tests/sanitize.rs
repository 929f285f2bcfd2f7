//! The programs of `tests/c` built with AddressSanitizer and UndefinedBehaviorSanitizer, under the same library as
//! ever: no report, the same events, the same end. The runtime of the sanitizer comes first, as it insists.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Bench, Outcome, library, program, sanitized};

/// Programs that do the same in every run, with their arguments. None forks while it records: the sanitizer's own
/// allocator (of gcc 12 at least) takes no care of forks, so that a child may wait for ever for a lock which another
/// thread of its parent held.
const REPEATABLE: [(&str, &[&str]); 18] = [
    ("calls.c", &[]),
    ("changes_folder.c", &[]),
    ("closes_everything.c", &[]),
    ("comings.c", &["200", "3"]),
    ("ends.c", &["return"]),
    ("ends.c", &["exit"]),
    ("ends.c", &["_exit"]),
    ("ends.c", &["abort"]),
    ("ends.c", &["kill"]),
    ("execs.c", &[]),
    ("forks.c", &["before"]),
    ("garbage.c", &[]),
    ("keeps_errno.c", &[]),
    ("last_thread.c", &[]),
    ("late_frees.cpp", &[]),
    ("signals.c", &[]),
    ("starts_programs.c", &[]),
    ("threads.c", &["4", "500"]),
];

/// Programs whose threads race: only their ends are compared.
const RACING: [(&str, &[&str]); 2] = [("reuse.c", &["4", "2000"]), ("jumps.c", &[])];

/// No search for leaks: what our threads hold when the process ends is none.
const OPTIONS: &str = "detect_leaks=0:handle_abort=0";

#[test]
fn under_the_sanitizers_programs_record_the_same_and_nothing_is_reported() {
    let Some(runtime) = runtime() else { return support::skip("libasan") };
    for (source, arguments) in REPEATABLE {
        let (plain, checked) = both(source, arguments, &runtime);
        assert_eq!(checked.1, plain.1, "{source} {arguments:?}");
        assert_eq!(checked.0, plain.0, "{source} {arguments:?}");
    }
    for (source, arguments) in RACING {
        let (plain, checked) = both_ends(source, arguments, &runtime);
        assert_eq!(checked, plain, "{source} {arguments:?}");
    }
}

#[test]
fn the_sanitizer_would_see_an_error_of_a_program_under_the_library() {
    let Some(runtime) = runtime() else { return support::skip("libasan") };
    let bench = Bench::new();
    let run = bench.command(sanitized("writes_too_far.c")).env("LD_PRELOAD", preload(&runtime));
    let outcome = run.env("ASAN_OPTIONS", OPTIONS).run();
    assert!(outcome.stderr.contains("AddressSanitizer: heap-buffer-overflow"), "{outcome:#?}");
}

/// How a run ended, and what was reported.
type End = (Option<i32>, String);

/// The same, and the events of each of its captures, in an order that threads and pids do not change.
type Seen = (End, Vec<Vec<String>>);

fn both(source: &str, arguments: &[&str], runtime: &Path) -> (Seen, Seen) {
    let (plain, checked) = (Bench::new(), Bench::new());
    let outcome = plain.program(source).args(arguments).run();
    let checked_outcome = run_checked(&checked, source, arguments, runtime);
    ((end(&outcome), events(&plain)), (end(&checked_outcome), events(&checked)))
}

fn both_ends(source: &str, arguments: &[&str], runtime: &Path) -> (End, End) {
    let (plain, checked) = (Bench::new(), Bench::new());
    let outcome = plain.program(source).args(arguments).run();
    let checked_outcome = run_checked(&checked, source, arguments, runtime);
    [&outcome, &checked_outcome].into_iter().for_each(Outcome::forget_spool);
    // The benches would hold each of the many lines against the schema.
    [plain, checked].iter().flat_map(Bench::files).for_each(|file| std::fs::remove_file(file).unwrap());
    (end(&outcome), end(&checked_outcome))
}

fn run_checked(bench: &Bench, source: &str, arguments: &[&str], runtime: &Path) -> Outcome {
    let run = bench.command(sanitized(source)).args(arguments).env("LD_PRELOAD", preload(runtime));
    run.env("ASAN_OPTIONS", OPTIONS).run()
}

fn end(outcome: &Outcome) -> End {
    // Our own lines name pids and paths; a sanitizer's do not begin like them.
    let reported = outcome.stderr.lines().filter(|line| !line.starts_with("tt-memtrace["));
    (outcome.status.code(), reported.collect())
}

fn events(bench: &Bench) -> Vec<Vec<String>> {
    let captures = bench.captures().into_iter();
    let captures =
        captures.map(|capture| if capture.spool().is_some() { capture.complete() } else { capture });
    let events = captures.map(|capture| {
        let mut events: Vec<_> = capture.events().map(|(_, event)| format!("{event:?}")).collect();
        events.sort();
        events
    });
    let mut events: Vec<_> = events.collect();
    events.sort();
    events
}

fn preload(runtime: &Path) -> String {
    format!("{}:{}", runtime.display(), library().display())
}

/// The sanitizer's runtime that the compiler links, if programs built with it run here.
fn runtime() -> Option<PathBuf> {
    let output = Command::new("cc").arg("-print-file-name=libasan.so").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // What is not found is printed without a folder.
    let path = path.canonicalize().ok().filter(|_| path.is_absolute())?;
    let runs = Command::new(program("absent.c")).env("LD_PRELOAD", &path).output().ok()?;
    runs.status.success().then_some(path)
}
