//! The length of the hot path, in instructions, and the size of the library: the regression gates that need no quiet
//! machine. What the instructions cost in time is measured by `scripts/bench`.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use support::{Bench, compile, project, release_library, skip};

/// What `tests/c/steps.c` may count at most, a tenth above what it counted when the line was last changed. Who makes
/// the path longer on purpose, or uses a compiler that does, raises the figure here, and says in the commit what it
/// is for and what `scripts/bench` prints before and after. Who makes it shorter lowers it.
const MOST: [(&str, u32); 3] = [
    ("allocate", 168),
    ("deallocate", 108),
    // An allocation and a deallocation, with the fake runtime's own functions.
    ("interposed", 840),
];

/// Of the file, in bytes: it lies in every traced process.
const MOST_BYTES: u64 = 500_000;

#[test]
fn the_library_is_small() {
    let bytes = std::fs::metadata(release_library()).unwrap().len();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}

#[test]
fn the_hot_path_has_not_grown() {
    let bench = Bench::new();
    let runtime = bench.path("libtt_metal.so");
    let flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-DACCESSORS"];
    compile("c++", &flags, &project("tests/c/fake_runtime.cpp"), &runtime).unwrap();
    let run = bench.program("steps.c").args([runtime]).env("LD_PRELOAD", release_library());
    let outcome = run.run();
    if outcome.status.code() == Some(77) {
        return skip("right to trace a child");
    }
    let outcome = outcome.quiet();
    let counted = MOST.map(|(name, _)| (name, outcome.number(name)));
    println!("{counted:?}");
    for ((name, n), (_, most)) in counted.into_iter().zip(MOST) {
        assert!(n <= most, "{name} takes {n} instructions; at most {most} are allowed");
        // Else the calls counted here were not those that record.
        assert!(n > most / 2, "{name} takes only {n} instructions: lower the bound of {most}");
    }
}
