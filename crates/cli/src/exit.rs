//! Exit codes, and the one line that goes with each.

use crate::capture::CaptureError;
use crate::server::ask::Unreachable;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Success.
pub const OK: u8 = 0;
/// A check found something that needs care.
pub const FOUND: u8 = 1;
/// Wrong usage, or a refused overwrite.
pub const USAGE: u8 = 2;
/// An input that is unreadable, corrupt, or of a version this program does not know; no server where one was to be asked.
pub const UNREADABLE: u8 = 3;
/// Under `--strict`: events were lost, or something does not add up.
pub const DEGRADED: u8 = 4;
/// `check` could not measure: `git bisect run` skips such a commit.
pub const UNMEASURED: u8 = 125;
/// As shells do for a command that cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// As shells do for a command that does not exist.
pub const NOT_FOUND: u8 = 127;
/// As shells do: this plus the signal's number.
pub const SIGNAL: u8 = 128;

/// The user asked for something that cannot be done.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Writes one line about ourselves on stderr. If that fails there is nobody left to tell.
pub fn say(message: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "tt-memtrace: {message}");
}

/// What the system said, without its number.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Says what went wrong and picks the code for it.
pub fn code(result: anyhow::Result<u8>) -> ExitCode {
    let error = match result {
        Ok(code) => return code.into(),
        Err(error) => error,
    };
    if is_broken_pipe(&error) {
        return OK.into(); // The reader has seen enough, as in `tt-memtrace parse X | head`.
    }
    let causes = error.chain().map(|cause| cause.downcast_ref().map_or_else(|| cause.to_string(), plain));
    say(causes.collect::<Vec<_>>().join(": "));
    let is_unreadable = error.is::<CaptureError>() || error.is::<Unreachable>();
    if is_unreadable { UNREADABLE.into() } else { USAGE.into() }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
