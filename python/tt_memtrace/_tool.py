"""The ``tt-memtrace`` command and the files that are installed with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent


def command() -> str:
    """The command that was installed with this package; else the one on the PATH."""
    beside = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    for folder in beside:
        path = folder / "tt-memtrace"
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which("tt-memtrace")
    if found is None:
        raise RuntimeError("the tt-memtrace command is not installed; pip install tt-memtrace")
    return found


def library_path() -> Path:
    return PACKAGE / "lib" / "libtt_memtrace.so"


def environment() -> dict[str, str]:
    """For the command: it need not be recorded itself."""
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    environment.pop("TT_ALLOC_TRACKING_ENABLED", None)
    return environment


def output_of(*arguments: str, timeout: float = 60.0) -> str:
    """What the command prints for people. Raises ``RuntimeError`` if it fails or takes longer than that many seconds."""
    try:
        done = subprocess.run(
            [command(), *arguments], env=environment(), capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"tt-memtrace {arguments[0]} took longer than {timeout:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"tt-memtrace {arguments[0]} failed")
    return done.stdout


def json_of(*arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(output_of(*arguments))
    return told
