#!/usr/bin/env python3
"""usage: boards.py BOARD FILE

Writes the cluster descriptor with which the runtime opens BOARD as mock devices.
Exit status 2: there is no such board.

A board is a grid of chips and the Ethernet links between them. The numbers of chips and channels are those of
real machines, because the runtime works out the order of a mesh's devices from them.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple


class Link(NamedTuple):
    """A cable: consecutive channels of one chip, joined in order to channels of another."""

    chip: int
    channel: int
    other: int
    other_channel: int
    lanes: int


class Board(NamedTuple):
    arch: str
    card: str
    model: int  # the part of a card's serial number that tells what it is
    fused_off: dict[str, int]  # a bit each; harvest_mask is rows of cores on Wormhole, columns on Blackhole
    grid: list[list[int]] = [[0]]  # the chips as they lie
    cards: list[list[int]] = [[0]]  # the chips on each card
    hosted: list[int] = [0]  # the chips on the host's own bus
    links: list[Link] = []
    buses: dict[int, int] = {}  # chip to bus number

    @property
    def chips(self) -> list[int]:
        return sorted(chip for card in self.cards for chip in card)


def t3k() -> Board:
    """Four n300 cards, each a hosted chip and its partner, cabled up as a grid of 4 by 2."""
    on_card = [Link(chip, 8, chip + 4, 0, 2) for chip in range(4)]
    cables = [(0, 14, 1, 14), (2, 14, 3, 14), (0, 6, 2, 6), (1, 0, 3, 0), (4, 6, 5, 6), (6, 6, 7, 6)]
    return Board(
        "wormhole_b0",
        "n300",
        0x14,
        {"harvest_mask": 0x41},
        grid=[[4, 0, 2, 6], [5, 1, 3, 7]],
        cards=[[chip, chip + 4] for chip in range(4)],
        hosted=[0, 1, 2, 3],
        links=on_card + [Link(*ends, lanes=2) for ends in cables],
    )


def galaxy() -> Board:
    """A grid of 4 by 8 chips on four trays of 2 by 4, each mirrored so that its first chip is in a corner."""

    def chip(x: int, y: int) -> int:
        tray = 2 * (x > 1) + (y > 3)
        return 16 * min(x, 3 - x) + 4 * min(y, 7 - y) + tray

    # The first channels on both sides of each border between columns, and between rows.
    columns = [(12, 0), (12, 12), (0, 12)]
    rows = 3 * [(8, 4)] + [(8, 8)] + 3 * [(4, 8)]
    across = [Link(chip(x, y), a, chip(x + 1, y), b, 4) for x, (a, b) in enumerate(columns) for y in range(8)]
    down = [Link(chip(x, y), a, chip(x, y + 1), b, 4) for y, (a, b) in enumerate(rows) for x in range(4)]
    tray_buses = [0xC0, 0x40, 0x00, 0x80]
    return Board(
        "wormhole_b0",
        "ubb",
        0x35,
        {"harvest_mask": 0},
        grid=[[chip(x, y) for x in range(4)] for y in range(8)],
        cards=[list(range(32))],
        hosted=list(range(32)),
        links=across + down,
        buses={chip: tray_buses[chip % 4] + 1 + chip // 4 for chip in range(32)},
    )


BOARDS = {
    "N150": Board("wormhole_b0", "n150", 0x18, {"harvest_mask": 0x40}),
    "N300": Board(
        "wormhole_b0",
        "n300",
        0x14,
        {"harvest_mask": 0x41},
        grid=[[0, 1]],
        cards=[[0, 1]],
        links=[Link(0, 8, 1, 0, lanes=2)],
    ),
    "T3K": t3k(),
    "GALAXY": galaxy(),
    "P150": Board(
        "blackhole",
        "p150",
        0x40,
        {"harvest_mask": 0xC0, "eth_harvesting_mask": 0x120, "pcie_harvesting_mask": 0x2},
    ),
}


def descriptor(board: Board) -> dict:
    """The board as the runtime wants it written down."""
    return {
        "arch": {chip: board.arch for chip in board.chips},
        "chips": {chip: [x, y, 0, 0] for y, row in enumerate(board.grid) for x, chip in enumerate(row)},
        "chip_unique_ids": {chip: board.model << 16 | 1 + chip for chip in board.chips},
        "ethernet_connections": [
            [
                {"chip": link.chip, "chan": link.channel + lane},
                {"chip": link.other, "chan": link.other_channel + lane},
            ]
            for link in board.links
            for lane in range(link.lanes)
        ],
        "chips_with_mmio": [{chip: chip} for chip in board.hosted],
        "harvesting": {chip: {"noc_translation": True, **board.fused_off} for chip in board.chips},
        "boards": [
            [{"board_id": board.model << 36 | number}, {"board_type": board.card}, {"chips": card}]
            for number, card in enumerate(board.cards)
        ],
        "chip_to_bus_id": {chip: hex(bus) for chip, bus in board.buses.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("board", metavar="BOARD", help=", ".join(BOARDS))
    parser.add_argument("file", metavar="FILE", type=Path)
    arguments = parser.parse_args()
    name, file = arguments.board.upper(), arguments.file
    if name not in BOARDS:
        print(f"no board {name}; there are {', '.join(BOARDS)}", file=sys.stderr)
        return 2
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(descriptor(BOARDS[name])))  # which is YAML too
    partial.replace(file)  # whole, because another run may be reading it
    return 0


if __name__ == "__main__":
    sys.exit(main())
