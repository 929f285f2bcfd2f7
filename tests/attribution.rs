//! Which line, operation and test an event belongs to, in real CPythons: what Python says of itself is what the
//! capture says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::Value;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Bench, Capture, Run, find, program, project, release_library, skip};
use tt_memtrace_wire::{Context, Event, Frame, Line};

/// The versions whose frames can be read.
const VERSIONS: [&str; 2] = ["3.10", "3.12"];

/// What pip installs where it is not there yet.
const GREENLET: &str = "greenlet==3.5.6";

#[test]
fn every_way_to_a_line_is_told_as_python_tells_it() {
    in_each_python(|python| {
        assert!(tells_the_same(python, "lines.py") > 100);
    });
}

#[test]
fn code_that_lies_where_freed_code_was_has_its_own_lines() {
    in_each_python(|python| {
        assert_eq!(tells_the_same(python, "generated.py"), 1200);
    });
}

#[test]
fn an_operation_is_the_one_that_the_programs_own_line_called() {
    in_each_python(|python| {
        assert!(tells_the_same(python, "operations.py") > 200);
    });
}

#[test]
fn a_function_of_the_runtime_that_is_no_frame_is_named_by_its_call() {
    in_each_python(|python| {
        assert_eq!(tells_the_same(python, "functions.py"), 60 * 12 + 1);
    });
}

#[test]
fn generators_coroutines_and_frames_that_are_traced_are_where_python_says_they_are() {
    in_each_python(|python| {
        assert!(tells_the_same(python, "flows.py") > 140);
    });
}

#[test]
fn interpreters_within_the_process_tell_their_lines_or_the_line_that_runs_them() {
    in_each_python(|python| {
        assert_eq!(tells_the_same(python, "interpreters.py"), 2 * (3 * 8 + 3) + 1);
    });
}

#[test]
fn what_python_frees_while_it_ends_is_freed() {
    in_each_python(|python| {
        let bench = Bench::new();
        let run =
            bench.command(python).env("TT_MEMTRACE_STACKS", "python").env("PYTHONDONTWRITEBYTECODE", "1");
        run.args([project("tests/python/teardown.py")]).run().quiet();
        let capture = bench.capture();
        let count = |kind| capture.events().filter(|(_, event): &(_, &Event)| event.kind() == kind).count();
        assert_eq!((count("alloc"), count("dealloc"), capture.lost()), (4, 4, (0, 0)));
    });
}

#[test]
fn greenlets_that_switch_between_allocations_each_have_their_own_lines() {
    in_each_python(|python| {
        let Some(folder) = greenlet_for(python) else { return skip("greenlet") };
        let told = tells_the_same_with(python, "greenlets.py", |run| run.env("PYTHONPATH", folder));
        assert_eq!(told, 1020);
    });
}

#[test]
fn a_test_has_its_id_in_every_phase_and_on_every_thread() {
    in_each_python(|python| {
        assert_eq!(tells_the_same(python, "tests.py"), 17);
    });
}

#[test]
fn threads_interpreters_and_processes_that_come_and_go_break_nothing() {
    in_each_python(|python| {
        let bench = Bench::new();
        let run =
            bench.command(python).env("TT_MEMTRACE_STACKS", "python").env("PYTHONDONTWRITEBYTECODE", "1");
        let outcome = run.args([project("tests/python/hazards.py")]).run();
        assert!(outcome.status.success(), "{} {}", outcome.status, outcome.stderr);
        let captures = bench.captures();
        assert_eq!(captures.len(), 2);
        let child = std::fs::read_to_string(bench.path("child.told")).unwrap();
        for capture in &captures {
            let is_child = capture.header.parent.is_some();
            assert!(compare(capture, if is_child { &child } else { &outcome.stdout }) > 0);
        }
    });
}

