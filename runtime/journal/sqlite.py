"""The journal on SQLite: one writer connection, WAL, `synchronous=FULL`, one fsync for many executions.

The writer and the reader each live on a thread of aiosqlite's. A whole batch crosses to the writer's thread
once: a hop costs more than a hundred events.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

from ..core.payload import Attribute
from ..ports import (
    AttemptRecord,
    Batch,
    Change,
    ConcurrencyLine,
    Disk,
    ExecutionRecord,
    History,
    LastIds,
    OutgoingMessage,
    ParkedMessage,
    Pause,
    PauseKey,
    Room,
)
from . import store
from .errors import AppendConflict, JournalDamaged, JournalError, JournalUnusable, StorageFailed, StorageFull
from .lock import JournalLock
from .log_watch import LogWatch
from .upkeep import PAGE_BYTES, WAL_PAGES_MAX, Upkeep, Work, room

if TYPE_CHECKING:
    from ..visibility import Filter

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PRAGMAS = {
    "synchronous": "FULL",
    "wal_autocheckpoint": str(WAL_PAGES_MAX),
    "journal_size_limit": str(64 * 1024 * 1024),
    "cache_size": "-4000",
    "temp_store": "MEMORY",
    "mmap_size": "0",
    "secure_delete": "OFF",
    "busy_timeout": "5000",
    "foreign_keys": "ON",
}

# SQLite's results that mean "no room": quotas and size limits answer a write with an I/O error.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises; the second where a name or an error message of its own is no text any more."""


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, with a way to run a whole function on its thread in one hop."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=256)
        # A process that must stop at once (a failed fsync) does not wait for this thread.
        self._thread.daemon = True

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(function, self._conn)  # type: ignore[no-untyped-call]
        return result


