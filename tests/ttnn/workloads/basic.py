"""A tensor of every kind, freed in another order than they came."""

import ttnn
from checkpoints import checkpoint, close_mesh, cores, open_mesh, sharded, tensor

mesh = open_mesh(l1_small_size=8192)
checkpoint("nothing yet", mesh)

dram = tensor(mesh, 1, 1, 256, 512)
checkpoint("one in DRAM", mesh, {"dram": dram})

l1 = tensor(mesh, 1, 1, 128, 256, memory=ttnn.L1_MEMORY_CONFIG)
shards = tensor(mesh, 1, 1, 128, 64, memory=sharded("HEIGHT", cores(4), (32, 64)))
small = tensor(mesh, 1, 1, 32, 32, memory=sharded("HEIGHT", cores(1), (32, 32), ttnn.BufferType.L1_SMALL))
rows = tensor(mesh, 5, 7, dtype=ttnn.uint32, layout=ttnn.ROW_MAJOR_LAYOUT)
packed = tensor(mesh, 1, 1, 96, 32, dtype=ttnn.bfloat8_b)
written = ttnn.zeros((1, 1, 32, 96), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=mesh)
held = {"l1": l1, "shards": shards, "small": small, "rows": rows, "packed": packed, "written": written}
checkpoint("one of each", mesh, held)

total = ttnn.add(dram, dram)
checkpoint("a sum", mesh, {"total": total})

ttnn.deallocate(l1)
ttnn.deallocate(dram)
checkpoint("two deallocated", mesh, {"l1": l1, "total": total})

del small, shards, held
checkpoint("two dropped", mesh)

again = tensor(mesh, 1, 1, 64, 512)  # fits into the hole that the first one left
checkpoint("the hole used again", mesh, {"again": again, "total": total})

del again, l1, dram, rows, packed, written, total
checkpoint("nothing left", mesh)

close_mesh(mesh)
checkpoint("closed")
