//! The model of the runtime in `tests/cpp` under the real library, and the command's figures beside the model's own.
//!
//! At each mark the live buffers of each chip and memory must be those of the model's allocators: as many, with as
//! many bytes, and as many in each bank. Nothing may be unknown, and nothing left but what the model left.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use support::{Bench, Outcome, compile, find, project, skip};
use tt_memtrace_wire::{Event, Line};

const GENERATIONS: [&str; 7] = ["c", "c_doubled", "d", "e", "f", "stock", "hooked"];
const STRICT: [&str; 6] = ["-O1", "-pthread", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Chip and memory: how many buffers, their bytes, and their bytes in each bank.
type Totals = BTreeMap<(u64, String), [u64; 3]>;

/// A run of the model.
struct Run {
    scenario: &'static str,
    generation: &'static str,
    chips: u64,
    threads: u64,
    /// Whether its buffers have numbers.
    has_ids: bool,
}

impl Run {
    fn new(scenario: &'static str, generation: &'static str, chips: u64) -> Self {
        Self { scenario, generation, chips, threads: 1, has_ids: true }
    }

    fn name(&self) -> String {
        let Self { scenario, generation, chips, threads, has_ids } = self;
        format!("{scenario} of {generation} on {chips} chips, {threads} threads, with numbers: {has_ids}")
    }

    fn outcome(&self, bench: &Bench) -> Outcome {
        let (chips, threads) = (self.chips.to_string(), self.threads.to_string());
        let run = bench.command(model(self.has_ids)).args([self.scenario, self.generation, &chips, &threads]);
        // Views of 32 chips from 8 threads come faster than an unoptimised library writes.
        run.env("TT_MEMTRACE_SPOOL_SIZE", "64M").run().quiet()
    }

    /// Compares all figures; gives what was left.
    fn check(&self) -> Value {
        let bench = Bench::new();
        let outcome = self.outcome(&bench);
        let told: Vec<Value> =
            outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let marks = asked(&bench, &["snapshot", "--at-marks"]);
        assert_eq!(told.len(), marks.len(), "{}", self.name());
        for (told, mark) in told.iter().zip(&marks) {
            assert_eq!(told["mark"], mark["mark"], "{}", self.name());
            assert_eq!(seen(mark), allocated(told), "{} at {}", self.name(), told["mark"]);
        }
        let stats = &asked(&bench, &["stats"])[0]["processes"][0];
        assert_eq!(stats["anomaly_counts"], serde_json::json!({}), "{}: {}", self.name(), stats["anomalies"]);
        assert_eq!((&stats["n_dropped"], &stats["status"]), (&0.into(), &"exited".into()), "{}", self.name());
        asked(&bench, &["leaks"])[0]["processes"][0]["left"].clone()
    }
}

#[test]
fn many_threads_leave_nothing_and_every_figure_is_the_allocators() {
    for generation in GENERATIONS {
        for chips in [1, 8, 32] {
            let run = Run { threads: 8, ..Run::new("churn", generation, chips) };
            assert_eq!(run.check()["n_buffers"], 0, "{}", run.name());
        }
    }
}

#[test]
fn the_reference_scenario_leaves_only_what_the_runtime_holds_for_itself() {
    for generation in GENERATIONS {
        for chips in [1, 8, 32] {
            let run = Run::new("reference", generation, chips);
            let left = run.check();
            assert_eq!((&left["n_leaks"], &left["n_unattributed"]), (&0.into(), &0.into()), "{}", run.name());
        }
    }
}

#[test]
fn buffers_without_numbers_are_told_apart_by_their_place() {
    // Not `c_doubled` and `hooked`: there views end late, and without a number they would be any view.
    for generation in ["c", "d", "e", "f", "stock"] {
        let run = Run { has_ids: false, ..Run::new("reference", generation, 8) };
        assert_eq!(run.check()["n_leaks"], 0, "{}", run.name());
    }
    let run = Run { has_ids: false, threads: 8, ..Run::new("churn", "stock", 8) };
    assert_eq!(run.check()["n_buffers"], 0, "{}", run.name());
}

#[test]
fn meshes_that_share_chips_are_kept_apart() {
    // Where only views are known, those of two meshes at one address of a chip are taken for one memory.
    for generation in GENERATIONS.into_iter().filter(|generation| *generation != "f") {
        let run = Run::new("submeshes", generation, 8);
        assert_eq!(run.check()["n_buffers"], 0, "{}", run.name());
    }
}

#[test]
fn a_chip_of_its_own_is_not_the_mesh_of_that_number() {
    for generation in GENERATIONS {
        let run = Run::new("lone_chips", generation, 8);
        assert_eq!(run.check()["n_buffers"], 0, "{}", run.name());
    }
}

#[test]
fn what_is_held_at_close_is_left() {
    for generation in GENERATIONS {
        let run = Run::new("held", generation, 8);
        // One generation frees what is left at close, and one knows only the views, one on each chip.
        let n_left = match generation {
            "e" => 0,
            "f" => 16,
            _ => 2,
        };
        assert_eq!(run.check()["n_buffers"], n_left, "{}", run.name());
    }
}

#[test]
fn circular_buffers_end_with_their_program() {
    let bench = Bench::new();
    Run::new("reference", "hooked", 8).outcome(&bench);
    let resident = |mark| {
        let snapshot = &asked(&bench, &["snapshot", "--at", mark])[0]["processes"][0]["circular_buffers"];
        let of = |cb: &Value| (cb["program"].as_u64().unwrap(), cb["chips"].as_array().unwrap().len());
        let mut resident: Vec<(u64, usize)> = snapshot.as_array().unwrap().iter().map(of).collect();
        resident.sort_unstable();
        resident
    };
    assert_eq!(resident("their sum"), [(0, 8); 3]);
    assert_eq!(resident("a product"), [[(0, 8); 3], [(1, 8); 3]].concat());
    assert_eq!(resident("cache cleared"), []);
}

#[test]
fn the_model_runs_without_the_library() {
    let bench = Bench::new();
    let outcome = bench.command(model(true)).args(["demo"]).without("LD_PRELOAD").run().quiet();
    assert!(outcome.stdout.ends_with("done; 5 outputs are still held\n"), "{outcome:?}");
}

#[test]
fn the_adapter_reads_each_shape_and_asks_nothing_that_throws() {
    let bench = Bench::new();
    let adapter = executable("adapter", |executable| {
        compile(
            "c++",
            &[&STRICT[..], &["-std=c++17"]].concat(),
            &project("tests/cpp/adapter.cpp"),
            executable,
        )
    });
    assert_eq!(bench.command(&adapter).without("LD_PRELOAD").run().quiet().stdout, "ok\n");
    assert_eq!(bench.command(&adapter).run().quiet().stdout, "ok\n");
    let capture = bench.capture();
    let deallocs = capture.events().filter(|(_, event)| matches!(event, Event::Dealloc(_)));
    assert_eq!(deallocs.count(), 100 + 100 + 2, "of the loop's buffer, of its view, and two late ones");
    let events = told(&capture.lines);
    let expected = include_str!("cpp/adapter.txt");
    assert_eq!(events.join("\n"), expected.trim_end(), "{}", events.join("\n"));
}

#[test]
fn adapter_and_model_compile_without_a_warning() {
    for compiler in ["c++", "clang++"] {
        if find(compiler).is_none() {
            skip(compiler);
            continue;
        }
        for standard in ["-std=c++17", "-std=c++20"] {
            let nowhere = Path::new("/dev/null");
            let flags = [&STRICT[..], &["-fsyntax-only", standard]].concat();
            assert_eq!(compile(compiler, &flags, &project("tests/cpp/adapter.cpp"), nowhere), Ok(()));
            for has_ids in [true, false] {
                let name = format!("model-{compiler}{standard}-{has_ids}");
                executable(&name, |to| compile_model(compiler, standard, has_ids, to));
            }
        }
    }
}

#[test]
fn a_patched_library_exports_the_marker_and_nothing_else_of_ours() {
    let library = executable("patched", |executable| {
        let includes = format!("-I{}", project("tests/cpp").display());
        let flags = [&STRICT[..], &["-std=c++17", "-shared", "-fPIC", &includes]].concat();
        compile("c++", &flags, &project("tests/cpp/model/runtime.cpp"), executable)
    });
    let output = Command::new("nm").args(["-D", "--defined-only", "-C"]).arg(&library).output().unwrap();
    let symbols = String::from_utf8(output.stdout).unwrap();
    assert!(symbols.contains("tt::tt_metal::GraphTracker::track_program"), "{symbols}");
    let ours: Vec<&str> = symbols.lines().filter(|line| line.contains("tt_memtrace")).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert!(ours[0].ends_with(" R tt_memtrace_patched_runtime"), "{ours:?}");
}

/// The lines but for positions and times; what a loop repeats comes once.
fn told(lines: &[Line]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for line in lines {
        let mut text = Vec::new();
        line.write_to(&mut text);
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        for key in ["n", "t_ns", "tid", "ctx"] {
            value.as_object_mut().unwrap().remove(key);
        }
        // Addresses of the program's own.
        if let Some(allocator) = value.get_mut("allocator").filter(|allocator| !allocator.is_null()) {
            *allocator = "somewhere".into();
        }
        let text = value.to_string();
        if !(value["address"] == 8192 && told.contains(&text)) {
            told.push(text);
        }
    }
    told
}

/// What the model says its allocators hold.
fn allocated(told: &Value) -> Totals {
    let list = told["allocated"].as_array().unwrap().iter();
    let number = |entry: &Value, key| entry[key].as_u64().unwrap();
    list.map(|entry| {
        let figures = ["n_buffers", "bytes", "per_bank_bytes"].map(|key| number(entry, key));
        ((number(entry, "chip"), entry["type"].as_str().unwrap().to_owned()), figures)
    })
    .collect()
}

/// The same of what the command lists.
fn seen(mark: &Value) -> Totals {
    let mut totals = Totals::new();
    for buffer in mark["live"].as_array().unwrap() {
        for chip in buffer["chips"].as_array().unwrap() {
            let key = (chip.as_u64().unwrap(), buffer["type"].as_str().unwrap().to_owned());
            let sum = totals.entry(key).or_default();
            sum[0] += 1;
            sum[1] += buffer["size_bytes"].as_u64().unwrap();
            sum[2] += buffer["per_bank_bytes"].as_u64().unwrap();
        }
    }
    totals
}

/// What the command prints of the bench's capture: one value a line.
fn asked(bench: &Bench, words: &[&str]) -> Vec<Value> {
    let mut command = Command::new(command());
    command.args(words).arg("--json").arg(bench.path("out"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // `leaks` ends with another status where it found some.
    assert!(!text.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::Deserializer::from_str(&text).into_iter().map(|value| value.unwrap()).collect()
}

/// The model, whose buffers have numbers or not.
fn model(has_ids: bool) -> &'static Path {
    static MODELS: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
    MODELS[usize::from(has_ids)].get_or_init(|| {
        let name = if has_ids { "model" } else { "model-without-ids" };
        executable(name, |to| compile_model("c++", "-std=c++17", has_ids, to))
    })
}

/// Compiles anew: what it includes may have changed.
fn executable(name: &str, compile: impl Fn(&Path) -> Result<(), String>) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cpp");
    std::fs::create_dir_all(&folder).unwrap();
    let executable = folder.join(name);
    assert_eq!(compile(&executable), Ok(()), "{name}");
    executable
}

fn compile_model(compiler: &str, standard: &str, has_ids: bool, executable: &Path) -> Result<(), String> {
    let folder = project("tests/cpp");
    let (folder_flag, runtime) = (format!("-I{}", folder.display()), folder.join("model/runtime.cpp"));
    let mut flags = STRICT.to_vec();
    flags.extend([standard, &*folder_flag, runtime.to_str().unwrap()]);
    if !has_ids {
        flags.push("-DMODEL_WITHOUT_IDS");
    }
    compile(compiler, &flags, &folder.join("model.cpp"), executable)
}

/// The command, built in the profile of this test.
fn command() -> &'static Path {
    static COMMAND: OnceLock<PathBuf> = OnceLock::new();
    COMMAND.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "tt-memtrace-cli"]);
        cargo
            .arg("--manifest-path")
            .arg(project("Cargo.toml"))
            .arg("--target-dir")
            .arg(folder.parent().unwrap());
        cargo.args(["--profile", if folder.ends_with("debug") { "dev" } else { "release" }]);
        assert!(cargo.status().unwrap().success());
        folder.join("tt-memtrace")
    })
}
