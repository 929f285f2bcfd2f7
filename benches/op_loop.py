"""The op loop of the stock runtime on a mock board: what recording, and a library that is switched off, add to an op.

Recording: one process, in which a library with the feature `bench-switch` records and does not record in turn, a
block of ops each. A round has three blocks in an order drawn by lot: two that are not recorded (their ratio, A/A,
shows what the method can tell apart) and one that is. Rounds are added until the intervals are narrow enough; if that
of A/A never is, the run is void and says so. So it is if other programs kept the loop waiting for a core: they keep
the library's thread waiting, too, which then takes its time from the loop. All this once with a core free for the
library's thread, as the budget has it, and once with all threads of the process on one core, where its processor time
comes on top.

Switched off: no process can have the library and not have it, so processes take turns, a block of ops each: two
without the library, one with it. Each keeps its own layout of memory, hence several sets of processes; their A/A is
the noise of that method.

Run by `scripts/bench`, on a mock board; usage: op_loop.py SWITCHED_LIBRARY LIBRARY.
"""

import ctypes
import gc
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

BLOCK = 500
WARM_UP = 50

ROUNDS_AT_LEAST = 200
ROUNDS_AT_MOST = 1200
WIDEST_A_A = 0.005
WIDEST = 0.01
LONGEST_WAIT = 0.005
BUDGET = 1.03

SETS = 4
TURNS = 60
MODES = ("without", "again", "switched off")


class Loop:
    """The runtime in this process, and blocks of its ops."""

    def __init__(self, on_one_core=False):
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/ttnn/workloads"))
        import ttnn
        from checkpoints import close_mesh, open_mesh, tensor

        self.add, self.close = ttnn.add, lambda: close_mesh(self.mesh)
        self.mesh = open_mesh()
        self.x = tensor(self.mesh, 1, 1, 64, 64)
        self.run(2 * BLOCK)
        gc.collect()
        gc.disable()
        # By now the library's thread runs: alone it stays free to go where it wants.
        core = {max(os.sched_getaffinity(0))}
        for thread in os.listdir("/proc/self/task") if on_one_core else [0]:
            os.sched_setaffinity(int(thread), core)

    def run(self, n_ops):
        add, x = self.add, self.x
        for _ in range(n_ops):
            add(x, x)

    def block(self):
        """Seconds per op."""
        self.run(WARM_UP)
        start = time.perf_counter()
        self.run(BLOCK)
        return (time.perf_counter() - start) / BLOCK


def work():
    """In a process of its own: a block for each line that comes in, its seconds per op out."""
    loop = Loop()
    print("ready", flush=True)
    for _ in sys.stdin:
        print("block", loop.block(), flush=True)
    loop.close()


def work_in_turn(on_one_core):
    """In a process of its own: the rounds of recorded and other blocks, and what they say."""
    library = ctypes.CDLL(None)
    record, flush = library.tt_memtrace_bench_record, library.tt_memtrace_flush
    loop = Loop(on_one_core)
    chance = random.Random(1)
    blocks = {"not recording": [], "not recording again": [], "recording": []}
    waited = dict.fromkeys(blocks, 0)
    while True:
        for _ in range(ROUNDS_AT_LEAST):
            for kind in chance.sample(list(blocks), len(blocks)):
                record(kind == "recording")
                waited[kind] -= waited_for_a_core()
                blocks[kind].append(loop.block())
                waited[kind] += waited_for_a_core()
                # What is left to write must not take processor time of the next block.
                record(1)
                flush(10_000)
        a_a, recording = ratio_of(blocks, "not recording again"), ratio_of(blocks, "recording")
        waits = {kind: waited[kind] / ((BLOCK + WARM_UP) * sum(times)) for kind, times in blocks.items()}
        is_void = max(abs(a_a[1] - 1), abs(a_a[2] - 1), a_a[2] - a_a[1]) > WIDEST_A_A
        is_narrow = not is_void and recording[2] - recording[1] <= WIDEST
        if is_narrow or len(blocks["recording"]) >= ROUNDS_AT_MOST:
            break
    for kind, times in blocks.items():
        per_op = statistics.median(times) * 1e6
        print(f"  {kind:<20} {per_op:6.2f} us an op, {waits[kind]:6.2%} of it waiting for a core")
    print("  A/A ratio            {:.4f} ({:.4f} to {:.4f})".format(*a_a))
    print("  recording / not      {:.4f} ({:.4f} to {:.4f})".format(*recording))
    if is_void:
        print("  VOID: the A/A interval goes beyond 0.5 %")
    elif waits["not recording"] > LONGEST_WAIT:
        print("  VOID: other programs are using the cores")
    elif not on_one_core:
        verdict = "met" if recording[2] <= BUDGET else "missed" if recording[1] > BUDGET else "undecided"
        print(f"  budget {BUDGET}: {verdict}")
    print(f"result {json.dumps({'rounds': len(blocks['recording'])})}", flush=True)
    loop.close()


