"""However pytest is called, and whatever kind of test it finds, the figures are the same."""

import sys

import pytest

from tt_memtrace import _tool

SUITE = """
import unittest
class TestOld(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.of_class = allocate(1000)
    @classmethod
    def tearDownClass(cls):
        free(cls.of_class)
    def setUp(self):
        self.held = allocate(100)
    def tearDown(self):
        free(self.held)
    def test_old(self):
        free(allocate(20))
    def test_old_leaks(self):
        allocate(30)
class TestXunit:
    def setup_method(self):
        self.held = allocate(7000)
    def teardown_method(self):
        free(self.held)
    def test_xunit(self):
        free(allocate(60))
"""


def check(suite, result):
    result.assert_outcomes(passed=3)
    assert [suite.peak(name) for name in ("test_old", "test_old_leaks", "test_xunit")] == [1120, 1130, 7090]
    assert [suite.left(name) for name in ("test_old", "test_old_leaks", "test_xunit")] == [0, 30, 0]
    assert not suite.json["left_at_end"]


OPTIONS = ["", "-s", "--capture=tee-sys", "-p xdist -n0", "-v", "--no-header --no-summary", "--import-mode=importlib"]


@pytest.mark.parametrize("options", OPTIONS)
def test_classes_of_all_kinds_have_the_same_figures_with_any_options(suite, options):
    if "xdist" in options:
        pytest.importorskip("xdist")
    (suite.path / "conftest.py").write_text("import sys, os\nsys.path.insert(0, os.path.dirname(__file__))\n")
    suite.write(SUITE)
    check(suite, suite.run(*options.split()))


def test_with_several_workers_the_figures_are_merged_and_junit_has_bytes(suite):
    pytest.importorskip("xdist")
    suite.write(SUITE)
    suite.write("@pytest.mark.parametrize('n', range(10))\ndef test_n(n):\n    free(allocate(5000 + n))\n", name="test_more")
    suite.run("-n", "2", "--dist=loadfile", "--junitxml=out.xml").assert_outcomes(passed=13)
    assert [suite.peak(name) for name in ("test_old", "test_old_leaks", "test_xunit")] == [1120, 1130, 7090]
    text = (suite.path / "out.xml").read_text()
    for n in range(10):
        assert suite.peak(f"test_n[{n}]") == 5000 + n
        assert text.count(f'<property name="tt_memtrace_peak_dram_bytes" value="{5000 + n}"') == 1
    assert text.count("tt_memtrace_leaked_bytes") == 13


def test_options_of_the_ini_file_and_the_environment_are_options(suite, monkeypatch):
    suite.write(SUITE)
    shown = ["*of the worst chip, 1 of 3 tests", " 6.92 KiB *::TestXunit::test_xunit"]
    suite.pytester.makeini("[pytest]\naddopts = --tt-memtrace --tt-memtrace-top=1\n")
    suite.run(wanted=None).stdout.fnmatch_lines(shown)
    suite.pytester.makeini("[pytest]\ntt_memtrace_top = 1\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--tt-memtrace")
    suite.run(wanted=None).stdout.fnmatch_lines(shown)
    monkeypatch.delenv("PYTEST_ADDOPTS")
    suite.pytester.makeini("[pytest]\ntt_memtrace = true\ntt_memtrace_top = 1\n")
    suite.run(wanted=None).stdout.fnmatch_lines(shown)


