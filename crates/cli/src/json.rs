//! JSON values as all outputs write them.

use crate::replay::Replay;
use serde_json::{Value, json};
use std::io::Write;
use tt_memtrace_ledger::{Buffer, Moment, Tightest};
use tt_memtrace_wire::{Header, Place};

/// Integers above 2^53 are strings: readers whose only number is a double would change them.
pub fn int(value: u64) -> Value {
    if is_exact(value) { Value::from(value) } else { Value::String(value.to_string()) }
}

/// Whether a double holds the number.
pub fn is_exact(value: u64) -> bool {
    value <= 1 << 53
}

/// The version of all outputs. Minor versions add fields, major ones may remove some.
const VERSION: &str = "1.0";

/// An output of a verb, which `docs/schemas/VERB.schema.json` describes.
pub fn versioned(verb: &str, fields: Value) -> Value {
    with(json!({"schema": format!("tt-memtrace.{verb}"), "version": VERSION}), fields)
}

/// An object with more fields.
pub fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

/// An integer that may be absent.
pub fn optional(value: Option<u64>) -> Value {
    value.map_or(Value::Null, int)
}

/// One value on one line.
pub fn line(out: &mut dyn Write, value: &Value) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(std::io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// The number of a mesh, or null for a lone chip.
pub fn mesh_id(place: Place) -> Value {
    match place {
        Place::Mesh(mesh_id) => json!(mesh_id),
        Place::Chip(_) => Value::Null,
    }
}

/// A moment, with seconds since the capture began.
pub fn moment(at: Moment, header: &Header) -> Value {
    json!({"n": int(at.n), "t_ns": int(at.t_ns), "seconds": seconds(at.t_ns, header)})
}

/// The largest hole of a bank when it was smallest.
pub fn tightest(tightest: Tightest, header: &Header) -> Value {
    json!({"bytes": int(tightest.bytes), "at": moment(tightest.at, header)})
}

/// Seconds since the capture began; events of a forked child's parent may be before that.
pub fn seconds(t_ns: u64, header: &Header) -> f64 {
    if t_ns >= header.t_ns { duration(t_ns - header.t_ns) } else { -duration(header.t_ns - t_ns) }
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "seconds are for people, to the microsecond")]
pub fn duration(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1e6
}

/// What identifies a live buffer, and how large it is.
pub fn buffer(buffer: &Buffer, chips: &[u32]) -> Value {
    let alloc = &buffer.alloc;
    json!({
        "mesh_id": mesh_id(alloc.place),
        "chips": chips,
        "type": alloc.buffer_type.to_string(),
        "address": int(alloc.address),
        "size_bytes": int(alloc.size_bytes),
        "per_bank_bytes": int(alloc.per_bank_bytes),
        "unique_id": optional(alloc.unique_id),
    })
}

/// What every output says of a process, and what a verb adds to it.
pub fn process(replay: &Replay, more: Value) -> Value {
    let header = &replay.header;
    let interval = replay.selection.interval.map(|_| {
        let (from, to) = replay.range;
        json!({"from": moment(from, header), "to": moment(to, header)})
    });
    let process = json!({
        "capture": replay.path.display().to_string(),
        "pid": header.pid,
        "program": header.program,
        "runtime_version": header.runtime.as_ref().and_then(|runtime| runtime.version.clone()),
        "wall_ns": int(header.wall_ns),
        "n_events": int(replay.n_events),
        "n_dropped": int(replay.n_dropped),
        "n_unfinished": int(replay.n_unfinished()),
        "n_unreadable": int(replay.n_unreadable()),
        "seconds": seconds(replay.last.t_ns, header),
        "status": replay.status.name(),
        "is_torn": replay.is_torn,
        "may_lack_its_end": replay.may_lack_its_end(),
        "n_unknown_lines": int(replay.n_unknown),
        "missing_parent": replay.missing_parent,
        "interval": interval,
    });
    with(process, more)
}
