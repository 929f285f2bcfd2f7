//! Settings, from the environment, read once when the first event arrives.
//!
//! README's table of variables is compared with [`VARIABLES`] by a test.

use crate::report::Level;
use std::ffi::{CStr, OsStr, OsString};

/// The switch: recording is on if it is `1`.
pub const SWITCH: &CStr = c"TT_ALLOC_TRACKING_ENABLED";

/// The prefix of all other variables.
const PREFIX: &str = "TT_MEMTRACE_";

/// The variables with [`PREFIX`] that this version knows. `TT_MEMTRACE_LIB` is read by the command alone.
pub const VARIABLES: [&str; 7] = [
    "TT_MEMTRACE_OUTPUT",
    "TT_MEMTRACE_SERVER",
    "TT_MEMTRACE_STACKS",
    "TT_MEMTRACE_SPOOL_SIZE",
    "TT_MEMTRACE_SPILL_MAX",
    "TT_MEMTRACE_LOG",
    "TT_MEMTRACE_LIB",
];

const SPOOL_BYTES: u64 = 4 << 20;
const SPILL_BYTES: u64 = 1 << 30;
const SPOOL_RANGE: std::ops::RangeInclusive<u64> = 256 << 10..=1 << 30;

/// The line to print if the switch is set to something that is neither on nor off.
pub fn switch_complaint(value: Option<OsString>) -> Option<String> {
    let value = value.filter(|value| value != "1")?;
    Some(format!("{}={} is not 1 or 0; nothing is recorded", SWITCH.to_string_lossy(), value.display()))
}

/// Everything a user can choose.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// `TT_MEMTRACE_OUTPUT`; absent: a file of the default name in the current directory.
    pub output: Option<OsString>,
    /// `TT_MEMTRACE_LOG`.
    pub log: Level,
    /// `TT_MEMTRACE_SPOOL_SIZE`, in bytes over all threads.
    pub spool_bytes: u64,
    /// `TT_MEMTRACE_SPILL_MAX`, in bytes on disk.
    pub spill_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { output: None, log: Level::Warn, spool_bytes: SPOOL_BYTES, spill_bytes: SPILL_BYTES }
    }
}

impl Config {
    /// Reads the settings and returns them with the complaints about them, each a line.
    pub fn from_env(variables: impl Iterator<Item = (OsString, OsString)>) -> (Self, Vec<String>) {
        let mut config = Self::default();
        let mut complaints = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            if !value.is_empty() {
                complaints.extend(config.set(name, value));
            }
        }
        (config, complaints)
    }

    fn set(&mut self, name: &str, value: OsString) -> Option<String> {
        let bad = |expected: &str, used: &str| {
            let value = value.display();
            Some(format!("{name}={value} is not {expected}; using {used}"))
        };
        match name {
            "TT_MEMTRACE_OUTPUT" => self.output = Some(value),
            "TT_MEMTRACE_LOG" => match log_level(&value) {
                Some(level) => self.log = level,
                None => return bad("one of warn, error, info, debug", "warn"),
            },
            "TT_MEMTRACE_STACKS" => match value.to_str() {
                Some("none" | "off") => {}
                Some("python" | "native" | "both") => {
                    return Some(format!("{name}: this version records no stacks yet; using none"));
                }
                _ => return bad("one of none, python, native, both", "none"),
            },
            "TT_MEMTRACE_SPOOL_SIZE" => match bytes(&value).filter(|bytes| SPOOL_RANGE.contains(bytes)) {
                Some(bytes) => self.spool_bytes = bytes,
                None => return bad("a size from 256K to 1G", "4M"),
            },
            "TT_MEMTRACE_SPILL_MAX" => match bytes(&value) {
                Some(bytes) => self.spill_bytes = bytes,
                None => return bad("a size such as 512M", "1G"),
            },
            "TT_MEMTRACE_SERVER" => return Some(format!("{name} has no effect in this version")),
            _ if VARIABLES.contains(&name) => {}
            _ => return Some(format!("unknown variable {name}; did you mean {}?", closest(name))),
        }
        None
    }
}

/// `4194304`, `4096K`, `4M` or `4MiB`.
fn bytes(value: &OsStr) -> Option<u64> {
    let value = value.to_str()?.trim();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match value[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn log_level(value: &OsStr) -> Option<Level> {
    match value.to_str()? {
        "error" => Some(Level::Error),
        "warn" => Some(Level::Warn),
        "info" | "debug" => Some(Level::Info),
        _ => None,
    }
}

fn closest(name: &str) -> &'static str {
    let known = VARIABLES.iter().min_by_key(|known| tt_memtrace_wire::names::distance(name, known));
    known.copied().unwrap_or(VARIABLES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Config, Vec<String>) {
        Config::from_env(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn unset_and_empty_give_the_defaults() {
        let read = read(&[("HOME", "/home/x"), ("TT_MEMTRACE_OUTPUT", "")]);
        assert_eq!(read, (Config::default(), vec![]));
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_closest_one() {
        let (_, complaints) = read(&[("TT_MEMTRACE_OUTPT", "x")]);
        assert_eq!(complaints, ["unknown variable TT_MEMTRACE_OUTPT; did you mean TT_MEMTRACE_OUTPUT?"]);
    }

    #[test]
    fn sizes_have_units() {
        let (config, complaints) = read(&[("TT_MEMTRACE_SPOOL_SIZE", "8MiB"), ("TT_MEMTRACE_SPILL_MAX", "64k")]);
        assert_eq!((config.spool_bytes, config.spill_bytes, complaints), (8 << 20, 64 << 10, vec![]));
        let (config, complaints) = read(&[("TT_MEMTRACE_SPOOL_SIZE", "lots")]);
        assert_eq!(config.spool_bytes, 4 << 20);
        assert_eq!(
            complaints,
            ["TT_MEMTRACE_SPOOL_SIZE=lots is not a size from 256K to 1G; using 4M"]
        );
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_expected() {
        let (config, complaints) = read(&[("TT_MEMTRACE_LOG", "loud")]);
        assert_eq!(config.log, Level::Warn);
        assert_eq!(complaints, ["TT_MEMTRACE_LOG=loud is not one of warn, error, info, debug; using warn"]);
    }
}
