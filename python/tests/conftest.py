import json
import os
import shutil
import signal
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
HERE = Path(__file__).parent


class Suite:
    """A folder with tests, and pytest run on it in a process of its own."""

    def __init__(self, pytester, monkeypatch):
        self.pytester = pytester
        self.path = pytester.path
        for name in os.environ:
            if name.startswith(("TT_", "_TT_", "PYTEST_ADDOPTS", "PYTEST_XDIST", "LD_PRELOAD")):
                monkeypatch.delenv(name)
        # Where they are set, pytest's summary has whole messages.
        for name in ("CI", "BUILD_NUMBER"):
            monkeypatch.delenv(name, raising=False)
        # A shell's background job ignores it, and so does what it starts: tests of Ctrl-C would wait for ever.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        shutil.copy(HERE / "device.py", self.path)
        self.made = {}

    def write(self, text, name="test_it"):
        self.pytester.makepyfile(**{name: "import pytest, device\nfrom device import allocate, free\n" + text})

    def run(self, *options, wanted="--tt-memtrace"):
        """``wanted`` is None where something else than the command line asks for figures."""
        given = [wanted, "--tt-memtrace-json=out.json"] if wanted else []
        self.result = self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *given, *options, timeout=300)
        return self.result

    def needs_forked(self):
        """pytest-forked does not work with every pytest by itself."""
        pytest.importorskip("pytest_forked")
        self.pytester.makepyfile(test_forked="def test_nothing(): pass")
        plain = self.pytester.runpytest_subprocess("-p", "no:cacheprovider", "--forked", "test_forked.py")
        (self.path / "test_forked.py").unlink()
        if plain.ret != 0:
            pytest.skip("pytest-forked does not work with this pytest, with or without tt-memtrace")

    @property
    def json(self):
        return json.loads((self.path / "out.json").read_text())

    @property
    def tests(self):
        return {test["nodeid"].rpartition("::")[2]: test for test in self.json["tests"]}

    def peak(self, name, phase="call", memory="DRAM"):
        return self.tests[name]["peaks"][phase].get(memory, {"bytes": 0})["bytes"]

    def left(self, name, class_="user"):
        return sum(one["bytes"] for one in self.tests[name]["left"] if one["class_"] == class_)


@pytest.fixture
def suite(pytester, monkeypatch):
    return Suite(pytester, monkeypatch)
