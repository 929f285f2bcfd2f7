"""Tensors of a stock ttnn, each of which the extension in argv[1] reports a second time, if it is given.

The numbers of a buffer are read from the process's own capture, `TT_MEMTRACE_OUTPUT`: ttnn shows them to no Python.
"""

import ctypes
import json
import os
import sys

import ttnn
from checkpoints import checkpoint, close_mesh, open_mesh, tensor

TYPES = {"DRAM": 0, "L1": 1}
extension = ctypes.CDLL(sys.argv[1]) if len(sys.argv) > 1 else None
told = {}


def newest():
    """The allocation that was recorded last."""
    ctypes.CDLL(None).tt_memtrace_flush(10_000)
    with open(os.environ["TT_MEMTRACE_OUTPUT"]) as capture:
        lines = [line for line in capture if line.startswith('{"kind":"alloc"')]
    return json.loads(lines[-1])


def report(line, is_end):
    keys = ("address", "size_bytes", "page_size_bytes", "per_bank_bytes", "unique_id")
    numbers = [ctypes.c_uint64(int(line[key])) for key in keys]
    extension.report(is_end, ctypes.c_uint32(line["mesh_id"]), TYPES[line["type"]], *numbers)


def made(name, *shape, memory):
    one = tensor(mesh, *shape, memory=memory)
    if extension:
        told[name] = newest()
        report(told[name], is_end=0)
    return one


def freed(name, one):
    if extension:
        report(told[name], is_end=1)
    ttnn.deallocate(one)


mesh = open_mesh()
if extension:
    extension.begin(b"twice", ctypes.c_uint64(5))
for i in range(3):
    dram = made("dram", 1, 1, 256, 512, memory=ttnn.DRAM_MEMORY_CONFIG)
    l1 = made("l1", 1, 1, 128, 256, memory=ttnn.L1_MEMORY_CONFIG)
    checkpoint("both", mesh)
    freed("dram", dram)
    again = made("again", 1, 1, 256, 512, memory=ttnn.DRAM_MEMORY_CONFIG)  # at the same address
    checkpoint("again", mesh)
    freed("l1", l1)
    freed("again", again)
    checkpoint("none", mesh)
left = made("left", 1, 1, 64, 64, memory=ttnn.DRAM_MEMORY_CONFIG)
checkpoint("one left", mesh)
if extension:
    extension.end()
close_mesh(mesh)
