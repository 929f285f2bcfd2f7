"""What is printed at the end of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import sizes
from .figures import MEMORIES

if TYPE_CHECKING:
    import pytest

    from .figures import Figures


def write(
    reporter: pytest.TerminalReporter,
    tests: list[Figures],
    left_at_end: list[str],
    unjudged_at_end: list[str],
    top: int,
    is_hidden: bool,
) -> None:
    """The tests with the highest peaks, those that left something, and those that were not measured."""
    # Else a line feed is added only when the first line is written, below the heading.
    reporter.ensure_newline()
    unmeasured = [test for test in tests if test.not_measured is not None]
    measured = [test for test in tests if test.not_measured is None]
    if measured and not is_hidden:
        reporter.section("device memory (tt-memtrace)")
        _write_peaks(reporter, measured, top)
        _write_left(reporter, measured, top)
    for text in left_at_end:
        reporter.write_line(f"LEAKED: {text}")
    if not is_hidden:
        _write_unjudged(reporter, tests, unjudged_at_end)
    if unmeasured:
        reporter.section("device memory NOT MEASURED (tt-memtrace)", sep="-")
        for test in unmeasured[: max(top, 5)]:
            reporter.write_line(f"{_cut(test.nodeid, 60)}: {test.not_measured}")
        if len(unmeasured) > max(top, 5):
            reporter.write_line(f"... and {len(unmeasured) - max(top, 5)} more")


def _write_peaks(reporter: pytest.TerminalReporter, tests: list[Figures], top: int) -> None:
    held = [test for test in tests if any(peak.bytes for peaks in test.peaks.values() for peak in peaks.values())]
    if not held:
        reporter.write_line("no test held device memory")
        return
    held.sort(key=lambda test: sum(_peak(test, memory) for memory in MEMORIES.values()), reverse=True)
    rows = [("DRAM peak", "L1 peak", "L1 room", "left", f"of the worst chip, {min(top, len(held))} of {len(held)} tests")]
    for test in held[:top]:
        room = "" if test.headroom_bytes is None else sizes.show(test.headroom_bytes)
        left_bytes = sum(one.bytes for one in test.left)
        rows.append(
            (
                sizes.show(_peak(test, "DRAM")),
                sizes.show(_peak(test, "L1")),
                room,
                sizes.show(left_bytes) if left_bytes else "",
                _cut(test.nodeid, 60),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = "  ".join(cell.rjust(width) for cell, width in zip(row, widths))
        reporter.write_line(f"{cells}  {row[4]}")


def _write_left(reporter: pytest.TerminalReporter, tests: list[Figures], top: int) -> None:
    leaky = sorted((test for test in tests if test.leaked_bytes()), key=lambda test: -test.leaked_bytes())
    for test in leaky[:top]:
        reporter.write_line(f"LEAKED by {_cut(test.nodeid, 60)}: {left(test, only_leaks=True)}")
        for line in holders(test.holders[:top]):
            reporter.write_line(line)
    if not all(test.garbage_collected for test in leaky):
        reporter.write_line("  (or garbage that Python had yet to collect: --tt-memtrace-fail-on-leak does so first)")
    for test in tests:
        for text in test.fixture_leaks:
            reporter.write_line(f"LEAKED: {text}")
    unattributed = [one for test in tests for one in test.left if one.class_ == "unattributed"]
    if unattributed:
        count, size = sum(one.n_buffers for one in unattributed), sum(one.bytes for one in unattributed)
        what = "nothing tells whether they are leaks"
        reporter.write_line(f"tests left {buffers(count, size)} unattributed: no operation was recorded, {what}")


def _write_unjudged(reporter: pytest.TerminalReporter, tests: list[Figures], at_end: list[str]) -> None:
    raised = [test for test in tests if test.unjudged()]
    if raised:
        all_left = [one for test in raised for one in test.unjudged()]
        what = buffers(sum(one.n_buffers for one in all_left), sum(one.bytes for one in all_left))
        who = _cut(raised[0].nodeid, 60) if len(raised) == 1 else f"{len(raised)} tests"
        reporter.write_line(f"not judged: {who} raised and left {what} which the traceback may hold")
    for text in [*at_end, *(text for test in tests for text in test.unjudged_fixtures)]:
        reporter.write_line(f"not judged, as the traceback of a test that raised may hold it: {text}")


def left(test: Figures, only_leaks: bool = False) -> str:
    """``3.00 MiB of DRAM in 3 buffers (user)``."""
    parts = [
        f"{sizes.show(one.bytes)} of {one.type} in {_count(one.n_buffers)}"
        f" ({one.class_}{'' if one.ending == 'live' else ', until ' + one.ending})"
        for one in test.left
        if one.is_leak or not only_leaks
    ]
    return ", ".join(parts) or "nothing"


def buffers(count: int, size: int) -> str:
    """``3 buffers, 3.00 MiB``."""
    return f"{_count(count)}, {sizes.show(size)},"


def _count(n_buffers: int) -> str:
    return f"{n_buffers} buffer{'' if n_buffers == 1 else 's'}"


def holders(found: list[dict[str, Any]]) -> list[str]:
    """A line for each buffer: how large, where, and who allocated it, if that is known."""
    lines = []
    for one in found:
        where = one.get("where")
        line = f"at {where['file'].rpartition('/')[2]}:{where['line']}" if where else ""
        who = " ".join(part for part in (one.get("op"), line) if part)
        chips = one["chips"]
        on = f"chip {chips[0]}" if len(chips) == 1 else f"{len(chips)} chips"
        size = sizes.show(int(one["size_bytes"]))
        lines.append(f"  {size} of {one['type']} at {int(one['address']):#x} on {on}{', ' + who if who else ''}")
    return lines


def _peak(test: Figures, memory: str) -> int:
    peak = test.peak(memory)
    return 0 if peak is None else peak.bytes


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width // 2 - 2]}...{text[-(width // 2) :]}"
