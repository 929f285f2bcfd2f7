"""The C functions of the recorder that was preloaded into this process (``tt_memtrace.h``)."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A preloaded library is in the global scope, as the executable itself is. Never loaded from here: what is loaded
# after the runtime sees nothing.
_process = ctypes.CDLL(None)

if hasattr(_process, "tt_memtrace_mark"):
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
else:
    IS_LOADED = False


def is_enabled() -> bool:
    return IS_LOADED and bool(_process.tt_memtrace_is_enabled())


def mark(name: str) -> None:
    if IS_LOADED:
        # A zero byte would end the name; lone surrogates have no UTF-8.
        _process.tt_memtrace_mark(name.replace("\0", "\ufffd").encode(errors="replace"))


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
    text = name.encode(errors="replace")
    _process.tt_memtrace_phase_begin(text, len(text))
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
    text = ctypes.create_string_buffer(4096)
    length = function(text, len(text))
    return text.raw[:length].decode(errors="surrogateescape") if 0 < length <= len(text) else None
