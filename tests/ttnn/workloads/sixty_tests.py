"""Sixty tests, each of which writes down what ttnn says that it holds at its peak."""

import json
import os
from pathlib import Path

import pytest
import ttnn

kept = []


@pytest.fixture(scope="session")
def mesh():
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 1))
    yield mesh
    kept.clear()
    ttnn.close_mesh_device(mesh)


def held(mesh, memory):
    """Bytes of a bank that are allocated, as the allocator of the runtime has it."""
    return ttnn.get_memory_view(mesh, memory).total_bytes_allocated_per_bank


@pytest.mark.parametrize("n", range(60))
def test_holds(mesh, n):
    def empty(rows, memory):
        return ttnn.empty([1, 1, 32 * rows, 32], ttnn.bfloat16, ttnn.TILE_LAYOUT, mesh, memory)

    tensors = [empty(1 + n * 3, ttnn.DRAM_MEMORY_CONFIG), empty(100 + n, ttnn.L1_MEMORY_CONFIG)]
    if n % 9 == 0:
        kept.append(empty(1, ttnn.DRAM_MEMORY_CONFIG))
    counted = {"DRAM": held(mesh, ttnn.BufferType.DRAM), "L1": held(mesh, ttnn.BufferType.L1), "leaked": int(n % 9 == 0)}
    (Path(os.environ["COUNTED"]) / f"counted-{n}").write_text(json.dumps(counted))
    del tensors
