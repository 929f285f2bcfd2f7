"""A process that runs tests: marks around each of them, figures from the answers, and verdicts."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

import pytest

from .. import _native, _tool
from . import limits, summary
from .baseline import Baseline
from .figures import Figures, phases
from .follower import Follower

if TYPE_CHECKING:
    from collections.abc import Generator

# A mark may be four kilobytes long.
LONGEST_NAME = 3000
#: The mark after everything else.
END = "tt-memtrace: session finished"
ERRORS = ("Out of Memory", "clash with L1 buffers")


class Session:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        option = config.option
        self.top = _count(option.tt_memtrace_top or config.getini("tt_memtrace_top"))
        self.fail_on_leak = option.tt_memtrace_fail_on_leak or config.getini("tt_memtrace_fail_on_leak")
        tolerance = option.tt_memtrace_tolerance or config.getini("tt_memtrace_tolerance")
        self.baseline = Baseline.read(option.tt_memtrace_baseline, tolerance)
        self.is_worker = hasattr(config, "workerinput")
        #: With xdist the tests run in other processes, which measure.
        self.is_controller = not self.is_worker and getattr(option, "dist", "no") != "no"
        self.is_measuring = not self.is_controller and _native.is_enabled()
        #: The test in which the session was stopped.
        self.stopped: Figures | None = None
        #: What fixtures left that ended after the last test, some lines each.
        self.left_at_end: list[str] = []
        self.unjudged_at_end: list[str] = []
        self._follower: Follower | None = None
        self._follower_pid = 0
        self._current: Figures | None = None
        #: Whether the call is over, and marked.
        self._is_called = False
        #: What was live at the marks of the test.
        self._live: dict[str, dict[tuple[int, str], tuple[int, int]]] = {}
        self._limits = limits.Limits((), ())
        self._fixtures: dict[int, str] = {}
        self._n_fixtures = 0
        #: Whether a test raised whose traceback, and with it local variables, may be there still.
        self._has_traceback = False

    @property
    def follower(self) -> Follower:
        """Of this very process: a test that runs in a forked child has a capture of its own."""
        if self._follower is None or self._follower_pid != os.getpid():
            self._follower, self._follower_pid = Follower(max(self.top, 1)), os.getpid()
        return self._follower

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, None]:
        self._current, self._live, self._is_called = Figures(item.nodeid), {}, False
        _native.run_test(item.nodeid)
        self._mark(item, "begin")
        yield
        self._mark(item, "setup")

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, None]:
        yield
        self._mark(item, "call")
        self._is_called = True

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, None]:
        has_garbage = self._has_garbage(item)
        if has_garbage:
            # Now, as the fixtures may take away the device that it is on.
            gc.collect()
            # pytest itself gave up earlier tracebacks when it called this test.
            self._has_traceback = False
        yield
        if has_garbage:
            gc.collect()
        self._mark(item, "end")
        _native.run_test(None)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, None]:
        # What a fixture of a test holds is the test's.
        if not self.is_measuring or fixturedef.scope == "function":
            yield
            return
        self._n_fixtures += 1
        name = short(f"fixture {fixturedef.argname} ({fixturedef.scope}) {self._n_fixtures}")
        self.follower.mark(f"{name}:begin")
        yield
        self.follower.mark(f"{name}:hold")
        self._fixtures[id(fixturedef)] = name

    @pytest.hookimpl(trylast=True)
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        name = self._fixtures.pop(id(fixturedef), None)
        if name is not None and self.is_measuring:
            self.follower.mark(f"{name}:release")

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, None]:
        outcome = yield
        report: pytest.TestReport = outcome.get_result()
        figures = self._current
        if figures is None or self.is_controller:
            return
        if call.excinfo is not None:
            figures.raised = self._has_traceback = True
        if report.when == "setup":
            self._limits = limits.Limits((), ())
            try:
                self._limits = limits.of_item(item, self.fail_on_leak)
            except (ValueError, TypeError) as error:
                _fail(report, figures, [str(error)])
            self._explain(report, call)
        elif report.when == "call":
            self._explain(report, call)
            # A subtest has a report of its own, while its test goes on.
            if self._is_called and self._limits.of_call and self._take_answers(item, "call", figures):
                self._judge_peaks(report, figures)
        else:
            if self._take_answers(item, "end", figures):
                self._judge_end(report, figures)
            elif self._limits or self.baseline is not None:
                _fail(report, figures, [f"Test has limits but was not measured: {figures.not_measured}"])
            report.user_properties.extend(_properties(figures))
            report.tt_memtrace = figures.to_json()  # type: ignore[attr-defined]
            self._current = None

    def _has_garbage(self, item: pytest.Item) -> bool:
        """Whether garbage has to be collected, which takes tens of milliseconds, so that what it holds fails no test."""
        test = self._current
        may_fail = self._limits.leaks or self.baseline is not None
        if not may_fail or test is None or test.raised or not self._is_called:
            return False
        if not self._take_answers(item, "call", test):
            return False
        test.garbage_collected = True
        return self._has_traceback or self._live.get("begin") != self._live.get("call")

    def _mark(self, item: pytest.Item, ending: str) -> None:
        if self.is_measuring:
            self.follower.mark(f"{short(item.nodeid)}:{ending}")

    def _take_answers(self, item: pytest.Item, ending: str, figures: Figures) -> bool:
        """Read all answers up to this mark. False if there are none: the test is not measured."""
        if not self.is_measuring:
            figures.not_measured = "the recorder does not record"
            return False
        name = short(item.nodeid)
        if ending in self._live:
            return True
        answers = self.follower.answer(f"{name}:{ending}")
        if answers is None:
            figures.not_measured = self.follower.problem
            return False
        for phase, of_phase in phases(answers, name):
            if phase is not None:
                figures.see(phase, of_phase)
        for answer in answers:
            span, _, end = answer["mark"].rpartition(":")
            if span == name:
                self._live[end] = _live(answer)
            if span == name and end == "end":
                figures.see_left(answer)
            elif end == "release":
                self._judge_fixture(span, answer, figures.fixture_leaks, figures.unjudged_fixtures)
        if figures.n_dropped:
            figures.not_measured = f"{figures.n_dropped} events were dropped"
        return True

    def _judge_peaks(self, report: pytest.TestReport, figures: Figures) -> None:
        broken = [found for limit in self._limits.of_call if (found := limit.broken(figures))]
        problems = ["\n".join([text, *self._holders_at(peak.n)]) for text, peak in broken]
        _fail(report, figures, problems)

    def _judge_end(self, report: pytest.TestReport, figures: Figures) -> None:
        problems = [found[0] for limit in self._limits.of_all if (found := limit.broken(figures))]
        for limit in self._limits.leaks:
            broken = limit.broken(figures)
            if broken:
                problems.append("\n".join([broken, *summary.holders(figures.holders)]))
        problems += [] if self.baseline is None else self.baseline.problems(figures)
        _fail(report, figures, problems + ([] if not self.fail_on_leak else figures.fixture_leaks))

    def _judge_fixture(self, span: str, answer: dict[str, Any], leaks: list[str], unjudged: list[str]) -> None:
        """Adds to the one or the other if the fixture left something."""
        fixture = Figures(span.rpartition(" ")[0])
        fixture.see_left(answer)
        if not fixture.leaked_bytes():
            return
        text = f"{fixture.nodeid} left {summary.left(fixture, only_leaks=True)}"
        told = "\n".join([text, *summary.holders(fixture.holders)])
        (unjudged if self._has_traceback else leaks).append(told)

    def _holders_at(self, n: int) -> list[str]:
        """Who held memory at an event: lines for people."""
        try:
            told = _tool.json_of("snapshot", "--json", "--at", str(n), str(self.follower.capture))
        except (RuntimeError, ValueError, OSError) as error:
            return [f"  (who held it is not known: {error})"]
        live = sorted(told["processes"][0]["live"], key=lambda one: -int(one["size_bytes"]))
        return summary.holders(live[: self.top])

    def _explain(self, report: pytest.TestReport, call: pytest.CallInfo[Any]) -> None:
        """Why there was no room, if that is what the test died of."""
        if not self.is_measuring or call.excinfo is None or not any(text in str(call.excinfo.value) for text in ERRORS):
            return
        if not _native.flush(10.0) or self.follower.capture is None:
            return
        try:
            text = _tool.output_of("oom", self.follower.capture)
        except (RuntimeError, OSError) as error:
            text = f"tt-memtrace oom says nothing: {error}"
        report.sections.append(("tt-memtrace oom", text))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self.is_measuring and (self._n_fixtures or self._current is not None):
            self._finish()
        if self.is_worker:
            output = self.config.workeroutput  # type: ignore[attr-defined]
            output["tt_memtrace_left"], output["tt_memtrace_unjudged"] = self.left_at_end, self.unjudged_at_end

    def _finish(self) -> None:
        """If the session was stopped, fixtures end after the last test, and a test may not have come to its end."""
        self.follower.mark(END)
        answers = self.follower.answer(END) or []
        for answer in answers:
            span, _, end = answer["mark"].rpartition(":")
            if end == "release":
                self._judge_fixture(span, answer, self.left_at_end, self.unjudged_at_end)
        self.stopped = self._current
        if self.stopped is not None:
            for phase, of_phase in phases(answers, short(self.stopped.nodeid)):
                if phase is not None:
                    self.stopped.see(phase, of_phase)
            self.stopped.not_measured = f"the session was stopped in it; up to then it had {self.stopped.held()}"


def _count(text: str | int) -> int:
    """Raises ``pytest.UsageError`` if it is none."""
    try:
        count = int(text)
    except ValueError:
        count = -1
    if count < 0:
        raise pytest.UsageError(f"tt_memtrace_top: {text!r} is no number of tests and holders")
    return count


def short(nodeid: str) -> str:
    """A name that a mark can have, and that an answer gives back."""
    text = _native.text(nodeid)
    if len(text) > LONGEST_NAME:
        import hashlib

        return f"{text.decode()[: LONGEST_NAME // 4]}...{hashlib.sha256(text).hexdigest()}"
    return text.decode()


def _live(answer: dict[str, Any]) -> dict[tuple[int, str], tuple[int, int]]:
    """Bytes and buffers by chip and memory."""
    return {
        (chip, of["type"]): (int(of["live_bytes"]), int(of["n_buffers"]))
        for group in answer["chips"]
        for of in group["types"]
        for chip in group["chips"]
        if of["n_buffers"]
    }


def _fail(report: pytest.TestReport, figures: Figures, problems: list[str]) -> None:
    """A limit that was broken fails a test that passed; one that failed has said why."""
    figures.problems += problems
    if problems and report.passed:
        report.outcome = "failed"
        report.longrepr = "\n".join(problems)
        report.tt_memtrace_failed = True  # type: ignore[attr-defined]
    elif problems:
        report.sections.append(("tt-memtrace", "\n".join(problems)))


def _properties(figures: Figures) -> list[tuple[str, object]]:
    """For JUnit: bytes of the worst chip."""
    if figures.not_measured is not None:
        return [("tt_memtrace_not_measured", figures.not_measured)]
    memories = sorted({memory for peaks in figures.peaks.values() for memory in peaks})
    peaks = [(memory, figures.peak(memory)) for memory in memories]
    properties: list[tuple[str, object]] = [
        (f"tt_memtrace_peak_{memory.lower()}_bytes", peak.bytes) for memory, peak in peaks if peak is not None
    ]
    if figures.raised:
        return [*properties, ("tt_memtrace_unjudged_bytes", sum(left.bytes for left in figures.unjudged()))]
    return [*properties, ("tt_memtrace_leaked_bytes", figures.leaked_bytes())]
