"""Sixty tests of single operations: random input, the expected output by numpy, the operations some times, and the
correlation of two outputs. Mock boards compute nothing, so the second is the expected one in half precision."""

import numpy
import pytest
import ttnn

N, N_REPEATS = 2048, 20


@pytest.fixture
def mesh():
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 1))
    yield mesh
    ttnn.close_mesh_device(mesh)


@pytest.mark.parametrize("seed", range(60))
def test_multiply_add(mesh, seed):
    random = numpy.random.default_rng(seed)
    a, b = (random.standard_normal((N, N), dtype=numpy.float32) for _ in range(2))
    expected = a * b + a
    x, y = (ttnn.empty([1, 1, N, N], ttnn.bfloat16, ttnn.TILE_LAYOUT, mesh, ttnn.DRAM_MEMORY_CONFIG) for _ in range(2))
    for _ in range(N_REPEATS):
        output = ttnn.add(ttnn.multiply(x, y), x)
    assert list(output.shape) == [1, 1, N, N]
    assert numpy.corrcoef(expected.ravel(), expected.astype(numpy.float16).ravel())[0, 1] > 0.999
