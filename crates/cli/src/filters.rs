//! The filters that all reports share. They choose what is shown; the accounting always sees every event.

mod absent;
mod limits;
mod selection;
mod values;
mod words;

pub use absent::Absent;
pub use limits::{PeakBelow, PeakOf, Tolerance};
pub use selection::Selection;
pub use values::{Between, Chips, Cores, IdRange, Memory, Size};

/// What of a capture is shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filters {
    /// Only these chips, as 0,3 or 0-3. A mesh buffer is on each chip of its mesh
    #[arg(long, value_name = "CHIP", value_delimiter = ',', help_heading = "Filters")]
    pub device: Vec<Chips>,
    /// Only these memories: dram, l1, l1_small, trace, system_memory; cb for circular buffers
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', help_heading = "Filters")]
    pub memory: Vec<Memory>,
    /// Only what takes L1 on these cores, as 2,3 or 0,0-7,7. L1 buffers take their room on every core
    #[arg(long, value_name = "X,Y[-X,Y]", help_heading = "Filters")]
    pub core: Option<Cores>,
    /// Only from instant A to B: numbers of events, seconds, names of marks. Either may be left out
    #[arg(long, value_name = "A,B", help_heading = "Filters")]
    pub between: Option<Between>,
    /// Only buffers of at least this many logical bytes on a chip: 65536, 64KiB, 1.5MiB
    #[arg(long, value_name = "SIZE", help_heading = "Filters")]
    pub min_size: Option<Size>,
}
