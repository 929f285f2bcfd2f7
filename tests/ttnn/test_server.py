"""The tracking server and real ttnn programs: at every checkpoint its figures are ttnn's own, also when two programs use
the same chips, when one of them is killed, and when the server is killed.

Run it with the interpreter that scripts/mock-ttnn/setup prints.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
WORKLOADS = HERE / "workloads"
MOCK = REPO / "scripts" / "mock-ttnn" / "run"
TT_MEMTRACE = REPO / "target" / "release" / "tt-memtrace"
LIBRARY = TT_MEMTRACE.with_name("libtt_memtrace.so")
BOARD = "T3K"
DEADLINE = 120


class Server:
    def __init__(self, folder):
        self.socket = folder / "socket"
        self.log = folder / "log"
        self.start()

    def start(self):
        log = self.log.open("a")
        self.process = subprocess.Popen([TT_MEMTRACE, "serve", "--socket", self.socket], stdout=log)
        eventually("the server answers", lambda: self.ask("stats").returncode == 0)

    def ask(self, *request):
        command = [TT_MEMTRACE, "ctl", *request, "--socket", self.socket]
        return subprocess.run(command, capture_output=True, text=True)

    def state(self):
        return json.loads(self.ask("state").stdout)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Program:
    """A workload that stops at each checkpoint until it is told to go on."""

    def __init__(self, name, server):
        foreign = ("LD_PRELOAD", "TT_ALLOC_TRACKING_ENABLED", "TT_MEMTRACE_", "CHECKPOINT")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        environment |= {
            "LD_PRELOAD": str(LIBRARY),
            "TT_ALLOC_TRACKING_ENABLED": "1",
            "TT_MEMTRACE_SERVER": str(server.socket),
        }
        command = [MOCK, BOARD, sys.executable, WORKLOADS / "stepwise.py", name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": server.log.parent}
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def checkpoint(self):
        """What ttnn says at the next checkpoint; None at the end."""
        for line in self.process.stdout:
            told = json.loads(line)
            assert told["kind"] != "unflushed", told
            if told["kind"] == "checkpoint":
                return told
        return None

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def eventually(what, look):
    deadline = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


def figures(state):
    """By chip and memory type: bytes in each bank, and buffers; what is nothing is left out."""
    found = {}
    for chip in state["chips"]:
        for memory in chip["memory"]:
            if memory["n_buffers"]:
                found[chip["chip"], memory["type"]] = [memory["bank_live_bytes"], memory["n_buffers"]]
    return found


def truth(*checkpoints):
    """The same by ttnn's own accounting, of programs that are at these checkpoints."""
    found = {}
    for checkpoint in checkpoints:
        for memory, per_bank in checkpoint.get("per_bank", {}).items():
            blocks = checkpoint["blocks"][memory]
            for chip in checkpoint["devices"] if blocks else []:
                sums = found.setdefault((chip, memory), [0, 0])
                sums[0] += per_bank["allocated"]
                sums[1] += len(blocks)
    return found


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path) as server:
        yield server


@pytest.mark.parametrize("name", ["basic", "lifetimes", "sharded_l1"])
def test_at_every_checkpoint_the_figures_are_those_of_ttnn(server, name):
    with Program(name, server) as program:
        n_checkpoints = 0
        while checkpoint := program.checkpoint():
            if "per_bank" in checkpoint:
                assert figures(server.state()) == truth(checkpoint), checkpoint["name"]
                n_checkpoints += 1
            program.go_on()
        assert program.process.wait(DEADLINE) == 0
    assert n_checkpoints >= 3
    # If the server is too busy to take the last lines, it sees the end by itself.
    eventually("nothing is held", lambda: figures(server.state()) == {})
    assert server.state()["n_skipped"] == 0


def test_two_at_once_are_summed_and_exactly_the_buffers_of_the_killed_one_go(server):
    with Program("basic", server) as first, Program("basic", server) as second:
        at = [first.checkpoint(), second.checkpoint()]
        for step in range(4):
            assert figures(server.state()) == truth(*at)
            program = (first, second)[step % 2]
            program.go_on()
            at[step % 2] = program.checkpoint()
        assert truth(at[0]) and truth(at[1])
        killed = subprocess.run(["pgrep", "-P", str(first.process.pid)], capture_output=True, text=True)
        pid = int(killed.stdout.split()[0]) if killed.stdout else first.process.pid
        spools = lambda: list(Path("/dev/shm").glob(f"tt-memtrace-{pid}-*.spool"))  # noqa: E731
        assert spools()
        os.kill(pid, signal.SIGKILL)
        eventually("the killed one is gone", lambda: figures(server.state()) == truth(at[1]))
        # No capture names it, so nobody else would remove it.
        eventually("its spool is gone", lambda: not spools())
        assert "orphaned buffer" in server.log.read_text()
        second.go_on()
        at[1] = second.checkpoint()
        assert figures(server.state()) == truth(at[1]) != {}


def test_a_server_that_is_killed_and_started_again_shows_the_truth(server):
    with Program("basic", server) as program:
        for _ in range(5):
            checkpoint = program.checkpoint()
            assert figures(server.state()) == truth(checkpoint)
            n_processes = len(server.state()["processes"])
            server.kill()
            server.start()
            # One that holds nothing is back when it is known: before that, a flush waits for no server.
            eventually("the program is back", lambda: len(server.state()["processes"]) == n_processes)
            eventually("its figures are back", lambda: figures(server.state()) == truth(checkpoint))
            program.go_on()
