"""The tracking server beside many recorded programs: `scripts/server-load` builds what this needs, and runs it.

    serving.py load      64 programs with 1,000,000 events a second in all, with a server alone, then with captures
    serving.py live      what `tt-memtrace live` takes on a terminal, beside 100,000 events a second

In the end what the server says is compared with what the programs know that they hold: a difference is a failure. The
command, the library and the compiled `tests/c/paced.c` come as TT_MEMTRACE_BIN, TT_MEMTRACE_LIB and PACED.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import tempfile
import termios
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

    def __init__(self, server, held, rate, output=None):
        mine = {"LD_PRELOAD": LIBRARY, "TT_ALLOC_TRACKING_ENABLED": "1", "TT_MEMTRACE_SERVER": server.socket}
        if output:
            mine["TT_MEMTRACE_OUTPUT"] = output
        self.process = subprocess.Popen(
            [PACED, str(held), str(rate)],
            env=os.environ | mine,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def expect_ready(self):
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"a program did not begin: {self.process.stderr.read()}")

    def say(self, line):
        self.process.stdin.write(f"{line}\n")
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


class Run:
    """Programs at work, and what that takes."""

    def __init__(self, server, options, output=None):
        self.server = server
        rate = options.rate / options.programs
        self.programs = [Program(server, options.held, rate, output) for _ in range(options.programs)]
        for program in self.programs:
            program.expect_ready()
        self.before = self.cpu()
        for program in self.programs:
            program.say("go")

    def cpu(self):
        """Processor seconds of the server, and of the programs."""
        of_programs = sum(cpu_seconds(program.process.pid) for program in self.programs)
        return cpu_seconds(self.server.process.pid), of_programs

    def stop(self):
        """What each program holds, when the server has all of it."""
        for program in self.programs:
            program.say("stop")
        self.results = [program.result() for program in self.programs]
        self.server_cpu, self.program_cpu = (now - then for now, then in zip(self.cpu(), self.before))
        return compare(self.server, self.results)

    def finish(self):
        for program in self.programs:
            program.finish()
        until("all have ended", lambda: {of["status"] for of in self.server.state()["processes"]} == {"exited"})


def load(options):
    for what in ["server alone", "server and captures"]:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            output = None if what == "server alone" else folder / "%p.jsonl"
            server = Server(folder)
            empty = memory_kib(server.process.pid)
            run = Run(server, options, output)
            time.sleep(options.seconds)
            state = run.stop()
            n = sum(result["n_events"] for result in run.results) - options.programs * options.held
            seconds = max(result["seconds"] for result in run.results)
            print(
                f"{what}: {options.programs} programs, {n} events in {seconds:.1f} s: {n / seconds:,.0f} a second\n"
                f"  skipped {state['n_skipped']}, dropped {state['n_dropped']}, figures right for all\n"
                f"  processor time per million events: server {run.server_cpu / n * 1e6:.2f} s,"
                f" programs with their recorders {run.program_cpu / n * 1e6:.2f} s\n"
                f"  server: {empty} KiB at first, at most {memory_kib(server.process.pid)} KiB with"
                f" {options.programs * options.held} live buffers\n"
                f"  longest slice of a program's own work: {max(of['slowest_ms'] for of in run.results):.1f} ms",
                flush=True,
            )
            run.finish()
            server.end()
            if (state["n_skipped"] or state["n_dropped"]) and not options.may_skip:
                raise SystemExit("events were missed")


def live(options):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        run = Run(server, options)
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(BINARY, [BINARY, "live", "--socket", str(server.socket)])
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        n_drawn = [0]
        threading.Thread(target=drain, args=(terminal, n_drawn), daemon=True).start()
        time.sleep(2)
        before, drawn, start = cpu_seconds(pid), n_drawn[0], time.monotonic()
        time.sleep(options.seconds)
        took = time.monotonic() - start
        cpu, drawn = cpu_seconds(pid) - before, n_drawn[0] - drawn
        os.write(terminal, b"q")
        os.waitpid(pid, 0)
        state = run.stop()
        n = sum(result["n_events"] for result in run.results)
        print(
            f"live: {100 * cpu / took:.1f} % of a core over {took:.0f} s, {drawn / took:,.0f} bytes a second drawn;"
            f" beside {options.programs} programs, {n / run.results[0]['seconds']:,.0f} events a second,"
            f" {state['n_skipped']} skipped"
        )
        run.finish()
        server.end()
        if drawn == 0:
            raise SystemExit("nothing was drawn")


def drain(terminal, n_drawn):
    with contextlib.suppress(OSError):
        while drawn := os.read(terminal, 1 << 16):
            n_drawn[0] += len(drawn)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    of_load = verbs.add_parser("load")
    of_load.set_defaults(run=load, programs=64, rate=1e6, seconds=20)
    of_load.add_argument("--may-skip", action="store_true", help="on a machine that has other work")
    of_live = verbs.add_parser("live")
    of_live.set_defaults(run=live, programs=8, rate=1e5, seconds=20)
    for verb in [of_load, of_live]:
        verb.add_argument("--programs", type=int, default=argparse.SUPPRESS)
        verb.add_argument("--held", type=int, default=200, help="buffers of each program")
        verb.add_argument("--rate", type=float, default=argparse.SUPPRESS, help="events a second of all programs")
        verb.add_argument("--seconds", type=float, default=argparse.SUPPRESS)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
