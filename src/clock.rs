//! Time and thread, as events carry them.

use crate::state;
use std::cell::Cell;

/// `CLOCK_MONOTONIC` in nanoseconds.
#[cold]
#[inline(never)]
pub fn monotonic_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970-01-01 UTC.
pub fn wall_ns() -> u64 {
    nanoseconds(libc::CLOCK_REALTIME)
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer; both clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// The kernel's id of the calling thread. Asked once per thread, and again in a forked child.
pub fn thread_id() -> u32 {
    thread_local! {
        static CACHED: Cell<(u32, u32)> = const { Cell::new((u32::MAX, 0)) };
    }
    let generation = state::generation();
    let (cached_in, tid) = CACHED.get();
    if cached_in == generation {
        return tid;
    }
    // SAFETY: takes nothing and cannot fail.
    let tid = u32::try_from(unsafe { libc::gettid() }).unwrap_or(0);
    CACHED.set((generation, tid));
    tid
}

/// Whether [`ordered_tsc`] can serve as the process's clock: the kernel itself trusts it.
pub fn has_ordered_tsc() -> bool {
    let source = std::fs::read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    source.is_ok_and(|source| source.trim_ascii_end() == b"tsc")
}

/// The time-stamp counter, read after everything before it has happened. The plain `rdtsc` runs ahead of loads
/// that miss, so an effect could seem older than its cause.
#[inline(always)]
pub fn ordered_tsc() -> u64 {
    let mut core = 0;
    // SAFETY: every processor whose counter the kernel uses as its clock has the instruction.
    unsafe { std::arch::x86_64::__rdtscp(&raw mut core) }
}
