//! Runs the built command on captures that the tests write.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]
#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod schema;
pub mod server;

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const SAMPLE: &str = include_str!("../../src/demo.jsonl");

/// A capture of a process that nobody knows, with these lines after the header.
pub fn capture(pid: u32, more: &str, lines: &[&str]) -> String {
    let header = format!(
        "{{\"kind\":\"header\",\"schema\":\"tt-memtrace.capture\",\"version\":\"1.0\",\"pid\":{pid},\
         \"process_start\":1,\"host\":\"\",\"boot_id\":\"none\",\"program\":\"p{pid}\",\
         \"t_ns\":1000000000,\"wall_ns\":{pid}{more}}}"
    );
    let mut text = header;
    for line in lines {
        text.push('\n');
        text.push_str(line);
    }
    text + "\n"
}

pub const MESH: &str = r#"{"kind":"mesh","mesh_id":0,"chips":[0,1],"rows":1,"cols":2,"arch":"wormhole_b0"}"#;

pub fn alloc(n: u64, address: u64, size: u64) -> String {
    format!(
        "{{\"kind\":\"alloc\",\"n\":{n},\"t_ns\":{},\"tid\":1,\"mesh_id\":0,\"type\":\"DRAM\",\"layout\":\
         \"INTERLEAVED\",\"address\":{address},\"size_bytes\":{size},\"page_size_bytes\":{size},\
         \"per_bank_bytes\":{size},\"owns_data\":true}}",
        1_000_000_000 + n * 1_000_000
    )
}

pub fn free(n: u64, address: u64) -> String {
    let t_ns = 1_000_000_000 + n * 1_000_000;
    format!(
        "{{\"kind\":\"dealloc\",\"n\":{n},\"t_ns\":{t_ns},\"tid\":1,\"mesh_id\":0,\"type\":\"DRAM\",\
         \"address\":{address}}}"
    )
}

pub fn event(kind: &str, n: u64, rest: &str) -> String {
    let t_ns = 1_000_000_000 + n * 1_000_000;
    format!("{{\"kind\":\"{kind}\",\"n\":{n},\"t_ns\":{t_ns},\"tid\":1{rest}}}")
}

pub const FOOTER: &str = r#"{"kind":"footer","t_ns":2000000000,"recorded":0,"dropped":0,"ended":"exit"}"#;

/// Says that a test cannot be done here. In CI that is a failure, unless `tests/allowed-skips` has it.
pub fn skip(what: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: no {what}");
    let allowed = std::fs::read_to_string(schema::docs().join("../tests/allowed-skips")).unwrap();
    let is_allowed = allowed.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name == what));
    assert!(
        is_allowed || std::env::var_os("CI").is_none(),
        "no {what}, and tests/allowed-skips does not list it"
    );
}

/// A folder of its own for each test, and the command that is run in it.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self::named("tt-memtrace-test")
    }

    pub fn named(prefix: &str) -> Self {
        Self { folder: tempfile::Builder::new().prefix(prefix).tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tt-memtrace"));
        command.current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TT_") || name == "LD_PRELOAD" {
                command.env_remove(name);
            }
        }
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Outcome {
        Outcome::of(self.command().args(words).output().unwrap())
    }

    pub fn json(&self, words: &[&str]) -> Value {
        let outcome = self.run(words);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// An empty shared object, in the place of the library.
    pub fn library(&self) -> PathBuf {
        let path = self.path("libtt_memtrace.so");
        let source = self.write("empty.c", "");
        let status = Command::new("cc").args(["-shared", "-o"]).arg(&path).arg(&source).status().unwrap();
        assert!(status.success());
        std::fs::remove_file(source).unwrap();
        path
    }
}

#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Whatever the command printed for programs is as its schema says.
    pub fn of(output: Output) -> Self {
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.lines().for_each(schema::check);
        let stderr = String::from_utf8(output.stderr).unwrap();
        Self { code: output.status.code().unwrap_or(-1), stdout, stderr }
    }
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
