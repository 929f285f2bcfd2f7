//! `l1` for programs.

use super::{Moment, Shown, shown};
use crate::explain;
use crate::json::{int, moment, optional, process as common, with};
use crate::origin::Origin;
use serde_json::{Value, json};
use tt_memtrace_ledger::{
    Basis, Buffer, CoreGroup, Headroom, L1Buffer, L1Program, LaidOut, Maker, Residence, Snapshot,
};
use tt_memtrace_wire::{Header, Range};

/// One process.
pub fn process(moment_of: &Moment) -> Value {
    let replay = moment_of.as_ref();
    let snapshot = replay.ledger.snapshot();
    let maps = shown(snapshot, &replay.selection);
    let maps: Vec<Value> = maps.iter().map(|shown| map(shown, snapshot, &replay.header)).collect();
    let at = moment(replay.at, &replay.header);
    let is_least = matches!(moment_of, Moment::Instant(_, true));
    let failure = match moment_of {
        Moment::Instant(..) => Value::Null,
        Moment::Clash(refused) => explain::json::of(refused),
    };
    common(replay, json!({"at": at, "is_least": is_least, "failure": failure, "chips": maps}))
}

fn map(shown: &Shown<'_>, snapshot: Snapshot<'_>, header: &Header) -> Value {
    let map = &shown.map;
    let bank =
        map.bank.map(|bank| json!({"start": int(bank.start), "end": int(bank.end), "n_cores": bank.n_cores}));
    let least = map
        .least
        .map(|least| with(room(least.room, map.least_basis), json!({"at": moment(least.at, header)})));
    let running =
        map.running.map(|launch| json!({"program": int(launch.program), "at": moment(launch.at, header)}));
    let unsized_programs = &map.unsized_programs;
    json!({
        "chips": map.chips,
        "l1": bank,
        "room": shown.room.map(|of| room(of, shown.basis)),
        "least_room": least,
        "top_program": optional(shown.top.as_ref().and_then(|top| top.program)),
        "lowest_buffer": shown.lowest.map(|lowest| buffer(lowest, snapshot, header)),
        "resident_elsewhere_bytes": int(map.resident_elsewhere_bytes),
        "is_residence_known": map.is_residence_known,
        "cores": map.cores.iter().map(|group| core_group(group, shown)).collect::<Vec<_>>(),
        "programs": map.programs.iter().map(|of| program(of, snapshot)).collect::<Vec<_>>(),
        "unsized_programs": {
            "n": int(unsized_programs.count()),
            "programs": unsized_programs.programs.iter().map(|number| int(*number)).collect::<Vec<_>>(),
        },
        "running": running,
        "buffers": map.buffers.iter().map(|of| resident_buffer(of, snapshot, header)).collect::<Vec<_>>(),
    })
}

fn room(room: Headroom, of_end: Basis) -> Value {
    json!({
        "bytes": signed(room.bytes()),
        "basis": name(of_end.of_room()),
        "lowest_reserved": int(room.lowest_reserved),
        "highest_end": int(room.highest_end),
    })
}

fn signed(value: i64) -> Value {
    if value.unsigned_abs() > 1 << 53 { json!(value.to_string()) } else { json!(value) }
}

fn name(basis: Basis) -> &'static str {
    match basis {
        Basis::Exact => "exact",
        Basis::LowerBound => "lower_bound",
        Basis::UpperBound => "upper_bound",
        Basis::Estimate => "estimate",
    }
}

fn core_group(group: &CoreGroup, shown: &Shown<'_>) -> Value {
    let room_here = shown.room_at(group.end).map(|room| signed(room.bytes()));
    json!({
        "cores": ranges(&group.ranges),
        "n_cores": group.n_cores,
        "end": optional(group.end),
        "basis": name(group.basis),
        "program": optional(group.program),
        "running_end": optional(group.running_end),
        "resident_bytes": int(group.resident_bytes),
        "room_bytes": room_here,
    })
}

fn program(program: &L1Program<'_>, snapshot: Snapshot<'_>) -> Value {
    let circular_buffer = |cb: &LaidOut<'_>| {
        json!({
            "cores": cb.ranges.map(ranges),
            "address": int(cb.address),
            "size_bytes": int(cb.size_bytes),
            "globally_allocated": cb.globally_allocated,
        })
    };
    let maker = match program.maker {
        Maker::LaidOut(_) => "laid_out",
        Maker::Launched(_) => "launched",
        Maker::Unknown => "unknown",
        Maker::NotLaunched => "not_launched",
    };
    let fields = json!({
        "program": optional(program.program),
        "is_running": program.is_running,
        "is_of_several": program.is_of_several,
        "maker": maker,
        "end": optional(program.end),
        "circular_buffers": program.circular_buffers.iter().map(circular_buffer).collect::<Vec<_>>(),
    });
    with(fields, Origin::of(snapshot.contexts(), program.maker.context()).json())
}

fn buffer(buffer: &Buffer, snapshot: Snapshot<'_>, header: &Header) -> Value {
    let alloc = &buffer.alloc;
    let more = json!({
        "bank_bytes": int(buffer.bank_bytes),
        "layout": alloc.layout.to_string(),
        "n_cores": alloc.n_cores,
        "since": moment(buffer.since.into(), header),
    });
    with(crate::json::buffer(buffer, snapshot.chips_in_order(buffer.place())), more)
}

fn resident_buffer(of: &L1Buffer<'_>, snapshot: Snapshot<'_>, header: &Header) -> Value {
    let (resides, cores) = match of.residence {
        Residence::All => ("all", None),
        Residence::On(ranges) => ("on", Some(ranges)),
        Residence::Among(_, ranges) => ("among", Some(ranges)),
        Residence::Unknown(_) => ("unknown", None),
    };
    with(buffer(of.buffer, snapshot, header), json!({"resides": resides, "cores": cores.map(ranges)}))
}

fn ranges(ranges: &[Range]) -> Value {
    ranges.iter().map(|range| json!([range.x0, range.y0, range.x1, range.y1])).collect()
}
