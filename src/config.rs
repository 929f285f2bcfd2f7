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

/// Those of [`VARIABLES`] whose effect is yet to come.
const NOT_YET: [&str; 3] = ["TT_MEMTRACE_SERVER", "TT_MEMTRACE_SPOOL_SIZE", "TT_MEMTRACE_SPILL_MAX"];

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
}

impl Config {
    /// Reads the settings and returns them with the complaints about them, each a line.
    pub fn from_env(variables: impl Iterator<Item = (OsString, OsString)>) -> (Self, Vec<String>) {
        let mut config = Self { output: None, log: Level::Warn };
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
            Some(format!("{name}={value} is not one of {expected}; using {used}"))
        };
        match name {
            "TT_MEMTRACE_OUTPUT" => self.output = Some(value),
            "TT_MEMTRACE_LOG" => match log_level(&value) {
                Some(level) => self.log = level,
                None => return bad("warn, error, info, debug", "warn"),
            },
            "TT_MEMTRACE_STACKS" => match value.to_str() {
                Some("none" | "off") => {}
                Some("python" | "native" | "both") => {
                    return Some(format!("{name}: this version records no stacks yet; using none"));
                }
                _ => return bad("none, python, native, both", "none"),
            },
            _ if NOT_YET.contains(&name) => {
                return Some(format!("{name} has no effect in this version"));
            }
            _ if VARIABLES.contains(&name) => {}
            _ => return Some(format!("unknown variable {name}; did you mean {}?", closest(name))),
        }
        None
    }
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
        let defaults = Config { output: None, log: Level::Warn };
        assert_eq!(read(&[("HOME", "/home/x"), ("TT_MEMTRACE_OUTPUT", "")]), (defaults, vec![]));
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_closest_one() {
        let (_, complaints) = read(&[("TT_MEMTRACE_OUTPT", "x")]);
        assert_eq!(complaints, ["unknown variable TT_MEMTRACE_OUTPT; did you mean TT_MEMTRACE_OUTPUT?"]);
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_expected() {
        let (config, complaints) = read(&[("TT_MEMTRACE_LOG", "loud")]);
        assert_eq!(config.log, Level::Warn);
        assert_eq!(complaints, ["TT_MEMTRACE_LOG=loud is not one of warn, error, info, debug; using warn"]);
    }
}
