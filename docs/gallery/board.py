"""What the programs of the gallery share: a mesh over all chips of the board, and blocks of one page in each bank.

Each program takes a number, 0 if it is left out: so many blocks it frees just before the step that fails.
"""

import ctypes
import sys

import ttnn

PAGE = 2048  # of a tensor in tiles of bfloat16
DRAM, L1 = ttnn.BufferType.DRAM, ttnn.BufferType.L1

N_TO_FREE = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 0

_mark = getattr(ctypes.CDLL(None), "tt_memtrace_mark", None)


def mark(name):
    """Names this moment, where the tracker listens."""
    if _mark:
        _mark(name.encode())


def open_mesh():
    """All chips, as they lie on the board: one, a pair, or two rows of four."""
    shape = {1: (1, 1), 2: (1, 2), 8: (2, 4)}[ttnn.get_num_devices()]
    return ttnn.open_mesh_device(ttnn.MeshShape(*shape))


def pages(mesh, n, where):
    """For `ttnn.empty`: a tensor that takes `n` pages in each bank."""
    n_banks = ttnn.get_memory_view(mesh, where).num_banks
    return {
        "shape": (1, 1, 32, 32 * n * n_banks),
        "dtype": ttnn.bfloat16,
        "layout": ttnn.TILE_LAYOUT,
        "device": mesh,
        "memory_config": ttnn.MemoryConfig(buffer_type=where),
    }


def free_pages(mesh, where):
    """How many pages the largest hole of a bank has room for."""
    return ttnn.get_memory_view(mesh, where).largest_contiguous_bytes_free_per_bank // PAGE
