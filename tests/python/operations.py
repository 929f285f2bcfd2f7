"""Operations: one, one in another, one that calls the program back, ones that come and go, and on threads."""

import sys
import threading

import told
from told import alloc, held, released
from ttnn import decorators
from ttnn.decorators import FastOperation, composite

FILE = decorators.__file__
IN_CALL = FastOperation.__call__.__code__.co_firstlineno + 1
IN_COMPOSITE = composite.__code__.co_firstlineno + 2


def line(operation, op, inside, *arguments):
    """Calls an operation that allocates; `inside` are the frames between this line and the allocation."""
    number, argument = told.new()
    operation(*arguments, argument)
    told.tell(number, inside + told.frames(sys._getframe(), line.__code__.co_firstlineno + 3), op)


def frame_of(op):
    return [FILE, op, IN_CALL]


add = FastOperation("ttnn.add", released)
to_device = FastOperation("ttnn.to_device", held)
from_torch = FastOperation("ttnn.from_torch", composite)
for _ in range(3):
    alloc()
    line(add, "ttnn.add", [frame_of("ttnn.add")])
    line(to_device, "ttnn.to_device", [frame_of("ttnn.to_device")])
    # The runtime's own Python is between the program's line and the inner operation.
    inside = [frame_of("ttnn.to_device"), [FILE, "composite", IN_COMPOSITE], frame_of("ttnn.from_torch")]
    line(from_torch, "ttnn.from_torch", inside, to_device)

# The program's own Python, called back: without an operation of its own it is in the one around it.
FastOperation("ttnn.callback", alloc)("ttnn.callback")
FastOperation("ttnn.around", lambda: line(add, "ttnn.add", [frame_of("ttnn.add")]))()

vars(add)
line(add, "ttnn.add", [frame_of("ttnn.add")])
for i in range(200):
    name = f"ttnn.made_{i}"
    line(FastOperation(name, released), name, [frame_of(name)])
line(FastOperation("ttnn.\xfcber", released), "ttnn.\xfcber", [frame_of("ttnn.\xfcber")])


def on_a_thread(n):
    name = f"ttnn.on_{n}"
    for _ in range(20):
        line(FastOperation(name, released), name, [frame_of(name)])


threads = [threading.Thread(target=on_a_thread, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
