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
pub use library::library;
pub use program::{compile, find, program};
pub use schema::{complaint, schema};

use std::path::{Path, PathBuf};

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
