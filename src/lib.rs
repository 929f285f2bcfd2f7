//! `libtt_memtrace.so`: preloaded into a ttnn or tt-metal program, it records every device-memory event.
//!
//! One event's life, in the order of the modules:
//!
//! 1. The runtime calls a function of its own that we export under the same name ([`interpose`]), or a patched
//!    runtime calls one of our C symbols ([`abi`]). These are the two front doors; nothing behind them knows
//!    which one an event used.
//! 2. [`guard`] lets each entry through: not twice on one thread, no panic out, `errno` as it was.
//! 3. [`state`] says whether anything is recorded at all. The first event of a process starts the recording:
//!    [`opening`] reads the [`config`], [`output`] picks the file, [`process`] fills its header.
//! 4. [`pipeline`] defines what the event names, and leaves it in the [`spool`]: 64 bytes of shared memory with a
//!    clock reading that gives it its place in the process's one order. What a push needs to know lies in the
//!    thread's own lines ([`thread`]). The call returns.
//!    Which operation and Python line it belongs to is found in between ([`attribution`]).
//! 5. [`worker`], the only thread of ours, sorts the events, numbers them and writes them through [`sink`]. A
//!    tracking server that is wanted gets the same lines ([`server`]).
//! 6. [`lifecycle`] is everything that runs outside the host's own calls: load, fork, exit.
//!
//! The library never blocks, floods, fails or aborts its host, and computes no figures: those are the ledger's
//! business, in another process.

pub mod abi;
mod attribution;
#[cfg(feature = "bench-switch")]
mod bench_switch;
mod clock;
mod config;
mod guard;
mod interpose;
mod lifecycle;
mod opening;
mod output;
mod pipeline;
mod process;
mod report;
mod server;
mod sink;
mod spool;
mod state;
mod table;
mod thread;
mod worker;
