"""The command that reads the growing capture of this process and answers each mark with figures."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from typing import Any

from .. import _native, _tool

# An answer takes milliseconds; a starved machine gets its time.
PATIENCE = 60.0


class Follower:
    """Starts with the first mark: a process without tests has no capture."""

    def __init__(self, n_largest: int) -> None:
        self._n_largest = n_largest
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._pid = os.getpid()
        self.problem: str | None = None
        self.capture: str | None = None

    def mark(self, name: str) -> None:
        """Write a mark; its answer comes with :meth:`answer`."""
        _native.mark(name)
        if self._process is None and self.problem is None:
            self._start()

    def answer(self, name: str) -> list[dict[str, Any]] | None:
        """All answers up to the one to this mark; None if there are none any more, see :attr:`problem`."""
        if self.problem is None and not _native.flush(PATIENCE):
            self.problem = "the recorder does not write any more"
        answers: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE
        while self.problem is None:
            try:
                answer = self._answers.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                self.problem = "the reader of the capture does not answer"
                break
            if answer is None or answer["mark"] is None:
                self.problem = "the reader of the capture ended"
                break
            answers.append(answer)
            if answer["mark"] == name:
                return answers
        return None

    def close(self) -> None:
        """A forked child of a test leaves its parent's reader alone."""
        if self._process is not None and self._pid == os.getpid():
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self.capture = _native.capture_path()
        if self.capture is None:
            self.problem = "this process is not recorded into a file"
            return
        arguments = [_tool.command(), "ctl", "--follow", self.capture, "--num-largest", str(self._n_largest)]
        try:
            self._process = subprocess.Popen(
                arguments,
                env=_tool.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            self.problem = f"cannot start the reader of the capture: {error}"
            return
        threading.Thread(target=self._read, args=(self._process,), name="tt-memtrace", daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                self._answers.put(json.loads(line))
        except ValueError:
            pass  # Half a line of a reader that was killed.
        self._answers.put(None)