class SqliteJournal:
    """A `Journal` in one SQLite file. Make it with `open`; only one process can."""

    def __init__(
        self,
        path: Path,
        lock: JournalLock | None,
        writer: _Connection | None,
        reader: _Connection,
        parked_max: int,
    ) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._parked_max = parked_max
        self._behind = False
        """Whether something was committed that was not flushed."""
        self._is_used = False
        self._log_watch = LogWatch(path)
        self._upkeep = Upkeep(self._write)
        self._bytes_max: int | None = None

    @classmethod
    async def open(cls, path: Path, *, parked_max: int = 1000, bytes_max: int | None = None) -> SqliteJournal:
        """Open the journal for writing, creating or upgrading it; its directory must exist.

        Its file does not grow beyond `bytes_max`, unless it is larger already.

        Raises:
            JournalHeld: another process has it; the message names that process.
            JournalTooNew: it was written by a newer version.
            JournalUnusable: the file is no journal, or is gone although there was one, or may not be written, or the file
                system cannot keep WAL and FULL.
            StorageFailed: the device fails, or the file is damaged (`JournalDamaged`).
            StorageFull: there is no room for it.
        """
        lock = JournalLock(path)
        lock.acquire()
        writer: _Connection | None = None
        try:
            writer = await _connect(path, partial(_prepare, path=path, bytes_max=bytes_max))
            reader = await _connect(path, _prepare_reader)
            if lock.log_is_gone:
                _log.error(
                    "%s was not closed by the last process, and its log %s-wal is gone: if somebody has removed it, or copied the "
                    "journal without it, what was committed last is lost",
                    path,
                    path.name,
                )
            lock.journal_made()
        except BaseException:
            if writer is not None:
                await writer.close()
            lock.release()
            raise
        journal = cls(path, lock, writer, reader, parked_max)
        journal._bytes_max = bytes_max
        await writer.run(journal._upkeep.begin)
        return journal

    @classmethod
    async def open_read_only(cls, path: Path) -> SqliteJournal:
        """Open the journal of a gateway for reading only, whether that gateway runs or not.

        Raises:
            JournalUnusable: there is no journal at this path.
        """
        if not path.is_file():
            raise JournalUnusable(
                f"there is no journal at {path}: give the settings or state directory of a gateway"
            )
        return cls(path, None, None, await _connect(path, _prepare_reader, _open_for_reading), 0)

    # -- writing -------------------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        """See `Journal.commit`."""
        self._upkeep.check()
        commit = partial(_commit, batch=batch, parked_max=self._parked_max, log_watch=self._log_watch)
        refused = await self._write(commit)
        self._behind = not batch.flushed
        if self._lock is not None and not self._is_used:
            self._lock.journal_used()
            self._is_used = True
        self._upkeep.committed(synced=batch.flushed)
        return refused

    async def flush(self) -> None:
        """See `Journal.flush`."""
        await self._write(store.mark_flush)
        self._behind = False
        self._upkeep.committed(synced=True)

    async def setting(self, name: str, default: str) -> str:
        """See `Journal.setting`."""
        return await self._write(partial(store.read_setting, name=name, default=default))

    async def _write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        assert self._writer is not None, "a journal that was opened for reading was asked to write"
        try:
            return await self._writer.run(function)
        except _ERRORS as exc:
            raise translated(exc) from exc

    # -- reading -------------------------------------------------------------------------------------

    async def _read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return await self._reader.run(partial(_call, function, args, kwargs))
        except _ERRORS as exc:
            raise translated(exc) from exc

    async def history(self, execution: ExecutionRecord) -> History:
        """See `Journal.history`."""
        return await self._read(store.read_history, execution)

    async def executions(self, **wanted: Any) -> list[ExecutionRecord]:
        """See `Journal.executions`."""
        return await self._read(store.find_executions, **wanted)

    async def select(
        self, wanted: Filter, *, before_key: int | None = None, limit: int = 100
    ) -> list[ExecutionRecord]:
        """See `Journal.select`."""
        return await self._read(store.select, wanted, before_key=before_key, limit=limit)

    async def count(self, wanted: Filter) -> list[tuple[tuple[object, ...], int]]:
        """See `Journal.count`."""
        return await self._read(store.count, wanted)

    async def closed(self, after_key: int, closed_before_us: int, limit: int) -> list[ExecutionRecord]:
        """See `Journal.closed`."""
        return await self._read(store.read_closed, after_key, closed_before_us, limit)

    async def attributes(self, executions: Sequence[int]) -> dict[int, dict[str, Attribute]]:
        """See `Journal.attributes`."""
        return await self._read(store.read_attributes, executions)

    async def attribute_types(self) -> dict[str, str]:
        """See `Journal.attribute_types`."""
        return await self._read(store.read_attribute_types)

    async def orphans(self) -> list[ExecutionRecord]:
        """See `Journal.orphans`."""
        return await self._read(store.read_orphans)

    async def children(self, parent_run_id: str) -> list[ExecutionRecord]:
        """See `Journal.children`."""
        return await self._read(store.read_children, parent_run_id)

    async def concurrency_line(self, key: str, limit: int) -> ConcurrencyLine:
        """See `Journal.concurrency_line`."""
        return await self._read(store.read_concurrency_line, key, limit)

    async def concurrency_ahead(self, execution: ExecutionRecord) -> int:
        """See `Journal.concurrency_ahead`."""
        return await self._read(store.read_concurrency_ahead, execution)

    async def concurrency_waiting(self) -> list[str]:
        """See `Journal.concurrency_waiting`."""
        return await self._read(store.read_concurrency_waiting)

    async def schedules(self) -> dict[str, bytes]:
        """See `Journal.schedules`."""
        return await self._read(store.read_schedules)

    async def jobs(self) -> dict[str, bytes]:
        """See `Journal.jobs`."""
        return await self._read(store.read_jobs)

    async def last_lsn(self, execution: int) -> int:
        """See `Journal.last_lsn`."""
        return await self._read(store.read_last_lsn, execution)

    async def pauses(self) -> dict[PauseKey, Pause]:
        """See `Journal.pauses`."""
        return await self._read(store.read_pauses)

    async def counts(self) -> dict[str, int]:
        """See `Journal.counts`."""
        return await self._read(store.read_counts)

    async def history_lengths(self, keys: Sequence[int]) -> dict[int, int]:
        """See `Journal.history_lengths`."""
        return await self._read(store.read_history_lengths, keys)

    async def hot(self) -> list[ExecutionRecord]:
        """See `Journal.hot`."""
        return await self._read(store.read_hot)

    async def due(self, after_us: int, until_us: int, limit: int) -> list[tuple[int, ExecutionRecord]]:
        """See `Journal.due`."""
        return await self._read(store.read_due, after_us, until_us, limit)

    async def attempts(self, execution: int) -> list[AttemptRecord]:
        """See `Journal.attempts`."""
        return await self._read(store.read_attempts, execution)

    async def outbox(self, after_id: int, limit: int) -> list[OutgoingMessage]:
        """See `Journal.outbox`."""
        return await self._read(store.read_outbox, after_id, limit)

    async def outbox_count(self) -> int:
        """See `Journal.outbox_count`."""
        return await self._read(store.read_outbox_count)

    async def received(self) -> list[tuple[str, bytes]]:
        """See `Journal.received`."""
        return await self._read(store.read_received)

    async def request(self, request_id: bytes) -> int | None:
        """See `Journal.request`."""
        return await self._read(store.read_request, request_id)

    async def parked(self, limit: int) -> list[ParkedMessage]:
        """See `Journal.parked`."""
        return await self._read(store.read_parked, limit)

    async def parked_counts(self) -> dict[str, int]:
        """See `Journal.parked_counts`."""
        return await self._read(store.read_parked_counts)

    async def changes(self, after_lsn: int, limit: int) -> list[Change]:
        """See `Journal.changes`. Nobody gets what a power cut could still take away."""
        if self._behind:
            await self.flush()
        return await self._read(store.read_changes, after_lsn, limit)

    async def events_with(self, part: bytes, after_lsn: int, up_to_lsn: int) -> list[tuple[int, bytes]]:
        """See `Journal.events_with`."""
        return await self._read(store.read_events_with, part, after_lsn, up_to_lsn)

    async def attempts_and_messages_with(self, part: bytes) -> list[tuple[int, bytes]]:
        """See `Journal.attempts_and_messages_with`."""
        return await self._read(store.read_attempts_and_messages_with, part)

    async def last_ids(self) -> LastIds:
        """See `Journal.last_ids`."""
        return await self._read(store.read_last_ids)

    def sizes(self) -> tuple[int, int]:
        """Bytes of the journal file, and of its write-ahead log."""
        return _size(self.path), _size(self.path.with_name(self.path.name + "-wal"))

    def work(self) -> Work:
        """What was done to the disk since the journal was opened."""
        return self._upkeep.counted()

    def disk(self) -> Disk | None:
        """See `Journal.disk`."""
        volume = os.statvfs(self.path.parent)
        file_bytes, _ = self.sizes()
        free_bytes = volume.f_bavail * volume.f_frsize
        return Disk(file_bytes, self._upkeep.free_pages * PAGE_BYTES, self._bytes_max, free_bytes)

    async def room(self) -> Room:
        """See `Journal.room`."""
        return await self._read(room)

    async def close(self) -> None:
        """See `Journal.close`."""
        await self._upkeep.close()
        if self._lock is not None:
            self._lock.journal_closes()
        await self._reader.close()
        if self._writer is not None:
            await self._writer.close()
        if self._lock is not None:
            self._lock.release()


