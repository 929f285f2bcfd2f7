//! Settings, from the environment, read once when the first event arrives.
//!
//! Their names are in the wire crate, which the command shares; README's table of them is held by a test.

use crate::report::Level;
use std::ffi::{CStr, OsStr, OsString};
use tt_memtrace_wire::names;

/// [`names::SWITCH`] for C: it is asked for when the library is loaded.
pub const SWITCH: &CStr = c"TT_ALLOC_TRACKING_ENABLED";

const SPOOL_BYTES: u64 = 4 << 20;
const SPILL_BYTES: u64 = 1 << 30;
const SPOOL_RANGE: std::ops::RangeInclusive<u64> = 256 << 10..=1 << 30;

/// The line to print if the switch is set to something that is neither on nor off.
pub fn switch_complaint(value: Option<OsString>) -> Option<String> {
    let value = value.filter(|value| value != "1")?;
    Some(format!("{}={} is not 1 or 0; nothing is recorded", names::SWITCH, value.display()))
}

/// Everything a user can choose.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// `TT_MEMTRACE_OUTPUT`; absent: a file of the default name in the current directory.
    pub output: Option<OsString>,
    /// `TT_MEMTRACE_SERVER`: `1` for the user's, or the path of a socket. With a server and no [`Self::output`] there is
    /// no file.
    pub server: Option<OsString>,
    /// `TT_MEMTRACE_LOG`.
    pub log: Level,
    /// `TT_MEMTRACE_STACKS`: whether Python's are recorded.
    pub python_stacks: bool,
    /// `TT_MEMTRACE_SPOOL_SIZE`, in bytes over all threads.
    pub spool_bytes: u64,
    /// `TT_MEMTRACE_SPILL_MAX`, in bytes on disk.
    pub spill_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            output: None,
            server: None,
            log: Level::Warn,
            python_stacks: false,
            spool_bytes: SPOOL_BYTES,
            spill_bytes: SPILL_BYTES,
        }
    }
}

impl Config {
    /// Reads the settings and returns them with the complaints about them, each a line.
    pub fn from_env(variables: impl Iterator<Item = (OsString, OsString)>) -> (Self, Vec<String>) {
        let mut config = Self::default();
        let (mut complaints, mut unknown, mut is_under_run) = (Vec::new(), Vec::new(), false);
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(names::PREFIX)) else { continue };
            is_under_run |= name == names::LIBRARY;
            if !names::VARIABLES.contains(&name) {
                unknown.push(format!("unknown variable {name}; did you mean {}?", names::closest(name)));
            } else if !value.is_empty() {
                complaints.extend(config.set(name, value));
            }
        }
        // `run` has said it already, once for all processes.
        if !is_under_run {
            complaints.append(&mut unknown);
        }
        (config, complaints)
    }

    fn set(&mut self, name: &str, value: OsString) -> Option<String> {
        match name {
            "TT_MEMTRACE_OUTPUT" => self.output = Some(value),
            "TT_MEMTRACE_LOG" => match log_level(&value) {
                Some(level) => self.log = level,
                None => return bad(name, &value, "one of warn, error, info, debug", "warn"),
            },
            names::STACKS => match value.to_str() {
                Some("none" | "off") => self.python_stacks = false,
                Some("python") => self.python_stacks = true,
                Some(native @ ("native" | "both")) => {
                    self.python_stacks = native == "both";
                    let used = if self.python_stacks { "python" } else { "none" };
                    return Some(format!("{name}: this version records no native stacks yet; using {used}"));
                }
                _ => return bad(name, &value, "one of none, python, native, both", "none"),
            },
            "TT_MEMTRACE_SPOOL_SIZE" => match bytes(&value).filter(|bytes| SPOOL_RANGE.contains(bytes)) {
                Some(bytes) => self.spool_bytes = bytes,
                None => return bad(name, &value, "a size from 256K to 1G", "4M"),
            },
            "TT_MEMTRACE_SPILL_MAX" => match bytes(&value) {
                Some(bytes) => self.spill_bytes = bytes,
                None => return bad(name, &value, "a size such as 512M", "1G"),
            },
            names::SERVER => self.server = Some(value).filter(|value| value != "0"),
            _ => {}
        }
        None
    }
}

#[inline(never)]
fn bad(name: &str, value: &OsStr, expected: &str, used: &str) -> Option<String> {
    let value = value.display();
    Some(format!("{name}={value} is not {expected}; using {used}"))
}

/// `4194304`, `4096K`, `4M` or `4MiB`.
fn bytes(value: &OsStr) -> Option<u64> {
    const UNITS: [(&str, u32); 11] = [
        ("", 0),
        ("B", 0),
        ("K", 10),
        ("KB", 10),
        ("KIB", 10),
        ("M", 20),
        ("MB", 20),
        ("MIB", 20),
        ("G", 30),
        ("GB", 30),
        ("GIB", 30),
    ];
    let value = value.to_str()?.trim_ascii();
    let n_digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = value.split_at(n_digits);
    let (_, shift) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
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
        let (config, complaints) =
            read(&[("TT_MEMTRACE_SPOOL_SIZE", "8MiB"), ("TT_MEMTRACE_SPILL_MAX", "64k")]);
        assert_eq!((config.spool_bytes, config.spill_bytes, complaints), (8 << 20, 64 << 10, vec![]));
        let (config, complaints) = read(&[("TT_MEMTRACE_SPOOL_SIZE", "lots")]);
        assert_eq!(config.spool_bytes, 4 << 20);
        assert_eq!(complaints, ["TT_MEMTRACE_SPOOL_SIZE=lots is not a size from 256K to 1G; using 4M"]);
    }

    #[test]
    fn stacks_are_pythons_or_none() {
        let of = |value| read(&[("TT_MEMTRACE_STACKS", value)]);
        let python = |(config, complaints): (Config, Vec<String>)| (config.python_stacks, complaints.len());
        assert_eq!(
            ["none", "off", "python", "native", "both"].map(of).map(python),
            [(false, 0), (false, 0), (true, 0), (false, 1), (true, 1)]
        );
        assert_eq!(
            of("both").1,
            ["TT_MEMTRACE_STACKS: this version records no native stacks yet; using python"]
        );
    }

    #[test]
    fn a_server_is_wanted_by_1_or_its_path() {
        for (value, server) in
            [("", None), ("0", None), ("1", Some("1")), ("/run/x.sock", Some("/run/x.sock"))]
        {
            let (config, complaints) = read(&[("TT_MEMTRACE_SERVER", value)]);
            assert_eq!((config.server, complaints), (server.map(Into::into), vec![]), "{value}");
        }
    }

    #[test]
    fn under_run_a_misspelt_variable_was_named_already() {
        assert_eq!(read(&[("TT_MEMTRACE_OUTPT", "x"), ("TT_MEMTRACE_LIB", "/x.so")]).1, Vec::<String>::new());
    }

    #[test]
    fn the_switch_has_one_name() {
        assert_eq!(SWITCH.to_str(), Ok(names::SWITCH));
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_expected() {
        let (config, complaints) = read(&[("TT_MEMTRACE_LOG", "loud")]);
        assert_eq!(config.log, Level::Warn);
        assert_eq!(complaints, ["TT_MEMTRACE_LOG=loud is not one of warn, error, info, debug; using warn"]);
    }
}
