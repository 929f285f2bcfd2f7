"""64 bytes are left in L1 at each step, and after many good steps an addition has no room any more."""

import ttnn
from board import DRAM, L1, N_TO_FREE, PAGE, free_pages, mark, open_mesh, pages

ROW = {"dtype": ttnn.bfloat16, "layout": ttnn.ROW_MAJOR_LAYOUT, "memory_config": ttnn.MemoryConfig(buffer_type=L1)}

mesh = open_mesh()
n_cores = ttnn.get_memory_view(mesh, L1).num_banks
a = ttnn.empty(**pages(mesh, 1, DRAM))
needed = 3 * 2  # pages: an addition has three circular buffers of two
reserved = ttnn.empty(**pages(mesh, free_pages(mesh, L1) - needed - 1, L1))
left = []
for step in range(2 * PAGE // 64):
    mark("step")
    left.append(ttnn.empty((1, 1, n_cores, 32), device=mesh, **ROW))  # a row of 64 bytes on each core
    try:
        ttnn.add(a, a)
    except RuntimeError:
        for block in range(N_TO_FREE):
            left.pop()
        ttnn.add(a, a)
        break
