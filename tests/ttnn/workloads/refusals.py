"""What the runtime refuses, swallowed by the program: an allocation, and programs whose buffers meet L1 buffers.

Each refusal is a line with what the runtime said of it.
"""

import ttnn
from checkpoints import checkpoint, close_mesh, emit, open_mesh, tensor


def refused(what, attempt):
    """What the runtime said, without the stack that it adds."""
    try:
        attempt()
        emit("fits", what=what)
    except RuntimeError as error:
        emit("refused", what=what, said=str(error).split("backtrace:")[0])


mesh = open_mesh()
small = tensor(mesh, 1, 1, 64, 64)
held = [tensor(mesh, 1, 1, 32, 32 * 64)]
size = ttnn.get_memory_view(mesh, ttnn.BufferType.DRAM)
pages = size.total_bytes_per_bank // 2048 * size.num_banks
refused("more than a bank holds", lambda: tensor(mesh, 1, 1, 32, 32 * 2 * pages))
small_l1 = ttnn.MemoryConfig(buffer_type=ttnn.BufferType.L1_SMALL)
refused("no L1_SMALL", lambda: tensor(mesh, 1, 1, 32, 32, memory=small_l1))
view = ttnn.get_memory_view(mesh, ttnn.BufferType.L1)
pages = (view.largest_contiguous_bytes_free_per_bank - 4096) // 2048 * view.num_banks
held.append(tensor(mesh, 1, 1, 32, 32 * pages, memory=ttnn.L1_MEMORY_CONFIG))
refused("L1", lambda: tensor(mesh, 1, 1, 32, 32 * 3 * view.num_banks, memory=ttnn.L1_MEMORY_CONFIG))
for name in ("add", "matmul"):
    refused(name, lambda: getattr(ttnn, name)(small, small))
checkpoint("refused", mesh)
held.clear()
for name in ("add", "matmul"):
    refused(name, lambda: getattr(ttnn, name)(small, small))
del small
close_mesh(mesh)
