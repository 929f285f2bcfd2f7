"""The command that reads the growing capture of this process and answers each mark with figures."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from typing import Any

from .. import _native, _tool

# An answer takes milliseconds; a starved machine gets its time.
PATIENCE = 60.0


class Follower:
    """Starts with the first mark: a process without tests has no capture.

    Has no thread of its own, as tests may fork: what the command says meanwhile waits in the pipe, and then the command.
    """

    def __init__(self, n_largest: int) -> None:
        self._n_largest = n_largest
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
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
        if self.problem is None:
            self._tell()
        answers: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE
        while self.problem is None:
            line = self._line(deadline)
            answer = None if line is None else json.loads(line)
            if answer is None or answer["mark"] is None:
                self.problem = self.problem or "the reader of the capture ended"
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
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def _start(self) -> None:
        self.capture = _native.capture_path()
        if self.capture is None:
            self.problem = "this process is not recorded into a file"
            return
        try:
            command = _tool.command()
            self._process = subprocess.Popen(
                [command, "ctl", "--follow", self.capture, "--on-input", "--num-largest", str(self._n_largest)],
                env=_tool.environment(),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, RuntimeError) as error:
            self.problem = f"cannot start the reader of the capture: {error}"

    def _tell(self) -> None:
        """There is something to read in the capture."""
        if self._process is not None and self._process.stdin is not None:
            try:
                os.write(self._process.stdin.fileno(), b"\n")
            except OSError:
                pass  # It has ended, as the end of its answers will say.

    def _line(self, deadline: float) -> bytes | None:
        """The next line; None if there is none, half a line of a command that was killed included."""
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while b"\n" not in self._unread:
            if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                self.problem = "the reader of the capture does not answer"
                return None
            read = os.read(pipe, 1 << 16)
            if not read:
                return None
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line
