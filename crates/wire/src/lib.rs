//! The vocabulary that the preloaded library, the ledger and the CLI share: what an event is, and how one
//! event is one JSON line of a capture.
//!
//! This crate holds no accounting and does no input or output. `docs/format.md` is the same in prose;
//! `docs/capture.schema.json` is the same for programs.

#![forbid(unsafe_code)]

pub mod event;
pub mod frame;
pub mod legacy;
pub mod line;
pub mod live;
pub mod names;
pub mod record;
pub mod socket;
pub mod spool;
pub mod version;

mod decode;
mod encode;
mod json;

pub use event::{
    Address, Alloc, BufferLayout, BufferType, CbAlloc, CbDealloc, Clash, Dealloc, Event, Failure, Kernel,
    KernelKind, Lost, Place, Request, Stamp, SweepCause, TraceStep,
};
pub use line::{
    Allocator, Bank, Context, Cores, Device, Ending, Footer, Frame, Header, Line, LineError, Mesh, Parent,
    Range, Recovery, Runtime, Stack, Text,
};
pub use version::Version;
