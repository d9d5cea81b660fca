"""The demo's child processes: started on a leash, told to stop in order, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_S = 20.0
LOG_TAIL_LINES = 12


class Child:
    """One program in a process of its own; its output goes to a log file.

    It does not see the terminal's Ctrl-C: the launcher stops its children in the right order. When the
    launcher is killed, the kernel stops them.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._command = list(command)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self.status is None else None

    @property
    def status(self) -> int | None:
        """None while it runs; else its exit status, or the negative number of the signal that ended it."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """It runs, for the first time or again. Call from the main thread: the leash is the thread's."""
        environment = {**os.environ, **self._environment, "LEASH_PARENT": str(os.getpid())}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "examples.farm.leash", *self._command],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.started_at = time.monotonic()

    async def stop(self) -> int | None:
        """It has ended: by SIGTERM, or by SIGKILL when that took longer than 20 s. Returns its status."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """It has ended, and so have the processes it had started itself."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """The end of its log, for the message that says that it crashed."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])