def waited_for_a_core():
    """Seconds that the calling thread was ready to run and did not, so far."""
    with open("/proc/thread-self/schedstat", encoding="ascii") as numbers:
        return int(numbers.read().split()[1]) / 1e9


def ratio_of(blocks, kind):
    """The median of the rounds' ratios, and where 95 % of the medians of resampled rounds lie."""
    ratios = [a / b for a, b in zip(blocks[kind], blocks["not recording"], strict=True)]
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(1000))
    return statistics.median(ratios), medians[25], medians[974]


def start(action, **variables):
    """A process of this program, which does `action`, with these variables of the environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TT_MEMTRACE_", "TT_ALLOC_", "LD_PRELOAD"))}
    return subprocess.Popen(
        [sys.executable, __file__, action],
        env=kept | variables,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def wait_for(process, word):
    """What the process says after the word; other lines are passed on, but for those of the workload."""
    for line in process.stdout:
        if line.startswith(word + " ") or line == word + "\n":
            return line.removeprefix(word).strip()
        if not line.startswith("{"):
            print(line, end="", flush=True)
    raise SystemExit(f"the process ended with {process.wait()} before it said {word}")


def end(process):
    process.stdin.close()
    process.stdout.read()
    assert process.wait() == 0


def measure_recording(library, on_one_core):
    where = "all threads on one core" if on_one_core else "a core free for the library's thread"
    load = os.getloadavg()[0]
    print(f"op loop in one process, {where}, blocks of {BLOCK} ops (load of the machine {load:.1f}):", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        capture, action = f"{folder}/x.jsonl", "--in-turn-on-one-core" if on_one_core else "--in-turn"
        process = start(action, LD_PRELOAD=library, TT_ALLOC_TRACKING_ENABLED="1", TT_MEMTRACE_OUTPUT=capture)
        n_rounds = json.loads(wait_for(process, "result"))["rounds"]
        end(process)
        with open(capture, encoding="utf-8") as lines:
            n_runs = 0
            for line in lines:
                n_runs += '"kind":"program_run"' in line
        footer = json.loads(line)
    # Every op that was to be recorded was, and no other; each launches one program.
    expected = 2 * BLOCK + n_rounds * (WARM_UP + BLOCK)
    assert footer["kind"] == "footer" and footer["dropped"] == 0 and n_runs == expected, (footer, n_runs, expected)
    print(f"  {3 * n_rounds} blocks, {footer['recorded'] / expected:.1f} events an op recorded, 0 dropped", flush=True)


def measure_switched_off(library):
    print(f"op loop in {SETS} sets of processes, {TURNS} blocks of {BLOCK} ops each, ratio to the first one without:")
    medians = {mode: [] for mode in MODES[1:]}
    for _ in range(SETS):
        processes = {mode: start("--work", **({"LD_PRELOAD": library} if mode == MODES[2] else {})) for mode in MODES}
        for process in processes.values():
            wait_for(process, "ready")
        blocks = {mode: [] for mode in MODES}
        for turn in range(TURNS):
            for i in range(len(MODES)):
                mode = MODES[(turn + i) % len(MODES)]
                processes[mode].stdin.write("\n")
                processes[mode].stdin.flush()
                blocks[mode].append(float(wait_for(processes[mode], "block")))
        for process in processes.values():
            end(process)
        for mode, of_sets in medians.items():
            of_sets.append(statistics.median(a / b for a, b in zip(blocks[mode], blocks[MODES[0]], strict=True)))
    for mode, of_sets in medians.items():
        label = "without (A/A)" if mode == MODES[1] else mode
        print(f"  {label:<20} {statistics.median(of_sets):.4f} (sets: {min(of_sets):.4f} to {max(of_sets):.4f})")


if __name__ == "__main__":
    if sys.argv[1:] == ["--work"]:
        work()
    elif sys.argv[1].startswith("--in-turn"):
        work_in_turn(on_one_core=sys.argv[1] == "--in-turn-on-one-core")
    else:
        switched, shipped = map(os.path.abspath, sys.argv[1:3])
        measure_recording(switched, on_one_core=False)
        measure_recording(switched, on_one_core=True)
        measure_switched_off(shipped)
