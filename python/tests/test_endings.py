"""How a session ends before its tests do, and that whoever looks learns what is known."""

import json
import subprocess
from pathlib import Path

import pytest

from tt_memtrace import _tool

STOPPED = {"interrupt": "raise KeyboardInterrupt", "exit": "pytest.exit('enough')"}


@pytest.mark.parametrize("where", ["setup", "call", "teardown"])
@pytest.mark.parametrize("how", STOPPED)
def test_a_session_that_is_stopped_in_a_test_ends_at_once_and_tells_what_it_held(suite, how, where):
    body = {part: STOPPED[how] if part == where else "pass" for part in ("setup", "call", "teardown")}
    suite.write(
        f"""
@pytest.fixture(scope="session")
def model():
    allocate(50)
@pytest.fixture
def held(model):
    one = allocate(4096)
    {body["setup"]}
    yield
    {body["teardown"]}
    free(one)
def test_a(): free(allocate(300))
def test_b(held):
    {body["call"]}
def test_c(): pass
"""
    )
    result = suite.run("--junitxml=out.xml")
    assert result.ret == 2 and result.duration < 30
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert suite.peak("test_a") == 300 and set(suite.tests) == {"test_a", "test_b"}
    result.stdout.fnmatch_lines(
        ["*NOT MEASURED*", "*test_b: the session was stopped in it; up to then it had at most 4.05 KiB of DRAM on a chip"]
    )


def test_a_process_that_leaves_without_a_word_keeps_its_status_and_its_capture(suite):
    suite.write("import os\ndef test_a():\n    free(allocate(4096))\n    os._exit(7)\n")
    result = suite.run("--tt-memtrace-output=captures")
    assert result.ret == 7 and not (suite.path / "out.json").exists()
    command = [_tool.command(), "summary", "--json", "captures"]
    told = json.loads(subprocess.run(command, cwd=suite.path, capture_output=True, text=True, check=True).stdout)
    assert told["processes"][0]["all_chips"]["peak"] == 4096


def test_a_worker_that_leaves_without_a_word_is_listed(suite):
    pytest.importorskip("xdist")
    suite.write("import os\ndef test_a():\n    allocate(4096)\n    os._exit(7)\ndef test_b():\n    free(allocate(200))\n")
    result = suite.run("-n", "2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*NOT MEASURED*", "*test_a: its process ended in call; up to *at most 4.00 KiB of DRAM*"])
    assert suite.peak("test_b") == 200


def test_a_session_of_workers_that_is_stopped_tells_of_the_tests_that_ran(suite):
    pytest.importorskip("xdist")
    suite.write(
        """
import os, signal, time
def test_a():
    allocate(4096)
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(600)
"""
    )
    result = suite.run("-n", "1")
    assert result.ret == 2 and "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    result.stdout.fnmatch_lines(["*NOT MEASURED*", "*test_a: its process ended in *at most 4.00 KiB of DRAM on a chip"])


@pytest.mark.parametrize("options", [("-x",), ("--maxfail=2",)], ids=lambda options: options[0])
def test_a_session_that_stops_at_failures_tells_of_the_tests_that_ran(suite, options):
    suite.write(
        """
def test_a():
    free(allocate(100))
    assert 0
@pytest.mark.limit_device_memory(dram=10)
def test_b():
    free(allocate(200))
def test_c(): pass
"""
    )
    result = suite.run(*options)
    ran = {"test_a", "test_b"} if options != ("-x",) else {"test_a"}
    result.assert_outcomes(failed=len(ran))
    assert set(suite.tests) == ran and not any(test["not_measured"] for test in suite.json["tests"])


def test_a_limit_that_is_broken_stops_a_session_that_stops_at_failures(suite):
    suite.write(
        """
@pytest.mark.limit_device_memory(dram=10)
def test_a():
    free(allocate(200))
def test_b(): pass
"""
    )
    suite.run("-x").assert_outcomes(failed=1)
    assert set(suite.tests) == {"test_a"}


def test_a_recorder_that_cannot_write_any_more_lets_nothing_pass(suite):
    suite.write(
        """
import os, resource
from tt_memtrace import _native
@pytest.mark.limit_device_memory(dram="1 GiB")
def test_a():
    # Longer than what pytest writes.
    for _ in range(200):
        free(allocate(100))
def test_the_disk_is_full():
    assert _native.flush(60)
    size = os.path.getsize(_native.capture_path())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
@pytest.mark.limit_device_memory(dram="1 GiB")
def test_b():
    free(allocate(100))
def test_c():
    resource.setrlimit(resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)[1:] * 2)
"""
    )
    result = suite.run()
    # What could not be written is kept for `tt-memtrace recover`, which nobody will call.
    for capture in suite.path.glob("tt-memtrace-pytest.*/*.jsonl"):
        for spool in Path("/dev/shm").glob(f"tt-memtrace-{capture.suffixes[0][1:]}-*.spool"):
            spool.unlink()
    assert suite.tests["test_a"]["not_measured"] is None
    assert suite.tests["test_b"]["not_measured"] == "the recorder does not write any more"
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["Test has limits but was not measured: *"])
