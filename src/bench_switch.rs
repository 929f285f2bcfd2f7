//! A switch for benchmarks: recording and not recording can only be compared in one process, whose layout of memory
//! stays the same. Only in builds with the feature `bench-switch`, never in what is shipped.

use crate::state::{self, State};
use std::ffi::c_int;

/// 0: from now on every entry finds the state of a process that is not switched on. 1: records again. Returns 1 if
/// that changed anything; a process that has not recorded yet cannot be switched.
#[unsafe(no_mangle)]
pub extern "C" fn tt_memtrace_bench_record(wanted: c_int) -> c_int {
    let (from, to) = if wanted == 0 { (State::Running, State::Off) } else { (State::Off, State::Running) };
    c_int::from(state::change(from, to))
}
