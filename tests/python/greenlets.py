"""Greenlets: several stacks of frames on one thread, each moved away while another runs."""

import threading

from greenlet import getcurrent, greenlet
from told import alloc, held

N = 40


def leaf(n):
    alloc()
    getcurrent().parent.switch(n)
    alloc(call=held)


def first(n):
    for i in range(n):
        leaf(i)
        alloc()


def second(n):
    if n:
        second(n - 1)
    for i in range(n + 1):
        alloc()
        leaf(i)


def generator():
    while True:
        alloc()
        getcurrent().parent.switch()
        yield


def third(_):
    for _, _ in zip(range(N), generator()):
        alloc()


def dies(n):
    try:
        leaf(n)
        leaf(n)
    finally:
        alloc()


def switches():
    """Round-robin among those that still run; then one that is never ended by its own code."""
    running = [greenlet(first), greenlet(second), greenlet(third), greenlet(first)]
    while running:
        for one in list(running):
            one.switch(5)
            alloc()
            if one.dead:
                running.remove(one)
    one = greenlet(dies)
    one.switch(1)
    alloc()
    del one
    alloc()


def nested(n):
    """Each is the parent of the next, so the frames of all are there at once, on stacks of their own."""
    alloc()
    if n:
        child = greenlet(nested)
        child.switch(n - 1)
        alloc()


switches()
nested(5)
threads = [threading.Thread(target=switches) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
alloc()
