"""``python -m tt_memtrace`` is the ``tt-memtrace`` command."""

import os
import sys

from . import _tool

if __name__ == "__main__":
    command = _tool.command()
    os.execv(command, [command, *sys.argv[1:]])
