"""Every way to get to a line."""

import asyncio
import gc
import sys
import threading

from told import alloc, held

alloc()
alloc(call=held)


def in_a_function(n=0):
    alloc()
    if n:
        in_a_function(n - 1)


class Model:
    def forward(self):
        alloc(
            None,
            call=held,
        )

    class Layer:
        @staticmethod
        def forward():
            (lambda: alloc())()

    def __del__(self):
        alloc()


def generator():
    for _ in range(2):
        alloc()
        yield


async def coroutine():
    await asyncio.sleep(0)
    alloc()


def worker(n):
    for _ in range(n):
        alloc()


in_a_function(3)
in_a_function(60)
Model().forward()
Model.Layer.forward()
list(generator())
[alloc() for _ in range(2)]
sorted([2, 1], key=lambda n: alloc() or n)
asyncio.run(coroutine())

cycle = [Model()]
cycle.append(cycle)
del cycle
gc.collect()

for _ in range(5):
    threads = [threading.Thread(target=worker, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

for name, function in [("/a/file.py", "ascii"), ("/\xe9/\xfc.py", "f\xfcr"), ("/日本/語.py", "関数"), ("/\U0001f600.py", "x")]:
    space = {"alloc": alloc}
    exec(compile(f"def {function}():\n\n    alloc()\n\n{function}()", name, "exec"), space)
exec(compile("alloc()", "/" + "long/" * 400 + "x.py", "exec"), {"alloc": alloc})

sys.settrace(lambda *_: None)
in_a_function()
sys.settrace(None)
# Far down in a long function, where line numbers are stored as differences.
exec(compile("def long():\n" + "    x = 1\n" * 3000 + "    alloc()\nlong()", "long.py", "exec"), {"alloc": alloc})
