"""Makes ``pip install ./python`` in a checkout install the wheel that ``scripts/wheel`` builds, with the library in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, NoReturn


def build_wheel(folder: str, settings: dict[str, Any] | None = None, metadata: str | None = None) -> str:
    script = Path(__file__).resolve().parent.parent / "scripts" / "wheel"
    # pip's own environment is not for what the script installs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_REQ"))}
    built = subprocess.run([script, folder], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.splitlines()[-1]).name


def build_sdist(folder: str, settings: dict[str, Any] | None = None) -> NoReturn:
    raise SystemExit("tt-memtrace: the library is not built from a source distribution; build the wheel: scripts/wheel")
