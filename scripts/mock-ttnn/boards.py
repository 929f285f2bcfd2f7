#!/usr/bin/env python3
"""usage: boards.py BOARD FILE

Writes the cluster descriptor that makes the runtime open BOARD as mock devices. Exit status 2: no such board.

A board here is its chips and the Ethernet links between them. The numbering of the chips and the channels
of the links follow real machines, because the runtime derives the order of a mesh's devices from them.
"""

import json
import os
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

Link = tuple[int, int, int, int]  # chip, channel, chip, channel


class Board(NamedTuple):
    arch: str
    kind: str
    cards: list[list[int]]  # the chips of each card, the one on the host's bus first
    harvested_rows: int  # bits: rows of cores that are switched off
    links: list[Link] = []


def cable(chip: int, channels: range, other: int, other_channels: range) -> list[Link]:
    return [(chip, a, other, b) for a, b in zip(channels, other_channels, strict=True)]
