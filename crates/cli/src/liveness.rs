//! Whether the process of a capture still runs.

use std::fs;
use tt_memtrace_wire::Header;

/// What is known of a process that did not say how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Runs,
    /// It is gone.
    Gone,
    /// It ran on another host, or in a container whose processes cannot be seen from here.
    Elsewhere,
}

/// Looks the process up by pid and start time, so that another process of the same pid is not taken for it.
pub fn of(header: &Header) -> Liveness {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if header.boot_id != boot_id.trim() {
        let is_this_host = header.host == host.trim() || header.host.is_empty();
        return if is_this_host { Liveness::Gone } else { Liveness::Elsewhere };
    }
    let namespace = fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned());
    if !header.pid_namespace.is_empty() && namespace.is_ok_and(|namespace| namespace != header.pid_namespace)
    {
        return Liveness::Elsewhere; // In a container, whose pids mean other processes here.
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", header.pid)).unwrap_or_default();
    if is_running(&stat, header.process_start) { Liveness::Runs } else { Liveness::Gone }
}

/// `stat` is `pid (name) state ...`; the name may hold anything. The start time is the 22nd field.
fn is_running(stat: &str, process_start: u64) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next();
    let start = fields.nth(18).and_then(|field| field.parse::<u64>().ok());
    !matches!(state, Some("Z" | "X" | "x")) && start == Some(process_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_its_pid_and_its_start() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4321 99";
        assert!(is_running(stat, 4321));
        assert!(!is_running(stat, 4322));
        assert!(!is_running(&stat.replace(") S", ") Z"), 4321));
        assert!(!is_running("", 4321));
    }
}
