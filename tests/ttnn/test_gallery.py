"""The programs of docs/gallery: each fails as its page says, runs with as many blocks fewer as the tool says, and fails
with one block more than that."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from test_tracker import REPO, TT_MEMTRACE, captures, on_board, report

GALLERY = REPO / "docs" / "gallery"
BOARDS = ["N150", "T3K", "P150"]
# What refuses, and the lines that ask for too much and that made what is in the way.
CASES = {
    "dram_exhausted": ("ttnn.empty", "activation = ", "cache = "),
    "dram_fragmented": ("ttnn.empty", "activation = ", "lookup = "),
    "l1_clash_add": ("ttnn.add", "ttnn.add(", "blocks = "),
    "l1_clash_matmul": ("ttnn.matmul", "ttnn.matmul(", "blocks = "),
    "slow_leak": ("ttnn.add", "ttnn.add(", "left.append("),
    "test_leak": ("ttnn.add", "ttnn.add(", "kept.extend("),
}
ALLOCATIONS = {"dram_exhausted": "exhausted", "dram_fragmented": "fragmented"}
CLASHES = ["l1_clash_add", "l1_clash_matmul", "slow_leak", "test_leak"]
HAS_DATAFLOW = tuple(map(int, version("ttnn").split(".")[:2])) >= (0, 80)


def command(name, n_to_free):
    if name.startswith("test_"):
        pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        return ["env", f"N_TO_FREE={n_to_free}", *pytest_, GALLERY / f"{name}.py"]
    return [sys.executable, GALLERY / f"{name}.py", str(n_to_free)]


def tracked(name, cwd, board, n_to_free=0, output="captures"):
    return on_board([TT_MEMTRACE, "run", "-o", output, "--", *command(name, n_to_free)], cwd, board)


def explained(name, cwd, board):
    """What the tool says about the failing program, to people and to programs; and what the program said."""
    result = tracked(name, cwd, board)
    assert result.returncode == 1, result.stderr
    (process,) = report("oom", cwd / "captures")["processes"]
    return result, process["failure"]


def last_line(name, needle):
    """Where the program has it: the last line, as an operation may be tried twice."""
    lines = (GALLERY / f"{name}.py").read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if needle in line][-1]


def check_names(name, failure, in_the_way):
    """The operation and the line that asked, and those that made what is in the way."""
    op, asks, makes = CASES[name]
    assert (failure["op"], failure["where"]["line"]) == (op, last_line(name, asks))
    assert {(of["op"], of["where"]["line"]) for of in in_the_way} == {("ttnn.empty", last_line(name, makes))}
    assert {of["where"]["file"] for of in [failure, *in_the_way]} == {str(GALLERY / f"{name}.py")}


def still_short(name, cwd, board, n_to_free):
    """By how much the same step is refused where so many blocks were freed before; 0 if it runs."""
    output = f"freed-{n_to_free}"
    result = tracked(name, cwd, board, n_to_free, output=output)
    assert result.returncode in (0, 1), result.stderr
    if result.returncode == 0:
        return 0
    (process,) = report("oom", cwd / output)["processes"]
    op, asks, _ = CASES[name]
    failure = process["failure"]
    assert (failure["op"], failure["where"]["line"]) == (op, last_line(name, asks))
    return (failure["allocation"] or failure["clash"])["short_bytes"]


def blocks(short_bytes, block_bytes):
    return -(-short_bytes // block_bytes)


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", ALLOCATIONS)
def test_a_refused_allocation_fits_without_as_many_blocks_as_it_is_short(tmp_path, name, board):
    result, failure = explained(name, tmp_path, board)
    allocation = failure["allocation"]
    assert allocation["verdict"] == ALLOCATIONS[name]
    assert allocation["verdict"].upper() + ": " in result.stderr
    told = re.search(r"needs? to store (\d+) B.* free: (\d+) B, largest free block: (\d+) B", result.stderr)
    per_bank, free, largest = map(int, told.groups())
    counted = allocation["counted"]
    assert (counted["free_bytes"], counted["largest_free_bytes"]) == (free, largest)
    memory = allocation["memory"]
    assert (allocation["per_bank_bytes"], memory["free_bytes"], memory["largest_hole_bytes"]) == (per_bank, free, largest)
    check_names(name, failure, allocation["least"]["buffers"])
    n = blocks(allocation["short_bytes"], 2048)
    assert n > 1 and len(allocation["least"]["buffers"]) == n
    assert still_short(name, tmp_path, board, n) == 0
    assert still_short(name, tmp_path, board, n - 1) == allocation["short_bytes"] - (n - 1) * 2048 > 0


def region(text):
    """The last clash that the runtime told: the lowest L1 buffer and the end of the program's buffers."""
    found = re.findall(r"L1 buffer allocated at (\d+) and static \w+ buffer region ends at (\d+)", text)
    return tuple(map(int, found[-1]))