#[test]
fn lines_without_end_take_memory_with_one() {
    in_each_python(|python| {
        let kilobytes = |stacks: &str| {
            let bench = Bench::new();
            let capture = bench.path("x.jsonl");
            let run = bench.command(python).args([project("tests/python/many_lines.py")]).args(["100000"]);
            let run = run.env("LD_PRELOAD", release_library()).env("TT_MEMTRACE_STACKS", stacks);
            let outcome = run.env("TT_MEMTRACE_OUTPUT", &capture).run().quiet();
            // The bench would hold each of the many lines against the schema.
            let text = std::fs::read_to_string(&capture).unwrap();
            std::fs::remove_file(capture).unwrap();
            (outcome.number("kilobytes"), text.matches("\n{\"kind\":\"context\"").count())
        };
        let (without, with) = (kilobytes("none"), kilobytes("python"));
        assert_eq!((without.1, with.1), (0, 100_000));
        // The tables of names beside the rest: all of it may have 5 MB and the spool.
        let grown = with.0.saturating_sub(without.0);
        assert!(grown < 3_500_000 / 1024, "{grown} kB more with stacks");
    });
}

#[test]
fn a_python_that_comes_and_goes_inside_a_program_is_told() {
    in_each_python(|python| {
        let Some(library) = library_of(python) else { return skip("shared libpython") };
        let bench = Bench::new();
        let run = bench.command(program("embeds_python.c")).env("TT_MEMTRACE_STACKS", "python");
        let home = python.parent().unwrap().parent().unwrap();
        let run = run.env("PYTHONHOME", home).env("PYTHONDONTWRITEBYTECODE", "1");
        // From 3.12 on, ctypes, which the events need, does not survive that: with or without us.
        let n_times = if library.to_string_lossy().contains("3.10") { 3 } else { 1 };
        let outcome = run.args([library, project("tests/python"), PathBuf::from(n_times.to_string())]).run();
        assert!(outcome.status.success(), "{} {}", outcome.status, outcome.stderr);
        let capture = bench.capture();
        assert_eq!(compare(&capture, &outcome.stdout), 2 * n_times);
        // Between two Pythons there is none.
        let n_without = capture.events().filter(|(stamp, _)| stamp.ctx == 0).count();
        assert_eq!(n_without, n_times);
    });
}

#[test]
fn without_the_setting_and_in_another_python_nothing_is_read_and_the_header_says_so() {
    let mut pythons: Vec<(PathBuf, &str)> =
        VERSIONS.iter().filter_map(|version| Some((python(version)?, "none"))).collect();
    pythons.extend(["3.11", "3.13"].iter().filter_map(|version| Some((python(version)?, "python"))));
    for (python, setting) in pythons {
        let bench = Bench::new();
        let run =
            bench.command(&python).env("TT_MEMTRACE_STACKS", setting).env("PYTHONDONTWRITEBYTECODE", "1");
        let outcome = run.args([project("tests/python/generated.py")]).run();
        assert!(outcome.status.success(), "{}", outcome.stderr);
        let capture = bench.capture();
        assert_eq!(capture.header.stacks, "none");
        assert!(capture.events().all(|(stamp, _)| stamp.ctx == 0));
        assert_eq!(outcome.stderr, "");
    }
}

fn in_each_python(check: impl Fn(&PathBuf)) {
    for version in VERSIONS {
        match python(version) {
            Some(python) => check(&python),
            None => skip(&format!("Python {version}")),
        }
    }
}

/// An interpreter of that version itself, not a script that chooses one.
fn python(version: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map_or_else(|| home().join(".pyenv"), PathBuf::from);
    let installed = std::fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    let is_it = |name: &str| name.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'));
    let of_pyenv = installed.filter(|entry| is_it(&entry.file_name().to_string_lossy()));
    let candidates = of_pyenv.map(|entry| entry.path().join("bin/python3"));
    candidates.chain(find(format!("python{version}"))).find_map(|candidate| {
        let ask = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)";
        let output = Command::new(candidate).args(["-c", ask]).env_remove("LD_PRELOAD").output().ok()?;
        let answer = String::from_utf8(output.stdout).ok()?;
        Some(PathBuf::from(answer.trim().strip_prefix(version)?.trim()))
    })
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default()
}

