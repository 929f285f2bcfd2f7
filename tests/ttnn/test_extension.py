"""Both doors at once: a stock ttnn and an extension that tells of the same buffers through the C interface."""

import json
import subprocess
import sys
from collections import Counter

import pytest
from test_tracker import HERE, LIBRARY, REPO, WORKLOADS, lines, on_board, report


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    path = tmp_path_factory.mktemp("extension") / "libextension.so"
    source = HERE / "extension" / "extension.cpp"
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-I", REPO / "include"]
    subprocess.run(["c++", *flags, "-o", path, source], check=True)
    return path


def run(cwd, *arguments):
    """The capture of a run, and the checkpoints of ttnn."""
    capture = cwd / "run.jsonl"
    program = [sys.executable, HERE / "extension" / "tells_twice.py", *arguments]
    result = on_board(
        program,
        cwd,
        PYTHONPATH=str(WORKLOADS),
        LD_PRELOAD=str(LIBRARY),
        TT_ALLOC_TRACKING_ENABLED="1",
        TT_MEMTRACE_OUTPUT=str(capture),
    )
    assert result.returncode == 0, result.stderr
    said = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    return capture, [line for line in said if line["kind"] == "checkpoint"]


def figures(capture, verb, *arguments):
    (process,) = report(verb, *arguments, capture)["processes"]
    return process


def test_a_buffer_that_is_told_twice_is_one_buffer(tmp_path, extension):
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    once, _ = run(tmp_path / "once")
    twice, checkpoints = run(tmp_path / "twice", extension)

    kinds = [Counter(line["kind"] for line in lines(capture)) for capture in (once, twice)]
    n_told = 3 * 3 + 1
    assert kinds[1]["alloc"] == kinds[0]["alloc"] + n_told
    assert kinds[1]["dealloc"] == kinds[0]["dealloc"] + n_told - 1
    assert kinds[1]["phase_begin"] == kinds[1]["phase_end"] == 1

    for at in checkpoints:
        live = figures(twice, "snapshot", "-n", "0", "--at", f"mark:{at['seq']}")["live"]
        numbers = [buffer["unique_id"] for buffer in live]
        assert len(numbers) == len(set(numbers)), at["name"]
        for name, of in at["per_bank"].items():
            held = sum(buffer["per_bank_bytes"] for buffer in live if buffer["type"] == name)
            assert held == of["allocated"], (at["name"], name)

    def tallies(capture):
        types = [of for chip in figures(capture, "summary")["chips"] for of in chip["types"]]
        return [(of["type"], of["bytes"]["live"], of["bytes"]["peak"]) for of in types]

    assert tallies(twice) == tallies(once)
    assert figures(twice, "summary")["anomalies"] == {}
    left = [[left["size_bytes"] for left in figures(capture, "leaks")["survivors"]] for capture in (once, twice)]
    assert left[1] == left[0] and 64 * 64 * 2 in left[1]
