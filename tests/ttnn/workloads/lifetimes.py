"""How tensors end in Python: aliases, cycles, tracebacks, refusals, moves, views, work in a second thread."""

import gc
import threading

import ttnn
from checkpoints import checkpoint, close_mesh, emit, open_mesh, tensor

gc.disable()  # cycles go when we say so
mesh = open_mesh()

first = tensor(mesh, 1, 1, 32, 64)
second = first
del first
checkpoint("held by its other name", mesh, {"second": second})
ttnn.deallocate(second)
checkpoint("deallocated, but still an object", mesh, {"second": second})

ring = [tensor(mesh, 1, 1, 64, 64)]
ring.append(ring)
del ring
checkpoint("held by a cycle", mesh)
gc.collect()
checkpoint("cycle collected", mesh)


def fail():
    local = tensor(mesh, 1, 1, 32, 32)
    raise ValueError(local)


try:
    fail()
except ValueError as error:
    checkpoint("held by an exception", mesh, {"local": error.args[0]})
checkpoint("exception handled", mesh)

try:
    tensor(mesh, 64, 1, 16384, 16384)
except RuntimeError:
    emit("refused")
checkpoint("more than there is", mesh)

low, high = tensor(mesh, 1, 1, 64, 64), tensor(mesh, 1, 1, 64, 64)
del low
high = ttnn.reallocate(high)
checkpoint("moved into the hole", mesh, {"high": high})
view = ttnn.reshape(high, high.shape)
del high
checkpoint("held by a view", mesh, {"view": view})

made = {}


def work():
    made["kept"] = tensor(mesh, 1, 1, 32, 32)
    ttnn.deallocate(ttnn.add(made["kept"], made["kept"]))


thread = threading.Thread(target=work)
thread.start()
thread.join()
checkpoint("made in a thread", mesh, made)

del view
made.clear()
mesh.clear_program_cache()
checkpoint("nothing left", mesh)
close_mesh(mesh)
