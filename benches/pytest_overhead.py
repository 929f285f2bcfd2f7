"""What `pytest --tt-memtrace` costs runs with real ttnn: of one and of sixty tests that do next to nothing, of sixty
that only call operations, and of sixty that compute what they expect. Three runs each a round, in changing order, two of
them without it, which gives the A/A figure. From the differences follows what is paid once, for each test and for each
operation.

Usage: pytest_overhead.py PYTHON N_ROUNDS [SUITE], where PYTHON has the wheel of this package and ttnn, and SUITE is a
word of the suites to measure."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
NOTHING = REPO / "tests" / "ttnn" / "workloads" / "sixty_tests.py"
SUITES = {
    "one test, nothing": [NOTHING, "-k", "test_holds[0]"],
    "sixty tests, nothing": [NOTHING],
    "sixty tests, operations": [REPO / "benches" / "pytest_mlp.py"],
    "sixty tests, expected values": [REPO / "benches" / "pytest_golden.py"],
}
N_TESTS, N_OPS = 60, 60 * 2000
RUNS = {"without": [], "without again": [], "with": ["--tt-memtrace"]}


def measure(python, options):
    """Seconds by the clock, and of processor time of pytest and everything that it started."""
    with tempfile.TemporaryDirectory() as folder:
        command = [REPO / "scripts" / "mock-ttnn" / "run", "N300", python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        before, begun = os.times(), time.monotonic()
        subprocess.run([*command, *options], cwd=folder, env=os.environ | {"COUNTED": folder}, check=True, capture_output=True)
        seconds, after = time.monotonic() - begun, os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def main(python, n_rounds, wanted=""):
    names = list(RUNS)
    rounds = {suite: [] for suite in SUITES if wanted in suite}
    if not rounds:
        sys.exit(f"pytest_overhead.py: no suite has {wanted!r} in its name: {'; '.join(SUITES)}")
    for n in range(n_rounds):
        order = names[n % 3 :] + names[: n % 3]
        for suite, measured in rounds.items():
            measured.append({name: measure(python, [*RUNS[name], *SUITES[suite]]) for name in order})
    for at, what in enumerate(("clock", "processor")):
        cost = {}
        for suite, measured in rounds.items():
            print(f"{what}: {suite}: without {statistics.median(one['without'][at] for one in measured):.2f} s")
            for name in names[1:]:
                ratios = sorted(100 * (one[name][at] / one["without"][at] - 1) for one in measured)
                low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
                print(f"  {name}: {statistics.median(ratios):+.1f} % (quartiles {low:+.1f} to {high:+.1f} %)")
            # Both runs without it, so that their noise counts half.
            plain = (sum(one[name][at] for name in names[:2]) / 2 for one in measured)
            cost[suite] = statistics.median(one["with"][at] - without for one, without in zip(measured, plain))
        if wanted:
            continue
        one, nothing, work, _ = cost.values()
        per_test, per_op = (nothing - one) / (N_TESTS - 1), (work - nothing) / N_OPS
        print(f"{what}: {one * 1e3:.0f} ms once, {per_test * 1e3:.2f} ms a test, {per_op * 1e6:.2f} us an operation")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
