"""Interpreters within the process. From 3.12 on their frames are those of the thread; in 3.10 a thread is known by the
frames of its first interpreter alone, so the line there that runs the other one is told."""

import itertools
import sys
import threading
from pathlib import Path

import _xxsubinterpreters as interpreters
import told

IS_OUTER_TOLD = sys.version_info < (3, 12)
SOURCE = """
import itertools, sys
sys.path.insert(0, {folder!r})
import told
told.numbers = itertools.count({first})
if {outer!r}: told.frames = lambda *_: {outer!r}
def inside(n):
    told.alloc()
    told.alloc(call=told.held)
    if n: inside(n - 1)
inside(3)
"""
firsts = itertools.count(1000, 1000)


def create():
    # ctypes, which the events need, refuses to be loaded where everything is the interpreter's own.
    return interpreters.create(isolated=False) if sys.version_info >= (3, 12) else interpreters.create()


def run(interpreter):
    line = run.__code__.co_firstlineno + 4
    outer = told.frames(sys._getframe(), line) if IS_OUTER_TOLD else None
    source = SOURCE.format(folder=str(Path(__file__).parent), first=next(firsts), outer=outer)
    interpreters.run_string(interpreter, source)


def come_and_go():
    one, other = create(), create()
    run(one)
    told.alloc()
    run(other)
    interpreters.destroy(one)
    told.alloc()
    run(other)
    interpreters.destroy(other)
    told.alloc()


come_and_go()
thread = threading.Thread(target=come_and_go)
thread.start()
thread.join()
told.alloc()
