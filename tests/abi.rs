//! The C interface stays what it was: `tests/abi/MAJOR.MINOR/tt_memtrace.h` is the header as it was when that version
//! was recorded, and what was compiled with it must go on to work. A version that adds something is recorded by a copy
//! of the new header; a recorded one is never edited once it was released.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use support::{Bench, Capture, compile, program, project};
use tt_memtrace_wire::Line;

/// What a header declares: by the name, all that a caller relies on.
#[derive(Default)]
struct Interface {
    /// The value of a constant, or the types of a function.
    names: BTreeMap<String, String>,
    /// The fields of a struct, in their order.
    structs: BTreeMap<String, Vec<String>>,
}

#[test]
fn nothing_recorded_is_removed_or_changed() {
    let now = Interface::of(&std::fs::read_to_string(project("include/tt_memtrace.h")).unwrap());
    for (version, header) in recorded() {
        let then = Interface::of(&std::fs::read_to_string(&header).unwrap());
        assert!(then.names.len() > 30 && then.structs.len() > 3, "{version} was not understood");
        let complaints = complaints(&then, &now);
        assert!(complaints.is_empty(), "since version {version}: {complaints:#?}");
    }
}

#[test]
fn what_is_new_is_recorded_with_a_version_of_its_own() {
    let (newest, header) = recorded().pop().unwrap();
    let then = Interface::of(&std::fs::read_to_string(header).unwrap());
    let now = Interface::of(&std::fs::read_to_string(project("include/tt_memtrace.h")).unwrap());
    let message = "raise TT_MEMTRACE_ABI_VERSION and copy include/tt_memtrace.h to a new folder of tests/abi";
    assert_eq!((then.names, then.structs), (now.names, now.structs), "{message}; the newest is {newest}");
}

#[test]
fn a_removal_a_change_and_a_field_in_the_middle_are_complained_about() {
    let then = std::fs::read_to_string(project("include/tt_memtrace.h")).unwrap();
    let complaints_about = |from: &str, to: &str| {
        assert!(then.contains(from), "{from}");
        complaints(&Interface::of(&then), &Interface::of(&then.replace(from, to))).len()
    };
    for (from, to) in [
        ("tt_memtrace_mark(const", "tt_memtrace_name(const"),
        ("#define TT_MEMTRACE_L1 1\n", "#define TT_MEMTRACE_L1 9\n"),
        ("uint32_t timeout_ms", "uint64_t timeout_ms"),
        ("  uint32_t buffer_type;", "  uint32_t pad;\n  uint32_t buffer_type;"),
        ("  uint64_t n_cores;\n", ""),
    ] {
        assert_eq!(complaints_about(from, to), 1, "{from}");
    }
    assert_eq!(complaints_about("  uint64_t n_cores;\n", "  uint64_t n_cores;\n  uint64_t more;\n"), 0);
    assert_eq!(
        complaints_about("#define TT_MEMTRACE_L1 1\n", "#define TT_MEMTRACE_L1 1\n#define TT_MEMTRACE_X 1\n"),
        0
    );
}

#[test]
fn a_program_compiled_with_a_recorded_header_is_recorded_as_ever() {
    let today = events(program("calls.c"));
    for (version, header) in recorded() {
        let bench = Bench::new();
        let old = bench.path("calls");
        let (folder, shared) = (header.parent().unwrap(), project("tests/c"));
        let flags = ["-std=gnu11", "-O1", "-I", folder.to_str().unwrap(), "-I", shared.to_str().unwrap()];
        compile("cc", &flags, &shared.join("calls.c"), &old).unwrap();
        assert_eq!(events(old), today, "{version}");
    }
}

/// What the program leaves in its capture, definitions too, without when and where.
fn events(program: PathBuf) -> Vec<String> {
    let bench = Bench::new();
    bench.command(program).run().quiet();
    let Capture { lines, .. } = bench.capture();
    let told = lines.iter().map(|line| match line {
        Line::Event(_, event) => format!("{event:?}"),
        definition => format!("{definition:?}"),
    });
    told.collect()
}

/// The recorded headers, oldest first, with their versions.
fn recorded() -> Vec<(String, PathBuf)> {
    let number = |name: &str| name.split_once('.').map(|(major, minor)| (parse(major), parse(minor)));
    let mut all: Vec<_> = std::fs::read_dir(project("tests/abi"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path().join("tt_memtrace.h")))
        .collect();
    all.sort_by_key(|(version, _)| number(version).unwrap());
    assert!(!all.is_empty());
    all
}

fn parse(number: &str) -> u32 {
    number.parse().unwrap()
}

fn complaints(then: &Interface, now: &Interface) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, was) in then.names.iter().filter(|(name, _)| *name != "TT_MEMTRACE_ABI_VERSION") {
        if now.names.get(name) != Some(was) {
            complaints.push(format!("{name} was {was}, and is {:?}", now.names.get(name)));
        }
    }
    for (name, was) in &then.structs {
        let is = now.structs.get(name).map(Vec::as_slice).unwrap_or_default();
        if !is.starts_with(was) {
            complaints.push(format!("{name} had {was:?}, and has {is:?}"));
        }
    }
    complaints
}

impl Interface {
    /// Reads a header as cbindgen writes it.
    fn of(header: &str) -> Self {
        let mut this = Self::default();
        let code: Vec<&str> = header
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .collect();
        for line in &code {
            if let Some((name, value)) =
                line.strip_prefix("#define TT_MEMTRACE_").and_then(|l| l.split_once(' '))
            {
                this.names.insert(format!("TT_MEMTRACE_{name}"), value.to_owned());
            }
        }
        let code = code.into_iter().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
        for part in code.split("typedef struct ").skip(1) {
            let (name, rest) = part.split_once(" {").unwrap();
            let (fields, _) = rest.split_once('}').unwrap();
            let fields = fields.split(';').map(str::trim).filter(|field| !field.is_empty());
            this.structs.insert(name.to_owned(), fields.map(str::to_owned).collect());
        }
        for part in code.split("__attribute__((weak))").skip(1) {
            let (prototype, _) = part.split_once(';').unwrap();
            let (before, arguments) = prototype.split_once('(').unwrap();
            let (result, name) = before.trim().rsplit_once(' ').unwrap();
            let arguments: Vec<&str> = arguments.split_whitespace().collect();
            this.names.insert(name.to_owned(), format!("{result} ({}", arguments.join(" ")));
        }
        this
    }
}
