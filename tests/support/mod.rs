//! Builds the library once, runs C and C++ programs under it, and reads what it wrote.
//!
//! Every line of every capture that any test produces is held against `docs/capture.schema.json`, and every
//! capture against the arithmetic of the format.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it is surprised")]

mod bench;
mod capture;
mod library;
mod program;
mod schema;

pub use bench::{Bench, Outcome, Run};
pub use capture::Capture;
pub use library::{library, release_library};
pub use program::{compile, find, program, sanitized};
pub use schema::{complaint, schema};

use std::io::Write;
use std::path::{Path, PathBuf};

/// Says that a part of a test cannot be done here. In CI that is a failure, unless `tests/allowed-skips` has it.
pub fn skip(what: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: no {what}");
    let allowed = std::fs::read_to_string(project("tests/allowed-skips")).unwrap();
    let is_allowed = allowed.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name == what));
    assert!(
        is_allowed || std::env::var_os("CI").is_none(),
        "no {what}, and tests/allowed-skips does not list it"
    );
}

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
