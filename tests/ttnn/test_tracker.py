"""The tracker around real ttnn programs: how they end, what they start, and what goes wrong around them.

Figures are compared with ttnn's own in matrix.py; this is about everything else. Run it with the interpreter
that scripts/mock-ttnn/setup prints.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
WORKLOADS = HERE / "workloads"
MOCK = REPO / "scripts" / "mock-ttnn" / "run"
TT_MEMTRACE = REPO / "target" / "release" / "tt-memtrace"
LIBRARY = TT_MEMTRACE.with_name("libtt_memtrace.so")


def clean_environment(**more):
    foreign = ("LD_PRELOAD", "TT_ALLOC_TRACKING_ENABLED", "TT_MEMTRACE_", "CHECKPOINT")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


def on_board(command, cwd, board="N300", **environment):
    return subprocess.run(
        [MOCK, board, *map(str, command)],
        cwd=cwd,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def tracked(command, cwd, board="N300", **environment):
    return on_board([TT_MEMTRACE, "run", "-o", "captures", "--", *command], cwd, board, **environment)


def workload(name, *arguments):
    return [sys.executable, WORKLOADS / f"{name}.py", *arguments]


def captures(cwd):
    return sorted((cwd / "captures").iterdir())


def lines(capture):
    return [json.loads(line) for line in capture.read_text().splitlines()]


def report(verb, *arguments):
    output = subprocess.run([TT_MEMTRACE, verb, "--json", *arguments], capture_output=True, text=True, check=True)
    return json.loads(output.stdout)


@pytest.mark.parametrize(
    ("mode", "status", "ending"),
    [("close", 0, "close"), ("exit", 0, "exit"), ("raise", 1, "exit"), ("hard", 0, "exit"), ("kill", 137, "death")],
)
def test_what_is_left_is_reported_with_how_it_ended(tmp_path, mode, status, ending):
    assert tracked(workload("endings", mode), tmp_path).returncode == status
    (process,) = report("leaks", tmp_path / "captures")["processes"]
    live = [line for line in lines(captures(tmp_path)[0]) if line["kind"] == "alloc"]
    assert Counter(left["ending"] for left in process["survivors"]) == {ending: len(live)}
    assert {left["unique_id"] for left in process["survivors"]} == {line["unique_id"] for line in live}


def test_compilers_and_shells_of_the_run_leave_no_trace(tmp_path):
    # A kernel cache of its own: every kernel is compiled, each by a child process.
    result = tracked(workload("basic"), tmp_path, TT_METAL_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0
    assert len(captures(tmp_path)) == 1
    assert any((tmp_path / "cache").rglob("*.elf")), "nothing was compiled"
    assert not [line for line in result.stderr.splitlines() if "tt-memtrace[" in line], result.stderr


def test_two_processes_at_once_give_two_captures(tmp_path):
    script = f"{sys.executable} {WORKLOADS}/basic.py & {sys.executable} {WORKLOADS}/basic.py; wait"
    assert tracked(["sh", "-c", script], tmp_path).returncode == 0
    first, second = captures(tmp_path)
    pids = []
    for capture in (first, second):
        header, *rest = lines(capture)
        pids.append(header["pid"])
        assert {line["tid"] for line in rest if line["kind"] in ("alloc", "dealloc", "mark")} == {header["pid"]}
        assert [line["n"] for line in rest if "n" in line] == list(range(1, rest[-1]["recorded"] + 1))
        marks = [line["name"] for line in rest if line["kind"] == "mark"]
        assert marks == [str(seq) for seq in range(1, len(marks) + 1)]
    assert pids[0] != pids[1]


def test_a_forked_child_has_a_capture_of_its_own(tmp_path):
    assert tracked(workload("fork_child"), tmp_path, board="N150").returncode == 0
    by_parent = {lines(capture)[0]["parent"] is None: lines(capture) for capture in captures(tmp_path)}
    parent, child = by_parent[True], by_parent[False]
    (fork,) = [line for line in parent if line["kind"] == "fork"]
    assert child[0]["parent"] == {
        "capture": str(tmp_path / "captures" / f"tt-memtrace-fork_child.{parent[0]['pid']}.jsonl"),
        "pid": parent[0]["pid"],
        "token": fork["token"],
    }
    assert {line["tid"] for line in child if line["kind"] == "dealloc"} == {child[0]["pid"]}
    assert child[0]["pid"] not in {line.get("tid") for line in parent}


SUITE_OUTCOME = "1 failed, 4 passed"


def test_pytest_under_run(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", WORKLOADS / "test_suite.py"]
    plain = on_board(command, tmp_path)
    result = tracked(command, tmp_path)
    assert SUITE_OUTCOME in plain.stdout and SUITE_OUTCOME in result.stdout
    assert result.returncode == plain.returncode == 1
    (process,) = report("leaks", tmp_path / "captures")["processes"]
    leaked = [left for left in process["survivors"] if left["size_bytes"] == 96 * 96 * 2]
    assert [left["ending"] for left in leaked] == ["close"]


def test_pytest_with_a_bare_preload(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", WORKLOADS / "test_suite.py"]
    preload = ["env", f"LD_PRELOAD={LIBRARY}", "TT_ALLOC_TRACKING_ENABLED=1"]
    result = on_board([*preload, *command], tmp_path)
    assert SUITE_OUTCOME in result.stdout and result.returncode == 1
    (capture,) = tmp_path.glob("tt-memtrace-pytest.*.jsonl")
    (process,) = report("summary", capture)["processes"]
    assert process["n_events"] == lines(capture)[-1]["recorded"] > 0


def test_an_output_that_cannot_be_written_is_one_line_and_the_program_runs(tmp_path):
    plain = on_board(workload("basic"), tmp_path, CHECKPOINT_STABLE="1")
    (tmp_path / "file").write_text("")
    result = on_board(
        workload("basic"),
        tmp_path,
        CHECKPOINT_STABLE="1",
        LD_PRELOAD=str(LIBRARY),
        TT_ALLOC_TRACKING_ENABLED="1",
        TT_MEMTRACE_OUTPUT=str(tmp_path / "file" / "below"),
    )
    assert (result.returncode, result.stdout) == (plain.returncode, plain.stdout)
    assert result.stderr.count("tt-memtrace[") == 1 and "cannot write" in result.stderr


def test_stdout_is_the_same_byte_for_byte(tmp_path):
    plain = on_board(workload("basic"), tmp_path, CHECKPOINT_STABLE="1")
    result = tracked(workload("basic"), tmp_path, CHECKPOINT_STABLE="1")
    assert (result.returncode, result.stdout) == (plain.returncode, plain.stdout)


def test_the_library_in_a_path_with_spaces(tmp_path):
    home = tmp_path / "with a space"
    home.mkdir()
    library = home / LIBRARY.name
    library.write_bytes(LIBRARY.read_bytes())
    result = tracked(workload("basic"), tmp_path, TT_MEMTRACE_LIB=str(library))
    assert result.returncode == 0
    assert len(captures(tmp_path)) == 1, result.stderr


def test_the_reference_scenario_shows_4_mib_a_tensor_on_each_of_eight_chips(tmp_path):
    result = tracked(workload("reference_scenario"), tmp_path, board="T3K")
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    marks = {record["name"]: record["seq"] for record in records if record["kind"] == "checkpoint"}
    tensor, factor, product = 4_194_304, 524_288, 1_048_576
    expected = {
        "opened": [],
        "one tensor": [tensor],
        "two tensors": [tensor] * 2,
        "their sum": [tensor] * 3,
        "a product": [factor] * 2 + [product] + [tensor] * 3,
        "all freed": [],
        "cache cleared": [],
    }
    (capture,) = captures(tmp_path)
    for name, sizes in expected.items():
        (process,) = report("snapshot", "-n", "0", "--at", f"mark:{marks[name]}", capture)["processes"]
        dram = [buffer for buffer in process["live"] if buffer["type"] == "DRAM"]
        assert sorted(buffer["size_bytes"] for buffer in dram) == sizes, name
        assert all(sorted(buffer["chips"]) == list(range(8)) for buffer in dram), name
    (process,) = report("summary", capture)["processes"]
    dram = {chip["chip"]: of["bytes"] for chip in process["chips"] for of in chip["types"] if of["type"] == "DRAM"}
    peak = 3 * tensor + 2 * factor + product
    assert {chip: (of["live"], of["peak"]) for chip, of in dram.items()} == dict.fromkeys(range(8), (0, peak))
    assert process["anomalies"] == {}
