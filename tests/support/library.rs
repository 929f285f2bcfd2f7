//! The library as its users see it: a file.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The path of the library: `TT_MEMTRACE_LIB` if that is set, else it is built now, in the target directory of the
/// running test and in its profile; for a test in `release`, as it is shipped. (`cargo test` itself builds no library
/// that is only a cdylib.)
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| match std::env::var_os("TT_MEMTRACE_LIB") {
        Some(path) => std::path::absolute(path).unwrap(),
        None => build(None),
    })
}

/// The library as it is shipped, for tests of what it costs. Where `scripts/build` has been, it is there already.
pub fn release_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build(Some("library")))
}

/// Builds it in a profile, or in that of the running test.
fn build(in_profile: Option<&str>) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    // TARGET/[TRIPLE/]PROFILE/deps/this-test
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--lib", "--package", "tt-memtrace", "--message-format", "json"]);
    cargo.arg("--manifest-path").arg(super::project("Cargo.toml"));
    cargo.arg("--target-dir").arg(target).arg("--profile").arg(match in_profile.unwrap_or(name(profile)) {
        "debug" => "dev",
        "release" => "library",
        other => other,
    });
    if profile.parent() != Some(target) {
        cargo.args(["--target", name(profile.parent().unwrap())]);
    }
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    messages.lines().find_map(artifact).unwrap()
}

/// The path in cargo's message about the library.
fn artifact(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_ours = message["target"]["name"] == "tt_memtrace" && message["target"]["kind"][0] == "cdylib";
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".so")).map(PathBuf::from)
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
