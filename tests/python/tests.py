"""Tests, as pytest tells of them: by a variable of the environment, at each phase."""

import os
import threading

from told import alloc

VARIABLE = "PYTEST_CURRENT_TEST"


def phase(test, name):
    os.environ[VARIABLE] = f"{test} ({name})"
    alloc(test=test)


alloc()
for test in ("tests/test_a.py::test_one", "tests/test_a.py::test_two[(1, 2)]", "tests/test_\xe9.py::test"):
    for name in ("setup", "call", "teardown"):
        phase(test, name)
    thread = threading.Thread(target=alloc, kwargs={"test": test})
    thread.start()
    thread.join()
    os.environ.pop(VARIABLE)
    alloc()
os.environ["PYTEST_VERSION"] = "8"
alloc()
