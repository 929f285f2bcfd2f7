//! What the library exports: the header's functions, the runtime's functions that it stands for and the constructor of
//! their exceptions, the two immediate exits, and the two functions that tell which test runs. Nothing else may ever shadow a symbol of a host.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use support::{library, project};

#[test]
fn the_library_exports_the_header_the_interposed_functions_and_four_of_the_c_library_and_nothing_else() {
    let mut expected = declared();
    expected.extend(interposed());
    expected.extend(["_exit", "_Exit", "setenv", "unsetenv"].map(str::to_owned));
    assert_eq!(exported(), expected);
}

#[test]
fn the_library_has_a_name_and_stays_once_it_is_loaded() {
    let dynamic = tool("readelf", &["-d", "-W"]);
    assert!(dynamic.contains("Library soname: [libtt_memtrace.so]"), "{dynamic}");
    let flags = dynamic.lines().find(|line| line.contains("(FLAGS_1)")).unwrap_or_default();
    assert!(flags.contains("NODELETE"), "{dynamic}");
}

/// glibc keeps some 1,600 bytes for all libraries that come late and have such storage: ttnn, OpenMP, ours where the
/// pytest plugin loads it. Who finds no room is not loaded.
#[test]
fn the_library_takes_little_of_the_reserve_for_thread_local_storage() {
    let segments = tool("readelf", &["-l", "-W"]);
    let segment = segments.lines().find(|line| line.trim_start().starts_with("TLS")).unwrap();
    let size = segment.split_whitespace().nth(5).and_then(|size| size.strip_prefix("0x")).unwrap();
    let size = u32::from_str_radix(size, 16).unwrap();
    assert!((192..=384).contains(&size), "{size} bytes: {segment}");
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    let header = std::fs::read_to_string(project("include/tt_memtrace.h")).unwrap();
    let code = header.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names: BTreeSet<String> = code.filter_map(function).collect();
    assert!(names.len() >= 23, "{names:?}");
    names
}

fn function(line: &str) -> Option<String> {
    let (before, _) =
        line.split_once('(').filter(|(before, _)| !before.ends_with("__attribute__")).or_else(|| {
            let (_, after) = line.split_once("__attribute__((weak))")?;
            after.split_once('(')
        })?;
    let name = before.rsplit([' ', '*']).next()?;
    name.starts_with("tt_memtrace_").then(|| name.to_owned())
}

/// The strings in the module `interposed` of the list of symbols.
fn interposed() -> BTreeSet<String> {
    let source = std::fs::read_to_string(project("src/interpose/symbols.rs")).unwrap();
    let (_, module) = source.split_once("pub mod interposed {").unwrap();
    let (module, _) = module.split_once("\n}").unwrap();
    let literals = module.split("c\"").skip(1).filter_map(|rest| rest.split_once('"'));
    let names: BTreeSet<String> = literals.map(|(name, _)| name.to_owned()).collect();
    assert!(!names.is_empty() && names.len() == module.matches("pub const").count(), "{names:?}");
    names
}

fn exported() -> BTreeSet<String> {
    let symbols = tool("nm", &["-D", "--defined-only"]);
    symbols.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

fn tool(name: &str, flags: &[&str]) -> String {
    let output = Command::new(name).args(flags).arg(library()).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
