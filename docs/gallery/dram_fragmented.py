"""DRAM is in pieces: of many long-lived tensors some were freed, and small ones remained between the large holes."""

import ttnn
from board import DRAM, N_TO_FREE, free_pages, open_mesh, pages

mesh = open_mesh()
quarter = free_pages(mesh, DRAM) // 4
first = ttnn.empty(**pages(mesh, quarter, DRAM))
lookup = [ttnn.empty(**pages(mesh, 1, DRAM)) for _ in range(20)]
second = ttnn.empty(**pages(mesh, quarter, DRAM))
weights = ttnn.empty(**pages(mesh, free_pages(mesh, DRAM), DRAM))
del first, second
for block in range(N_TO_FREE):
    lookup.pop()  # the one beside the upper hole
activation = ttnn.empty(**pages(mesh, quarter + 7, DRAM))
