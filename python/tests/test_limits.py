"""Limits: what breaks them, how that reads, and that nothing passes that was not measured."""

import json
import re

import pytest

import tt_memtrace
from tt_memtrace import _tool
from tt_memtrace._pytest.figures import CLASSES


def test_a_test_that_holds_too_much_fails_and_names_the_holders(suite):
    suite.write(
        """
@pytest.mark.limit_device_memory(dram="1 KiB")
def test_a():
    free(allocate(2000))
@pytest.mark.limit_device_memory(dram="2 KiB", l1=100)
def test_b():
    free(allocate(2000)); free(allocate(100, "L1"))
"""
    )
    result = suite.run("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_a MEMORY PROBLEMS*",
            "Test was limited to 1.00 KiB of DRAM on a chip but used 1.95 KiB",
            "  1.95 KiB of DRAM at 0x* on chip 0*",
        ]
    )


def test_limits_are_stacked_and_the_narrowest_counts(suite):
    suite.write(
        """
pytestmark = pytest.mark.limit_device_memory(dram="1 KiB")
@pytest.mark.limit_device_memory(l1="1 KiB")
@pytest.mark.limit_device_memory(dram="4 KiB")
def test_a():
    free(allocate(2000)); free(allocate(2000, "L1"))
"""
    )
    result = suite.run()
    result.assert_outcomes(failed=1)
    assert result.stdout.str().count("\nTest was limited to") == 2


def test_a_limit_of_a_bank_is_not_one_of_the_chip(suite):
    suite.write(
        """
@pytest.mark.limit_device_memory(dram=500, per="bank")
def test_a():
    free(allocate(2000))
@pytest.mark.limit_device_memory(dram=499, per="bank")
def test_b():
    free(allocate(2000))
"""
    )
    suite.run().assert_outcomes(passed=1, failed=1)


def test_limits_apply_to_the_call_unless_told(suite):
    suite.write(
        """
@pytest.fixture
def heavy():
    free(allocate(5000))
@pytest.mark.limit_device_memory(dram=1000)
def test_a(heavy): pass
@pytest.mark.limit_device_memory(dram=1000, phases=("setup", "call"))
def test_b(heavy): pass
"""
    )
    suite.run().assert_outcomes(passed=2, errors=1)


def test_leaks_are_limited_by_class(suite):
    suite.write(
        """
@pytest.mark.limit_device_leaks("0 B")
def test_leaks():
    allocate(100)
@pytest.mark.limit_device_leaks("100 B")
def test_may_leak():
    allocate(100)
@pytest.mark.limit_device_leaks("0 B")
def test_trace():
    allocate(100, "TRACE")
@pytest.mark.limit_device_leaks("0 B", classes=["trace"])
def test_no_trace():
    allocate(100, "TRACE")
"""
    )
    result = suite.run()
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(["Test was limited to leaving 0 B on a chip but left 100 B"])
    result.stdout.fnmatch_lines(["Test was limited to leaving 0 B of class trace on a chip but left 100 B"])


def test_a_class_that_is_none_fails_its_test_and_every_class_of_the_rules_is_one(suite):
    rules = re.findall(r'^class = "(\w+)"', (_tool.PACKAGE / "rules.toml").read_text(), re.MULTILINE)
    assert len(set(rules)) == 6 and {*rules, "unattributed"} == set(CLASSES)
    suite.write('@pytest.mark.limit_device_leaks("0 B", classes=["usr"])\ndef test_a():\n    allocate(1)\n')
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["limit_device_leaks: 'usr' is no class; there are user, program_cache, *"])


def test_options_and_ini_are_defaults_for_all_tests(suite):
    suite.write("def test_a():\n    allocate(2000)\n")
    suite.run("--tt-memtrace-fail-on-leak").assert_outcomes(passed=1, errors=1)
    suite.pytester.makeini("[pytest]\ntt_memtrace = true\ntt_memtrace_limit_dram = 1 KiB\ntt_memtrace_fail_on_leak = true\n")
    suite.run(wanted=None).assert_outcomes(failed=1, errors=1)


