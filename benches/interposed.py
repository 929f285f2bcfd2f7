"""What an event costs through the interposed functions of the stock runtime: see `interposed.c`, which measures.

Run by `scripts/bench`, on a mock board, with `interposed.so` and the library preloaded in this order;
usage: interposed.py INTERPOSED_SO THREADS...
"""

import ctypes
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/ttnn/workloads"))
import ttnn  # noqa: F401, E402
from checkpoints import close_mesh, open_mesh, tensor  # noqa: E402

N_CALLS = 10_000
N_SINGLES = 100_000
MOST_THREADS = 8

if __name__ == "__main__":
    measure = ctypes.CDLL(sys.argv[1])
    mesh = open_mesh()
    tensor(mesh, 1, 1, 32, 32)
    measure.interposed_watch()
    tensors = [tensor(mesh, 1, 1, 64, 64) for _ in range(MOST_THREADS)]
    for n_threads in map(int, sys.argv[2:]):
        measure.interposed_measure(n_threads, N_CALLS // n_threads, N_SINGLES // n_threads)
    del tensors
    close_mesh(mesh)
