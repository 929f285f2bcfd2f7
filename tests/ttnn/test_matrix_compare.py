"""The matrix must find every way in which a ledger can differ from ttnn. Run it with pytest."""

import copy

import pytest
from comparison import compare

PID, UNIT, BASE = 7, 32, 1000
CHIPS = [4, 0]


SIZE = 1 << 20


def bank(allocated):
    return {"banks": 12, "allocated": allocated, "size": SIZE, "largest_free": SIZE - allocated}


def room(kind, allocated, **more):
    free = SIZE - allocated
    sizes = {"bank_size_bytes": SIZE, "free_bytes": free, "largest_hole_bytes": free}
    return {"mesh_id": 0, "type": kind, "is_sound": True, **sizes, **more}


def checkpoint(seq, dram, l1, **more):
    """A line as a workload prints it; dram and l1 are blocks, [offset, bytes]."""
    blocks = {"DRAM": dram, "L1": l1}
    return {
        "kind": "checkpoint",
        "name": f"point {seq}",
        "seq": seq,
        "pid": PID,
        "mesh_id": 0,
        "devices": CHIPS,
        "per_bank": {kind: bank(sum(size for _, size in table)) for kind, table in blocks.items()},
        "blocks": blocks,
        **more,
    }


def buffer(kind, address, per_bank_bytes, unique_id=None, mesh_id=0):
    return {
        "mesh_id": mesh_id,
        "chips": CHIPS,
        "type": kind,
        "address": address,
        "size_bytes": 12 * per_bank_bytes,
        "per_bank_bytes": per_bank_bytes,
        "unique_id": unique_id,
    }


SHOWN = {"name": "x", "allocated": True, "buffer_type": "DRAM", "address": BASE, "unique_id": 5}
FREED = {"name": "y", "allocated": False}
RECORDS = [
    {"kind": "open", "pid": PID, "mesh_id": 0},
    checkpoint(1, dram=[[0, 64]], l1=[]),
    checkpoint(2, dram=[[0, 64], [64, 2048]], l1=[[320, 32]], tensors=[SHOWN, FREED]),
    {"kind": "close", "pid": PID, "mesh_id": 0},
    {"kind": "checkpoint", "name": "closed", "seq": 3, "pid": PID},
]
LEDGER = {
    (PID, "1"): [buffer("DRAM", BASE, 64)],
    # The allocator keeps 32 bytes for the 16 of a semaphore.
    (PID, "2"): [
        buffer("L1", 70320, 16),
        buffer("DRAM", BASE + 64, 2048),
        buffer("DRAM", BASE, 64, unique_id=5),
    ],
    (PID, "3"): [],
}


ROOMS = {
    (PID, "1"): [room("DRAM", 64)],  # nothing was ever in L1
    (PID, "2"): [room("DRAM", 64 + 2048), room("L1", 32)],
    (PID, "4"): [room("DRAM", 64)],
}


@pytest.fixture
def ledger():
    return copy.deepcopy(LEDGER)


def differences(ledger, records=RECORDS, rooms=ROOMS):
    return compare(records, ledger, rooms, UNIT).differences


def test_an_equal_ledger_has_no_differences(ledger):
    result = compare(RECORDS, ledger, ROOMS, UNIT)
    assert result.differences == []
    assert (result.checkpoints, result.comparisons) == (3, 2 * 2 + 1)


def test_a_missing_buffer_is_found(ledger):
    del ledger[PID, "2"][1]
    assert differences(ledger) == [
        "checkpoint 2 (point 2): mesh 0 DRAM: 64 bytes per bank in the ledger, 2112 in ttnn",
        "checkpoint 2 (point 2): mesh 0 DRAM: 1 buffers in the ledger, 2 blocks in ttnn",
        "checkpoint 2 (point 2): mesh 0 DRAM: the ledger lacks 2048 bytes per bank at 1000 + 64",
    ]


def test_a_buffer_too_many_is_found(ledger):
    ledger[PID, "1"].append(buffer("L1", 70000, 96))
    found = "\n".join(differences(ledger))
    assert "checkpoint 1 (point 1): mesh 0 L1: 1 buffers in the ledger, 0 blocks in ttnn" in found


def test_a_buffer_of_no_bytes_is_found(ledger):
    ledger[PID, "1"].append(buffer("L1", 70000, 0))
    assert "1 buffers in the ledger, 0 blocks in ttnn" in "\n".join(differences(ledger))


@pytest.mark.parametrize("per_bank_bytes", [33, 64])
def test_a_wrong_size_is_found(ledger, per_bank_bytes):
    ledger[PID, "2"][0]["per_bank_bytes"] = per_bank_bytes
    assert "L1: 64 bytes per bank in the ledger, 32 in ttnn" in "\n".join(differences(ledger))


def test_sizes_that_only_add_up_are_found(ledger):
    ledger[PID, "2"][1]["per_bank_bytes"], ledger[PID, "2"][2]["per_bank_bytes"] = 64, 2048
    assert "DRAM: the ledger lacks 64 bytes per bank at 1000 + 0" in "\n".join(differences(ledger))


