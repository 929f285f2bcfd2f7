"""How the recorder gets into the process, and what is said where it does not."""

import ctypes.util
import os
import shutil
import subprocess
import sys

import pytest

import tt_memtrace
from tt_memtrace import _tool

OPTIONS = ["-q", "-p", "no:cacheprovider", "--tt-memtrace", "--tt-memtrace-json=out.json"]
MAIN = f"import pytest, sys; sys.exit(pytest.main({OPTIONS} + sys.argv[1:]))"
#: Pytest by itself, and a program of another kind that calls it.
PROGRAMS = {"pytest": [sys.executable, "-m", "pytest", *OPTIONS], "main": [sys.executable, "-c", MAIN]}


@pytest.fixture
def starts(suite, monkeypatch):
    """How often Python was started for pytest: a file that is imported each time counts."""
    (suite.path / "sitecustomize.py").write_text(
        "import sys\nif any('pytest' in word for word in sys.orig_argv):\n    open('starts', 'a').write('x')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(suite.path), prepend=os.pathsep)
    return lambda: len((suite.path / "starts").read_text())


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("how", ["by itself", "run", "preload", "late", "C++"])
def test_it_starts_once_more_only_where_somebody_came_before_the_recorder(suite, monkeypatch, starts, how, program):
    suite.write("def test_a():\n    free(allocate(100))\n")
    # Any library under the name of the one that holds the runtime.
    any_library = ctypes.util.find_library("m")
    (suite.path / "early.py").write_text(
        f"import ctypes, shutil\nctypes.CDLL({any_library!r})\n"
        "path = next(line.split()[-1] for line in open('/proc/self/maps') if '/libm' in line)\n"
        "ctypes.CDLL(shutil.copy(path, './libtt_metal.so'))\n"
    )
    command = [*PROGRAMS[program], *(["-p", "early"] if how == "late" else [])]
    if how == "run":
        command = [_tool.command(), "run", "-o", "captures", "--", *command]
    elif how == "preload":
        monkeypatch.setenv("LD_PRELOAD", str(tt_memtrace.library_path()))
        monkeypatch.setenv("TT_ALLOC_TRACKING_ENABLED", "1")
    elif how == "C++":
        monkeypatch.setenv("LD_PRELOAD", ctypes.util.find_library("stdc++"))
    # This test may run in a pytest that was itself started once more.
    monkeypatch.setenv("_TT_MEMTRACE_PYTEST", str(os.getpid()))
    result = suite.pytester.run(*command)
    result.assert_outcomes(passed=1)
    assert starts() == (2 if program == "pytest" and how in ("late", "C++") else 1)
    if (how, program) == ("late", "main"):
        assert suite.tests["test_a"]["not_measured"]
        result.stdout.fnmatch_lines(
            ["*NOT MEASURED: the runtime was loaded before the recorder; start it as: tt-memtrace run *"]
        )
    else:
        assert suite.peak("test_a") == 100


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_room_for_thread_local_storage_it_is_preloaded_or_says_so(suite, monkeypatch, starts, program):
    """Libraries that were loaded late and ask for it where it is scarce have taken what there was."""
    source = 'static __thread char all[128] __attribute__((tls_model("initial-exec")));\nchar *f(void) { return all; }\n'
    command = ["cc", "-shared", "-fPIC", "-xc", "-", "-o", suite.path / "greedy.so"]
    subprocess.run(command, input=source, text=True, check=True)
    (suite.path / "early.py").write_text(
        "import ctypes, shutil\ntry:\n    for n in range(64):\n"
        "        ctypes.CDLL(shutil.copy('greedy.so', f'./greedy{n}.so'))\nexcept OSError:\n    pass\n"
    )
    suite.write("def test_a():\n    free(allocate(100))\n")
    # Of the other plugins, this one needs some, too.
    result = suite.pytester.run(*PROGRAMS[program], "-p", "early", "-p", "no:memray")
    result.assert_outcomes(passed=1)
    if program == "pytest":
        assert (suite.peak("test_a"), starts()) == (100, 2)
    else:
        result.stdout.fnmatch_lines(["*NOT MEASURED: *static TLS*; start it as: tt-memtrace run *"])
        assert starts() == 1


def test_a_missing_library_is_one_line(suite, monkeypatch, starts):
    suite.write("def test_a(): pass\n")
    package = suite.path / "elsewhere"
    shutil.copytree(_tool.PACKAGE, package / "tt_memtrace", ignore=shutil.ignore_patterns("lib"))
    monkeypatch.setenv("PYTHONPATH", str(package), prepend=os.pathsep)
    result = suite.run("-q")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*NOT MEASURED: *libtt_memtrace.so: cannot open *"])
    assert result.stdout.str().count("NOT MEASURED") == starts() == 1
    assert suite.tests["test_a"]["not_measured"]


def test_where_the_capture_cannot_be_written_the_reason_is_told(suite):
    suite.write("def test_a(): pass\n")
    (suite.path / "captures").write_text("a file")
    result = suite.run("--tt-memtrace-output=captures")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*NOT MEASURED: the recorder is switched off, or has said what it cannot do"])
    assert result.stderr.str().count("cannot write") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_forked_child_ends_its_recording_before_it_leaves(suite, program):
    suite.write(
        """
import multiprocessing, os
def hold(size):
    free(allocate(size))
def test_a():
    child = multiprocessing.get_context("fork").Process(target=hold, args=(100,))
    child.start()
    child.join()
    assert child.exitcode == 0
def test_b():
    child = os.fork()
    if child == 0:
        hold(200)
        os._exit(status=7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
def test_c():
    with pytest.raises(TypeError):
        os._exit("7")
"""
    )
    suite.pytester.run(*PROGRAMS[program], "--tt-memtrace-output=captures").assert_outcomes(passed=3)
    told = _tool.json_of("summary", "--json", str(suite.path / "captures"))
    children = [process for process in told["processes"] if process["all_chips"]["peak"]]
    assert sorted(process["all_chips"]["peak"] for process in children) == [100, 200]
    # None looks as if it had been killed, nor left its spool behind.
    assert [process["status"] for process in children] == ["exited_immediately"] * 2


def test_another_end_of_processes_is_left_alone(suite):
    """As coverage puts one there, to save what it has."""
    (suite.path / "early.py").write_text(
        "import os\ndef leave(status, real=os._exit):\n    open('left', 'w')\n    real(status)\nos._exit = leave\n"
    )
    suite.write(
        """
import os
def test_a():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert os.path.exists("left")
"""
    )
    suite.run("-p", "early").assert_outcomes(passed=1)
