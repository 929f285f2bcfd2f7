"""The op loop of the stock runtime on a mock board: recorded, passive, and without the library, paired.

Four processes live side by side and take turns, a block of ops each, in an order that rotates: two without the
library (their ratio, A/A, shows what the method can tell apart), one with the library switched off, one recording.
The library cannot be switched within a process, so each process keeps its own layout of memory; several sets of
processes are run because of that. Run by `scripts/bench --ttnn`; usage: op_loop.py LIBRARY [SETS [ROUNDS]].
"""

import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

BLOCK = 500
MODES = ("without", "again", "passive", "recording")


def work():
    """In the runtime's process: a block for each line that comes in, its seconds per op out."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/ttnn/workloads"))
    import ttnn
    from checkpoints import close_mesh, open_mesh, tensor

    mesh = open_mesh()
    x = tensor(mesh, 1, 1, 64, 64)
    for _ in range(2 * BLOCK):
        y = ttnn.add(x, x)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(BLOCK):
            y = ttnn.add(x, x)
        print("block", (time.perf_counter() - start) / BLOCK, flush=True)
    del x, y
    close_mesh(mesh)


class Process:
    def __init__(self, mode, library, folder):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TT_MEMTRACE_", "TT_ALLOC_", "LD_PRELOAD"))}
        if mode in ("passive", "recording"):
            environment["LD_PRELOAD"] = library
        if mode == "recording":
            environment |= {"TT_ALLOC_TRACKING_ENABLED": "1", "TT_MEMTRACE_OUTPUT": f"{folder}/x.jsonl"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work"], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def wait_for(self, word):
        for line in self.process.stdout:
            if line.split()[:1] == [word]:
                return line.split()
        raise SystemExit(f"the process ended with {self.process.wait()} before it said {word}")

    def block(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.wait_for("block")[1])

    def end(self):
        self.process.stdin.close()
        self.process.stdout.read()
        assert self.process.wait() == 0


def median_and_interval(values):
    """The median, and where 95 % of the medians of resampled values lie."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(1000))
    return statistics.median(values), medians[25], medians[974]


def measure(library, n_rounds):
    with tempfile.TemporaryDirectory() as folder:
        processes = {mode: Process(mode, library, folder) for mode in MODES}
        for process in processes.values():
            process.wait_for("ready")
        blocks = {mode: [] for mode in MODES}
        for turn in range(n_rounds):
            for i in range(len(MODES)):
                mode = MODES[(turn + i) % len(MODES)]
                blocks[mode].append(processes[mode].block())
        for process in processes.values():
            process.end()
        with open(f"{folder}/x.jsonl", encoding="utf-8") as capture:
            n_events = sum(1 for line in capture if '"n":' in line)
        assert n_events > n_rounds * BLOCK, f"only {n_events} events were recorded"
    per_op = n_events / ((n_rounds + 2) * BLOCK)
    print(f"op loop, {n_rounds} blocks of {BLOCK} ops each, {per_op:.1f} events an op:")
    of_modes = {}
    for mode in MODES:
        ratios = [block / base for block, base in zip(blocks[mode], blocks["without"], strict=True)]
        ratio, low, high = median_and_interval(ratios)
        of_modes[mode] = ratio
        label = "without (A)" if mode == "without" else "without (A/A)" if mode == "again" else mode
        print(f"  {label:<14} {statistics.median(blocks[mode]) * 1e6:6.2f} us an op, ratio {ratio:.4f} ({low:.4f} to {high:.4f})")
    sys.stdout.flush()
    return of_modes


if __name__ == "__main__":
    if sys.argv[1:] == ["--work"]:
        work()
    else:
        n_sets = int(sys.argv[2]) if len(sys.argv) > 2 else 8
        n_rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 60
        sets = [measure(os.path.abspath(sys.argv[1]), n_rounds) for _ in range(n_sets)]
        print(f"over {n_sets} sets of processes, the medians' median, least and greatest:")
        for mode in MODES[1:]:
            ratios = sorted(of_modes[mode] for of_modes in sets)
            print(f"  {mode:<14} {statistics.median(ratios):.4f} ({ratios[0]:.4f} to {ratios[-1]:.4f})")
