"""A matmul has no room in L1 any more: it ran, then blocks were kept in L1, and now its program is reused."""

import ttnn
from board import DRAM, L1, N_TO_FREE, free_pages, open_mesh, pages

mesh = open_mesh()
memory = ttnn.MemoryConfig(buffer_type=DRAM)
a = ttnn.empty((1, 1, 64, 64), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=mesh, memory_config=memory)
reserved = ttnn.empty(**pages(mesh, free_pages(mesh, L1) - 40, L1))
ttnn.matmul(a, a)
blocks = [ttnn.empty(**pages(mesh, 1, L1)) for _ in range(40)]
for block in range(N_TO_FREE):
    blocks.pop()
ttnn.matmul(a, a)
