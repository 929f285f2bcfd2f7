"""The figures of a test, as the command gives them: plain data that can be sent and written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

PHASES = ("setup", "call", "teardown")
#: What ends with each mark of a test.
_PHASES_ENDED = {"begin": None, "setup": "setup", "call": "call", "end": "teardown"}
#: Of survivors, as in ``rules.toml``, and where the facts for its rules are lacking.
CLASSES = ("user", "program_cache", "system", "semaphore", "trace", "l1_small", "unattributed")
MEMORIES = {"dram": "DRAM", "l1": "L1", "l1_small": "L1_SMALL", "trace": "TRACE"}


@dataclass
class Peak:
    """The most of one memory in one phase."""

    #: Logical bytes on the worst chip.
    bytes: int
    #: The most in one bank of a chip.
    bank_bytes: int
    #: The worst chips.
    chips: list[int]
    #: The same of every chip.
    by_chip: dict[str, int]
    #: The event at which it was reached.
    n: int = 0


@dataclass
class Left:
    """What a test or a fixture left: buffers that are alike."""

    type: str
    #: ``user``, ``program_cache``, ``unattributed``, ...
    class_: str
    is_leak: bool
    #: ``live``, or what took it away: ``close``, ``sweep``.
    ending: str
    n_buffers: int
    #: Logical bytes of one chip.
    bytes: int


@dataclass
class Figures:
    """One test, or a fixture that outlives its tests."""

    nodeid: str
    #: By phase and memory.
    peaks: dict[str, dict[str, Peak]] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    #: The largest of what is left, as ``tt-memtrace snapshot --json`` tells buffers.
    holders: list[dict[str, Any]] = field(default_factory=list)
    #: How far circular buffers reached above their base, bytes of one core.
    circular_bytes: int = 0
    #: The least room between circular buffers and L1 buffers, bytes of one core.
    headroom_bytes: int | None = None
    n_dropped: int = 0
    #: Why there are no figures, or not all.
    not_measured: str | None = None
    #: What fixtures left that ended in this test, some lines each.
    fixture_leaks: list[str] = field(default_factory=list)
    #: The same where the traceback of an earlier test may hold it, so that it is not judged.
    unjudged_fixtures: list[str] = field(default_factory=list)
    #: What limits were broken, some lines each.
    problems: list[str] = field(default_factory=list)
    #: An exception ended a phase. Its traceback holds local variables, so what was left is not judged.
    raised: bool = False
    #: Garbage was collected where there could be any, so that what only a cycle of references held is not left.
    garbage_collected: bool = False

    def peak(self, memory: str, phases: tuple[str, ...] = PHASES) -> Peak | None:
        peaks = [self.peaks[phase][memory] for phase in phases if memory in self.peaks.get(phase, {})]
        return max(peaks, key=lambda peak: peak.bytes, default=None)

    def leaked_bytes(self, classes: tuple[str, ...] | None = None) -> int:
        """Logical bytes of one chip; without classes, those that the rules call leaks. 0 if they cannot be judged."""
        if self.raised:
            return 0
        is_meant = (lambda left: left.class_ in classes) if classes else (lambda left: left.is_leak)
        return sum(left.bytes for left in self.left if is_meant(left))

    def unjudged(self) -> list[Left]:
        """What would be leaks, but for a traceback that may hold them."""
        return [left for left in self.left if left.is_leak] if self.raised else []

    def held(self) -> str:
        """``at most 4.00 KiB of DRAM on a chip``."""
        peaks = [(memory, self.peak(memory)) for memory in MEMORIES.values()]
        parts = [f"at most {sizes.show(peak.bytes)} of {memory} on a chip" for memory, peak in peaks if peak and peak.bytes]
        return ", ".join(parts) or "no device memory"

    def see(self, phase: str, answers: list[dict[str, Any]]) -> None:
        """Take the answers to all marks of a phase: those of fixtures and of the program, then the one at its end."""
        self.peaks[phase] = _peaks(answers)
        for on in (on for answer in answers for on in answer["circular_buffers"]):
            self.circular_bytes = max(self.circular_bytes, on["peak_bytes"])
            room = on["headroom_bytes"]
            if room is not None and (self.headroom_bytes is None or room < self.headroom_bytes):
                self.headroom_bytes = room
        self.n_dropped = int(answers[-1]["n_dropped"])

    def see_left(self, answer: dict[str, Any]) -> None:
        """Take what a span left."""
        left = answer["left"]
        if left is None:
            return
        self.left = [
            Left(
                type=one["type"],
                class_=one["class"],
                is_leak=one["is_leak"],
                ending=one["ending"],
                n_buffers=int(one["n_buffers"]),
                bytes=int(one["bytes"]),
            )
            for one in left["sums"]
        ]
        self.holders = left["largest"]

    def to_json(self) -> dict[str, Any]:
        # `asdict` copies all that there is within, for each test.
        peaks = {phase: {memory: vars(peak) for memory, peak in peaks.items()} for phase, peaks in self.peaks.items()}
        return {**vars(self), "peaks": peaks, "left": [vars(left) for left in self.left]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Figures:
        data = dict(data)
        peaks = {phase: {memory: Peak(**peak) for memory, peak in peaks.items()} for phase, peaks in data.pop("peaks").items()}
        left = [Left(**one) for one in data.pop("left")]
        return cls(peaks=peaks, left=left, **data)


def phases(answers: list[dict[str, Any]], name: str) -> Iterator[tuple[str | None, list[dict[str, Any]]]]:
    """The answers by phase of the test whose marks have this name: those to marks of fixtures and of the program lie
    within. None is a phase that does not end here.
    """
    of_phase: list[dict[str, Any]] = []
    for answer in answers:
        of_phase.append(answer)
        span, _, end = (answer["mark"] or "").rpartition(":")
        if span == name and end in _PHASES_ENDED:
            phase = _PHASES_ENDED[end]
            if phase is not None:
                yield phase, of_phase
            of_phase = []
    if of_phase:
        yield None, of_phase


def _peaks(answers: list[dict[str, Any]]) -> dict[str, Peak]:
    """Each answer has the peaks since the mark before."""
    peaks: dict[str, Peak] = {}
    groups = [group for answer in answers for group in answer["chips"]]
    for chips, of in ((group["chips"], of) for group in groups for of in group["types"]):
        value, bank, n = int(of["peak_bytes"]), int(of["peak_bank_bytes"]), int(of["peak_n"])
        peak = peaks.setdefault(of["type"], Peak(value, bank, [], {}, n))
        peak.bank_bytes = max(peak.bank_bytes, bank)
        if value > peak.bytes:
            peak.bytes, peak.n = value, n
        for chip in map(str, chips):
            peak.by_chip[chip] = max(peak.by_chip.get(chip, 0), value)
    for peak in peaks.values():
        peak.chips = sorted(int(chip) for chip, value in peak.by_chip.items() if value == peak.bytes)
    return peaks
