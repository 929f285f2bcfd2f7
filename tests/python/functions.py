"""Functions of the runtime that are no frame: named by the call, in every form of a call."""

import sys
import types

import told
import ttnn

ttnn.create = told.released
ttnn.deep = types.SimpleNamespace(er=types.SimpleNamespace(create=told.held))
alias = told.released
other = types.SimpleNamespace(create=told.released)


def tell(number, line, op):
    told.tell(number, told.frames(sys._getframe(1), line), op)


def first(argument, *_, **__):
    return argument


def plain():
    number, a = told.new()
    ttnn.create(a)
    tell(number, plain.__code__.co_firstlineno + 2, "ttnn.create")


def dotted():
    number, a = told.new()
    ttnn.deep.er.create(a)
    tell(number, dotted.__code__.co_firstlineno + 2, "ttnn.deep.er.create")


def nested():
    number, a = told.new()
    ttnn.create(first(a, 1 + len([1, 2]), {"x": -number}, f"{number!r:>4}", (ttnn.CONSTANT, a)[0], k=not a))
    tell(number, nested.__code__.co_firstlineno + 2, "ttnn.create")


def with_a_branch():
    number, a = told.new()
    ttnn.create(a if number else None)
    tell(number, with_a_branch.__code__.co_firstlineno + 2, None)


def starred():
    number, a = told.new()
    rest = (a,)
    ttnn.create(*rest)
    tell(number, starred.__code__.co_firstlineno + 3, "ttnn.create")


def starred_twice():
    number, a = told.new()
    ttnn.create(*[a], **{})
    tell(number, starred_twice.__code__.co_firstlineno + 2, "ttnn.create")


def not_the_runtimes():
    number, a = told.new()
    alias(first(a, ttnn.CONSTANT))
    tell(number, not_the_runtimes.__code__.co_firstlineno + 2, None)
    number, a = told.new()
    other.create(first(a, ttnn.CONSTANT))
    tell(number, not_the_runtimes.__code__.co_firstlineno + 5, None)


# So many names that the last ones need a longer argument.
source = "def long(ttnn_):\n" + "".join(f"    ttnn_.n{i}\n" for i in range(300))
source += "    number, a = told.new()\n    ttnn.create(a)\n    tell(number, 303, 'ttnn.create')\n"
space = {"told": told, "tell": tell, "ttnn": ttnn}
exec(compile(source, "long.py", "exec"), space)


def the_later_line_first():
    for is_earlier in (False, True):
        number, a = told.new()
        if is_earlier:
            first(a)
            ttnn.deep.er.create(a)
            tell(number, the_later_line_first.__code__.co_firstlineno + 5, "ttnn.deep.er.create")
        else:
            ttnn.create(a)
            tell(number, the_later_line_first.__code__.co_firstlineno + 8, "ttnn.create")


class Anything:
    def __getattr__(self, name):
        return None


functions = [plain, dotted, nested, with_a_branch, starred, starred_twice, not_the_runtimes, the_later_line_first]
# Often enough that the interpreter has adapted its instructions.
for _ in range(60):
    for function in functions:
        function()
    space["long"](Anything())
# Each lies where the last one was, and has its instructions at other places.
lines = ["    a.address\n", "    ttnn.create(a)\n", "    ttnn.CONSTANT\n"]
bodies = ["".join(lines), "".join(reversed(lines))]
makers = [compile(f"def made(a):\n{body}", "made.py", "exec").co_consts[0] for body in bodies]
space = {"ttnn": ttnn}
calls = [told.new() for _ in range(60)]
place, n_again = None, 0
for i, (_, a) in enumerate(calls):
    made = types.FunctionType(makers[i % 2].replace(), space)
    n_again += id(made.__code__) == place
    place = id(made.__code__)
    made(a)
    line = sys._getframe().f_lineno - 1
    del made
assert n_again > 30, n_again
for number, _ in calls:
    told.tell(number, [["made.py", "made", 3], *told.frames(sys._getframe(), line)], "ttnn.create")
number, a = told.new()
ttnn.create(a)
told.tell(number, told.frames(sys._getframe(), sys._getframe().f_lineno - 1), "ttnn.create")
