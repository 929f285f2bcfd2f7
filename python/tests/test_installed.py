"""What the wheel brings, in the environment in which it is installed."""

import importlib.util
import subprocess
import sys
from importlib.metadata import distribution, files
from pathlib import Path

import pytest

import tt_memtrace
from tt_memtrace import _tool

PROGRAM = """
#include HEADER
int main(void) { return tt_memtrace_mark ? 0 : 77; }
"""


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_command_is_there_under_both_names():
    version = "tt-memtrace " + distribution("tt-memtrace").version + "\n"
    beside = Path(sys.executable).with_name("tt-memtrace")
    assert output_of(beside, "--version") == version
    assert output_of(sys.executable, "-m", "tt_memtrace", "--version") == version


def test_the_licence_is_there():
    licences = [path for path in files("tt-memtrace") if path.name == "LICENSE"]
    assert [path.read_text().split()[:2] for path in licences] == [["Apache", "License"]]


def test_a_program_is_recorded_and_the_command_reads_it(tmp_path):
    program = "import tt_memtrace as t; assert t.enabled(); t.mark('here'); assert t.flush(10)"
    command = [_tool.command(), "run", "-o", tmp_path / "captures", "--", sys.executable, "-c", program]
    subprocess.run(command, check=True, capture_output=True)
    events = output_of(_tool.command(), "parse", tmp_path / "captures")
    assert "here" in events


@pytest.mark.parametrize(
    ("header", "compiler"),
    [("tt_memtrace.h", ["cc", "-xc", "-std=c11"]), ("tt_memtrace.hpp", ["c++", "-xc++", "-std=c++17"])],
)
def test_the_headers_compile_from_their_folder(tmp_path, header, compiler):
    program = tmp_path / "program"
    command = [*compiler, "-Wall", "-Wextra", "-Werror", f"-DHEADER=<{header}>", "-o", program]
    command += ["-I", tt_memtrace.include_dir(), "-"]
    subprocess.run(command, input=PROGRAM, text=True, check=True)
    assert subprocess.run([program], check=False).returncode == 77
    assert subprocess.run([program], check=False, env={"LD_PRELOAD": tt_memtrace.library_path()}).returncode == 0


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_program_that_uses_it_is_type_checked(tmp_path):
    def complaints(statement):
        (tmp_path / "program.py").write_text(f"import tt_memtrace\nwith tt_memtrace.phase('prefill'):\n    {statement}\n")
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", tmp_path / "program.py"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    assert complaints("is_written: bool = tt_memtrace.flush(0.5)").startswith("Success")
    assert "[arg-type]" in complaints("tt_memtrace.mark(1)")


def test_a_run_that_does_not_ask_for_it_imports_the_hooks_and_nothing_else(pytester):
    pytester.makepyfile("import sys\ndef test_a():\n    print(*sys.modules)")

    def modules(*options):
        result = pytester.runpytest_subprocess("-s", "-q", "-p", "no:cacheprovider", *options)
        result.assert_outcomes(passed=1)
        return set(result.outlines[0].split())

    assert modules() - modules("-p", "no:tt_memtrace") == {"tt_memtrace", "tt_memtrace.pytest_plugin"}
