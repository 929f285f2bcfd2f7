//! Whether the process of a capture still runs.

use std::fs;
use std::path::Path;
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

/// The pid namespace in which all processes of the machine are seen: `PROC_PID_INIT_INO` in Linux's
/// `include/linux/proc_ns.h`.
const OF_THE_MACHINE: u64 = 0xeffffffc;

/// Looks the process up by pid and start time, so that another process of the same pid is not taken for it.
pub fn of(header: &Header) -> Liveness {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if header.boot_id != boot_id.trim() {
        let is_this_host = header.host == host.trim() || header.host.is_empty();
        return if is_this_host { Liveness::Gone } else { Liveness::Elsewhere };
    }
    of_process(header.pid, header.process_start, inode(&header.pid_namespace))
}

/// The same for a process of this boot, in the pid namespace of that inode, if it is known.
pub fn of_process(pid: u32, start: u64, namespace: Option<u64>) -> Liveness {
    let here = fs::read_link("/proc/self/ns/pid").ok().and_then(|link| inode(&link.to_string_lossy()));
    let runs = |runs: bool| if runs { Liveness::Runs } else { Liveness::Gone };
    if namespace.is_none() || here.is_none() || namespace == here {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        return runs(is_running(&stat, start));
    }
    // In a container, whose pids mean other processes here. Where the processes of all containers are seen, each
    // says which pid it has in its own.
    let sees_all = here == Some(OF_THE_MACHINE) && Path::new("/proc/1/stat").exists();
    if !sees_all {
        return Liveness::Elsewhere;
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Liveness::Elsewhere };
    runs(processes.flatten().any(|process| {
        let read = |name: &str| fs::read_to_string(process.path().join(name)).unwrap_or_default();
        is_running(&read("stat"), start) && innermost_pid(&read("status")) == Some(pid)
    }))
}

/// When a process that can be seen here started, in clock ticks since boot.
pub fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The pid namespace of this process, as a header names it.
pub fn own_namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid");
    link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The number in `pid:[NUMBER]`.
fn inode(namespace: &str) -> Option<u64> {
    namespace.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// The pid in the process's own namespace: the last one of `NSpid:`.
fn innermost_pid(status: &str) -> Option<u32> {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_ascii_whitespace().last()?.parse().ok()
}

/// `stat` is `pid (name) state ...`; the name may hold anything. The start time is the 22nd field. 0 stands for
/// one that is not known.
fn is_running(stat: &str, process_start: u64) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next();
    let start = fields.nth(18).and_then(|field| field.parse::<u64>().ok());
    !matches!(state, Some("Z" | "X" | "x")) && (process_start == 0 || start == Some(process_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_its_pid_and_its_start() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4321 99";
        assert!(is_running(stat, 4321));
        assert!(!is_running(stat, 4322));
        assert!(is_running(stat, 0));
        assert!(!is_running(&stat.replace(") S", ") Z"), 4321));
        assert!(!is_running("", 4321));
    }

    #[test]
    fn the_pid_in_a_container_is_the_last_one() {
        assert_eq!(innermost_pid("Name:\tx\nPid:\t4711\nNSpid:\t4711\t12\t1\nUid:\t0\n"), Some(1));
        assert_eq!(innermost_pid("Name:\tx\n"), None);
        assert_eq!((inode("pid:[4026531836]"), inode("")), (Some(OF_THE_MACHINE), None));
    }
}
