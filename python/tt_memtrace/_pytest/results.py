"""The process that the user looks at: it collects what those that run tests tell, and says it at the end."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .. import _native
from . import preload, summary
from .figures import Figures
from .session import short

if TYPE_CHECKING:
    from collections.abc import Generator

    from .session import Session


class Results:
    def __init__(self, config: pytest.Config, session: Session) -> None:
        self._session = session
        self._is_hidden = config.option.tt_memtrace_hide_summary
        self._path = _writable(config.option.tt_memtrace_json)
        #: By test; several for one that was run again.
        self._attempts: dict[str, list[Figures]] = {}
        self._since = time.time()
        #: Tests in the order in which they were started; a set that keeps it.
        self._started: dict[str, None] = {}
        #: What fixtures left that ended after the last test, in any process.
        self._left_at_end: list[str] = []
        self._unjudged_at_end: list[str] = []
        self._problem: str | None = None

    def pytest_report_header(self) -> str:
        if not _native.is_enabled():
            return ""
        return f"tt-memtrace: recording to {os.environ.get('TT_MEMTRACE_OUTPUT') or 'the current directory'}"

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._started[nodeid] = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = getattr(report, "tt_memtrace", None)
        if told is not None:
            self._attempts.setdefault(report.nodeid, []).append(Figures.from_json(told))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        if report.failed and getattr(report, "tt_memtrace_failed", False):
            return ("failed" if report.when == "call" else "error", "M", "MEMORY PROBLEMS")
        return None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})
        self._left_at_end += output.get("tt_memtrace_left", [])
        self._unjudged_at_end += output.get("tt_memtrace_unjudged", [])

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, None]:
        # The innermost of those around: what is left is judged when the last fixtures have ended, and told after this.
        yield
        self._left_at_end += self._session.left_at_end
        self._unjudged_at_end += self._session.unjudged_at_end
        if self._session.stopped is not None:
            self._attempts[self._session.stopped.nodeid] = [self._session.stopped]
        self._add_lost()
        if self._path is not None:
            try:
                self._write(self._path)
            except OSError as error:
                self._problem = f"tt-memtrace: cannot write {self._path}: {error.strerror}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if _native.is_enabled():
            left, unjudged = self._left_at_end, self._unjudged_at_end
            summary.write(terminalreporter, self._tests(), left, unjudged, self._session.top, self._is_hidden)
        else:
            terminalreporter.write_line(preload.why_not_measured())
        if self._problem is not None:
            terminalreporter.write_line(self._problem)

    def _tests(self) -> list[Figures]:
        return [attempts[-1] for attempts in self._attempts.values()]

    def _add_lost(self) -> None:
        """The tests whose process ended before they did."""
        lost = [nodeid for nodeid in self._started if nodeid not in self._attempts]
        if lost and _native.is_enabled():
            from . import crashed

            known = crashed.figures({short(nodeid): nodeid for nodeid in lost}, self._since)
            self._attempts.update({nodeid: [figures] for nodeid, figures in known.items()})
        for nodeid in lost:
            self._attempts.setdefault(nodeid, [Figures(nodeid, not_measured="its process ended before the test did")])

    def _write(self, path: Path) -> None:
        data = {
            "schema": "tt-memtrace.pytest",
            "version": "1.1",
            "left_at_end": self._left_at_end,
            "unjudged_at_end": self._unjudged_at_end,
            "tests": [test.to_json() for test in self._tests()],
        }
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(data, indent=1) + "\n")
        temporary.replace(path)


def _writable(text: str | None) -> Path | None:
    """Where a file can be written, as far as that is known before. Raises ``pytest.UsageError`` where it cannot."""
    if not text:
        return None
    path = Path(text).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--tt-memtrace-json: {text}: {error.strerror}") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise pytest.UsageError(f"--tt-memtrace-json: {text} cannot be written")
    return path
