"""What it costs to know the Python line of an event, at so many frames: see `context.c`, which measures.

Run by `scripts/bench`, under the library with TT_MEMTRACE_STACKS=python; usage: context.py CONTEXT_SO.
"""

import ctypes
import sys

N_CALLS = 20_000
N_LINES = 2_000


def below(n, function):
    """Calls a function from so many frames further down."""
    return function() if n <= 1 else below(n - 1, function)


def rows(library, n_frames):
    depth = n_frames - 3  # This one, the module's, and the one that calls.
    one, many, elsewhere = library.context_one, library.context_many, library.context_many_elsewhere
    quantile = library.context_quantile
    quantile.restype, quantile.argtypes = ctypes.c_double, [ctypes.c_double, ctypes.c_int]

    def row(name):
        p50, p99 = quantile(0.5, 0), quantile(0.99, 1)
        print(f"{name:<40} {n_frames:>3} frames  p50 {p50:6.0f} ns  p99 {p99:6.0f} ns")
        return p50

    below(depth, lambda: elsewhere(N_CALLS))
    quantile(0.5, 1)
    below(depth, lambda: elsewhere(N_CALLS))
    plain = row("a thread without Python")
    below(depth, lambda: many(N_CALLS))
    same = row("the same context as before")
    # Each of its lines is a new context, a hundred to a function.
    space = {"one": one}
    source = "".join(f"def f{i}():\n" + "    one()\n" * 100 for i in range(N_LINES // 100))
    exec(compile(source, "generated.py", "exec"), space)
    for i in range(N_LINES // 100):
        below(depth, space[f"f{i}"])
    new = row("a new context")
    name = "beyond an event without a context"
    print(f"{name:<40} {n_frames:>3} frames  same {same - plain:.0f} ns, new {new - plain:.0f} ns")


if __name__ == "__main__":
    library = ctypes.CDLL(sys.argv[1])
    print(f"Python {sys.version.split()[0]}")
    for n_frames in (7, 32):
        rows(library, n_frames)
