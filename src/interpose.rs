//! The front door of the stock runtime: functions of its own that we export under the same names.
//!
//! `LD_PRELOAD` makes the runtime's calls arrive here first. Each function calls the real one and records what
//! it did; what a call means is told where it is recorded. Facts about the runtime come from runs of the stock
//! ttnn wheels 0.66 to 0.81 on mock boards and are repeated beside the code that relies on them.

mod buffers;
mod cache;
mod devices;
mod failures;
mod fields;
mod grid;
mod programs;
mod real;
mod symbols;

use crate::pipeline::Pipeline;
use std::ffi::{CStr, CString};
use tt_memtrace_wire::{CbAlloc, Cores, Event, Line, Range, Runtime};

pub use devices::{arch_name, close_mesh, is_sweeping};
pub use failures::Message;
pub use programs::owner;

/// The runtime that calls us, once it has.
pub fn runtime() -> Option<Runtime> {
    let library = real::library_path()?;
    Some(Runtime { version: package_version(&library), library })
}

/// Records a circular buffer whose cores are given as rectangles.
pub fn circular_buffer(pipeline: &Pipeline, ranges: Vec<Range>, cb: impl FnOnce(u32) -> CbAlloc) {
    let cores = define_cores(pipeline, ranges);
    pipeline.offer(&Event::CbAlloc(cb(cores)));
}

/// The number of a set of cores, which is defined if it is new.
fn define_cores(pipeline: &Pipeline, ranges: Vec<Range>) -> u32 {
    let mut cores = 0;
    pipeline.define(|defined| {
        let number = |position: usize| u32::try_from(position + 1).unwrap_or(u32::MAX);
        if let Some(position) = defined.cores.iter().position(|known| *known == ranges) {
            cores = number(position);
            return None;
        }
        cores = number(defined.cores.len());
        defined.cores.push(ranges.clone());
        Some(Line::Cores(Cores { cores, ranges }))
    });
    cores
}

/// The version of the ttnn package that holds the library, from the name of the package's metadata folder
/// (`ttnn-0.81.1.dist-info`), which stands beside the package.
fn package_version(library: &str) -> Option<String> {
    let mut folder = library;
    let site_packages = loop {
        (folder, _) = folder.rsplit_once('/')?;
        if let Some(parent) = folder.strip_suffix("/ttnn") {
            break parent;
        }
    };
    let folder = CString::new(site_packages).ok()?;
    // SAFETY: the path ends in a zero byte.
    let folder = unsafe { libc::opendir(folder.as_ptr()) };
    if folder.is_null() {
        return None;
    }
    let mut version = None;
    while version.is_none() {
        // SAFETY: an open folder, that nobody else reads.
        let entry = unsafe { libc::readdir(folder) };
        // SAFETY: null, or an entry that stays as it is until the next call.
        let Some(entry) = (unsafe { entry.as_ref() }) else { break };
        // SAFETY: the name ends in a zero byte.
        let name = unsafe { CStr::from_ptr(entry.d_name.as_ptr()) }.to_str().unwrap_or_default();
        version =
            name.strip_prefix("ttnn-").and_then(|rest| rest.strip_suffix(".dist-info")).map(str::to_owned);
    }
    // SAFETY: it was opened above.
    unsafe { libc::closedir(folder) };
    version
}
