"""The figures of an earlier session, which a test may not exceed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from . import sizes
from .figures import Figures

if TYPE_CHECKING:
    from typing import Any


class Baseline:
    def __init__(self, tests: dict[str, Figures], tolerance: str) -> None:
        self._tests = tests
        self._tolerance = tolerance

    @classmethod
    def read(cls, path: str | None, tolerance: str) -> Baseline | None:
        """None without a path. Raises ``pytest.UsageError`` if the file is none of ours."""
        try:
            sizes.slack(tolerance, 0)
        except ValueError as error:
            raise pytest.UsageError(f"--tt-memtrace-tolerance: {error}") from None
        if path is None:
            return None
        try:
            with open(path) as file:
                data: dict[str, Any] = json.load(file)
            if data["schema"] != "tt-memtrace.pytest" or not data["version"].startswith("1."):
                raise ValueError("another kind of file")
            tests = {test["nodeid"]: Figures.from_json(test) for test in data["tests"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"{path} is no file of --tt-memtrace-json: {error}"
            raise pytest.UsageError(f"--tt-memtrace-baseline: {why}") from None
        return cls(tests, tolerance)

    def problems(self, figures: Figures) -> list[str]:
        """A line for each figure that is worse. A test that was not measured then has no limits."""
        before = self._tests.get(figures.nodeid)
        if before is None or before.not_measured is not None or figures.not_measured is not None:
            return []
        memories = sorted({memory for peaks in figures.peaks.values() for memory in peaks})
        now_and_then = []
        for memory in memories:
            now, then = figures.peak(memory), before.peak(memory)
            now_and_then.append((f"a peak of {memory}", now.bytes if now else 0, then.bytes if then else 0))
        if not before.raised:
            now_and_then.append(("leaks", figures.leaked_bytes(), before.leaked_bytes()))
        return [
            f"Test had {what} of {sizes.show(then)} on a chip in the baseline and has {sizes.show(now)}"
            for what, now, then in now_and_then
            if now > then + sizes.slack(self._tolerance, then)
        ]
