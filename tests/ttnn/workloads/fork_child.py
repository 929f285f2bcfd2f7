"""A forked child frees and allocates on its copy of the mesh; its parent's memory stays as it was."""

import os

import ttnn
from checkpoints import checkpoint, close_mesh, open_mesh, tensor

mesh = open_mesh()
held = {name: tensor(mesh, 1, 1, rows, 256) for name, rows in [("a", 64), ("b", 128), ("c", 256)]}
held["l1"] = tensor(mesh, 1, 1, 32, 64, memory=ttnn.L1_MEMORY_CONFIG)
checkpoint("before the fork", mesh, held)

child = os.fork()
if child == 0:
    checkpoint("inherited", mesh, held)
    ttnn.deallocate(held.pop("a"))
    del held["l1"]
    checkpoint("two inherited ones freed", mesh, held)
    held["own"] = tensor(mesh, 1, 1, 32, 32)
    checkpoint("one of its own", mesh, held)
    os._exit(0)  # a normal exit would wait for threads that the fork left behind

_, status = os.waitpid(child, 0)
assert status == 0, status
checkpoint("after the child", mesh, held)
ttnn.deallocate(held.pop("b"))
held["late"] = tensor(mesh, 1, 1, 128, 64)
checkpoint("on its own again", mesh, held)
held.clear()
checkpoint("nothing left", mesh)
close_mesh(mesh)