def test_a_shifted_address_is_found(ledger):
    ledger[PID, "2"][1]["address"] += 32
    assert "DRAM: ttnn lacks 2048 bytes per bank at 1000 + 96" in "\n".join(differences(ledger))


def test_a_base_that_moves_between_checkpoints_is_found(ledger):
    records = [*RECORDS[:2], checkpoint(4, dram=[[0, 64]], l1=[]), *RECORDS[2:]]
    ledger[PID, "4"] = [buffer("DRAM", BASE + 32, 64)]
    assert "checkpoint 4 (point 4): mesh 0 DRAM: the ledger lacks 64" in "\n".join(
        differences(ledger, records)
    )


def test_addresses_that_are_all_shifted_are_found_by_a_tensor(ledger):
    for live in ledger.values():
        for each in live:
            each["address"] += 32
    assert differences(ledger) == [
        "checkpoint 2 (point 2): mesh 0: tensor x, in DRAM at 1000, is not live in the ledger"
    ]


def test_a_wrong_unique_id_is_found(ledger):
    ledger[PID, "2"][2]["unique_id"] = 6
    assert differences(ledger) == [
        "checkpoint 2 (point 2): mesh 0: tensor x has unique id 6 in the ledger, 5 in ttnn"
    ]


def test_an_unknown_unique_id_is_no_difference(ledger):
    ledger[PID, "2"][2]["unique_id"] = None
    assert differences(ledger) == []


@pytest.mark.parametrize("chips", [[4], [0, 4], [4, 0, 1]])
def test_wrong_chips_are_found(ledger, chips):
    ledger[PID, "1"][0]["chips"] = chips
    assert differences(ledger) == [
        f"checkpoint 1 (point 1): mesh 0: DRAM buffer at 1000 is on chips {chips}, the mesh on [4, 0]"
    ]


def test_a_buffer_of_the_wrong_type_is_found(ledger):
    ledger[PID, "1"][0]["type"] = "SYSTEM_MEMORY"
    assert "SYSTEM_MEMORY buffer at 1000 is of a type that ttnn does not account for" in "\n".join(
        differences(ledger)
    )


def test_a_buffer_on_the_wrong_mesh_is_found(ledger):
    ledger[PID, "1"][0]["mesh_id"] = 1
    assert "DRAM: 0 buffers in the ledger, 1 blocks in ttnn" in "\n".join(differences(ledger))


def test_a_buffer_of_another_open_mesh_is_no_difference(ledger):
    ledger[PID, "1"].append(buffer("DRAM", BASE, 64, mesh_id=1))
    assert differences(ledger) == []


@pytest.mark.parametrize("mark", ["1", "2", "3"])
def test_a_missing_mark_is_found_and_not_counted(ledger, mark):
    del ledger[PID, mark]
    result = compare(RECORDS, ledger, ROOMS, UNIT)
    assert [text.split(": ")[1] for text in result.differences] == ["no such mark in process 7"]
    assert result.comparisons < 5


def test_the_mark_of_another_process_does_not_count(ledger):
    ledger[8, "1"] = ledger.pop((PID, "1"))
    assert differences(ledger) == ["checkpoint 1 (point 1): no such mark in process 7"]


def test_memory_of_a_closed_mesh_is_found(ledger):
    ledger[PID, "3"] = [buffer("L1", 70320, 16)]
    assert differences(ledger) == [
        "checkpoint 3 (closed): L1 buffer at 70320 of mesh 0 is live, but the mesh is closed"
    ]


def test_bytes_are_compared_where_ttnn_has_no_table_of_blocks(ledger):
    records = copy.deepcopy(RECORDS)
    records[2]["blocks"] = {"DRAM": None, "L1": None}
    assert differences(ledger, records) == []
    ledger[PID, "2"].pop()
    assert "DRAM: 2048 bytes per bank in the ledger, 2112 in ttnn" in "\n".join(differences(ledger, records))


@pytest.mark.parametrize(
    "wrong", [{"largest_hole_bytes": 64}, {"free_bytes": 64}, {"bank_size_bytes": 64}, {"is_sound": False}]
)
def test_a_wrong_hole_is_found(ledger, wrong):
    rooms = {**ROOMS, (PID, "2"): [room("DRAM", 64 + 2048, **wrong), room("L1", 32)]}
    (found,) = differences(ledger, rooms=rooms)
    assert found.startswith("checkpoint 2 (point 2): mesh 0 DRAM: size, free, largest hole, sound")


def test_a_room_that_is_not_known_is_found_where_something_is_held(ledger):
    rooms = {**ROOMS, (PID, "2"): [room("DRAM", 64 + 2048), room("L1", 32, mesh_id=1)]}
    assert differences(ledger, rooms=rooms) == ["checkpoint 2 (point 2): mesh 0 L1: the room in it is not known"]
