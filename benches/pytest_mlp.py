"""Sixty tests that only call operations: each opens its device, and runs the layers of a small network two hundred
times, which is 2,000 operations."""

import pytest
import ttnn

N_LAYERS, N_STEPS = 3, 200


@pytest.fixture
def mesh():
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 1))
    yield mesh
    ttnn.close_mesh_device(mesh)


def tensor(mesh, rows, columns):
    return ttnn.empty([1, 1, rows, columns], ttnn.bfloat16, ttnn.TILE_LAYOUT, mesh, ttnn.DRAM_MEMORY_CONFIG)


@pytest.mark.parametrize("n", range(60))
def test_mlp(mesh, n):
    rows = 32 * (1 + n % 4)
    weights = [(tensor(mesh, 256, 256), tensor(mesh, rows, 256)) for _ in range(N_LAYERS)]
    for _ in range(N_STEPS):
        x = tensor(mesh, rows, 256)
        for weight, bias in weights:
            x = ttnn.add(ttnn.matmul(x, weight), bias)
            x = ttnn.multiply(x, x)
        x = ttnn.softmax(x, dim=-1)
    assert list(x.shape) == [1, 1, rows, 256]
