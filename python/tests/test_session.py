"""A session as a whole: what asks for figures, and that nothing else changes."""

import importlib.util
import json
import subprocess
import sys

import pytest

import tt_memtrace
from tt_memtrace import _tool

PLAIN = "def test_a():\n    free(allocate(100))\n"


def has(module):
    return importlib.util.find_spec(module) is not None


def test_not_asked_for_it_says_nothing_and_imports_nothing(suite):
    suite.write(
        """
import sys
@pytest.mark.limit_device_memory(dram=1)
def test_a():
    allocate(100)
    ours = {name for name in sys.modules if name.startswith("tt_memtrace")}
    assert ours == {"tt_memtrace", "tt_memtrace.pytest_plugin"}
"""
    )
    result = suite.pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers", "-W", "error")
    result.assert_outcomes(passed=1)
    assert "tt-memtrace" not in result.stdout.str().replace("plugins: ", "").replace("tt-memtrace-0", "")
    assert not list(suite.path.glob("tt-memtrace*"))


def test_only_collecting_measures_nothing(suite):
    suite.write(PLAIN)
    result = suite.run("--collect-only", "-q")
    assert result.ret == 0 and "test_it.py::test_a" in result.stdout.str()
    assert not list(suite.path.glob("tt-memtrace*")) and "MEASURED" not in result.stdout.str()


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_tests_that_are_not_called_have_figures_and_nobody_waits_for_their_end(suite, option):
    suite.write("@pytest.fixture\ndef held():\n    allocate(100)\ndef test_a(held):\n    allocate(20)\n")
    result = suite.run(option, "--tt-memtrace-fail-on-leak")
    assert result.duration < 50 and suite.tests["test_a"]["not_measured"] is None
    assert suite.left("test_a") == (100 if option == "--setup-only" else 0)


def test_under_run_and_under_a_bare_preload_it_measures_too(suite, monkeypatch):
    suite.write(PLAIN)
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tt-memtrace", "--tt-memtrace-json=out.json"]
    suite.pytester.run(_tool.command(), "run", "-o", "captures", "--", sys.executable, *options).assert_outcomes(passed=1)
    assert suite.peak("test_a") == 100 and len(list((suite.path / "captures").iterdir())) == 1
    (suite.path / "out.json").unlink()
    monkeypatch.setenv("LD_PRELOAD", str(tt_memtrace.library_path()))
    monkeypatch.setenv("TT_ALLOC_TRACKING_ENABLED", "1")
    suite.pytester.run(sys.executable, *options).assert_outcomes(passed=1)
    assert suite.peak("test_a") == 100


def test_warnings_are_errors_and_markers_strict_and_nothing_breaks(suite):
    suite.write(PLAIN)
    suite.run("-W", "error", "--strict-markers").assert_outcomes(passed=1)
    if has("xdist"):
        suite.run("-W", "error", "--strict-markers", "-n", "2").assert_outcomes(passed=1)


def test_other_plugins_change_nothing(suite):
    suite.write(PLAIN + "def test_b():\n    allocate(50)\n")
    options = []
    options += ["--memray"] if has("pytest_memray") else []
    options += ["--timeout=100"] if has("pytest_timeout") else []
    options += ["--reruns=1"] if has("pytest_rerunfailures") else []
    suite.run(*options).assert_outcomes(passed=2)
    with_others = suite.json
    suite.run().assert_outcomes(passed=2)
    alone = suite.json
    for test in with_others["tests"] + alone["tests"]:
        for peaks in test["peaks"].values():
            for peak in peaks.values():
                del peak["n"]
        for holder in test["holders"]:
            del holder["since"]
    assert with_others == alone


def test_the_summary_can_be_hidden_but_not_the_problems(suite):
    suite.write(PLAIN + "@pytest.mark.limit_device_memory(dram=1)\ndef test_b():\n    free(allocate(50))\n")
    result = suite.run("--tt-memtrace-hide-summary")
    result.assert_outcomes(passed=1, failed=1)
    assert "DRAM peak" not in result.stdout.str() and "Test was limited to 1 B" in result.stdout.str()


def test_the_command_and_the_files_are_found():
    command = [sys.executable, "-m", "tt_memtrace", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("tt-memtrace ")
    assert tt_memtrace.library_path().is_file()


def test_without_the_recorder_the_functions_do_nothing():
    assert not tt_memtrace.enabled() and not tt_memtrace.flush()
    tt_memtrace.mark("here")
    with tt_memtrace.phase("prefill"):
        assert tt_memtrace.snapshot() is None


def test_a_program_can_ask_what_is_live(suite):
    suite.write(
        "import tt_memtrace\ndef test_a():\n    allocate(100)\n    (one,) = tt_memtrace.snapshot()['live']\n    assert one['size_bytes'] == 100\n"
    )
    suite.run().assert_outcomes(passed=1)


def test_figures_are_written_wherever_that_is_or_the_session_does_not_start(suite):
    suite.write(PLAIN)
    made = suite.path / "not" / "yet" / "out.json"
    suite.run(f"--tt-memtrace-json={made.relative_to(suite.path)}").assert_outcomes(passed=1)
    assert json.loads(made.read_text())["tests"]
    for wrong in ("test_it.py/out.json", "not"):
        result = suite.run(f"--tt-memtrace-json={wrong}")
        assert result.ret == 4 and f"--tt-memtrace-json: {wrong}" in result.stderr.str()


def test_where_figures_cannot_be_written_any_more_the_session_ends_as_it_would(suite):
    suite.write(
        """
import os
def test_a():
    allocate(100)
    os.rmdir("away")
    assert 0
"""
    )
    result = suite.run("--tt-memtrace-json=away/out.json")
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*100 B*test_a", "tt-memtrace: cannot write */away/out.json: No such file or directory"])