fn library_of(python: &PathBuf) -> Option<PathBuf> {
    let ask =
        "import sysconfig as s; print(s.get_config_var('LIBDIR') + '/' + s.get_config_var('LDLIBRARY'))";
    let output = Command::new(python).args(["-c", ask]).output().unwrap();
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    (path.to_string_lossy().ends_with(".so") && path.exists()).then_some(path)
}

/// The folder that has the package for this Python; installed once.
fn greenlet_for(python: &PathBuf) -> Option<PathBuf> {
    let mut hash = DefaultHasher::new();
    (python, GREENLET).hash(&mut hash);
    let folders = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = folders.join(format!("greenlet/{:016x}", hash.finish()));
    if !folder.exists() {
        let parent = folder.parent().unwrap();
        std::fs::create_dir_all(parent).unwrap();
        // Other tests may be at it as well: the first one's result stays.
        let ours = tempfile::tempdir_in(parent).unwrap();
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--target"]);
        let output = pip.arg(ours.path()).arg(GREENLET).env_remove("LD_PRELOAD").output().unwrap();
        if !output.status.success() {
            return None;
        }
        let _ = std::fs::rename(ours.keep(), &folder);
    }
    Some(folder)
}

/// Runs a program of `tests/python` and compares each of its events. Gives how many there were.
fn tells_the_same(python: &PathBuf, script: &str) -> usize {
    tells_the_same_with(python, script, |run| run)
}

fn tells_the_same_with(python: &PathBuf, script: &str, set: impl FnOnce(Run) -> Run) -> usize {
    let bench = Bench::new();
    let run = bench.command(python).env("TT_MEMTRACE_STACKS", "python").env("PYTHONDONTWRITEBYTECODE", "1");
    let outcome = set(run.env("PYTHONUTF8", "1")).args([project("tests/python").join(script)]).run();
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
    let capture = bench.capture();
    assert_eq!(capture.header.stacks, "python");
    compare(&capture, &outcome.stdout)
}

fn compare(capture: &Capture, told: &str) -> usize {
    let found = Found::of(capture);
    let mut n = 0;
    for line in told.lines() {
        let told: Value = serde_json::from_str(line).unwrap();
        let Some(context) = found.allocs.get(&told["address"].as_u64().unwrap()) else { continue };
        let frames: Vec<(String, String, u32)> = serde_json::from_value(told["frames"].clone()).unwrap();
        let cut = |text: String| text.chars().take(2048).collect::<String>();
        let frames: Vec<_> =
            frames.into_iter().map(|(file, function, line)| (cut(file), function, line)).collect();
        let (stack, is_cut) = &found.stacks[&context.stack.unwrap()];
        assert_eq!(stack, &frames, "{told}");
        assert_eq!(*is_cut, told["is_cut"].as_bool().unwrap(), "{told}");
        assert_eq!(context.op.map(|op| &*found.texts[&op]), told["op"].as_str(), "{told}");
        assert_eq!(context.test.map(|test| &*found.texts[&test]), told["test"].as_str(), "{told}");
        n += 1;
    }
    n
}

/// File, function and line.
type Place = (String, String, u32);

/// What a capture says.
#[derive(Default)]
struct Found {
    texts: HashMap<u32, String>,
    stacks: HashMap<u32, (Vec<Place>, bool)>,
    allocs: HashMap<u64, Context>,
}

impl Found {
    fn of(capture: &Capture) -> Self {
        let mut found = Self::default();
        let mut contexts = HashMap::new();
        for line in &capture.lines {
            match line {
                Line::Text(text) => drop(found.texts.insert(text.text, text.value.clone())),
                Line::Stack(stack) => {
                    let text = |number: u32| found.texts[&number].clone();
                    let frame = |frame: &Frame| (text(frame.file), text(frame.function), frame.line);
                    let frames = stack.frames.iter().map(frame).collect();
                    found.stacks.insert(stack.stack, (frames, stack.is_cut));
                }
                Line::Context(context) => drop(contexts.insert(context.ctx, context.clone())),
                Line::Event(stamp, Event::Alloc(alloc)) if stamp.ctx != 0 => {
                    found.allocs.insert(alloc.address, contexts[&stamp.ctx].clone());
                }
                _ => {}
            }
        }
        found
    }
}
