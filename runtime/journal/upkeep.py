"""What a journal does for its disk while nobody waits: it moves the log into the file, gives free pages back, and counts.

SQLite would checkpoint inside the commit that makes the log long enough, and whoever waits for that commit would wait for all of
it. Here it is done when no commit has come for a moment; SQLite's own limit stays as the bound for a journal that is never
idle. A second connection could checkpoint beside the writer, but SQLite before 3.51.3 can then, rarely, damage the file.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ..core.records import dataclass
from ..ports import Room
from .errors import JournalError, StorageFull

_log = logging.getLogger(__name__)

T = TypeVar("T")
Write = Callable[[Callable[[sqlite3.Connection], T]], Awaitable[T]]

WAL_PAGES_MAX: Final = 2000
"""The length of the log, in pages, at which SQLite checkpoints in the commit that finds it so."""
IDLE_S: Final = 0.2
PAGE_BYTES: Final = 4096
_CHECKPOINT_PART: Final = 2
"""When idle, at so many times less than the most."""
_FREE_PAGES_KEPT: Final = 2048
"""Free pages that stay in the file for what comes next."""
_FREE_PART_KEPT: Final = 4
"""One of so many pages may stay free before any is given back."""
_VACUUM_PAGES: Final = 256
"""Pages that are given back at a time."""


@dataclass(slots=True)
class Work:
    """What a journal has done to its disk since it was opened."""

    commits: int = 0
    syncs: int = 0
    """Syncs that were waited for; a checkpoint makes two."""
    checkpoints: int = 0
    pages_returned: int = 0
    bytes_written: int | None = None
    """Into the log and the file; None where the system does not count."""


def room(connection: sqlite3.Connection) -> Room:
    """How the pages of a journal file are used."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return Room((pages - free) * size, free * size)


class Upkeep:
    """Looks after one journal file, on the thread of its writer."""

    def __init__(self, write: Write[bool]) -> None:
        self.work = Work()
        self.free_pages = 0
        """Pages in the file that will be used again, as they were when there was time to look."""
        self._write = write
        self._thread = 0
        self._bytes_before = 0
        self._bytes_at_checkpoint = 0
        self._commits_seen = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: JournalError | None = None

    def begin(self, connection: sqlite3.Connection) -> bool:
        """Count from here on; called on the writer's thread."""
        self.free_pages = connection.execute("PRAGMA freelist_count").fetchone()[0]
        self._thread = threading.get_native_id()
        self._bytes_before = self._bytes_at_checkpoint = written_by(self._thread) or 0
        return True

    def check(self) -> None:
        """Before a commit: what was done to the disk meanwhile has not failed.

        Raises:
            StorageFailed: it has; what the disk holds is only known after a restart.
        """
        if self._failure is not None:
            raise self._failure

    def committed(self, *, synced: bool) -> None:
        """A commit was made: when no other one comes for a moment, there is time."""
        self.work.commits += 1
        self.work.syncs += synced
        if self._alarm is None and self._task is None:
            self._look_later()

    def counted(self) -> Work:
        """What was done so far."""
        written = written_by(self._thread)
        self.work.bytes_written = None if written is None else written - self._bytes_before
        return self.work

    async def close(self) -> None:
        """Nothing more is done."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _look_later(self) -> None:
        self._commits_seen = self.work.commits
        self._alarm = asyncio.get_running_loop().call_later(IDLE_S, self._look)

    def _look(self) -> None:
        self._alarm = None
        if self.work.commits != self._commits_seen:
            self._look_later()
        else:
            self._task = asyncio.get_running_loop().create_task(self._use_the_time())

    async def _use_the_time(self) -> None:
        commits = self.work.commits
        try:
            while self.work.commits == commits and await self._write(self._one_thing):
                pass
        except StorageFull as error:
            _log.warning("the journal could not be tidied up: %s", error)
        except JournalError as error:
            self._failure = error
        finally:
            self._task = None
        if self.work.commits != commits:
            self._look_later()

    def _one_thing(self, connection: sqlite3.Connection) -> bool:
        """Do what is next, if anything; on the writer's thread."""
        if self._log_is_long():
            self.checkpoint(connection)
            return True
        return self._give_back(connection)

    def _log_is_long(self) -> bool:
        written = written_by(self._thread)
        since = 0 if written is None else written - self._bytes_at_checkpoint
        return since > WAL_PAGES_MAX // _CHECKPOINT_PART * PAGE_BYTES

    def checkpoint(self, connection: sqlite3.Connection) -> None:
        """Move the log into the file, as far as no reader holds it."""
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self.work.checkpoints += 1
        self.work.syncs += 2
        self._bytes_at_checkpoint = written_by(self._thread) or 0

    def _give_back(self, connection: sqlite3.Connection) -> bool:
        """Give some free pages back to the disk; False when it is not worth the writes."""
        free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        self.free_pages = free
        if free <= _FREE_PAGES_KEPT:
            return False
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        if free * _FREE_PART_KEPT <= pages:
            return False
        # `execute` would take one step of it, which is one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        self.work.pages_returned += min(_VACUUM_PAGES, free)
        self.work.syncs += 1
        return True


def written_by(thread: int) -> int | None:
    """The bytes that a thread of this process has written; None where the system does not count them."""
    try:
        with open(f"/proc/self/task/{thread}/io", "rb") as counts:
            line = next(line for line in counts if line.startswith(b"wchar:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1])
