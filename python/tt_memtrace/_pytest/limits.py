"""What a test may hold and leave: markers, then options and ini values for all tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import sizes
from .figures import CLASSES, MEMORIES, PHASES

if TYPE_CHECKING:
    import pytest

    from .figures import Figures, Peak

MARKERS = ("limit_device_memory", "limit_device_leaks")


@dataclass(frozen=True)
class PeakLimit:
    """The most that a test may hold of one memory at once."""

    memory: str
    most: int
    #: ``device``: logical bytes of the worst chip; ``bank``: bytes of one bank of it.
    per: str = "device"
    phases: tuple[str, ...] = ("call",)

    def broken(self, figures: Figures) -> tuple[str, Peak] | None:
        peak = figures.peak(self.memory, self.phases)
        used = 0 if peak is None else peak.bytes if self.per == "device" else peak.bank_bytes
        if peak is None or used <= self.most:
            return None
        where = "a chip" if self.per == "device" else "a bank"
        return (
            f"Test was limited to {sizes.show(self.most)} of {self.memory} on {where} but used {sizes.show(used)}",
            peak,
        )


@dataclass(frozen=True)
class LeakLimit:
    """The most that a test may leave behind on a chip."""

    most: int = 0
    #: None: those that the rules call leaks.
    classes: tuple[str, ...] | None = None

    def broken(self, figures: Figures) -> str | None:
        leaked = figures.leaked_bytes(self.classes)
        if leaked <= self.most:
            return None
        what = f" of class {', '.join(self.classes)}" if self.classes else ""
        return f"Test was limited to leaving {sizes.show(self.most)}{what} on a chip but left {sizes.show(leaked)}"


@dataclass(frozen=True)
class Limits:
    peaks: tuple[PeakLimit, ...]
    leaks: tuple[LeakLimit, ...]

    def __bool__(self) -> bool:
        return bool(self.peaks or self.leaks)

    @property
    def of_call(self) -> list[PeakLimit]:
        """Those that are judged when the test itself is over."""
        return [limit for limit in self.peaks if limit.phases == ("call",)]

    @property
    def of_all(self) -> list[PeakLimit]:
        """Those that are judged after teardown."""
        return [limit for limit in self.peaks if limit.phases != ("call",)]


def of_item(item: pytest.Item, fail_on_leak: bool) -> Limits:
    """All limits of a test. Raises ``ValueError`` with a line for people if one cannot be read.

    What the options and the ini file say is the default: it counts where no marker says anything.
    """
    markers = [marker for name in MARKERS for marker in item.iter_markers(name)]
    peaks = [limit for marker in markers if marker.name == MARKERS[0] for limit in _of_memory_marker(marker)]
    for name, memory in MEMORIES.items():
        text = item.config.getini(f"tt_memtrace_limit_{name}")
        if text and not any(limit.memory == memory for limit in peaks):
            peaks.append(PeakLimit(memory, sizes.parse(text)))
    leaks = [_of_leak_marker(*marker.args, **marker.kwargs) for marker in markers if marker.name == MARKERS[1]]
    if fail_on_leak and not leaks:
        leaks.append(LeakLimit())
    return Limits(tuple(peaks), tuple(leaks))


def _of_memory_marker(marker: pytest.Mark) -> list[PeakLimit]:
    limits = dict(marker.kwargs)
    per, phases = limits.pop("per", "device"), limits.pop("phases", ("call",))
    if marker.args or not limits or set(limits) - set(MEMORIES):
        known = ", ".join(f"{memory}=" for memory in MEMORIES)
        raise ValueError(f"limit_device_memory takes {known}, per= and phases=, by name")
    if per not in ("device", "bank"):
        raise ValueError(f"limit_device_memory: per={per!r} is neither 'device' nor 'bank'")
    phases = (phases,) if isinstance(phases, str) else tuple(phases)
    if set(phases) - set(PHASES):
        raise ValueError(f"limit_device_memory: phases are {', '.join(PHASES)}")
    return [PeakLimit(MEMORIES[memory], sizes.parse(most), per, phases) for memory, most in limits.items()]


def _of_leak_marker(limit: str | int = "0 B", classes: Any = None) -> LeakLimit:
    classes = (classes,) if isinstance(classes, str) else tuple(classes) if classes else None
    unknown = [name for name in classes or () if name not in CLASSES]
    if unknown:
        raise ValueError(f"limit_device_leaks: {unknown[0]!r} is no class; there are {', '.join(CLASSES)}")
    return LeakLimit(sizes.parse(limit), classes)
