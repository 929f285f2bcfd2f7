"""Another workload, one step at a time: at each of its checkpoints all that happened is with the tracking server, and
it goes on when a line comes on stdin.

usage: stepwise.py WORKLOAD
"""

import ctypes
import runpy
import sys
from pathlib import Path

import checkpoints

_flush = getattr(ctypes.CDLL(None), "tt_memtrace_flush", None)
_checkpoint = checkpoints.checkpoint


def checkpoint(*arguments):
    # 0: everything before is in the ledger of the server; 2: nothing happened yet.
    status = _flush(120_000) if _flush else 0
    if status not in (0, 2):
        checkpoints.emit("unflushed", status=status)
    _checkpoint(*arguments)
    sys.stdin.readline()


checkpoints.checkpoint = checkpoint
runpy.run_path(str(Path(__file__).with_name(sys.argv[1] + ".py")), run_name="__main__")
