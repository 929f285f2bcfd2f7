"""usage: endings.py close|reopen|exit|raise|hard|kill

Ways to end with tensors alive: close the mesh, close it and open another, leave, raise, os._exit, SIGKILL.
"""

import os
import signal
import sys

import ttnn
from checkpoints import checkpoint, close_mesh, open_mesh, tensor

mode = sys.argv[1]
mesh = open_mesh()
held = {"dram": tensor(mesh, 1, 1, 64, 64), "l1": tensor(mesh, 1, 1, 32, 64, memory=ttnn.L1_MEMORY_CONFIG)}
held["sum"] = ttnn.add(held["dram"], held["dram"])
checkpoint("three alive", mesh, held)

if mode == "close":
    close_mesh(mesh)
    checkpoint("closed over three")
elif mode == "reopen":
    close_mesh(mesh)
    mesh = open_mesh()
    checkpoint("another mesh", mesh)
    held["new"] = tensor(mesh, 1, 1, 64, 64)  # where one lies that was never freed
    checkpoint("one alive on it", mesh, {"new": held["new"]})
    close_mesh(mesh)
    checkpoint("closed over one more")
elif mode == "raise":
    raise RuntimeError("meant to be raised")
elif mode == "hard":
    os._exit(0)
elif mode == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif mode != "exit":
    sys.exit(__doc__)
