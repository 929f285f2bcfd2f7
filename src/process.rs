//! Facts about this process for the header of its capture.

use crate::clock;
use std::fs;
use tt_memtrace_wire::names;

/// Who we are.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// Clock ticks since boot at which the process started: tells two uses of a pid apart.
    pub start: u64,
    /// The host's name.
    pub host: String,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The pid namespace, `pid:[INODE]`: in another one, the pid is another process.
    pub pid_namespace: String,
    /// The rank in a multi-process job.
    pub rank: Option<u32>,
    /// What the program is called in file names.
    pub program: String,
    /// The command line.
    pub command: Vec<String>,
    /// `CLOCK_MONOTONIC`, read together with `wall_ns`.
    pub t_ns: u64,
    /// Nanoseconds since 1970-01-01 UTC.
    pub wall_ns: u64,
}

/// The variables that hold a rank, in the order in which they are believed: Open MPI, MPICH, Slurm, PMIx,
/// tt-run (whose numbers may repeat across hosts).
const RANKS: [&str; 5] =
    ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID", "PMIX_RANK", "TT_MESH_HOST_RANK"];

impl Process {
    /// The calling process.
    pub fn this() -> Self {
        let read = |path: &str| fs::read(path).unwrap_or_default();
        let line = |path: &str| text(read(path).trim_ascii_end());
        let words = read("/proc/self/cmdline");
        let words = words.strip_suffix(b"\0").unwrap_or(&words);
        let n_words = if words.is_empty() { 0 } else { usize::MAX };
        let command: Vec<String> = words.split(|byte| *byte == 0).take(n_words).map(text).collect();
        let rank = |name: &&str| std::env::var(name).ok()?.parse().ok();
        Self {
            pid: std::process::id(),
            start: start_time(&read("/proc/self/stat")).unwrap_or(0),
            host: line("/proc/sys/kernel/hostname"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            pid_namespace: text(
                fs::read_link("/proc/self/ns/pid").unwrap_or_default().as_os_str().as_encoded_bytes(),
            ),
            rank: RANKS.iter().find_map(rank),
            program: names::program(&command),
            command,
            t_ns: clock::monotonic_ns(),
            wall_ns: clock::wall_ns(),
        }
    }
}

/// A field of `/proc/PID/stat`, from the third on; they are counted from 1. The second one is the name, which may hold
/// spaces and parentheses.
pub fn field_of(stat: &[u8], number: usize) -> Option<&[u8]> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    stat.get(after_name..)?.split(|byte| *byte == b' ').nth(number.checked_sub(3)?)
}

/// The clock ticks since boot at which the process started.
fn start_time(stat: &[u8]) -> Option<u64> {
    std::str::from_utf8(field_of(stat, 22)?).ok()?.parse().ok()
}

/// The text that these bytes are, or nearly.
#[inline(never)]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat =
            format!("7 (a) b) S {} 4242 rest", (4..22).map(|n| n.to_string()).collect::<Vec<_>>().join(" "));
        assert_eq!(start_time(stat.as_bytes()), Some(4242));
        assert!(Process::this().start > 0);
    }
}
