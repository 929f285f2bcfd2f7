"""A device of one chip that is not there: the calls that a runtime would make, for tests of the plugin."""

import ctypes

_process = ctypes.CDLL(None)
NONE, NONE64 = 2**32 - 1, 2**64 - 1
MEMORIES = {"DRAM": 0, "L1": 1, "L1_SMALL": 3, "TRACE": 4}
IS_LOADED = hasattr(_process, "tt_memtrace_mark")
#: Counted here, without the recorder.
live = {}


class Buffer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("struct_size", "mesh_id", "device_id", "type", "layout", "flags")),
        *((name, ctypes.c_uint64) for name in ("address", "size", "page_size", "per_bank", "unique_id", "allocator")),
    ]


def _call(name, *arguments):
    if IS_LOADED:
        getattr(_process, f"tt_memtrace_{name}")(*arguments)


def allocate(size, memory="DRAM", op=b"ttnn.empty", chip=0, banks=4):
    number = allocate.count = getattr(allocate, "count", 0) + 1
    buffer = Buffer(ctypes.sizeof(Buffer), NONE, chip, MEMORIES[memory], 0, 0)
    buffer.address, buffer.size, buffer.page_size = number << 32, size, size
    buffer.per_bank, buffer.unique_id, buffer.allocator = size // banks, number, 1 + chip
    if op:
        _call("track_function_start", op, ctypes.c_uint64(len(op)), None, ctypes.c_uint64(0))
    _call("track_allocate", ctypes.byref(buffer))
    if op:
        _call("track_function_end")
    live[number] = (memory, size)
    return buffer


def free(buffer):
    _call("track_deallocate", ctypes.byref(buffer))
    del live[buffer.unique_id]
