"""Code that is generated, run once and freed: the next one lies where the last one was, and has other lines."""

import gc
import types

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

# The same where nothing else was made in between.
maker = compile("def made(alloc):\n    alloc()\n", "", "exec").co_consts[0]
place, n_again = None, 0
for i in range(ROUNDS):
    made = types.FunctionType(maker.replace(co_filename=f"/made/{i % 2}.py", co_firstlineno=1 + i % 7), {})
    n_again += id(made.__code__) == place
    place = id(made.__code__)
    made(alloc)
    del made
assert n_again > ROUNDS / 2, n_again
