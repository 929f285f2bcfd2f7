"""The same op over and over (OPS times, 50 by default), what stays in the program cache, and clearing it."""

import os
import time

import ttnn
from checkpoints import STABLE, checkpoint, close_mesh, emit, open_mesh, tensor

ops = int(os.environ.get("OPS", "50"))
mesh = open_mesh()
x = tensor(mesh, 1, 1, 64, 64)
y = ttnn.add(x, x)
checkpoint("compiled", mesh, {"x": x, "y": y})

start = time.perf_counter()
for _ in range(ops):
    y = ttnn.add(x, x)
microseconds = (time.perf_counter() - start) / ops * 1e6
checkpoint("looped", mesh, {"x": x, "y": y})

product = ttnn.matmul(x, y)
weights = ttnn.softmax(product, dim=-1)
wide = ttnn.reshape(y, (1, 1, 32, 128))
checkpoint("other ops", mesh, {"product": product, "weights": weights, "wide": wide})

del y, product, weights, wide
checkpoint("only the input, and what the cache keeps", mesh)

mesh.clear_program_cache()
checkpoint("cache cleared", mesh)

y = ttnn.add(x, x)
checkpoint("compiled again", mesh, {"y": y})

del x, y
checkpoint("nothing left", mesh)
if not STABLE:
    emit("timing", ops=ops, us_per_op=round(microseconds, 1))
close_mesh(mesh)
