"""One test keeps tensors in L1, another one fails for it. Run with `pytest`; the test that leaks passes.

The number of blocks to free is taken from the environment, as pytest has arguments of its own: N_TO_FREE=6 pytest ...
"""

import os

import pytest
import ttnn
from board import DRAM, L1, free_pages, open_mesh, pages

kept = []


@pytest.fixture(scope="module")
def mesh():
    mesh = open_mesh()
    yield mesh
    kept.clear()
    ttnn.close_mesh_device(mesh)


def test_shapes(mesh):
    assert ttnn.empty(**pages(mesh, 1, DRAM)).shape[-2] == 32


def test_cache_fills(mesh):
    kept.append(ttnn.empty(**pages(mesh, free_pages(mesh, L1) - 40, L1)))
    kept.extend(ttnn.empty(**pages(mesh, 1, L1)) for _ in range(40))
    assert len(kept) == 41


def test_add(mesh):
    a = ttnn.empty(**pages(mesh, 1, DRAM))
    for block in range(int(os.environ.get("N_TO_FREE", 0))):
        kept.pop()
    assert ttnn.add(a, a).shape == a.shape
