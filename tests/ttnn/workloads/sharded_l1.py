"""Activations in L1: interleaved, and in height, width and block shards; copied and replaced."""

import ttnn
from checkpoints import checkpoint, close_mesh, cores, open_mesh, sharded, tensor

mesh = open_mesh()
SHAPE = (1, 1, 128, 128)
block = sharded("BLOCK", cores(2, 2), (64, 64))

held = {"interleaved": tensor(mesh, *SHAPE, memory=ttnn.L1_MEMORY_CONFIG)}
held["height"] = tensor(mesh, *SHAPE, memory=sharded("HEIGHT", cores(4), (32, 128)))
checkpoint("height", mesh, held)
held["width"] = tensor(mesh, *SHAPE, memory=sharded("WIDTH", cores(2), (128, 64)))
checkpoint("width", mesh, held)
held["block"] = tensor(mesh, *SHAPE, memory=block)
checkpoint("block", mesh, held)

del held["interleaved"], held["width"]
checkpoint("two holes", mesh, held)

held["copy"] = ttnn.to_memory_config(held["block"], ttnn.DRAM_MEMORY_CONFIG)
checkpoint("a copy in DRAM", mesh, held)

ttnn.deallocate(held.pop("block"))
held["next"] = tensor(mesh, *SHAPE, memory=block)
checkpoint("replaced", mesh, held)

held.clear()
checkpoint("nothing left", mesh)
close_mesh(mesh)
