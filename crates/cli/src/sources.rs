//! Which captures a verb was given: files, and run directories with one capture per process.

use crate::capture::{Capture, CaptureError};
use crate::exit;
use std::path::{Path, PathBuf};

/// The captures of all arguments, in the order of the arguments, those of a directory by their start.
pub fn captures(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, CaptureError> {
    let mut all = Vec::new();
    for path in arguments {
        if path.is_dir() {
            all.extend(in_directory(path)?);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let io = |error| CaptureError::io(directory, error);
    let mut captures = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            captures.push(path);
        }
    }
    if captures.is_empty() {
        return Err(CaptureError::no_captures(directory));
    }
    captures.sort_by_cached_key(|path| (started(path), path.clone()));
    Ok(captures)
}

fn started(capture: &Path) -> u64 {
    Capture::open_as_is(capture).map_or(u64::MAX, |capture| capture.header.wall_ns)
}

/// Does something with each capture. What cannot be read is said at the end; the others are reported all the same.
pub fn each(
    arguments: &[PathBuf],
    mut report: impl FnMut(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    let mut unreadable = Vec::new();
    for path in captures(arguments)? {
        match report(&path) {
            Err(error) if error.is::<CaptureError>() => unreadable.push(error),
            other => other?,
        }
    }
    unreadable.iter().for_each(|error| exit::say(format_args!("{error:#}")));
    Ok(if unreadable.is_empty() { exit::OK } else { exit::UNREADABLE })
}
