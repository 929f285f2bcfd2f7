//! An explained refusal for programs.

use super::earlier::Earlier;
use super::message::{self, BankFigures};
use super::{Allocation, Clashing, Explanation, Holder, Known, What};
use crate::failures::{Ran, Refused};
use crate::json::{self, int, mesh_id, moment, optional, with};
use crate::memories;
use crate::origin::Origin;
use serde_json::{Value, json};
use tt_memtrace_ledger::{Buffer, LaidOut, Launch, Refusal, Snapshot, Verdict, Way};
use tt_memtrace_wire::Range;

/// The refusal at which the replay stopped; null if there was none.
pub fn of(refused: &Refused) -> Value {
    let Some(explanation) = Explanation::of(refused) else { return Value::Null };
    let (header, snapshot, found) = (&refused.replay.header, explanation.snapshot, explanation.found);
    let (allocation, clash) = match &explanation.what {
        What::Allocation(of) => (self::allocation(of, refused, snapshot), Value::Null),
        What::Clash(of) => (Value::Null, self::clash(of, refused, snapshot)),
    };
    let launch_before = |(of, origin): (Launch, Origin<'_>)| {
        with(json!({"program": int(of.program), "at": moment(of.at, header)}), origin.json())
    };
    let failure = json!({
        "number": refused.number,
        "at": moment(found.stamp.into(), header),
        "tid": found.stamp.tid,
        "failure": found.failure.name(),
        "is_derived": found.is_derived,
        "message": found.failure.message().map(message::sentence),
        "is_of_launch": explanation.is_of_launch,
        "mesh_id": mesh_id(explanation.place()),
        "chips": snapshot.chips_in_order(explanation.place()),
        "launch_before": explanation.last_launch.map(launch_before),
        "earlier_tests": explanation.earlier.as_ref().map(Earlier::json),
        "allocation": allocation,
        "clash": clash,
    });
    with(failure, explanation.origin.json())
}

fn allocation(of: &Allocation<'_>, refused: &Refused, snapshot: Snapshot<'_>) -> Value {
    let (request, header) = (of.request, &refused.replay.header);
    let refusal = of.refusal.as_ref();
    let growth = refused.growth.iter();
    let growth = growth.map(|(at, held)| json!({"at": moment(*at, header), "held_bytes": int(*held)}));
    let way = |way: Option<&Way<'_>>| way.map(|way| self::way(way, refused, snapshot));
    json!({
        "type": request.buffer_type.to_string(),
        "layout": request.layout.to_string(),
        "size_bytes": int(request.size_bytes),
        "page_size_bytes": int(request.page_size_bytes),
        "per_bank_bytes": optional(request.per_bank_bytes),
        "n_cores": request.n_cores,
        "verdict": refusal.map_or("unknown", verdict),
        "needed_bytes": optional(refusal.map(|refusal| refusal.needed_bytes)),
        "short_bytes": optional(refusal.map(|refusal| refusal.short_bytes)),
        "counted": of.counted.as_ref().map(counted),
        "memory": refusal.map(|refusal| memories::json(&refusal.map, snapshot, header)),
        "holders": of.holders.iter().map(|of| holder(of, refused)).collect::<Vec<_>>(),
        "growth": growth.collect::<Vec<_>>(),
        "fewest": way(refusal.and_then(|refusal| refusal.fewest.as_ref())),
        "least": way(refusal.and_then(|refusal| refusal.least.as_ref())),
    })
}

fn counted(of: &BankFigures) -> Value {
    json!({
        "bank_size_bytes": int(of.size_bytes),
        "allocated_bytes": int(of.allocated_bytes),
        "free_bytes": int(of.free_bytes),
        "largest_free_bytes": int(of.largest_free_bytes),
    })
}

fn verdict(refusal: &Refusal<'_>) -> &'static str {
    match refusal.verdict {
        Verdict::TooLarge => "too_large",
        Verdict::Exhausted => "exhausted",
        Verdict::Fragmented => "fragmented",
        Verdict::OtherReason => "other_reason",
    }
}

fn holder(holder: &Holder<'_>, refused: &Refused) -> Value {
    let header = &refused.replay.header;
    let buffers = json!({
        "n_buffers": int(holder.n),
        "bank_bytes": int(holder.bank_bytes),
        "size_bytes": int(holder.size_bytes),
        "layout": holder.layout.to_string(),
        "class": holder.class.to_string(),
        "first": moment(holder.since.0, header),
        "last": moment(holder.since.1, header),
        "mark": refused.mark_before(holder.since.0.n),
    });
    with(buffers, holder.origin.json())
}

fn way(way: &Way<'_>, refused: &Refused, snapshot: Snapshot<'_>) -> Value {
    json!({
        "bank_bytes": int(way.bank_bytes),
        "hole_bytes": int(way.hole.bytes),
        "can_be_moved": way.can_be_moved,
        "buffers": buffers(&way.buffers, refused, snapshot),
    })
}

fn buffers(buffers: &[&Buffer], refused: &Refused, snapshot: Snapshot<'_>) -> Vec<Value> {
    let buffer = |buffer: &&Buffer| {
        let alloc = &buffer.alloc;
        let more = json!({
            "bank_bytes": int(buffer.bank_bytes),
            "layout": alloc.layout.to_string(),
            "class": buffer.class.to_string(),
            "since": moment(buffer.since.into(), &refused.replay.header),
            "mark": refused.mark_before(buffer.since.n),
        });
        let held = with(json::buffer(buffer, snapshot.chips_in_order(buffer.place())), more);
        with(held, Origin::of_buffer(snapshot.contexts(), buffer).json())
    };
    buffers.iter().map(buffer).collect()
}

fn clash(of: &Clashing<'_>, refused: &Refused, snapshot: Snapshot<'_>) -> Value {
    let header = &refused.replay.header;
    let known = match of.known {
        Known::Exactly => "exact",
        Known::AtMost => "upper_bound",
        Known::NotAtAll => "not_reported",
    };
    let bank =
        of.bank.map(|bank| json!({"start": int(bank.start), "end": int(bank.end), "n_cores": bank.n_cores}));
    let ran = |ran: &Ran| json!({"at": moment(ran.at, header), "lowest_address": optional(ran.lowest)});
    json!({
        "program": optional(of.clash.program),
        "l1": bank,
        "region_end": optional(of.region_end),
        "basis": known,
        "lowest_address": optional(of.lowest),
        "short_bytes": optional(of.short_bytes()),
        "is_beyond_l1": of.is_beyond_l1(),
        "cores": ranges(&of.cores),
        "circular_buffers": of.circular_buffers.iter().map(circular_buffer).collect::<Vec<_>>(),
        "blocking": buffers(&of.blocking, refused, snapshot),
        "ran": of.ran.as_ref().map(ran),
    })
}

fn circular_buffer(cb: &LaidOut<'_>) -> Value {
    json!({
        "cores": cb.ranges.map(ranges),
        "address": int(cb.address),
        "size_bytes": int(cb.size_bytes),
        "globally_allocated": cb.globally_allocated,
    })
}

fn ranges(ranges: &[Range]) -> Value {
    ranges.iter().map(|range| json!([range.x0, range.y0, range.x1, range.y1])).collect()
}
