"""The tracking server beside many recorded programs: `scripts/serving` builds what this needs, and runs it.

    serving.py load      64 programs with 1,000,000 events a second in all, with a server alone, then with captures
    serving.py restart   the server killed and started again 100 times under load
    serving.py live      what `tt-memtrace live` takes beside 100,000 events a second

Each run compares what the server says in the end with what the programs know that they hold, and fails if that
differs. The binaries, the library and the compiled `paced.c` come as TT_MEMTRACE_BIN, TT_MEMTRACE_LIB and PACED.
"""

import argparse
import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

BINARY, LIBRARY, PACED = (os.environ.get(name) for name in ("TT_MEMTRACE_BIN", "TT_MEMTRACE_LIB", "PACED"))
PATIENCE = 120
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kib(pid, name="VmHWM"):
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1])


def until(what, is_so):
    deadline = time.monotonic() + PATIENCE
    while not (answer := is_so()):
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE} s: {what}")
        time.sleep(0.02)
    return answer


class Server:
    def __init__(self, folder):
        self.socket = folder / "server.sock"
        self.log = open(folder / "server.log", "ab")
        self.start()

    def start(self):
        command = [BINARY, "serve", "--socket", self.socket]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        until("the server answers", lambda: self.ask("stats").returncode == 0)

    def ask(self, *request):
        command = [BINARY, "ctl", "--socket", self.socket, *request]
        return subprocess.run(command, capture_output=True, text=True)

    def state(self):
        return json.loads(self.ask("state", "--top", "0").stdout)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.terminate()
        if self.process.wait(PATIENCE) != 0:
            raise SystemExit(f"the server ended with {self.process.returncode}")


class Program:
    """A recorded program, which says what it held."""

    def __init__(self, server, held, rate, seconds, output=None):
        mine = {"LD_PRELOAD": LIBRARY, "TT_ALLOC_TRACKING_ENABLED": "1", "TT_MEMTRACE_SERVER": server.socket}
        if output:
            mine["TT_MEMTRACE_OUTPUT"] = output
        self.process = subprocess.Popen(
            [PACED, str(held), str(rate), str(seconds)],
            env=os.environ | mine,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def expect_ready(self):
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"a program did not begin: {self.process.stderr.read()}")

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self):
        return json.loads(self.process.stdout.readline())

    def finish(self):
        """Its end must be that of a program that nobody watches."""
        _, said = self.process.communicate(timeout=PATIENCE)
        if self.process.returncode != 0 or said:
            raise SystemExit(f"a program was disturbed: status {self.process.returncode}, {said!r}")


def figures(process):
    """Of a process as the server has it: buffers and bytes by type."""
    names = ("n_buffers", "live_bytes")
    return {memory["type"]: [memory[name] for name in names] for memory in process["memory"]}


def compare(server, results):
    """What the server says of each process, and what that knows itself."""
    state = server.state()
    told = {process["pid"]: process for process in state["processes"]}
    wrong = [
        (result, told.get(result["pid"]))
        for result in results
        if result["pid"] not in told or figures(told[result["pid"]]) != result["memory"]
    ]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(results)} processes are wrong, as: {wrong[0]}")
    return state


def run_programs(server, n, held, rate, seconds, output=None, beside=contextlib.nullcontext):
    programs = [Program(server, held, rate / n, seconds, output) for _ in range(n)]
    for program in programs:
        program.expect_ready()
    before = {program.process.pid: cpu_seconds(program.process.pid) for program in programs}
    served, started = cpu_seconds(server.process.pid), time.monotonic()
    for program in programs:
        program.go()
    with beside():
        results = [program.result() for program in programs]
    took = time.monotonic() - started
    cpu = sum(cpu_seconds(pid) - earlier for pid, earlier in before.items())
    served = None if server.process.poll() is not None else cpu_seconds(server.process.pid) - served
    return programs, results, took, cpu, served


def load(options):
    for what in ["server alone", "server and captures"]:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            output = None if what == "server alone" else folder / "captures" / "%p.jsonl"
            (folder / "captures").mkdir()
            server = Server(folder)
            empty = memory_kib(server.process.pid)
            programs, results, took, cpu, served = run_programs(
                server, options.programs, options.held, options.rate, options.seconds, output
            )
            state = compare(server, results)
            n = sum(result["n_events"] for result in results) - options.programs * options.held
            seconds = max(result["seconds"] for result in results)
            print(
                f"{what}: {options.programs} programs, {n} events in {seconds:.1f} s: {n / seconds:,.0f} a second"
                f" (all acknowledged after {took:.1f} s)\n"
                f"  skipped {state['n_skipped']}, dropped {state['n_dropped']}, figures right for all\n"
                f"  processor time per million events: server {served / n * 1e6:.2f} s,"
                f" programs with their recorders {cpu / n * 1e6:.2f} s\n"
                f"  server: {empty} KiB at first, at most {memory_kib(server.process.pid)} KiB with"
                f" {options.programs * options.held} live buffers, {state['n_events']} events\n"
                f"  longest slice of a program's own work: {max(r['slowest_ms'] for r in results):.1f} ms",
                flush=True,
            )
            for program in programs:
                program.finish()
            until("all have ended", lambda: {of["status"] for of in server.state()["processes"]} == {"exited"})
            server.end()
            is_whole = state["n_skipped"] == 0 and state["n_dropped"] == 0
            if not is_whole and not options.may_skip:
                raise SystemExit("events were missed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    of_load = verbs.add_parser("load")
    of_load.set_defaults(run=load, programs=64, rate=1e6, seconds=20)
    of_load.add_argument("--may-skip", action="store_true", help="on a machine that has other work")
    for verb in [of_load]:
        verb.add_argument("--programs", type=int)
        verb.add_argument("--held", type=int, default=200, help="buffers of each program")
        verb.add_argument("--rate", type=float, help="events a second of all programs")
        verb.add_argument("--seconds", type=float)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
