"""Compares the live buffers in the tracker's ledger with what ttnn's allocators hold, at each checkpoint.

A checkpoint is a line that a workload printed, see workloads/checkpoints.py. The ledger at a checkpoint is
the list of buffers that `tt-memtrace snapshot --at-marks --json` prints for the mark with its number.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Comparison:
    checkpoints: int = 0
    comparisons: int = 0  # of one memory type of one mesh at one checkpoint
    differences: list[str] = field(default_factory=list)


Ledger = dict[tuple[int, str], list[dict]]  # the live buffers by process and mark
Rooms = dict[tuple[int, str], list[dict]]  # the memories and what is free in them, likewise


def compare(records: list[dict], ledger: Ledger, rooms: Rooms, unit: int) -> Comparison:
    """Compares what a workload printed with the ledger. The allocator rounds bytes in a bank up to `unit`."""
    result = Comparison()
    bases = bank_bases(records, ledger)
    closed: set[tuple[int, int]] = set()
    for record in records:
        if record["kind"] == "close":
            closed.add((record["pid"], record["mesh_id"]))
        if record["kind"] != "checkpoint":
            continue
        result.checkpoints += 1
        live = ledger.get((record["pid"], str(record["seq"])))
        if live is None:
            found = [f"no such mark in process {record['pid']}"]
        else:
            result.comparisons += len(record.get("per_bank", [None]))
            found = [
                f"{named(buffer)} of mesh {buffer['mesh_id']} is live, but the mesh is closed"
                for buffer in live
                if (record["pid"], buffer["mesh_id"]) in closed
            ]
            if "mesh_id" in record:
                found += mesh_differences(record, live, bases, unit)
                found += room_differences(record, rooms.get((record["pid"], str(record["seq"])), []))
        result.differences += [f"checkpoint {record['seq']} ({record['name']}): {text}" for text in found]
    return result


def bank_bases(records: list[dict], ledger: Ledger) -> dict[tuple[int, str], int]:
    """The address at which ttnn's offsets begin, by mesh and memory type: what most checkpoints agree on."""
    votes: dict[tuple[int, str], Counter[int]] = defaultdict(Counter)
    for record in records:
        if "blocks" not in record:
            continue
        mesh_id = record["mesh_id"]
        live = ledger.get((record["pid"], str(record["seq"])), [])
        for kind, blocks in record["blocks"].items():
            addresses = [b["address"] for b in live if (b["mesh_id"], b["type"]) == (mesh_id, kind)]
            if blocks and addresses:
                votes[mesh_id, kind][min(addresses) - min(offset for offset, _ in blocks)] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in votes.items()}


def mesh_differences(checkpoint: dict, live: list[dict], bases: dict, unit: int) -> Iterator[str]:
    mesh_id = checkpoint["mesh_id"]
    live = [buffer for buffer in live if buffer["mesh_id"] == mesh_id]
    for kind in checkpoint["per_bank"]:
        of_kind = [buffer for buffer in live if buffer["type"] == kind]
        for text in memory_differences(checkpoint, kind, of_kind, bases.get((mesh_id, kind), 0), unit):
            yield f"mesh {mesh_id} {kind}: {text}"
    for text in buffer_differences(checkpoint, live):
        yield f"mesh {mesh_id}: {text}"


def memory_differences(checkpoint: dict, kind: str, live: list[dict], base: int, unit: int) -> Iterator[str]:
    """One memory type of one mesh: the bytes, the number of buffers, and the place and size of each."""
    rounded = [-(-buffer["per_bank_bytes"] // unit) * unit for buffer in live]
    allocated = checkpoint["per_bank"][kind]["allocated"]
    if sum(rounded) != allocated:
        yield f"{sum(rounded)} bytes per bank in the ledger, {allocated} in ttnn"
    blocks = checkpoint["blocks"][kind]
    if blocks is None:  # this ttnn cannot tell
        return
    if len(live) != len(blocks):
        yield f"{len(live)} buffers in the ledger, {len(blocks)} blocks in ttnn"
    ours = Counter((buffer["address"] - base, size) for buffer, size in zip(live, rounded, strict=True))
    theirs = Counter((offset, size) for offset, size in blocks)
    for offset, size in (theirs - ours).elements():
        yield f"the ledger lacks {size} bytes per bank at {base} + {offset}"
    for offset, size in (ours - theirs).elements():
        yield f"ttnn lacks {size} bytes per bank at {base} + {offset}"


def room_differences(checkpoint: dict, rooms: list[dict]) -> Iterator[str]:
    """What is free in a bank of each memory, and the largest piece of it."""
    known = {room["type"]: room for room in rooms if room["mesh_id"] == checkpoint["mesh_id"]}
    for kind, bank in checkpoint["per_bank"].items():
        if kind not in known:
            if bank["allocated"]:
                yield f"mesh {checkpoint['mesh_id']} {kind}: the room in it is not known"
            continue
        room = known[kind]
        ours = (room["bank_size_bytes"], room["free_bytes"], room["largest_hole_bytes"], room["is_sound"])
        theirs = (bank["size"], bank["size"] - bank["allocated"], bank["largest_free"], True)
        if ours != theirs:
            yield f"mesh {checkpoint['mesh_id']} {kind}: size, free, largest hole, sound {ours}, {theirs} in ttnn"


def buffer_differences(checkpoint: dict, live: list[dict]) -> Iterator[str]:
    """What is known of single buffers: the chips they are on, and the tensors that the workload showed."""
    for buffer in live:
        if buffer["type"] not in checkpoint["per_bank"]:
            yield f"{named(buffer)} is of a type that ttnn does not account for"
        if buffer["chips"] != checkpoint["devices"]:
            yield f"{named(buffer)} is on chips {buffer['chips']}, the mesh on {checkpoint['devices']}"
    unique_ids = {(buffer["type"], buffer["address"]): buffer["unique_id"] for buffer in live}
    for tensor in checkpoint.get("tensors", []):
        if not tensor.get("allocated"):
            continue
        name, place = tensor["name"], (tensor["buffer_type"], tensor["address"])
        if place not in unique_ids:
            yield f"tensor {name}, in {place[0]} at {place[1]}, is not live in the ledger"
            continue
        ours, theirs = unique_ids[place], tensor.get("unique_id")  # either may not know it
        if None not in (ours, theirs) and ours != theirs:
            yield f"tensor {name} has unique id {ours} in the ledger, {theirs} in ttnn"


def named(buffer: dict) -> str:
    return f"{buffer['type']} buffer at {buffer['address']}"
