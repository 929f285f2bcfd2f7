//! The command, built once.

use crate::support::project;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The path of `tt-memtrace`: `TT_MEMTRACE_BIN` if that is set, else it is built now, in the profile and the
/// target directory of the running test.
pub fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| match std::env::var_os("TT_MEMTRACE_BIN") {
        Some(path) => std::path::absolute(path).unwrap(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--package", "tt-memtrace-cli", "--bin", "tt-memtrace", "--message-format", "json"]);
    cargo.arg("--manifest-path").arg(project("Cargo.toml")).arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let path = messages.lines().find_map(|message| {
        let message: Value = serde_json::from_str(message).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    path.unwrap()
}

/// Runs `tt-memtrace recover --json` and returns what it says of the only capture.
pub fn recover(capture: &Path) -> Value {
    let output = Command::new(tool()).args(["recover", "--json"]).arg(capture).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["processes"][0].take()
}
