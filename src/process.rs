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
        let read =
            |path: &str| fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
        let command: Vec<String> =
            read("/proc/self/cmdline").split_terminator('\0').map(str::to_owned).collect();
        let rank = |name: &&str| std::env::var(name).ok()?.parse().ok();
        Self {
            pid: std::process::id(),
            start: start_time(&read("/proc/self/stat")).unwrap_or(0),
            host: read("/proc/sys/kernel/hostname").trim_end().to_owned(),
            boot_id: read("/proc/sys/kernel/random/boot_id").trim_end().to_owned(),
            pid_namespace: fs::read_link("/proc/self/ns/pid")
                .map(|link| link.to_string_lossy().into_owned())
                .unwrap_or_default(),
            rank: RANKS.iter().find_map(rank),
            program: names::program(&command),
            command,
            t_ns: clock::monotonic_ns(),
            wall_ns: clock::wall_ns(),
        }
    }
}

/// Field 22 of `/proc/PID/stat`. The second field is the name, which may hold spaces and parentheses.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat =
            format!("7 (a) b) S {} 4242 rest", (4..22).map(|n| n.to_string()).collect::<Vec<_>>().join(" "));
        assert_eq!(start_time(&stat), Some(4242));
        assert!(Process::this().start > 0);
    }
}
