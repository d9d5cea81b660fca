"""Executions whose code ends the whole process are found and set aside, so that the others go on.

What ends a process (a crash in a library, all of the memory, a kill because the code never yields) leaves nothing in the
journal: after a restart the same execution would end it again, for ever. So a process that was started after one that did not
end properly is careful for a while: before it runs the code of an execution, it notes which in a file. What is noted when it
ends is to blame, since one piece of code runs at a time. The file is not synced: when the machine restarted, the power was to
blame, and what the file says is forgotten.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

from .core.instance import ActivationFailed

_log = logging.getLogger(__name__)

CRASHES_MAX: Final = 3
"""After so many ends of the process in a row while its code ran, an execution is set aside."""
CAREFUL_S: Final = 600.0
"""How long a process is careful."""


class ProcessEnded(Exception):
    """The process has ended whenever this code ran."""


class CrashWatch:
    """Without a file it watches nothing."""

    def __init__(self, file: Path | None = None) -> None:
        self._path = file
        self._file: int | None = None
        self._length = 0
        self._careful_until_s = 0.0
        self._boot = ""
        self._crashes: dict[str, int] = {}

    def begin(self) -> None:
        """See how the last process ended; from now on this one is the last."""
        assert self._path is not None
        self._boot = _boot_id()
        last = _read(self._path)
        if last.get("boot") == self._boot:
            self._careful_until_s = time.monotonic() + CAREFUL_S
            self._crashes = last["crashes"]
            if run_id := last["running"]:
                self._crashes[run_id] = self._crashes.get(run_id, 0) + 1
                _log.warning("the last process ended while the code of run %s ran", run_id)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._write("")

    def end(self) -> None:
        """The process ends properly: the next one may try everything again."""
        if self._file is not None and self._path is not None:
            os.close(self._file)
            self._file = None
            self._path.unlink(missing_ok=True)

    @property
    def careful(self) -> bool:
        """Whether to note which code runs."""
        if not self._careful_until_s:
            return False
        if time.monotonic() < self._careful_until_s:
            return True
        self._careful_until_s = 0.0
        self._crashes = {run_id: count for run_id, count in self._crashes.items() if count >= CRASHES_MAX}
        self._write("")
        return False

    @contextmanager
    def running(self, run_id: str) -> Generator[None]:
        """Within this block the code of an execution runs."""
        self._write(run_id)
        try:
            yield
        finally:
            self._write("")

    def refuse(self, run_id: str) -> None:
        """The code of this execution may run.

        Raises:
            ActivationFailed: it has ended the process too often.
        """
        count = self._crashes.get(run_id, 0)
        if count >= CRASHES_MAX:
            raise ActivationFailed from ProcessEnded(
                f"the process has ended {count} times in a row while this code ran; it is left alone until the gateway is "
                "stopped and started again"
            )

    def _write(self, running: str) -> None:
        if self._file is None:
            return
        text = json.dumps({"boot": self._boot, "crashes": self._crashes, "running": running})
        self._length = max(self._length, len(text))
        with suppress(OSError):  # Without room there is no watch; the journal says what matters.
            os.pwrite(self._file, text.ljust(self._length).encode(), 0)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or not {"boot", "crashes", "running"} <= found.keys():
        return {}
    return cast("dict[str, Any]", found)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "unknown"
