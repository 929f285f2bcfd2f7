//! `include/tt_memtrace.h`: equal to what `src/abi.rs` says, good C and C++, usable without the library.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops where it is surprised, and says what it skips"
)]

mod support;

use std::path::Path;
use support::{Bench, compile, find, program, project};

const HEADER: &str = "include/tt_memtrace.h";
const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"];

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = std::fs::read_to_string(env!("TT_MEMTRACE_GENERATED_HEADER")).unwrap();
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        std::fs::write(project(HEADER), &generated).unwrap();
    }
    let committed = std::fs::read_to_string(project(HEADER)).unwrap_or_default();
    assert!(committed == generated, "rewrite it: UPDATE=1 cargo test --test header");
}

#[test]
fn the_header_compiles_as_c_without_a_warning() {
    for standard in ["-std=c99", "-std=c11"] {
        strictly(&["cc", "clang"], "header.c", standard);
    }
}

#[test]
fn the_header_compiles_as_cpp_without_a_warning() {
    for standard in ["-std=c++17", "-std=c++20"] {
        strictly(&["c++", "clang++"], "header.cpp", standard);
    }
}

#[test]
fn a_program_links_and_runs_without_the_library_and_sees_null() {
    let bench = Bench::new();
    assert_eq!(bench.command(program("absent.c")).without("LD_PRELOAD").run().quiet().stdout, "0\n");
    assert_eq!(bench.command(program("absent.c")).run().quiet().stdout, "23\n");
}

/// Includes the header twice, so that its guard is needed.
fn strictly(compilers: &[&str], name: &str, standard: &str) {
    let bench = Bench::new();
    let source = bench.path(name);
    std::fs::write(
        &source,
        "#include \"tt_memtrace.h\"\n#include \"tt_memtrace.h\"\nint main(void) { return 0; }\n",
    )
    .unwrap();
    let mut flags = STRICT.to_vec();
    flags.push(standard);
    for compiler in compilers {
        if find(compiler).is_none() && compiler.starts_with("clang") {
            support::skip(compiler);
            continue;
        }
        let result = compile(compiler, &flags, &source, Path::new("/dev/null"));
        assert_eq!(result, Ok(()), "{compiler} {standard}");
    }
}
