"""One journal has one writer: a lock that the kernel releases when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from .errors import JournalHeld


class JournalLock:
    """Held from `acquire` to `release`, or to the end of this process. The file names the holder."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = journal.with_name(journal.name + ".lock")
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            JournalHeld: another process has it; the message gives its pid and command.
        """
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = (
                os.pread(file, 200, 0).decode("utf-8", "replace").strip()
                or "a process that did not leave its name"
            )
            os.close(file)
            raise JournalHeld(str(self._journal), holder) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"pid {os.getpid()} ({_command()})\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back; the file stays, since removing it would let two processes lock two files."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _command() -> str:
    try:
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "unknown command"
    return " ".join(word.decode("utf-8", "replace") for word in words[:4] if word)[:150]
