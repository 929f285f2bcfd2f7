"""Every allocation of the workloads has the Python line and the operation that made it.

Run it with the interpreter that scripts/mock-ttnn/setup prints, of each version that matters.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from matrix import workloads_in  # noqa: E402
from test_tracker import WORKLOADS, report, tracked  # noqa: E402

WANTED = 0.99
BOARDS = ["N150", "T3K"]


def definitions(lines):
    return {
        kind: {line[key]: line for line in lines if line["kind"] == kind}
        for kind, key in (("text", "text"), ("stack", "stack"), ("context", "ctx"))
    }


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("workload", workloads_in(WORKLOADS), ids=lambda workload: workload.name)
def test_nearly_all_bytes_have_a_line_of_the_workload_and_an_operation(tmp_path, workload, board):
    result = tracked(workload.command(sys.executable), tmp_path, board)
    if result.returncode == 77:
        pytest.skip("the workload does not apply to this version")
    with_line = with_op = total = 0
    for capture in (tmp_path / "captures").iterdir():
        lines = [json.loads(line) for line in capture.read_text().splitlines()]
        assert lines[0]["settings"]["stacks"] == "python"
        known = definitions(lines)
        files = {number: Path(text["value"]) for number, text in known["text"].items()}
        for alloc in (line for line in lines if line["kind"] == "alloc"):
            context = known["context"].get(alloc["ctx"], {"op": None, "stack": None})
            total += alloc["size_bytes"]
            if context["op"] and known["text"][context["op"]]["value"].startswith("ttnn."):
                with_op += alloc["size_bytes"]
            frames = known["stack"][context["stack"]]["frames"] if context["stack"] else []
            if any(files[file].parent == WORKLOADS and line > 0 for file, _, line in frames):
                with_line += alloc["size_bytes"]
    print(f"{board} {workload.name}: of {total} bytes, {with_line} have a line and {with_op} an operation")
    assert total > 0
    assert with_line >= WANTED * total
    assert with_op >= WANTED * total


def test_the_line_is_the_one_in_the_source(tmp_path):
    assert tracked([sys.executable, WORKLOADS / "basic.py"], tmp_path).returncode == 0
    source = (WORKLOADS / "basic.py").read_text().splitlines()
    (process,) = report("stats", "-n", "100", tmp_path / "captures")["processes"]
    at = [row["where"] for row in process["largest"] if row["op"] == "ttnn.add"]
    assert [source[where["line"] - 1] for where in at] == ["total = ttnn.add(dram, dram)"]
    named = {row["op"] for row in process["largest"]}
    assert named == {"ttnn.add", "ttnn.empty", "ttnn.zeros"}


def test_a_survivor_of_a_test_names_it(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", WORKLOADS / "test_suite.py"]
    assert tracked(command, tmp_path).returncode == 1
    (process,) = report("leaks", tmp_path / "captures")["processes"]
    tests = {row["test"].rsplit("::", 1)[1] for row in process["survivors"]}
    assert "test_leaks" in tests
