#!/usr/bin/env python3
"""Runs workloads under the tracker, over mock boards and versions of ttnn, and compares its ledger with ttnn.

At each checkpoint a workload prints what ttnn's allocators hold and sets a mark; at that mark the ledger has
to hold the same, buffer by buffer. And the tracker must not show: without it, and with the library loaded but
switched off, the workload has to print the same and to end the same.

Exit status: 0 if everything was compared and is equal, 1 if not, 2 if there is nothing to run.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
MOCK_TTNN = REPO / "scripts" / "mock-ttnn"
sys.path.insert(0, str(MOCK_TTNN))

from boards import BOARDS  # noqa: E402
from comparison import Ledger, Rooms, compare  # noqa: E402

# What the allocator rounds the bytes of a buffer in one bank up to.
BANK_UNIT = {"wormhole_b0": 32, "blackhole": 64}

ENDINGS = ("close", "reopen", "exit", "raise", "hard", "kill")
EXIT_STATUS = {"endings raise": 1, "endings kill": 128 + signal.SIGKILL, "test_suite": 1}  # 0 for all others
WITHOUT_CHECKPOINTS = {"demo"}
RUNS_ANOTHER = {"stepwise", "sixty_tests"}
NOT_APPLICABLE = 77
RUN_SECONDS = 300
SHOWN_DIFFERENCES = 20  # of each cell; with --json all of them


@dataclass
class Workload:
    name: str
    file: Path
    args: list[str]

    def command(self, python: str) -> list[str]:
        if self.file.name.startswith("test_"):
            return [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(self.file)]
        return [python, str(self.file), *self.args]


@dataclass
class Run:
    status: int
    stdout: str
    stderr: str
    records: list[dict]

    @property
    def not_applicable(self) -> str | None:
        """Why the workload had nothing to do here, if it said so."""
        reasons = [record["reason"] for record in self.records if record["kind"] == "not_applicable"]
        return reasons[0] if reasons and self.status == NOT_APPLICABLE else None


@dataclass
class Cell:
    version: str  # of ttnn, perhaps with @ and the version of Python
    board: str
    workloads: int = 0
    checkpoints: int = 0
    comparisons: int = 0
    differences: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)  # with the reason
    seconds: float = 0.0


def workloads_in(directory: Path) -> list[Workload]:
    """The programs in a directory; a file that another one imports is not a program."""
    sources = {path.stem: path for path in directory.glob("*.py")}
    imports = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)
    helpers = {name for path in sources.values() for name in imports.findall(path.read_text())}
    found = []
    for name in sorted(sources.keys() - helpers - RUNS_ANOTHER):
        modes = ENDINGS if name == "endings" else ("",)
        found += [Workload(f"{name} {mode}".strip(), sources[name], mode.split()) for mode in modes]
    return found


def run(board: str, command: list[str], directory: Path) -> Run:
    """Runs a workload's command on a mock board, in a directory for its files."""
    foreign = ("LD_PRELOAD", "TT_ALLOC_TRACKING_ENABLED", "TT_MEMTRACE_", "CHECKPOINT")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    checkpoints = directory / "checkpoints.jsonl"
    checkpoints.unlink(missing_ok=True)
    process = subprocess.Popen(
        [str(MOCK_TTNN / "run"), board, *command],
        cwd=directory,
        env=env | {"CHECKPOINTS": str(checkpoints)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        stderr += f"\nno end within {RUN_SECONDS} s"
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    lines = checkpoints.read_text() if checkpoints.exists() else stdout
    return Run(status, stdout, stderr, [record for line in lines.splitlines() if (record := parsed(line))])


def parsed(line: str) -> dict | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "kind" in record else None


def masked(stdout: str) -> list[str]:
    """The lines without what differs from run to run: process, times, host addresses, shared counters."""
    volatile_keys = ("pid", "t_ns", "us_per_op", "shm")
    volatile_text = re.compile(r"0x[0-9a-f]+|in \d+\.\d+s|\d{4}-\d\d-\d\d [\d:.]+")
    lines = []
    for line in stdout.splitlines():
        if record := parsed(line):
            line = json.dumps({k: v for k, v in record.items() if k not in volatile_keys})
        lines.append(volatile_text.sub("~", line))
    return lines


def run_differences(runs: dict[str, Run], expected_status: int) -> Iterator[str]:
    """How the runs of one workload differ from what it should do, and from the first of them."""
    reference = masked(next(iter(runs.values())).stdout)
    for how, result in runs.items():
        if result.status != expected_status:
            said = (result.stderr.strip() or "nothing on stderr").splitlines()[-1]
            yield f"{how}: exit status {result.status}, not {expected_status}: {said[:200]}"
        for number, (expected, line) in enumerate(zip_longest(reference, masked(result.stdout)), start=1):
            if line != expected:
                yield f"{how}: stdout differs from line {number} on: {str(line)[:200]}"
                break


def at_marks(tt_memtrace: Path, captures: Path) -> tuple[Ledger, Rooms]:
    command = [str(tt_memtrace), "snapshot", "--at-marks", "--json", str(captures)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    marks = [json.loads(line) for line in output.splitlines()]
    by_mark = {(mark["pid"], mark["mark"]): mark for mark in marks}
    ledger = {key: mark["live"] for key, mark in by_mark.items()}
    return ledger, {key: mark["memories"] for key, mark in by_mark.items()}


def check(cell: Cell, workload: Workload, python: str, options: argparse.Namespace) -> Cell:
    """Runs one workload in a cell of the matrix. The result is that cell with nothing but this workload."""
    start = time.monotonic()
    own = workload.command(python)
    result = Cell(cell.version, cell.board)
    with tempfile.TemporaryDirectory(prefix="tt-memtrace-matrix-") as name:
        directory, captures = Path(name), Path(name) / "captures"
        commands = {
            "without the tracker": own,
            "switched off": ["env", f"LD_PRELOAD={library_of(options.tt_memtrace)}", *own],
            "tracked": [str(options.tt_memtrace), "run", "-o", str(captures), "--", *own],
        }
        if not options.transparency:
            commands = {"tracked": commands["tracked"]}
        runs = {how: run(cell.board, command, directory) for how, command in commands.items()}
        tracked = runs["tracked"]
        if tracked.not_applicable:
            result.not_run.append(f"{workload.name}: {tracked.not_applicable}")
            differences = list(run_differences(runs, NOT_APPLICABLE))
        else:
            result.workloads = 1
            differences = list(run_differences(runs, EXIT_STATUS.get(workload.name, 0)))
            try:
                ledger, rooms = at_marks(options.tt_memtrace, captures)
                found = compare(tracked.records, ledger, rooms, BANK_UNIT[BOARDS[cell.board].arch])
            except (subprocess.CalledProcessError, ValueError, LookupError, TypeError) as error:
                said = getattr(error, "stderr", None) or str(error)
                differences.append(f"no usable ledger: {type(error).__name__}: {said.strip()[:200]}")
            else:
                result.checkpoints, result.comparisons = found.checkpoints, found.comparisons
                differences += found.differences
                if not found.checkpoints and workload.name not in WITHOUT_CHECKPOINTS:
                    differences.append("no checkpoint was reached")
    result.differences = [f"{workload.name}: {difference}" for difference in differences]
    result.seconds = time.monotonic() - start
    return result


def library_of(tt_memtrace: Path) -> Path:
    return tt_memtrace.with_name("libtt_memtrace.so")


def interpreter(version: str) -> str:
    """The Python that has this ttnn, which is installed if it was not yet."""
    ttnn, _, python = version.partition("@")
    command = [str(MOCK_TTNN / "setup"), *(["--python", python] if python else []), ttnn]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def main() -> int:
    options = arguments()
    for needed in (options.tt_memtrace, library_of(options.tt_memtrace)):
        if not needed.exists():
            print(f"matrix: no {needed}; build it with: cargo build --release --workspace", file=sys.stderr)
            return 2
    workloads = workloads_in(options.workloads_dir)
    known = {workload.file.stem for workload in workloads}
    wanted = set(options.workload) or known
    if not wanted or wanted - known:
        print(f"matrix: no workload {', '.join(wanted - known)} in {options.workloads_dir}", file=sys.stderr)
        return 2
    workloads = [workload for workload in workloads if workload.file.stem in wanted]

    cells, jobs = [], []
    with ThreadPoolExecutor(options.j) as pool:
        for version in options.versions:
            row = [Cell(version, board) for board in options.boards]
            cells += row
            try:
                python = interpreter(version)
            except subprocess.CalledProcessError as error:
                why = f"all: no environment: {(error.stderr.strip() or str(error)).splitlines()[-1]}"
                for cell in row:
                    cell.not_run.append(why)
                continue
            for cell in row:
                for workload in workloads:
                    jobs.append((cell, workload, pool.submit(check, cell, workload, python, options)))
        for cell, workload, job in jobs:
            part = job.result()
            merge(cell, part)
            if options.v:
                what = f"{cell.version} {cell.board} {workload.name}"
                print(f"{what}: {part.comparisons} comparisons, {part.seconds:.1f} s", file=sys.stderr)

    equal = all(cell.workloads and cell.comparisons and not cell.differences for cell in cells)
    print(as_json(cells, equal) if options.json else as_table(cells, equal))
    return 0 if equal else 1


def arguments() -> argparse.Namespace:
    def known_board(name: str) -> str:
        if name.upper() not in BOARDS:
            raise argparse.ArgumentTypeError(f"no board {name}; there are {', '.join(BOARDS)}")
        return name.upper()

    def list_of(kind):
        return lambda text: [kind(item) for item in text.split(",")]

    directory, program = REPO / "tests/ttnn/workloads", REPO / "target/release/tt-memtrace"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--versions", type=list_of(str), default=["0.81.1", "0.66.0"], metavar="V[@PYTHON],...")
    add("--boards", type=list_of(known_board), default=["N150", "T3K", "P150"], metavar="B,...")
    add("--workloads-dir", type=Path, default=directory, metavar="DIR")
    add("--workload", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    add("--tt-memtrace", type=Path, default=program, metavar="PATH", help="with the library beside it")
    add("--no-transparency", dest="transparency", action="store_false", help="only the tracked runs")
    add("--json", action="store_true", help="one JSON object instead of a table")
    add("-j", type=int, default=2, metavar="N", help="runs at the same time (2)")
    add("-v", action="store_true", help="report each workload on stderr as well")
    options = parser.parse_args()
    options.tt_memtrace = options.tt_memtrace.absolute()
    options.workloads_dir = options.workloads_dir.absolute()
    return options


def merge(cell: Cell, part: Cell) -> None:
    for name in ("workloads", "checkpoints", "comparisons", "differences", "not_run", "seconds"):
        setattr(cell, name, getattr(cell, name) + getattr(part, name))


def as_json(cells: list[Cell], equal: bool) -> str:
    return json.dumps({"equal": equal, "cells": [asdict(cell) for cell in cells]}, indent=2)


def as_table(cells: list[Cell], equal: bool) -> str:
    titles = ("ttnn", "board", "workloads", "checkpoints", "comparisons", "differences", "seconds")
    line = "{:<12} {:<7} {:>9} {:>11} {:>11} {:>11} {:>7}".format
    lines = [line(*titles)]
    for cell in cells:
        counts = (cell.workloads, cell.checkpoints, cell.comparisons, len(cell.differences))
        lines.append(line(cell.version, cell.board, *counts, f"{cell.seconds:.1f}"))
    for cell in cells:
        shown, more = cell.differences[:SHOWN_DIFFERENCES], cell.differences[SHOWN_DIFFERENCES:]
        lines += [f"difference: {cell.version} {cell.board} {text}" for text in shown]
        lines += [f"difference: {cell.version} {cell.board} and {len(more)} more"] if more else []
    for text, where in places_of(cells).items():
        lines.append(f"not run: {text} ({where})")
    comparisons = sum(cell.comparisons for cell in cells)
    differences = sum(len(cell.differences) for cell in cells)
    verdict = "equal" if equal else "NOT EQUAL" if differences else "NOT ALL RUN"
    return "\n".join([*lines, f"{verdict}: {comparisons} comparisons, {differences} differences"])


def places_of(cells: list[Cell]) -> dict[str, str]:
    """What was not run, each with the cells it concerns."""
    places = defaultdict(list)
    for cell in cells:
        for text in cell.not_run:
            places[text].append(f"{cell.version} {cell.board}")
    return {text: ", ".join(where) for text, where in places.items()}


if __name__ == "__main__":
    sys.exit(main())