@pytest.mark.parametrize("options", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_what_is_held_is_of_the_test_that_made_it_and_the_variable_is_as_pytest_sets_it(suite, options):
    if options:
        pytest.importorskip("xdist")
    suite.write(
        """
import ctypes, os
def check(phase):
    of_c = ctypes.CDLL(None).getenv
    of_c.restype = ctypes.c_char_p
    name = "PYTEST_CURRENT_TEST"
    assert of_c(name.encode()).decode() == os.environ[name] and os.environ[name].endswith(f"({phase})")
@pytest.fixture
def held():
    check("setup")
    allocate(10)
    yield
    check("teardown")
@pytest.mark.parametrize("name", ["a", "\N{GREEK SMALL LETTER BETA}"])
def test_a(held, name):
    check("call")
    allocate(20)
def test_b():
    allocate(30)
@pytest.fixture(scope="session", autouse=True)
def at_the_end():
    yield
    import atexit
    atexit.register(lambda: allocate(40))
"""
    )
    suite.run("--tt-memtrace-output=captures", *options).assert_outcomes(passed=3)
    leaks = _tool.json_of("leaks", "--json", str(suite.path / "captures"))
    left = sorted((one["size_bytes"], one["test"]) for process in leaks["processes"] for one in process["survivors"])
    # Frames are read of these versions; of others there are no contexts.
    tests = [f"test_it.py::{name}" for name in ("test_a[\\u03b2]", "test_a[a]", "test_b")]
    tests = tests if sys.version_info[:2] in ((3, 10), (3, 12)) else [None] * 3
    assert left == [(10, tests[0]), (10, tests[1]), (20, tests[0]), (20, tests[1]), (30, tests[2]), (40, None)]


def test_fixtures_that_nobody_named_are_followed(suite):
    suite.write(
        """
@pytest.fixture(scope="session", autouse=True)
def everywhere():
    held = allocate(1000)
    yield
    free(held)
@pytest.fixture(autouse=True)
def each():
    held = allocate(200)
    yield
    free(held)
def a_name(fixture_name, config):
    return config.getoption("--lifetime", "module")
@pytest.fixture(scope=a_name)
def of_a_scope_that_is_computed():
    held = allocate(50)
    yield
    free(held)
@pytest.fixture(scope="module")
def leaky():
    allocate(7)
def test_asks_late(request):
    request.getfixturevalue("of_a_scope_that_is_computed")
    request.getfixturevalue("leaky")
    free(allocate(3))
def test_b(): pass
"""
    )
    result = suite.run("--tt-memtrace-fail-on-leak")
    result.assert_outcomes(passed=2, errors=1)
    assert (suite.peak("test_asks_late"), suite.peak("test_b")) == (1260, 1257)
    assert (suite.left("test_asks_late"), suite.left("test_b")) == (0, 0)
    result.stdout.fnmatch_lines(["fixture leaky (module) left 7 B of DRAM in 1 buffer (user)*"])


def test_a_test_within_a_test_does_not_disturb_the_figures(suite):
    """As pytest's own tests of plugins have it: pytest.main in the process of a test."""
    (suite.path / "inner.py").write_text("def test_inner(): pass\n")
    suite.write(
        """
def test_a():
    held = allocate(100)
    assert pytest.main(["-q", "-p", "no:cacheprovider", "inner.py"]) == 0
    free(held)
"""
    )
    suite.run().assert_outcomes(passed=1)
    assert suite.peak("test_a") == 100


def test_an_option_that_needs_figures_asks_for_them(suite):
    suite.write("def test_a():\n    allocate(100)\n")
    suite.run("--tt-memtrace-json=out.json", wanted=None).assert_outcomes(passed=1)
    assert suite.left("test_a") == 100
    plain = ["-m", "pytest", "-p", "no:cacheprovider"]
    result = suite.pytester.run(sys.executable, *plain, "--tt-memtrace-fail-on-leak", "--tt-memtrace-output=captures")
    result.assert_outcomes(passed=1, errors=1)
    result = suite.pytester.run(sys.executable, *plain, "--tt-memtrace-top=3", "--tt-memtrace-hide-summary")
    result.assert_outcomes(passed=1)
    assert "memory" not in result.stdout.str()


@pytest.mark.parametrize("top", ["many", "-1"])
def test_a_number_that_is_none_is_wrong_usage(suite, top):
    suite.write("def test_a(): pass\n")
    suite.pytester.makeini(f"[pytest]\ntt_memtrace_top = {top}\n")
    result = suite.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: tt_memtrace_top: '{top}' is no number of tests and holders"])


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="this pytest has no subtests of its own")
def test_limits_of_a_test_with_subtests_are_judged_when_it_is_over(suite):
    suite.write(
        """
import unittest
@pytest.mark.limit_device_memory(dram=250)
def test_a(subtests):
    for size in (100, 200, 300):
        with subtests.test(size=size):
            free(allocate(size))
@pytest.mark.limit_device_memory(dram=250)
def test_b(subtests):
    with subtests.test():
        held = allocate(200)
        assert 0
class TestOld(unittest.TestCase):
    @pytest.mark.limit_device_memory(dram=1)
    def test_c(self):
        with self.subTest():
            free(allocate(10))
"""
    )
    result = suite.run()
    assert result.duration < 50, "it waited for an answer that could not come"
    result.stdout.fnmatch_lines(["Test was limited to 250 B of DRAM on a chip but used 300 B"])
    assert [suite.peak(name) for name in ("test_a", "test_b", "test_c")] == [300, 200, 210]
    assert [bool(suite.tests[name]["problems"]) for name in ("test_a", "test_b", "test_c")] == [True, False, True]
    assert suite.tests["test_b"]["raised"] and not any(test["not_measured"] for test in suite.json["tests"])
