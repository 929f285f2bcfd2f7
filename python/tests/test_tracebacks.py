"""A traceback holds the local variables of the test that raised: what they hold is not called a leak, nor is garbage."""

import pytest

HOLDER = """
class Tensor:
    def __init__(self, size):
        self.buffer = allocate(size)
    def __del__(self):
        free(self.buffer)
"""
RAISING = {
    "fails": "    assert x is None",
    "xfails": "    pytest.xfail('not yet')",
    "is skipped": "    pytest.skip('not here')",
    "exits": "    raise SystemExit(3)",
}


@pytest.mark.parametrize("how", RAISING)
def test_what_the_traceback_of_a_test_holds_is_told_but_is_no_leak(suite, how):
    suite.write(f"{HOLDER}\ndef test_a():\n    x = Tensor(1000)\n{RAISING[how]}\ndef test_b(): pass\n")
    result = suite.run("--tt-memtrace-fail-on-leak", "--junitxml=out.xml")
    assert result.parseoutcomes().get("errors") is None
    assert (suite.left("test_a"), suite.tests["test_a"]["raised"], suite.tests["test_b"]["raised"]) == (1000, True, False)
    result.stdout.fnmatch_lines(["not judged: *test_a raised and left 1 buffer, 1000 B, which the traceback may hold"])
    result.stdout.no_fnmatch_line("*LEAKED*")
    text = (suite.path / "out.xml").read_text()
    assert '<property name="tt_memtrace_unjudged_bytes" value="1000"' in text
    assert text.count("tt_memtrace_leaked_bytes") == 1, "that of test_b"


def test_a_test_of_unittest_that_fails_is_not_judged_either(suite):
    suite.write(
        f"""
import unittest
{HOLDER}
class TestOld(unittest.TestCase):
    def test_a(self):
        x = Tensor(1000)
        self.assertIsNone(x)
    def test_b(self):
        allocate(10)
"""
    )
    suite.run("--tt-memtrace-fail-on-leak").assert_outcomes(failed=1, passed=1, errors=1)
    assert suite.tests["test_a"]["raised"] and not suite.tests["test_b"]["raised"]


def test_a_fixture_whose_value_a_traceback_holds_is_not_called_leaky_but_the_next_one_is(suite):
    suite.write(
        f"""
{HOLDER}
@pytest.fixture(scope="class")
def model():
    return Tensor(1000)
@pytest.fixture(scope="class")
def leaky():
    allocate(500)
class TestA:
    def test_fails(self, model):
        x = model
        assert 0
class TestB:
    def test_passes(self, leaky): pass
    def test_fails_too(self):
        assert 0
    def test_is_the_last(self): pass
"""
    )
    result = suite.run("--tt-memtrace-fail-on-leak")
    result.assert_outcomes(failed=2, passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "fixture leaky (class) left 500 B of DRAM*",
            "not judged, as the traceback of a test that raised may hold it: fixture model (class) left 1000 B of DRAM*",
        ]
    )
    (told,) = suite.tests["test_fails"]["unjudged_fixtures"]
    assert told.startswith("fixture model (class) left 1000 B") and not suite.tests["test_fails"]["fixture_leaks"]


@pytest.mark.parametrize("options", [("-x",), ("-n", "1", "--maxfail=1")], ids=["alone", "xdist"])
def test_a_fixture_that_ends_with_a_session_that_failed_is_not_judged(suite, options):
    if "-n" in options:
        pytest.importorskip("xdist")
    suite.write(
        """
@pytest.fixture(scope="session")
def held():
    allocate(500)
def test_a(held):
    assert 0
def test_b(held): pass
"""
    )
    result = suite.run(*options)
    told = suite.json["left_at_end"], suite.json["unjudged_at_end"], suite.tests["test_a"]["unjudged_fixtures"]
    (text,) = told[1] + told[2]
    assert text.startswith("fixture held (session) left 500 B of DRAM in 1 buffer (user)") and not told[0]
    assert result.stdout.str().count(f"not judged, as the traceback of a test that raised may hold it: {text}"[:100]) == 1


@pytest.mark.parametrize(
    "body",
    [
        "    x = Tensor(1000)\n    x.itself = x",
        "    x = Tensor(1000)\n    with pytest.raises(ValueError) as raised:\n        raise ValueError",
    ],
    ids=["cycle", "raises"],
)
def test_garbage_is_collected_before_a_leak_fails_a_test(suite, body):
    suite.write(f"{HOLDER}\n@pytest.mark.limit_device_leaks('0 B')\ndef test_a():\n{body}\n")
    suite.run().assert_outcomes(passed=1)
    assert suite.left("test_a") == 0 and suite.tests["test_a"]["garbage_collected"]
    # Where no leak can fail it, it is said that this may be garbage.
    suite.write(f"{HOLDER}\ndef test_a():\n{body}\n")
    result = suite.run()
    result.stdout.fnmatch_lines(["LEAKED by *test_a*", "  1000 B of DRAM*", "  (or garbage that Python had yet to collect*"])
    suite.write("def test_a():\n    allocate(10)\n")
    suite.run("--tt-memtrace-fail-on-leak").stdout.no_fnmatch_line("*garbage that*")


def test_garbage_is_not_worse_than_the_baseline_but_a_leak_is(suite):
    suite.write("def test_a():\n    free(allocate(1000))\n")
    suite.run().assert_outcomes(passed=1)
    (suite.path / "out.json").rename(suite.path / "before.json")
    suite.write(f"{HOLDER}\ndef test_a():\n    x = Tensor(1000)\n    x.itself = x\n")
    suite.run("--tt-memtrace-baseline=before.json").assert_outcomes(passed=1)
    suite.write("def test_a():\n    allocate(1000)\n")
    suite.run("--tt-memtrace-baseline=before.json").assert_outcomes(passed=1, errors=1)


def test_garbage_is_collected_before_fixtures_take_the_device_away_and_after(suite):
    suite.write(
        f"""
{HOLDER}
import gc
gc.disable()
order = []
class Cycle(Tensor):
    def __init__(self, name):
        super().__init__(100)
        self.name, self.itself = name, self
    def __del__(self):
        super().__del__()
        order.append(self.name)
@pytest.fixture
def mesh():
    Cycle("of the fixture's end") if order else None
    yield
    order.append("close")
    Cycle("of the fixture's end")
@pytest.mark.limit_device_leaks
def test_a(mesh):
    Cycle("of the test")
def test_b():
    assert order == ["of the test", "close", "of the fixture's end"]
"""
    )
    suite.run().assert_outcomes(passed=2)


@pytest.mark.parametrize("options", [(), ("--tt-memtrace-fail-on-leak",)], ids=["no limit", "nothing left"])
def test_where_no_garbage_can_fail_a_test_none_is_collected(suite, options):
    kept = "allocate(1)" if not options else "pass"
    suite.write(
        f"""
import gc
found = []
gc.callbacks.append(lambda phase, info: found.append(info) if info["generation"] == 2 else None)
def test_a():
    gc.freeze()
    gc.disable()
    found.clear()
    free(allocate(100))
    {kept}
def test_b():
    assert not found
"""
    )
    suite.run(*options).assert_outcomes(passed=2)


def test_what_a_failing_test_left_in_the_baseline_sets_no_limit_to_leaks(suite):
    suite.write("def test_a():\n    allocate(100)\n    assert 0\n")
    suite.run().assert_outcomes(failed=1)
    (suite.path / "out.json").rename(suite.path / "before.json")
    suite.write("def test_a():\n    allocate(100)\n")
    suite.run("--tt-memtrace-baseline=before.json").assert_outcomes(passed=1)
