"""Sizes as people write and read them."""

from __future__ import annotations

import re

_UNITS = {"": 0, "b": 0, "k": 1, "kib": 1, "m": 2, "mib": 2, "g": 3, "gib": 3, "t": 4, "tib": 4}


def parse(text: str | int) -> int:
    """Bytes of ``65536``, ``"64 KiB"`` or ``"1.5GiB"``. Raises ``ValueError`` for anything else."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = match.group(2).lower() if match else None
    if match is None or unit not in _UNITS:
        raise ValueError(f"{text!r} is no size; expected as in 65536, '64 KiB' or '1.5 GiB'")
    return round(float(match.group(1)) * 1024.0 ** _UNITS[unit])


def slack(text: str, value: int) -> int:
    """The bytes that ``2%`` or ``64KiB`` of a figure are; of several with commas between, the largest."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    shares = [int(value * float(part[:-1]) / 100) if part.endswith("%") else parse(part) for part in parts]
    return max(shares, default=0)


def show(size: int) -> str:
    """``1.50 GiB``."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    if abs(size) < 1024:
        return f"{size} B"
    while abs(value) >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.2f} {units[0]}"
