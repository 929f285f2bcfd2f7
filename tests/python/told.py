"""Events from known lines: an allocation, and what Python itself says of the thread that makes it.

Each is told on stdout as a JSON object: `address`, `frames` (file, function, line; the innermost first; at most 32),
`is_cut`, `op` and `test`.
"""

import ctypes
import itertools
import json
import sys

MOST_FRAMES = 32


class Buffer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("struct_size", "mesh_id", "device_id", "buffer_type")),
        *((name, ctypes.c_uint32) for name in ("buffer_layout", "flags")),
        *((name, ctypes.c_uint64) for name in ("address", "size_bytes", "page_size_bytes", "per_bank_bytes")),
        *((name, ctypes.c_uint64) for name in ("unique_id", "allocator")),
    ]


NONE = 2**32 - 1
released = ctypes.CDLL(None).tt_memtrace_track_allocate
held = ctypes.PyDLL(None).tt_memtrace_track_allocate
for call in (released, held):
    call.argtypes = [ctypes.POINTER(Buffer)]
numbers = itertools.count(1)
is_named_in_full = hasattr(compile("", "", "exec"), "co_qualname")


def alloc(op=None, test=None, call=released):
    number, argument = new()
    call(argument)
    tell(number, frames(sys._getframe(), alloc.__code__.co_firstlineno + 2), op, test)


def new():
    """An allocation that is to be reported: its number and the argument for it."""
    number = next(numbers)
    return number, Buffer(ctypes.sizeof(Buffer), NONE, 0, 0, 0, 0, 64 * number, 64, 64, 64, number, 2**64 - 1)


def frames(frame, line):
    """A frame, which is at that line, and those around it."""
    found = [[frame.f_code.co_filename, function(frame), line]]
    while (frame := frame.f_back) is not None:
        found.append([frame.f_code.co_filename, function(frame), frame.f_lineno])
    return found


def tell(number, frames, op=None, test=None):
    told = {"address": 64 * number, "frames": frames[:MOST_FRAMES], "is_cut": len(frames) > MOST_FRAMES}
    # One write: other threads tell, too.
    sys.stdout.write(json.dumps(told | {"op": op, "test": test}) + "\n")


def function(frame):
    code = frame.f_code
    if code.co_name == "__call__" and code.co_filename.endswith("/ttnn/decorators.py"):
        return frame.f_locals["self"].python_fully_qualified_name
    return code.co_qualname if is_named_in_full else code.co_name
