"""Events from more and more lines, argv[1] of them, of code that is freed again. Prints the most memory that was resident."""

import ctypes
import sys

LINES = 100
run = ctypes.CDLL(None).tt_memtrace_track_program
for i in range(int(sys.argv[1]) // LINES):
    body = "    run(1, 0, 1)\n" * LINES
    space = {"run": run}
    exec(compile(f"def f():\n{body}\nf()\n", f"/generated/{i}.py", "exec"), space)
    space.clear()
with open("/proc/self/status") as status:
    print("kilobytes", next(line for line in status if line.startswith("VmHWM")).split()[1])
