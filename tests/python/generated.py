"""Code that is generated, run once and freed: the next one lies where the last one was, and has other lines."""

import gc

from told import alloc

ROUNDS = 600
places = set()
n_again = 0
for i in range(ROUNDS):
    blank, comment, name = i % 7, i % 5, f"made_{i % 3}"
    source = "\n" * blank + f"def {name}(alloc):\n" + "    # nothing\n" * comment + "    alloc()\n"
    space = {}
    exec(compile(source, f"/generated/{i % 2}.py", "exec"), space)
    n_again += id(space[name].__code__) in places
    places.add(id(space[name].__code__))
    space[name](alloc)
    del space
    if i % 50 == 0:
        gc.collect()
assert n_again > ROUNDS / 2, n_again
