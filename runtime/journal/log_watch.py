"""SQLite writes its log back by itself, and keeps to itself when that fails; here is who notices."""

from __future__ import annotations

import sqlite3
from pathlib import Path

LOG_BYTES = 12 * 1024 * 1024
"""More than the log takes when it is written back in time; see `wal_autocheckpoint`."""
_STEP_BYTES = 2 * 1024 * 1024


class LogWatch:
    """Before a commit: a log that has outgrown its bound is written back by a call whose errors show.

    An automatic checkpoint that fails is tried again at every commit, and nobody learns of it: a sync that failed would be
    repeated as if nothing had happened, and the log would grow until the disk is full.
    """

    def __init__(self, journal: Path) -> None:
        self._log = journal.with_name(journal.name + "-wal")
        self._next_look_bytes = LOG_BYTES

    def look(self, connection: sqlite3.Connection) -> None:
        """The log is within its bound, or was written back as far as those who read the journal allow.

        Raises:
            sqlite3.Error: it cannot be written back.
        """
        try:
            size = self._log.stat().st_size
        except FileNotFoundError:
            return
        if size < LOG_BYTES:
            self._next_look_bytes = LOG_BYTES
        elif size >= self._next_look_bytes:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._next_look_bytes = size + _STEP_BYTES
