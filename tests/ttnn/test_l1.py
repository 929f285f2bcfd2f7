"""`tt-memtrace l1` against ttnn: its graph capture, its memory views, and the clash that it reports."""

import json
import re
from collections import Counter

import pytest
from test_tracker import captures, lines, report, tracked, workload

BOARDS = ["N150", "T3K"]


@pytest.fixture(scope="module", params=BOARDS)
def run(request, tmp_path_factory):
    """A tracked run of the workload: where its captures are, and what ttnn said, by kind."""
    cwd = tmp_path_factory.mktemp("l1")
    result = tracked(workload("circular"), cwd, board=request.param)
    assert result.returncode == 0, result.stderr
    said = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    return cwd / "captures", said


def l1(capture, *arguments):
    (process,) = report("l1", *arguments, capture)["processes"]
    return {chip: of for of in process["chips"] for chip in of["chips"]}


def key(buffer):
    return json.dumps([buffer[name] for name in ("cores", "address", "size_bytes", "globally_allocated")])


def of_capture(said, seq, chip, tells_chips):
    """The circular buffers of a chip in the graph captures before a checkpoint."""
    before = said[: next(i for i, line in enumerate(said) if line.get("seq") == seq)]
    buffers = [buffer for line in before if line["kind"] == "circular" for buffer in line["buffers"]]
    return [buffer for buffer in buffers if not tells_chips or buffer["device"] == chip]


def test_circular_buffers_are_those_of_the_graph_capture(run):
    capture, said = run
    (mesh,) = [line for line in said if line["kind"] == "open"]
    # Up to 0.68 the capture names the mesh, later the chip.
    tells_chips = any("chip" in line for line in lines(captures(capture.parent)[0]) if line["kind"] == "cb_alloc")
    for checkpoint in [line for line in said if line["kind"] == "checkpoint"][:4]:
        seq = checkpoint["seq"]
        chips = l1(capture, "--at", f"mark:{seq}")
        assert sorted(chips) == sorted(mesh["devices"])
        for chip, shown in chips.items():
            expected = of_capture(said, seq, chip, tells_chips)
            assert expected, "the graph capture saw no circular buffer"
            buffers = [buffer for program in shown["programs"] for buffer in program["circular_buffers"]]
            assert Counter(map(key, buffers)) == Counter(map(key, expected))
            assert shown["room"]["highest_end"] == max(end(buffer) for buffer in expected)
            assert ends_by_core(shown["cores"]) == highest_by_core(expected)


def end(buffer):
    return buffer["address"] + buffer["size_bytes"]


def cores_of(ranges):
    return [(x, y) for x0, y0, x1, y1 in ranges for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)]


def highest_by_core(buffers):
    highest = {}
    for buffer in buffers:
        for core in cores_of(buffer["cores"]):
            highest[core] = max(highest.get(core, 0), end(buffer))
    return highest


def ends_by_core(groups):
    return {core: group["end"] for group in groups for core in cores_of(group["cores"])}


def test_the_lowest_reserved_address_is_that_of_the_memory_view(run):
    capture, said = run
    for checkpoint in [line for line in said if line["kind"] == "checkpoint"]:
        offsets = [offset for offset, _ in checkpoint["blocks"]["L1"]]
        for shown in l1(capture, "--at", f"mark:{checkpoint['seq']}").values():
            bank = shown["l1"]
            lowest = bank["start"] + min(offsets) if offsets else bank["end"]
            assert shown["room"]["lowest_reserved"] == lowest, checkpoint["name"]


def test_sharded_buffers_reside_on_the_grid_of_their_memory_config(run):
    capture, said = run
    tells_grids = tuple(map(int, said[0]["ttnn"].split(".")[:2])) >= (0, 80)
    expected = {line["address"]: line for line in said if line["kind"] == "sharded"}
    assert len(expected) == 4
    (at,) = [line["seq"] for line in said if line.get("name") == "sharded" and line["kind"] == "checkpoint"]
    for shown in l1(capture, "--at", f"mark:{at}").values():
        buffers = {buffer["address"]: buffer for buffer in shown["buffers"]}
        for address, told in expected.items():
            buffer = buffers[address]
            assert buffer["cores"] == (told["cores"] if tells_grids else None)
            resides = "among" if told["name"] == "HEIGHT with idle cores" else "on"
            assert buffer["resides"] == (resides if tells_grids else "unknown")


def test_the_least_room_is_where_ttnn_reports_a_clash(run):
    capture, said = run
    (clash,) = [line["said"] for line in said if line["kind"] == "clash"]
    found = re.search(r"in program (\d+) clash .* allocated at (\d+) and .* region ends at (\d+)", clash)
    program, address, end = map(int, found.groups())
    for shown in l1(capture).values():
        refused = next(of for of in shown["programs"] if of["program"] == program)
        assert (shown["room"]["lowest_reserved"], refused["end"]) == (address, end)
        assert shown["room"]["bytes"] <= address - end < 0
        assert shown["least_room"]["bytes"] == shown["room"]["bytes"]


def test_nothing_is_resident_when_the_cache_was_cleared(run):
    capture, said = run
    last = [line["seq"] for line in said if line["kind"] == "checkpoint"][-1]
    for shown in l1(capture, "--at", f"mark:{last}").values():
        assert (shown["programs"], shown["cores"], shown["buffers"]) == ([], [], [])
        assert shown["room"]["bytes"] == shown["l1"]["end"] - shown["l1"]["start"]
