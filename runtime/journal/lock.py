"""One journal has one writer: a lock that the kernel releases when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from .errors import JournalHeld, JournalUnusable

_MADE = "a journal was made here"
_IN_USE = "its log is beside it"
_BYTES_MIN = 512
"""SQLite takes anything shorter for a new database."""


class JournalLock:
    """Held from `acquire` to `release`, or to the end of this process. The file names the holder.

    It also remembers that there was a journal, so that a journal that is gone is not taken for one that is still to be made, and
    whether it was closed, since one that was not has a log.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = journal.with_name(journal.name + ".lock")
        self._file: int | None = None
        self.log_is_gone = False
        """The last process did not close the journal, and there is no log: somebody has removed it, or merged it."""

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            JournalHeld: another process has it; the message gives its pid and command.
            JournalUnusable: this process may not write here, or the journal that was here is gone.
        """
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalUnusable(
                f"{self._path} cannot be written: {error.strerror}. The journal's folder must be there, on a volume that is "
                "not read-only, and belong to the user whom the gateway runs as"
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _text(file).partition("\n")[0] or "a process that did not leave its name"
            os.close(file)
            raise JournalHeld(str(self._journal), holder) from None
        self._file = file
        before = _text(file)
        was_made = _MADE in before
        if was_made and (not self._journal.exists() or self._journal.stat().st_size < _BYTES_MIN):
            self.release()
            raise JournalUnusable(
                f"there was a journal at {self._journal}, and it is gone or empty: restore it from a backup; to begin without "
                f"it, and without all that was in it, remove {self._path}"
            )
        log = self._journal.with_name(self._journal.name + "-wal")
        self.log_is_gone = _IN_USE in before and not (log.exists() and log.stat().st_size)
        self._write(*[_MADE] * was_made)

    def journal_made(self) -> None:
        """There is a journal from now on."""
        self._write(_MADE)

    def journal_used(self) -> None:
        """Something was committed: until the journal is closed it has a log."""
        self._write(_MADE, _IN_USE)

    def journal_closes(self) -> None:
        """Its log may be gone from now on, also when the power goes."""
        self._write(_MADE)
        if self._file is not None:
            os.fsync(self._file)

    def _write(self, *known: str) -> None:
        assert self._file is not None
        text = "\n".join([f"pid {os.getpid()} ({_command()})", *known, ""])
        with suppress(OSError):  # On a full volume; whoever asks then does not learn who holds it.
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, text.encode(), 0)

    def release(self) -> None:
        """Give the lock back; the file stays, since removing it would let two processes lock two files."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _text(file: int) -> str:
    return os.pread(file, 400, 0).decode("utf-8", "replace").strip()


def _command() -> str:
    try:
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "unknown command"
    return " ".join(word.decode("utf-8", "replace") for word in words[:4] if word)[:150]
