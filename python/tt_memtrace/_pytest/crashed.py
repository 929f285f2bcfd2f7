"""Tests whose process ended before they did: what their captures tell."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from .. import _native, _tool
from .figures import PHASES, Figures, phases

#: The mark with which each phase begins.
_BEGINNINGS = dict(zip(("begin", "setup", "call"), PHASES))


def figures(wanted: dict[str, str], since: float) -> dict[str, Figures]:
    """By test; ``wanted`` has the tests by the name that their marks have, ``since`` is when the session began."""
    found: dict[str, Figures] = {}
    for capture in _captures(since):
        try:
            # Of a process that still runs, there would be no end of it.
            lines = _tool.output_of("ctl", "--follow", str(capture), timeout=10.0).splitlines()
            answers = [json.loads(line) for line in lines]
        except (RuntimeError, ValueError, OSError):
            continue
        # A fixture that was being set up belongs to the test in whose setup that was.
        within = [answer["mark"].rpartition(":") for answer in answers if answer["mark"] is not None]
        tests = [(name, end) for name, _, end in within if name in wanted]
        if not tests or tests[-1][1] not in _BEGINNINGS:
            continue
        name, ending = tests[-1]
        begun = max(at for at, mark in enumerate(within) if mark[0] == name and mark[2] == "begin")
        phase = _BEGINNINGS[ending]
        test = Figures(wanted[name])
        for ended, of_phase in phases(answers[begun:], name):
            test.see(ended or phase, of_phase)
        test.not_measured = f"its process ended in {phase}; up to {_clock(answers[-1]['at'], capture)} it had {test.held()}"
        found[test.nodeid] = test
    return found


def _clock(at: dict[str, Any], capture: Path) -> str:
    """``HH:MM:SS`` of a moment in a capture."""
    with open(capture) as file:
        header = json.loads(file.readline())
    seconds = (int(header["wall_ns"]) + int(at["t_ns"]) - int(header["t_ns"])) / 1e9
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _captures(since: float) -> list[Path]:
    """This session's captures of other processes: in the folder that the recorder was told, or where its pattern leads."""
    output = os.environ.get("TT_MEMTRACE_OUTPUT", "")
    folder = Path(output) if not output.endswith(".jsonl") else Path(output).parent
    own = _native.capture_path()
    return [path for path in folder.glob("*.jsonl") if path.stat().st_mtime >= since and str(path) != own]
