//! What does not add up, in words.

use crate::render;
use tt_memtrace_ledger::{Anomaly, Cause, What};
use tt_memtrace_wire::Place;

/// What it concerns and what is known of it; its kind and its moment are the caller's.
pub fn describe(anomaly: &Anomaly) -> String {
    let place = match anomaly.place {
        Place::Mesh(mesh_id) => format!("mesh {mesh_id}"),
        Place::Chip(chip) => format!("chip {chip}"),
    };
    let why = match anomaly.what {
        What::UnknownDealloc(Cause::AlreadyFreed { by_n: Some(n) }) => format!(", ended before by n {n}"),
        What::UnknownDealloc(cause) => format!(", {}", cause_name(cause).replace('_', " ")),
        What::DoubleDealloc { first_n } => format!(", freed before by n {first_n}"),
        What::Overlap { with_n } => format!(", with the buffer of n {with_n}"),
        What::SizeChange { from_bytes, to_bytes } => {
            format!(", from {} to {}", render::bytes(from_bytes), render::bytes(to_bytes))
        }
        What::AboveCapacity { live_bytes, bank_size_bytes } => {
            format!(", {} of {} per bank", render::bytes(live_bytes), render::bytes(bank_size_bytes))
        }
        What::UnknownRetained => String::new(),
    };
    let buffer_type = anomaly.buffer_type.map_or_else(String::new, |of| format!("{of} "));
    format!("{buffer_type}at {:#x} on {place}{why}", anomaly.address)
}

/// The word for programs.
pub fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::BeforeCapture => "before_capture",
        Cause::OtherProcess => "other_process",
        Cause::AlreadyFreed { .. } => "already_freed",
        Cause::Lost => "events_lost",
        Cause::Other => "other",
    }
}
