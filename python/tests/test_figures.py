"""What tests hold and leave, in every shape that pytest has for a test."""

import json
import sys
from pathlib import Path

import pytest

from tt_memtrace import _tool

NUMBERS = """
import json, os
@pytest.mark.parametrize("n", range(60))
def test_n(n):
    kept = allocate(1000) if n % 7 == 0 else None
    held = [allocate(100 * (n + 1)) for _ in range(3)]
    with open(f"counted-{n}", "w") as file:
        file.write(str(sum(size for _, size in device.live.values())))
    for one in held:
        free(one)
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_figures_of_sixty_tests_equal_the_programs_own_count(suite, options):
    suite.write(NUMBERS)
    suite.run(*options).assert_outcomes(passed=60)
    assert len(suite.tests) == 60
    for n in range(60):
        assert suite.peak(f"test_n[{n}]") == int((suite.path / f"counted-{n}").read_text())
        assert suite.left(f"test_n[{n}]") == (1000 if n % 7 == 0 else 0)


def test_a_peak_before_a_mark_of_the_program_or_of_a_fixture_is_of_the_phase(suite):
    suite.write(
        """
import tt_memtrace
@pytest.fixture(scope="module")
def model():
    free(allocate(5000))
    yield
    free(allocate(6000))
def test_a(model):
    free(allocate(7000))
    tt_memtrace.mark("after warm-up")
    free(allocate(10))
    tt_memtrace.mark("at the end")
"""
    )
    suite.run().assert_outcomes(passed=1)
    assert [suite.peak("test_a", phase) for phase in ("setup", "call", "teardown")] == [5000, 7000, 6000]


def test_setup_call_and_teardown_are_told_apart(suite):
    suite.write(
        """
@pytest.fixture
def loaded():
    held = allocate(100)
    yield
    other = allocate(3000)
    free(other); free(held)
def test_a(loaded):
    free(allocate(20))
"""
    )
    suite.run().assert_outcomes(passed=1)
    assert [suite.peak("test_a", phase) for phase in ("setup", "call", "teardown")] == [100, 120, 3100]
    assert suite.left("test_a") == 0


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
def test_a_fixture_that_outlives_a_test_is_held_not_leaked_until_it_ends(suite, scope):
    suite.write(
        f"""
@pytest.fixture(scope="{scope}")
def good():
    held = allocate(1000)
    yield
    free(held)
@pytest.fixture(scope="{scope}")
def bad():
    allocate(500)
    yield
class TestIt:
    def test_a(self, good, bad):
        free(allocate(20))
    def test_b(self, good, bad):
        free(allocate(30))
"""
    )
    result = suite.run("--tt-memtrace-fail-on-leak")
    result.assert_outcomes(passed=2, errors=1)
    assert (suite.left("test_a"), suite.left("test_b")) == (0, 0)
    assert (suite.peak("test_a"), suite.peak("test_b")) == (1520, 1530)
    result.stdout.fnmatch_lines([f"fixture bad ({scope}) left 500 B of DRAM in 1 buffer (user)*"])
    result.stdout.no_fnmatch_line("*fixture good*left*")


def test_what_a_fixture_left_is_told_when_the_session_stops_early(suite):
    suite.write(
        """
@pytest.fixture(scope="session")
def bad():
    allocate(500)
    yield
def test_a(bad):
    raise SystemError
def test_b(bad): pass
"""
    )
    result = suite.run("-x")
    assert "fixture bad (session) left 500 B" in result.stdout.str()


def test_a_fixture_whose_setup_fails_and_one_that_is_parametrized_are_followed(suite):
    suite.write(
        """
@pytest.fixture(scope="module", params=[100, 200])
def sized(request):
    held = allocate(request.param)
    yield
    free(held)
@pytest.fixture(scope="module")
def broken():
    allocate(70)
    raise ValueError
def test_a(sized): pass
def test_b(broken): pass
"""
    )
    suite.run().assert_outcomes(passed=2, errors=1)
    assert suite.peak("test_a[100]", "setup") == 100
    # The second is set up when the first has ended, the broken one included.
    assert suite.peak("test_a[200]", "setup") == 200


def test_what_was_left_is_told_by_class(suite):
    suite.write(
        """
def test_a():
    allocate(100)
    allocate(7, "TRACE")
    allocate(5, "L1_SMALL")