@pytest.mark.parametrize("marker", ["dram='much'", "sram=5", "dram=5, per='core'", "dram=5, phases='all'", "5"])
def test_a_limit_that_cannot_be_read_fails_its_test(suite, marker):
    suite.write(f"@pytest.mark.limit_device_memory({marker})\ndef test_a(): pass\n")
    suite.run().assert_outcomes(errors=1)


def test_what_is_worse_than_the_baseline_fails_but_for_its_tolerance(suite):
    text = "def test_a():\n    free(allocate({}))\n"
    suite.write(text.format(1000))
    suite.run().assert_outcomes(passed=1)
    (suite.path / "out.json").rename(suite.path / "before.json")
    suite.write(text.format(1015))
    result = suite.run("--tt-memtrace-baseline=before.json")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["Test had a peak of DRAM of 1000 B on a chip in the baseline and has 1015 B"])
    suite.run("--tt-memtrace-baseline=before.json", "--tt-memtrace-tolerance=2%").assert_outcomes(passed=1)
    (suite.path / "other.json").write_text(json.dumps({"schema": "other"}))
    result = suite.run("--tt-memtrace-baseline=other.json")
    assert result.ret == 4 and "is no file of --tt-memtrace-json" in result.stderr.str()


def test_once_the_reader_has_died_no_limit_passes(suite):
    suite.write(
        """
import os, signal
@pytest.mark.limit_device_memory(dram="1 GiB")
def test_a(): pass
def test_kills(request):
    follower = request.config.pluginmanager.get_plugin("tt_memtrace_session").follower
    os.kill(follower._process.pid, signal.SIGKILL)
@pytest.mark.limit_device_memory(dram="1 GiB")
def test_b(): pass
def test_c(): pass
"""
    )
    result = suite.run()
    result.assert_outcomes(passed=4, errors=1)
    assert suite.tests["test_a"]["not_measured"] is None
    assert suite.tests["test_b"]["not_measured"] == suite.tests["test_c"]["not_measured"] == "the reader of the capture ended"
    result.stdout.fnmatch_lines(["Test has limits but was not measured: the reader of the capture ended"])
    result.stdout.fnmatch_lines(["*NOT MEASURED*", "*test_c: the reader of the capture ended"])


def test_without_the_recorder_nothing_is_said_to_be_measured(suite, monkeypatch):
    # It is there, and nobody has switched it on.
    monkeypatch.setenv("LD_PRELOAD", str(tt_memtrace.library_path()))
    suite.write(
        """
def test_a(): pass
@pytest.mark.limit_device_memory(dram="1 GiB")
def test_b(): pass
"""
    )
    program = (
        "import pytest, sys; print('begun'); sys.exit(pytest.main(['-q', '--tt-memtrace', '--tt-memtrace-json=out.json']))"
    )
    result = suite.pytester.runpython_c(program)
    assert result.stdout.str().count("begun") == 1
    assert result.stdout.str().count("NOT MEASURED") == 1
    result.assert_outcomes(passed=2, errors=1)
    assert all(test["not_measured"] for test in suite.json["tests"])


def test_a_marker_takes_the_place_of_a_default_for_what_it_names(suite):
    suite.pytester.makeini("[pytest]\ntt_memtrace_limit_dram = 1 KiB\ntt_memtrace_limit_l1 = 1 KiB\n")
    suite.write(
        """
@pytest.mark.limit_device_memory(dram="2 KiB")
def test_not_l1():
    free(allocate(2000, "L1"))
def test_not_dram():
    free(allocate(2000))
def test_no_leak():
    allocate(10)
@pytest.mark.limit_device_memory(dram="3 KiB")
@pytest.mark.limit_device_leaks("2000 B")
def test_may():
    allocate(2000)
"""
    )
    suite.run("--tt-memtrace-fail-on-leak").assert_outcomes(passed=2, failed=2, errors=1)
    assert {name for name, test in suite.tests.items() if test["problems"]} == {"test_not_l1", "test_not_dram", "test_no_leak"}
