//! Kernel binaries that were loaded and not unloaded. That is no memory anybody holds: the device evicts what was
//! loaded earlier without a word.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tt_memtrace_wire::{Kernel, KernelKind, Place, Stamp};

/// No program has nearly as many; more are summed under no program.
const MAX_LOADED: usize = 1 << 16;

/// The kernels of one program on one place.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// What they are for.
    pub kind: KernelKind,
    /// Bytes over all cores.
    pub bytes: u64,
    /// The last time one was loaded.
    pub at: Stamp,
}

/// What a process loaded.
#[derive(Debug, Clone, Default)]
pub struct Kernels(BTreeMap<(Place, Option<u64>, u32), Loaded>);

/// The same for programs that ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KernelRow {
    /// The number that the server gave the process.
    pub process: u64,
    /// The process's pid, as it says.
    pub pid: u32,
    /// The chips.
    pub chips: Vec<u32>,
    /// The runtime's number of the program.
    pub program: Option<u64>,
    /// What they are for.
    pub kernel: String,
    /// Bytes over all cores of one chip.
    pub size_bytes: u64,
    /// The last time one was loaded, nanoseconds since 1970.
    pub since_wall_ns: u64,
}

impl Kernels {
    /// Kernels were loaded.
    pub fn load(&mut self, at: Stamp, kernel: &Kernel) {
        let program = kernel.program.filter(|_| self.0.len() < MAX_LOADED);
        let key = (kernel.place, program, kernel.kind.number());
        let loaded = self.0.entry(key).or_insert(Loaded { kind: kernel.kind, bytes: 0, at });
        loaded.bytes = loaded.bytes.saturating_add(kernel.size_bytes.saturating_mul(kernel.n_cores));
        loaded.at = at;
    }

    /// Those of one program, or of all, were unloaded. Gives them.
    pub fn unload(&mut self, place: Place, program: Option<u64>) -> Vec<Loaded> {
        let last = program.or(Some(u64::MAX));
        let range = (place, program, 0)..=(place, last, u32::MAX);
        let keys: Vec<_> = self.0.range(range).map(|(key, _)| *key).collect();
        keys.iter().filter_map(|key| self.0.remove(key)).collect()
    }

    /// What is loaded, by place and program.
    pub fn iter(&self) -> impl Iterator<Item = (Place, Option<u64>, &Loaded)> {
        self.0.iter().map(|((place, program, _), loaded)| (*place, *program, loaded))
    }
}
