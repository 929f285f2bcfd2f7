"""Frames that are suspended and resumed, and frames that somebody looks at: generators, coroutines, tracers, profilers."""

import asyncio
import contextlib
import sys
import threading

from told import alloc


def inner(n):
    for _ in range(n):
        alloc()
        yield


def outer(n):
    alloc()
    yield from inner(n)
    alloc()


def resumed_from_two_places():
    generator = outer(3)
    next(generator)
    alloc()
    next(generator)
    (lambda: next(generator))()
    list(generator)


def finalized():
    def closes():
        try:
            yield
        finally:
            alloc()

    left = closes()
    next(left)
    left.close()
    forgotten = closes()
    next(forgotten)
    del forgotten


@contextlib.contextmanager
def managed():
    alloc()
    yield
    alloc()


async def leaf(n):
    await asyncio.sleep(0)
    alloc()
    return n


async def chain(n):
    return await (chain(n - 1) if n else leaf(n))


async def agen():
    for n in range(3):
        await leaf(n)
        alloc()
        yield n


class Awaited:
    def __await__(self):
        alloc()
        yield from asyncio.sleep(0).__await__()
        alloc()


async def tasks():
    await asyncio.gather(*(chain(n) for n in (1, 3, 5, 40)))
    async for _ in agen():
        alloc()
    [n async for n in agen()]
    await Awaited()
    await asyncio.get_running_loop().run_in_executor(None, alloc)


def everything():
    resumed_from_two_places()
    finalized()
    with managed():
        alloc()
    eval("alloc()", {"alloc": alloc})
    exec("exec(\"alloc()\\neval('alloc()')\")", {"alloc": alloc})
    asyncio.run(tasks())


def in_a_thread_of_its_own():
    thread = threading.Thread(target=everything)
    thread.start()
    thread.join()


everything()
in_a_thread_of_its_own()

for install in (sys.setprofile, sys.settrace):
    seen = []
    install(lambda frame, event, _: seen.append((frame.f_lineno, event)))
    everything()
    install(None)
    assert seen

# A tracer that allocates itself, at each line of the traced function.
depth = 0


def traces(frame, event, _):
    global depth
    if depth == 0 and frame.f_code is traced.__code__:
        depth += 1
        alloc()
        depth -= 1
    return traces


def traced():
    x = 1
    alloc()
    return x


sys.settrace(traces)
traced()
sys.settrace(None)

if hasattr(sys, "monitoring"):
    monitoring = sys.monitoring
    monitoring.use_tool_id(3, "test")
    events = monitoring.events
    monitoring.set_events(3, events.LINE | events.CALL | events.PY_START | events.PY_YIELD | events.PY_RESUME | events.INSTRUCTION)
    seen = []
    for event in (events.LINE, events.CALL, events.PY_START, events.PY_YIELD, events.PY_RESUME, events.INSTRUCTION):
        monitoring.register_callback(3, event, lambda *_: seen.append(1))
    everything()
    traced()
    monitoring.set_events(3, 0)
    monitoring.free_tool_id(3)
    assert seen
    everything()
