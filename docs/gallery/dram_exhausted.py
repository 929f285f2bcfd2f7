"""DRAM is full: weights take most of it, a cache grows block by block, and then a large activation is wanted."""

import ttnn
from board import DRAM, N_TO_FREE, free_pages, open_mesh, pages

mesh = open_mesh()
weights = ttnn.empty(**pages(mesh, free_pages(mesh, DRAM) * 9 // 10, DRAM))
cache = [ttnn.empty(**pages(mesh, 1, DRAM)) for _ in range(40)]
wanted = free_pages(mesh, DRAM) + 12
for block in range(N_TO_FREE):
    cache.pop()  # the newest: it lies at the border of what is free
activation = ttnn.empty(**pages(mesh, wanted, DRAM))