def unnumbered(text):
    """In ttnn 0.66 a mesh has a program for each chip. All are refused, and the caller is told of any one of them."""
    return re.sub(r"program \d+", "program", text)


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", CLASHES)
def test_a_clash_is_gone_without_as_many_blocks_as_it_is_short(tmp_path, name, board):
    result, failure = explained(name, tmp_path, board)
    clash = failure["clash"]
    lowest, end = region(result.stderr + result.stdout)
    block = clash["blocking"][0]["bank_bytes"]
    n = blocks(end - lowest, block)
    assert (failure["is_derived"], clash["lowest_address"]) == (False, lowest)
    check_names(name, failure, clash["blocking"])
    kind = "dataflow" if name == "l1_clash_matmul" and HAS_DATAFLOW else "circular"
    assert (failure["failure"], clash["basis"]) == (f"{kind}_buffer_clash", "exact")
    assert (clash["region_end"], clash["short_bytes"], len(clash["blocking"])) == (end, end - lowest, n)
    assert f"({end - lowest} B)" in result.stderr or f" {end - lowest} B, on each core" in result.stderr
    assert unnumbered(failure["message"]) in unnumbered(result.stderr + result.stdout) and clash["cores"]
    assert still_short(name, tmp_path, board, n) == 0
    assert still_short(name, tmp_path, board, n - 1) == end - lowest - (n - 1) * block > 0


@pytest.mark.parametrize("board", BOARDS)
def test_the_leak_of_64_bytes_is_seen_to_grow(tmp_path, board):
    tracked("slow_leak", tmp_path, board)
    (process,) = report("leaks", tmp_path / "captures")["processes"]
    (growth,) = process["growth"]
    (l1,) = [of for of in growth["types"] if of["type"] == "L1"]
    assert l1["bank_bytes_per_mark"] == 64


@pytest.mark.parametrize("board", BOARDS)
def test_a_later_test_fails_for_what_an_earlier_one_kept(tmp_path, board):
    result, failure = explained("test_leak", tmp_path, board)
    tests = {buffer["test"] for buffer in failure["clash"]["blocking"]}
    assert [test.rsplit("::", 1)[1] for test in tests] == ["test_cache_fills"]
    assert failure["test"].endswith("::test_add")
    assert "made in test_leak.py::test_cache_fills" in result.stderr
    assert "test_add would have fitted without the 41 buffers that test_leak.py::test_cache_fills left" in result.stderr
    earlier = failure["earlier_tests"]
    assert [(of["n_buffers"], of["fits_without"]) for of in [earlier, *earlier["tests"]]] == [(41, True)] * 2
    alone = [GALLERY / "test_leak.py", "-k", "test_add", "-q", "-p", "no:cacheprovider"]
    assert on_board([sys.executable, "-m", "pytest", *alone], tmp_path, board).returncode == 0


def masked(text):
    """Without what differs from run to run: times, pids, and with them the widths of columns."""
    text = re.sub(r"-?\d+\.\d{3} s", "T s", text)
    text = re.sub(r"pid \d+|\.\d+\.jsonl", "PID", text)
    return [re.sub(r"\s+", " ", line).strip() for line in text.strip().splitlines()]


def shown(page):
    """The commands that the page shows, each with what it prints below."""
    block = None
    for line in page.splitlines():
        if line.startswith("    $ "):
            block = (line[6:], [])
            yield block
        elif block and (line.startswith("    ") or not line):
            block[1].append(line.removeprefix("    "))
        else:
            block = None


def test_the_page_shows_what_the_tool_prints(tmp_path):
    if version("ttnn") != "0.81.1":
        pytest.skip("the page shows ttnn 0.81.1")
    examples = list(shown((GALLERY / "README.md").read_text()))
    assert len(examples) >= 6
    for shell, expected in examples:
        words = shell.split()
        assert words[0] == "tt-memtrace"
        folder = words[-1]
        name = folder.split("/")[0]
        cwd = tmp_path / name
        if not cwd.exists():
            cwd.mkdir()
            tracked(name, cwd, "N150", output=name)
        output = subprocess.run([TT_MEMTRACE, *words[1:]], cwd=cwd, capture_output=True, text=True, check=True)
        assert masked(output.stdout) == masked("\n".join(expected)), shell
