"""The pytest plugin with real ttnn: its figures of each test equal ttnn's own at the same instants.

Needs the wheel of this package in the environment named by WHEEL_PYTHON; scripts/wheel-test makes one.
"""

import ctypes.util
import json
import os
from pathlib import Path

import pytest
from test_tracker import captures, lines, on_board

HERE = Path(__file__).parent
PYTHON = os.environ.get("WHEEL_PYTHON")
pytestmark = pytest.mark.skipif(PYTHON is None, reason="WHEEL_PYTHON is not set: see scripts/wheel-test")


@pytest.mark.parametrize("options", [[], ["-n", "2"], ["-p", "early"]], ids=["alone", "xdist", "ttnn before the recorder"])
def test_sixty_tests_have_the_figures_that_ttnn_gives(tmp_path, options):
    (tmp_path / "early.py").write_text("import ttnn\n")
    suite = HERE / "workloads" / "sixty_tests.py"
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tt-memtrace", "--tt-memtrace-json=out.json"]
    result = on_board([*command, *options, suite], tmp_path, "N300", COUNTED=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    tests = {test["nodeid"].rpartition("::")[2]: test for test in json.loads((tmp_path / "out.json").read_text())["tests"]}
    assert len(tests) == 60
    for n in range(60):
        test, counted = tests[f"test_holds[{n}]"], json.loads((tmp_path / f"counted-{n}").read_text())
        assert test["not_measured"] is None
        for memory in ("DRAM", "L1"):
            assert test["peaks"]["call"][memory]["bank_bytes"] == counted[memory], (n, memory)
        leaked = sum(one["n_buffers"] for one in test["left"] if one["is_leak"])
        assert leaked == counted["leaked"], n
        assert {one["where"] and one["op"] for one in test["holders"]} <= {"ttnn.empty"}, n


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_a_suite_that_leaks_and_fails_has_the_figures_that_ttnn_gives(tmp_path, options):
    suite = HERE / "workloads" / "test_suite.py"
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tt-memtrace", "--tt-memtrace-json=out.json"]
    result = on_board([*command, *options, suite], tmp_path, "T3K", CHECKPOINTS=str(tmp_path / "checkpoints"))
    assert result.returncode == 1, result.stdout + result.stderr
    tests = {test["nodeid"].rpartition("::")[2]: test for test in json.loads((tmp_path / "out.json").read_text())["tests"]}

    def peak(name, memory):
        return tests[name]["peaks"]["call"].get(memory, {"bank_bytes": 0})["bank_bytes"]

    counted = [json.loads(line) for line in (tmp_path / "checkpoints").read_text().splitlines()]
    counted = [(line["name"], line["per_bank"]) for line in counted if line["kind"] == "checkpoint"]

    def said(name, memory):
        return [per_bank[memory]["allocated"] for at, per_bank in counted if at == name]

    for memory in ("DRAM", "L1"):
        assert [peak("test_frees_what_it_makes", memory)] == said("two alive", memory)
        assert [peak("test_leaks", memory)] == said("leaked", memory)
        # The operand of its addition, as large as the sum, is gone when ttnn is asked.
        assert [peak("test_fails_over_live_tensors", memory)] == [2 * n for n in said("before the failure", memory)]
        assert sorted(peak(f"test_in_l1[{n}]", memory) for n in (32, 64)) == sorted(said("one in L1", memory))
    left = {name: sum(one["n_buffers"] for one in test["left"] if one["is_leak"]) for name, test in tests.items()}
    # The traceback of the test that fails holds what it held.
    assert {name for name, n in left.items() if n} == {"test_leaks", "test_fails_over_live_tensors"}


# The C++ library, too, has a function that the recorder has to be asked for first.
@pytest.mark.parametrize("preloaded", ["", ctypes.util.find_library("stdc++")], ids=["alone", "C++ preloaded"])
def test_a_clash_is_explained_and_both_tests_are_named(tmp_path, preloaded):
    gallery = HERE.parents[1] / "docs" / "gallery" / "test_leak.py"
    command = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "--tt-memtrace", "--tt-memtrace-output=captures", gallery]
    result = on_board(command, tmp_path, "N150", LD_PRELOAD=preloaded)
    assert result.returncode == 1, result.stderr
    (failure,) = [line for line in lines(*captures(tmp_path)) if line["kind"] == "failure"]
    assert "clash with L1 buffers" in failure["message"]
    explained = result.stdout.partition("tt-memtrace oom")[2]
    assert "clash with L1 buffers" in explained
    assert "test_add would have fitted without the 41 buffers that test_leak.py::test_cache_fills left" in explained


def test_a_fixture_that_holds_memory_is_not_taken_for_the_test_it_was_set_up_for(tmp_path):
    (tmp_path / "test_room.py").write_text(
        """
import pytest, ttnn
kept = []
@pytest.fixture(scope="module")
def mesh():
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 1))
    yield mesh
    ttnn.close_mesh_device(mesh)
def empty(mesh, rows):
    return ttnn.empty([1, 1, rows, 1024], ttnn.bfloat16, ttnn.TILE_LAYOUT, mesh, ttnn.L1_MEMORY_CONFIG)
@pytest.fixture(scope="module")
def model(mesh):
    yield empty(mesh, 16384)
def test_leaks(mesh, model):
    kept.append(empty(mesh, 8192))
def test_needs_room(mesh, model):
    assert empty(mesh, 32768) is None
"""
    )
    command = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "--tt-memtrace", "test_room.py"]
    result = on_board(command, tmp_path, "N150")
    assert result.returncode == 1, result.stderr
    explained = result.stdout.partition("tt-memtrace oom")[2]
    told = [line.removeprefix("  1 buffer, ") for line in explained.splitlines() if line.startswith("  1 buffer, ")]
    assert told == [
        "512.00 KiB in each bank: fixture model, set up for test_room.py::test_leaks",
        "256.00 KiB in each bank: test_room.py::test_leaks",
    ]
