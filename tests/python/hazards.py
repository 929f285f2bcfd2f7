"""Where Python's threads and interpreters come and go. What cannot be told is not; nothing breaks."""

import atexit
import os
import sys
import threading
import time

from told import alloc, held, released


class Last:
    """Freed when the module is torn down."""

    def __init__(self, alloc, released):
        self.alloc, self.released = alloc, released

    def __del__(self):
        try:
            self.released(None)
        except Exception:
            pass


def forever():
    while True:
        released(None)


def sub_interpreters():
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        return
    # From 3.12 on, ctypes refuses to be loaded in there.
    source = "try: import ctypes; ctypes.CDLL(None).tt_memtrace_track_allocate(None)\nexcept ImportError: pass"
    for _ in range(3):
        interpreter = interpreters.create()
        interpreters.run_string(interpreter, source)
        interpreters.destroy(interpreter)
        alloc()


def too_deep(n=0):
    try:
        too_deep(n + 1)
    except RecursionError:
        held(None)
        raise


atexit.register(alloc)
last = Last(alloc, released)
alloc()
sub_interpreters()
try:
    too_deep()
except RecursionError:
    alloc()

child = os.fork()
if child == 0:
    sys.stdout = open("child.told", "w")
    alloc()
    sys.stdout.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
alloc()
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
