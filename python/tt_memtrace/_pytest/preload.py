"""The recorder has to be there before the runtime is."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _native, _tool

if TYPE_CHECKING:
    import pytest

# The process that was started again, which keeps its number. Not of the recorder's own names, which would complain about it.
GUARD = "_TT_MEMTRACE_PYTEST"
#: The library that holds the runtime, from ttnn 0.62 on and before.
RUNTIMES = (b"/libtt_metal.so", b"/_ttnncpp.so")
#: Why the recorder is not in this process, as far as it is known.
problem = "the recorder is not in this process"


def arrange(config: pytest.Config) -> None:
    """Put the recorder into this process and into those that it starts, if it is not there.

    Where that is too late, this very command is started again under the recorder, once: a plugin that came earlier has
    loaded the runtime, or another library would be asked before the recorder is. If that cannot be done the session says
    so and does not measure.
    """
    global problem
    if _native.IS_LOADED:
        return
    library = _tool.library_path()
    if os.environ.get(GUARD) == str(os.getpid()):
        problem = f"{library} cannot be preloaded"
        return
    can_restart = _is_own_process(config)
    try:
        environment = _environment(config, library)
        if _is_runtime_loaded():
            problem = "the runtime was loaded before the recorder"
        elif not (can_restart and _native.is_cxx_global()):
            _load(library, environment)
            return
    except OSError as error:
        can_restart = can_restart and "static TLS" in str(error)
        problem = str(error)
    if can_restart:
        sys.stdout.flush()
        sys.stderr.flush()
        environment[GUARD] = str(os.getpid())
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **environment})


def _environment(config: pytest.Config, library: Path) -> dict[str, str]:
    """What the recorder finds in this process and in those that it starts."""
    preloaded = [path for path in os.environ.get("LD_PRELOAD", "").split(":") if path]
    environment = {
        "LD_PRELOAD": ":".join([_without_spaces(str(library)), *preloaded]),
        "TT_ALLOC_TRACKING_ENABLED": "1",
        "TT_MEMTRACE_STACKS": os.environ.get("TT_MEMTRACE_STACKS", "python"),
    }
    output = config.known_args_namespace.tt_memtrace_output
    if output or not os.environ.get("TT_MEMTRACE_OUTPUT"):
        output = output or f"tt-memtrace-pytest.{time.strftime('%Y%m%d-%H%M%S')}"
        environment["TT_MEMTRACE_OUTPUT"] = os.path.abspath(output) + "/"
    return environment


def _load(library: Path, environment: dict[str, str]) -> None:
    """Raises ``OSError`` if it cannot be loaded. Then this process has the environment that it had."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        _native.load(library)
    except OSError:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        raise


def _is_runtime_loaded() -> bool:
    """Whether calls of the runtime are bound already. By its libraries: Python programs are not all that brings them."""
    maps = Path("/proc/self/maps").read_bytes()
    return any(name in maps for name in RUNTIMES)


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
    link = os.path.join(folder, f"lib-{hashlib.sha256(os.fsencode(library)).hexdigest()[:16]}.so")
    temporary = f"{link}.{os.getpid()}"
    os.symlink(library, temporary)
    os.replace(temporary, link)
    return link


def why_not_measured() -> str:
    """A line for people, where the recorder does not record."""
    why = f"{problem}; start it as: tt-memtrace run -- pytest --tt-memtrace ..."
    if _native.IS_LOADED:
        why = "the recorder is switched off, or has said what it cannot do"
    return f"tt-memtrace: device memory was NOT MEASURED: {why}"
