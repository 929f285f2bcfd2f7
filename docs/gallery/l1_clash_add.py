"""An addition has no room in L1: blocks were kept there until they reached down to its circular buffers."""

import ttnn
from board import DRAM, L1, N_TO_FREE, free_pages, open_mesh, pages

mesh = open_mesh()
a = ttnn.empty(**pages(mesh, 1, DRAM))
reserved = ttnn.empty(**pages(mesh, free_pages(mesh, L1) - 40, L1))
blocks = [ttnn.empty(**pages(mesh, 1, L1)) for _ in range(40)]
for block in range(N_TO_FREE):
    blocks.pop()  # the newest: buffers of L1 grow downwards
ttnn.add(a, a)