async def _connect(
    path: Path,
    prepare: Callable[[sqlite3.Connection], None],
    opens: Callable[[Path], sqlite3.Connection] | None = None,
) -> _Connection:
    connection = _Connection(partial(opens or _open, path))
    try:
        await connection
    except sqlite3.Error as exc:
        raise translated(exc) from exc
    try:
        await connection.run(prepare)
    except _ERRORS as exc:
        await connection.close()
        raise translated(exc) from exc
    except BaseException:
        await connection.close()
        raise
    return connection


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _open_for_reading(path: Path) -> sqlite3.Connection:
    """Changes nothing: whoever may write would merge the log of a gateway that was killed."""
    log = path.with_name(path.name + "-wal")
    # Beside a journal on a volume that is read-only SQLite cannot make the files it reads one with, and needs none.
    unchanging = not log.exists() and not os.access(path.parent, os.W_OK)
    name = f"{path.resolve().as_uri()}?{'immutable=1' if unchanging else 'mode=ro'}"
    return sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, *, path: Path, bytes_max: int | None = None) -> None:
    """Set what the promises stand on, and read it back."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    for name, value in _PRAGMAS.items():
        connection.execute(f"PRAGMA {name} = {value}")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, synchronous) != ("wal", 2):
        raise JournalUnusable(
            f"{path} is in journal mode {mode!r} with synchronous={synchronous}, expected 'wal' and 2 (FULL): "
            "put the journal on a local file system"
        )
    if bytes_max is not None:
        connection.execute(f"PRAGMA max_page_count = {bytes_max // PAGE_BYTES}")
    store.migrate(connection)
    _sync_directory(path)


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA cache_size = -2000")


def _sync_directory(path: Path) -> None:
    """Make the names of the journal's files durable: until then a power cut may undo the change to WAL."""
    for folder in (path.parent, path.parent.parent):
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _commit(
    connection: sqlite3.Connection, *, batch: Batch, parked_max: int, log_watch: LogWatch
) -> dict[int, ExecutionRecord]:
    log_watch.look(connection)
    if not batch.flushed:
        # In WAL mode the log is then written as ever, and synced with the next commit under FULL.
        connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        refused = store.write(connection, batch, parked_max)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite rolls back by itself when the disk is full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        if not batch.flushed:
            connection.execute("PRAGMA synchronous = FULL")
    return refused


def _call(
    function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], connection: sqlite3.Connection
) -> T:
    return function(connection, *args, **kwargs)


def translated(error: sqlite3.Error | UnicodeDecodeError) -> JournalError:
    """Our error for one of SQLite's, by the decision that the caller can take."""
    if isinstance(error, UnicodeDecodeError):
        return JournalDamaged(f"the journal holds a text that is none ({error.object!r})")
    code = getattr(error, "sqlite_errorcode", 0)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    primary = code & 0xFF
    if code in _FULL:
        return StorageFull(f"the journal could not be written, its volume or quota is full ({name})")
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return AppendConflict(f"an event's place in the journal was taken ({name}: {error})")
    if primary in _DAMAGED or "Could not decode to UTF-8" in str(error):
        return JournalDamaged(f"the journal is damaged ({name}: {error})")
    if primary == sqlite3.SQLITE_READONLY:
        return StorageFailed(
            f"the journal may not be written ({name}): its files must belong to the user whom the gateway runs as, on a volume "
            "that is not read-only"
        )
    if primary == sqlite3.SQLITE_IOERR:
        return StorageFailed(f"the journal's storage failed ({name}: {error})")
    return JournalUnusable(f"the journal cannot be used ({name}: {error})")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
