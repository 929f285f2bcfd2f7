"""The pytest plugin: ``pytest --tt-memtrace`` gives every test its device-memory figures.

This file holds the hooks. Nothing else is imported before somebody asks for figures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._pytest.session import Session

LIMIT_MEMORY = (
    "limit_device_memory(dram=None, l1=None, l1_small=None, trace=None, per='device', phases=('call',)): fail the test if "
    "it holds more than this at once, as dram='2 GiB'; per='device' is the worst chip, per='bank' one bank of it"
)
LIMIT_LEAKS = (
    "limit_device_leaks(limit='0 B', classes=None): fail the test if it leaves more than this behind on a chip; of the "
    "classes named, else of those that are leaks"
)
#: The options of which each asks for figures.
WANTING = [f"tt_memtrace{name}" for name in ("", "_output", "_json", "_fail_on_leak", "_baseline")]
SESSION: pytest.StashKey[Session] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tt-memtrace", "device memory of ttnn and tt-metal (tt-memtrace)")
    add = group.addoption
    add("--tt-memtrace", action="store_true", help="measure the device memory of every test; options that need it imply it")
    add("--tt-memtrace-output", metavar="DIR", help="where the captures go [tt-memtrace-pytest.TIME]")
    add("--tt-memtrace-top", type=int, metavar="N", help="how many tests and holders are listed [5]")
    add("--tt-memtrace-json", metavar="FILE", help="write the figures of every test")
    add("--tt-memtrace-fail-on-leak", action="store_true", help="fail tests that leave memory behind that is a leak")
    add("--tt-memtrace-baseline", metavar="FILE", help="fail tests that are worse than in this earlier JSON file")
    add("--tt-memtrace-tolerance", metavar="SLACK", help="how much worse than the baseline: 2%%, 64KiB [0]")
    add("--tt-memtrace-hide-summary", action="store_true", help="no figures at the end; problems are still shown")
    parser.addini("tt_memtrace", "measure every test, as --tt-memtrace does", type="bool", default=False)
    parser.addini("tt_memtrace_top", "how many tests and holders are listed", default="5")
    parser.addini("tt_memtrace_fail_on_leak", "as --tt-memtrace-fail-on-leak", type="bool", default=False)
    parser.addini("tt_memtrace_tolerance", "as --tt-memtrace-tolerance", default="")
    for memory in ("dram", "l1", "l1_small", "trace"):
        parser.addini(f"tt_memtrace_limit_{memory}", f"the most {memory} a test may hold on a chip", default="")


def is_wanted(config: pytest.Config) -> bool:
    """Also where only what needs figures was asked for: it must not be passed over in silence."""
    known = getattr(config, "known_args_namespace", config.option)
    return any(getattr(known, name, None) for name in WANTING) or bool(config.getini("tt_memtrace"))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, None]:
    # Before pytest takes standard output away, and before any conftest can import ttnn.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if is_wanted(early_config) and not is_worker and not early_config.known_args_namespace.collectonly:
        from ._pytest import preload

        preload.arrange(early_config)
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for line in (LIMIT_MEMORY, LIMIT_LEAKS):
        config.addinivalue_line("markers", line)
    if is_wanted(config) and not config.option.collectonly:
        from ._pytest.session import Session

        session = Session(config)
        config.stash[SESSION] = session
        config.pluginmanager.register(session, "tt_memtrace_session")
        if not session.is_worker:
            from ._pytest.results import Results

            config.pluginmanager.register(Results(config, session), "tt_memtrace_results")


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.close()
