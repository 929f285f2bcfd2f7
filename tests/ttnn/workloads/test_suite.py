"""A suite as a user has it, for pytest: one test leaks, and one fails over live tensors, as it is meant to.

The checkpoints go to the file that CHECKPOINTS names.
"""

import contextlib
import os
import sys
from pathlib import Path

import pytest
import ttnn

sys.path.insert(0, str(Path(__file__).parent))

import checkpoints
from checkpoints import tensor

LEAKED = []


@contextlib.contextmanager
def to_file():
    with open(os.environ.get("CHECKPOINTS", os.devnull), "a") as file, contextlib.redirect_stdout(file):
        yield


@pytest.fixture
def mesh():
    with to_file():
        mesh = checkpoints.open_mesh()
    yield mesh
    with to_file():
        checkpoints.checkpoint("end of the test", mesh)
        checkpoints.close_mesh(mesh)


@pytest.fixture
def checkpoint(mesh):
    def note(name):
        with to_file():
            checkpoints.checkpoint(name, mesh)

    return note


def test_frees_what_it_makes(mesh, checkpoint):
    x = tensor(mesh, 1, 1, 64, 64)
    y = ttnn.add(x, x)
    checkpoint("two alive")
    ttnn.deallocate(x)
    del y
    checkpoint("none alive")


def test_leaks(mesh, checkpoint):
    LEAKED.append(tensor(mesh, 1, 1, 96, 96))
    checkpoint("leaked")


def test_fails_over_live_tensors(mesh, checkpoint):
    x = ttnn.add(tensor(mesh, 1, 1, 32, 32), 1.0)
    checkpoint("before the failure")
    assert list(x.shape) == []


@pytest.mark.parametrize("rows", [32, 64])
def test_in_l1(mesh, checkpoint, rows):
    x = tensor(mesh, 1, 1, rows, 64, memory=ttnn.L1_MEMORY_CONFIG)
    checkpoint("one in L1")
    assert x.shape[2] == rows
