"""Device memory of ttnn and tt-metal programs: marks and phases for the recorder that was preloaded.

Nothing here accounts for memory: the recorder writes what happens, and the ``tt-memtrace`` command reads it. Without
the recorder in the process every function is a no-op, so that calls may stay in a program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["enabled", "flush", "include_dir", "library_path", "mark", "phase", "snapshot"]


def enabled() -> bool:
    """Whether this process is being recorded."""
    from . import _native

    return _native.is_enabled()


def mark(name: str) -> None:
    """Write a named instant into the capture; reports take it wherever they take an instant."""
    from . import _native

    _native.mark(name)


def flush(timeout: float = 1.0) -> bool:
    """Wait until everything recorded so far is in the capture, at most ``timeout`` seconds.

    Returns whether it is. Without the recorder: False.
    """
    from . import _native

    return _native.flush(timeout)


def phase(name: str) -> AbstractContextManager[None]:
    """Name a part of the program, as ``with phase("prefill"):``. Phases nest."""
    from . import _native

    return _native.phase(name)


def snapshot() -> dict[str, Any] | None:
    """What is live now, as ``tt-memtrace snapshot --json`` tells it of this process.

    Takes as long as reading the capture does. None if the process is not recorded into a file.

    Raises ``RuntimeError`` if the capture cannot be read.
    """
    from . import _native, _tool

    capture = _native.capture_path()
    if capture is None or not flush(10.0):
        return None
    processes = _tool.json_of("snapshot", "--json", capture)["processes"]
    return processes[0] if processes else None


def include_dir() -> Path:
    """The folder of ``tt_memtrace.h`` and ``tt_memtrace.hpp``."""
    from . import _tool

    return _tool.PACKAGE / "include"


def library_path() -> Path:
    """The library to preload: ``LD_PRELOAD=$(python -c 'import tt_memtrace; print(tt_memtrace.library_path())')``."""
    from . import _tool

    return _tool.library_path()