"""
    )
    suite.run()
    left = {(one["type"], one["class_"]): (one["bytes"], one["is_leak"]) for one in suite.tests["test_a"]["left"]}
    assert left == {
        ("DRAM", "user"): (100, True),
        ("TRACE", "trace"): (7, False),
        ("L1_SMALL", "l1_small"): (5, False),
    }


def test_what_no_operation_was_recorded_of_is_said_to_be_unattributed(suite, monkeypatch):
    monkeypatch.setenv("TT_MEMTRACE_STACKS", "none")
    suite.write("def test_a():\n    allocate(10, op=None)\n")
    result = suite.run("--tt-memtrace-fail-on-leak")
    result.assert_outcomes(passed=1)
    assert suite.left("test_a", "unattributed") == 10
    result.stdout.fnmatch_lines(["tests left 1 buffer, 10 B, unattributed: no operation was recorded*"])


def test_holders_have_their_line_where_frames_are_read(suite):
    suite.write("def test_a():\n    allocate(100)\n")
    # The frames of other Pythons are not read.
    line = ", at device.py:*" if sys.version_info[:2] in ((3, 10), (3, 12)) else ""
    suite.run().stdout.fnmatch_lines([f"  100 B of DRAM at 0x* on chip 0{line}"])


def test_each_chip_has_its_peak_and_the_worst_one_counts(suite):
    suite.write("def test_a():\n    allocate(100); allocate(300, chip=1); allocate(300, chip=2)\n")
    suite.run()
    peak = suite.tests["test_a"]["peaks"]["call"]["DRAM"]
    assert (peak["bytes"], peak["chips"], peak["bank_bytes"]) == (300, [1, 2], 75)
    assert peak["by_chip"] == {"0": 100, "1": 300, "2": 300}


@pytest.mark.parametrize("name", ["a" * 255, "b" * 5000, "ünï-漢字-🧪", "with space:end"])
def test_ids_of_any_length_and_script_have_figures(suite, name):
    suite.write(f"@pytest.mark.parametrize('n', [1], ids=[{name!r}])\ndef test_a(n):\n    allocate(100)\n")
    suite.run().assert_outcomes(passed=1)
    (test,) = suite.json["tests"]
    assert (test["not_measured"], test["left"][0]["bytes"]) == (None, 100)


def test_names_that_no_mark_can_have_change_nothing(suite):
    """As plugins give them that make tests of data."""
    names = ["a\0b", "not UTF-8 \udc80", "two\nlines", "a:begin", "fixture a (session) 1"]
    suite.write(
        f"""
class Item(pytest.Item):
    def runtest(self):
        free(allocate(100))
class Data(pytest.File):
    def collect(self):
        return [Item.from_parent(self, name=name) for name in {names!r}]
def pytest_collect_file(parent, file_path):
    return Data.from_parent(parent, path=file_path) if file_path.suffix == ".data" else None
""",
        name="conftest",
    )
    (suite.path / "any.data").touch()
    # Of the output, pytester could not read the name that is not UTF-8.
    result = suite.run("any.data", "--tt-memtrace-hide-summary")
    assert result.parseoutcomes() == {"passed": len(names)} and result.duration < 50, "it waited for an answer"
    assert [test["nodeid"] for test in suite.json["tests"]] == [f"any.data::{name}" for name in names]
    assert all(test["peaks"]["call"]["DRAM"]["bytes"] == 100 for test in suite.json["tests"])


def test_a_test_that_is_run_again_has_the_figures_of_its_last_run(suite):
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        """
runs = []
def test_a():
    runs.append(0)
    free(allocate(100 * len(runs)))
    assert len(runs) == 3
"""
    )
    suite.run("--reruns=2").assert_outcomes(passed=1)
    assert suite.peak("test_a") == 300


def test_a_test_in_a_forked_child_has_its_own_figures(suite):
    suite.needs_forked()
    suite.write(
        """
@pytest.fixture(scope="session")
def held():
    one = allocate(1000)
    yield
    free(one)
def test_a(held):
    allocate(100)
def test_b(held):
    free(allocate(200))
"""
    )
    suite.run("--forked", "--tt-memtrace-output=captures").assert_outcomes(passed=2)
    told = _tool.json_of("summary", "--json", str(suite.path / "captures"))
    # None of them looks as if it had been killed, nor left its spool behind.
    assert [process["status"] for process in told["processes"]] == ["exited_immediately"] * 2
    assert (suite.peak("test_a"), suite.left("test_a")) == (1100, 100)
    assert (suite.peak("test_b"), suite.left("test_b")) == (1200, 0)


@pytest.mark.parametrize("options", [("-n", "2"), ("--forked",)], ids=["xdist", "forked"])
def test_a_killed_test_is_listed_with_what_is_known_up_to_then(suite, options):
    if options == ("--forked",):
        suite.needs_forked()
    suite.write(
        """
import os, signal
def test_a():
    free(allocate(300))
def test_dies():
    allocate(4096)
    os.kill(os.getpid(), signal.SIGKILL)
def test_b():
    free(allocate(200))
"""
    )
    result = suite.run(*options)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*NOT MEASURED*", "*test_dies: its process ended in call; up to ??:??:?? it had at most 4.00 KiB of DRAM*"]
    )
    assert suite.peak("test_dies") == 4096
    assert (suite.peak("test_a"), suite.peak("test_b")) == (300, 200)


def test_the_json_is_as_its_schema_says(suite):
    jsonschema = pytest.importorskip("jsonschema")
    suite.write("@pytest.mark.limit_device_memory(dram=1)\ndef test_a():\n    allocate(2048)\ndef test_b(): pass\n")
    suite.run()
    schema = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "pytest.schema.json").read_text())
    close(schema)
    jsonschema.validate(suite.json, schema)
    for field in list(suite.json["tests"][0]):
        incomplete = suite.json
        del incomplete["tests"][0][field]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(incomplete, schema)


def close(schema):
    """A later minor version may add fields; this one has none but those listed."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            close(value)


def test_junit_has_bytes(suite):
    suite.write("def test_a():\n    allocate(2048); free(allocate(100, 'L1'))\n")
    suite.run("--junitxml=out.xml")
    text = (suite.path / "out.xml").read_text()
    assert '<property name="tt_memtrace_peak_dram_bytes" value="2048"' in text
    assert '<property name="tt_memtrace_peak_l1_bytes" value="100"' in text
    assert '<property name="tt_memtrace_leaked_bytes" value="2048"' in text
