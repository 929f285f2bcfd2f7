"""The recorder has to be there when the process starts: pytest is started again with it, once."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _native, _tool

if TYPE_CHECKING:
    import pytest

# Says that this has been done. Not of the recorder's own names, which would complain about it.
GUARD = "_TT_MEMTRACE_PYTEST"
NOT_MEASURED = (
    "tt-memtrace: device memory was NOT MEASURED: the recorder is not in this process; "
    "start it as: tt-memtrace run -- pytest --tt-memtrace ..."
)


def arrange(config: pytest.Config) -> None:
    """Start this very command again under the recorder, if it is not there and that can be done.

    If it cannot be done the session says so and does not measure.
    """
    if _native.IS_LOADED or os.environ.get(GUARD) or not _is_own_process(config):
        return
    library = _tool.library_path()
    if not library.is_file():
        return
    environment = dict(os.environ)
    preloaded = [path for path in environment.get("LD_PRELOAD", "").split(":") if path]
    environment["LD_PRELOAD"] = ":".join([_without_spaces(str(library)), *preloaded])
    environment["TT_ALLOC_TRACKING_ENABLED"] = "1"
    environment.setdefault("TT_MEMTRACE_STACKS", "python")
    environment[GUARD] = "1"
    output = config.known_args_namespace.tt_memtrace_output
    if output or not environment.get("TT_MEMTRACE_OUTPUT"):
        output = output or f"tt-memtrace-pytest.{time.strftime('%Y%m%d-%H%M%S')}"
        environment["TT_MEMTRACE_OUTPUT"] = os.path.abspath(output) + "/"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _is_own_process(config: pytest.Config) -> bool:
    """Whether this process is that pytest and nothing else: a program that calls ``pytest.main`` is not restarted."""
    arguments = [str(argument) for argument in config.invocation_params.args]
    program = Path(sys.argv[0])
    is_pytest = program.name in ("pytest", "py.test") or program.parts[-2:] == ("pytest", "__main__.py")
    return is_pytest and sys.argv[1:] == arguments and bool(sys.orig_argv)


def _without_spaces(library: str) -> str:
    """``LD_PRELOAD`` is split at spaces and colons: another name for such a path."""
    if " " not in library and ":" not in library:
        return library
    import hashlib

    folder = f"/tmp/tt-memtrace-{os.getuid()}"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid():
        return library
    link = os.path.join(folder, f"lib-{hashlib.sha256(library.encode()).hexdigest()[:16]}.so")
    temporary = f"{link}.{os.getpid()}"
    os.symlink(library, temporary)
    os.replace(temporary, link)
    return link
