//! The room in each memory at an instant: what is free, the largest hole, and what keeps the holes apart.

use crate::filters::Selection;
use crate::{json, render};
use serde_json::{Value, json};
use std::io::Write;
use tt_memtrace_ledger::{AddressMap, Pin, Snapshot};
use tt_memtrace_wire::Header;

/// So many pins are shown of each memory.
const N_PINS: usize = 3;

/// The maps of the memories that the filters keep.
pub fn of<'a>(snapshot: Snapshot<'a>, selection: &Selection) -> Vec<AddressMap<'a>> {
    let mut maps = snapshot.address_maps();
    maps.retain(|map| {
        let chips = snapshot.chips_of(map.place);
        selection.has_type(map.buffer_type) && chips.iter().any(|chip| selection.has_chip(*chip))
    });
    maps
}

/// For programs.
pub fn json(map: &AddressMap<'_>, snapshot: Snapshot<'_>, header: &Header) -> Value {
    let pin = |pin: &Pin<'_>| {
        let buffer = json::buffer(pin.buffer, snapshot.chips_in_order(pin.buffer.place()));
        json::with(
            buffer,
            json!({
                "since": json::moment(pin.buffer.since.into(), header),
                "joined_bytes": json::int(pin.joined_bytes),
            }),
        )
    };
    json!({
        "mesh_id": json::mesh_id(map.place),
        "chips": snapshot.chips_in_order(map.place),
        "type": map.buffer_type.to_string(),
        "start": json::int(map.start),
        "bank_size_bytes": json::int(map.end - map.start),
        "free_bytes": json::int(map.free_bytes),
        "n_holes": map.holes.len(),
        "largest_hole_bytes": json::int(map.largest.map_or(0, |hole| hole.bytes)),
        "largest_hole_address": json::optional(map.largest.map(|hole| hole.address)),
        "fragmentation": map.fragmentation(),
        "tightest": map.tightest.map(|tightest| json::tightest(tightest, header)),
        "pins": map.pins.iter().take(N_PINS).map(pin).collect::<Vec<_>>(),
        "is_sound": map.is_sound,
    })
}

/// For people: a row for each memory, and below what keeps its holes apart.
pub fn print(
    maps: &[AddressMap<'_>],
    snapshot: Snapshot<'_>,
    header: &Header,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let row = |map: &AddressMap<'_>| {
        let size = map.end - map.start;
        let least = map
            .tightest
            .map(|least| format!("{} at {}", render::bytes(least.bytes), render::moment(least.at, header)));
        vec![
            map.buffer_type.to_string(),
            render::bytes(map.free_bytes),
            render::percent(map.free_bytes, size),
            render::bytes(map.largest.map_or(0, |hole| hole.bytes)),
            map.holes.len().to_string(),
            least.unwrap_or_else(|| "not followed".into()),
            render::cut(&render::place(map.place, snapshot.chips_of(map.place)), 24),
        ]
    };
    if maps.is_empty() {
        return Ok(());
    }
    let heads = ["room in a bank", ">free", "", ">largest hole", ">holes", ">smallest it ever was", "where"];
    render::table(out, &heads, maps.iter().map(row).collect())?;
    for map in maps {
        if !map.is_sound {
            let name = map.buffer_type;
            writeln!(out, "{name}: buffers overlap or lie outside the bank; the holes are only a sketch")?;
        }
        for pin in map.pins.iter().take(N_PINS) {
            let size = render::bytes(pin.buffer.bank_bytes);
            let (address, since) =
                (pin.buffer.alloc.address, render::moment(pin.buffer.since.into(), header));
            let joined = render::bytes(pin.joined_bytes);
            let name = map.buffer_type;
            writeln!(out, "{name}: {size} at {address:#x}, since {since}, keeps a hole of {joined} apart")?;
        }
    }
    Ok(())
}
