"""Buffers that are freed while Python comes to its end: by an exit handler, with the module, with another one, and by the
last collection."""

import atexit
import ctypes
import sys

from told import Buffer, new, released

deallocate = ctypes.CDLL(None).tt_memtrace_track_deallocate
deallocate.argtypes = [ctypes.POINTER(Buffer)]


class Held:
    def __init__(self):
        _, self.buffer = new()
        self.deallocate = deallocate
        released(self.buffer)

    def __del__(self):
        self.deallocate(self.buffer)


by_handler = Held()
atexit.register(lambda: globals().pop("by_handler"))
with_the_module = Held()
sys.kept_by_another_module = Held()
cycle = [Held()]
cycle.append(cycle)
