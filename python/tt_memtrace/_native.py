"""The recorder in this process, and its C functions (``tt_memtrace.h``)."""

from __future__ import annotations

import ctypes
import os
import posix
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEST = b"PYTEST_CURRENT_TEST"
#: ``std::runtime_error(std::string const&)``, with which the runtime's errors are made.
ERROR = "_ZNSt13runtime_errorC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"

# A library in the global scope, where a preloaded one is, is found through the executable.
_process = ctypes.CDLL(None)
#: The recorder, if it was loaded from here: what is bound to the C library by then it does not see. Keeps the GIL, which
#: is what guards the environment in Python.
_late: ctypes.PyDLL | None = None
IS_LOADED = False


def _bind() -> None:
    global IS_LOADED
    if not hasattr(_process, "tt_memtrace_mark"):
        return
    _process.tt_memtrace_mark.argtypes = [ctypes.c_char_p]
    _process.tt_memtrace_mark.restype = None
    _process.tt_memtrace_phase_begin.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
    _process.tt_memtrace_phase_begin.restype = None
    _process.tt_memtrace_phase_end.argtypes = []
    _process.tt_memtrace_phase_end.restype = None
    _process.tt_memtrace_flush.argtypes = [ctypes.c_uint32]
    _process.tt_memtrace_flush.restype = ctypes.c_int
    _process.tt_memtrace_is_enabled.argtypes = []
    _process.tt_memtrace_is_enabled.restype = ctypes.c_int
    IS_LOADED = True


_bind()


def is_cxx_global() -> bool:
    """Whether the executable or a preloaded library brought the C++ library along: what is loaded from here comes after it
    in the global scope, and is not asked for its functions.
    """
    return hasattr(_process, ERROR)


def load(library: Path) -> None:
    """Load the recorder into this process. Of a runtime that is loaded afterwards it sees what a preloaded one does.

    A library that the runtime brings along looks in the global scope first. Python was bound to the C library before:
    see :func:`run_test`, and ``os._exit`` becomes ours.

    Raises ``OSError`` if it cannot be loaded.
    """
    global _late
    _late = ctypes.PyDLL(str(library), mode=os.RTLD_GLOBAL | os.RTLD_NOW)
    _late.setenv.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
    _late.unsetenv.argtypes = [ctypes.c_char_p]
    _bind()
    # Unless somebody else has something to do before the end, too: ours would not come back to theirs.
    if os._exit is posix._exit:
        os._exit = _exit


def _exit(status: int) -> NoReturn:
    """``os._exit``, with which forked children end: the recording is finished first."""
    if _late is not None:
        _late._exit(ctypes.c_int(status))
    posix._exit(status)


def run_test(nodeid: str | None) -> None:
    """Say which test runs from now on, in the variable in which pytest says it, too: a preloaded recorder has seen that."""
    if _late is None:
        return
    if nodeid is None:
        _late.unsetenv(TEST)
    else:
        _late.setenv(TEST, text(f"{nodeid} (setup)".replace("\0", "(null)")), 1)


def is_enabled() -> bool:
    return IS_LOADED and bool(_process.tt_memtrace_is_enabled())


def mark(name: str) -> None:
    if IS_LOADED:
        _process.tt_memtrace_mark(text(name))


def text(name: str) -> bytes:
    """As the recorder takes it: a zero byte would end it, and lone surrogates have no UTF-8."""
    return name.replace("\0", "\ufffd").encode(errors="replace")


def flush(timeout: float) -> bool:
    if not IS_LOADED:
        return False
    milliseconds = min(max(int(timeout * 1000), 0), 2**32 - 1)
    return int(_process.tt_memtrace_flush(milliseconds)) == 0


@contextmanager
def phase(name: str) -> Iterator[None]:
    if not IS_LOADED:
        yield
        return
    told = text(name)
    _process.tt_memtrace_phase_begin(told, len(told))
    try:
        yield
    finally:
        _process.tt_memtrace_phase_end()


def capture_path() -> str | None:
    """The capture of this process; None if there is none."""
    if not is_enabled():
        return None
    function = getattr(_process, "tt_memtrace_capture_path", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
    function.restype = ctypes.c_uint64
    path = ctypes.create_string_buffer(4096)
    length = function(path, len(path))
    return path.raw[:length].decode(errors="surrogateescape") if 0 < length <= len(path) else None
