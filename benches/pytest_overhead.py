"""What `pytest --tt-memtrace` costs a run of sixty tests with real ttnn: three runs a round, in changing order, two of
them without it, which gives the A/A figure. Usage: pytest_overhead.py PYTHON N_ROUNDS, where PYTHON has the wheel of this
package and ttnn."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
SUITE = REPO / "tests" / "ttnn" / "workloads" / "sixty_tests.py"
RUNS = {"without": [], "without again": [], "with": ["--tt-memtrace"]}


def measure(python, options):
    """Seconds by the clock, and of processor time of pytest and everything that it started."""
    with tempfile.TemporaryDirectory() as folder:
        command = [REPO / "scripts" / "mock-ttnn" / "run", "N300", python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        before, begun = os.times(), time.monotonic()
        subprocess.run(
            [*command, *options, SUITE], cwd=folder, env=os.environ | {"COUNTED": folder}, check=True, capture_output=True
        )
        seconds, after = time.monotonic() - begun, os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def main(python, n_rounds):
    names = list(RUNS)
    rounds = []
    for n in range(n_rounds):
        order = names[n % 3 :] + names[: n % 3]
        rounds.append({name: measure(python, RUNS[name]) for name in order})
    for at, what in enumerate(("clock", "processor")):
        for name in names[1:]:
            ratios = sorted(100 * (one[name][at] / one["without"][at] - 1) for one in rounds)
            low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
            print(f"{what}: {name}: {statistics.median(ratios):+.1f} % (quartiles {low:+.1f} to {high:+.1f} %)")
        print(f"{what}: median without: {statistics.median(one['without'][at] for one in rounds):.2f} s")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
