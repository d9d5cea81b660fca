"""The journal on a file layer of SQLite's that notes every operation of the disk.

SQLite asks its file layer (VFS) for everything. This one lets the ordinary one do the work, and notes what was written, synced
and named. `Recorder.connected` exchanges how `SqliteJournal` connects, and nothing else of it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import apsw

from overwinter.runtime.journal import sqlite as journal_module
from tests.faults.disk import Name, Operation, Resize, SyncFailed, SyncFile, SyncNames, Told, Write

T = TypeVar("T")
_SYNCS_ITS_NAME = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


@dataclass
class Fault:
    """So many calls of one kind fail, from the n-th on: ``write``, ``sync``, ``truncate`` or ``delete``.

    `spares_log`: only those to other files than the log. A `silent` one does not do what it was asked and says nothing: what a
    disk must not do.
    """

    kind: str
    number: int
    result: int
    count: float = 1
    spares_log: bool = False
    silent: bool = False

    def strikes(self, kind: str, *, is_log: bool) -> bool:
        """Whether this call fails."""
        if kind != self.kind or (self.spares_log and is_log):
            return False
        self.number -= 1
        return -self.count < self.number <= 0


class Recorder:
    """Notes the operations of one life of a process, beginning with files that are on the disk already.

    Without `syncs_names`, neither the journal nor SQLite syncs the folder that the names are in.
    """

    def __init__(
        self, folder: Path, files: dict[str, bytes], *, syncs_names: bool = True, fault: Fault | None = None
    ) -> None:
        self._syncs_names = syncs_names
        self.fault = fault
        self.harmless = False
        """The last fault hit an automatic checkpoint after a commit, about which SQLite says nothing."""
        self.harmless_faults = 0
        self.unsynced: set[int] = set()
        self.operations: list[Operation] = []
        self.names: dict[str, int] = {}
        self._last_file = -1
        self._vfs = _RecordedFiles(f"recorded {id(self)}", self)
        for name, content in files.items():
            (folder / name).write_bytes(content)
            self.names[name] = self._number()

    def _number(self) -> int:
        self._last_file += 1
        return self._last_file

    def note(self, operation: Operation) -> None:
        self.operations.append(operation)
        match operation:
            case Write(file) | Resize(file):
                self.unsynced.add(file)
            case SyncFile(file) | SyncFailed(file):
                self.unsynced.discard(file)
            case _:
                pass

    def fails(self, kind: str, file: int, *, is_log: bool) -> bool:
        """Whether a call is not to be carried out; raises what SQLite is to learn of it."""
        if self.fault is None or not self.fault.strikes(kind, is_log=is_log):
            return False
        # In WAL mode a commit writes to the log and syncs it; what else is done is a checkpoint.
        self.harmless = not is_log or (kind == "sync" and file not in self.unsynced) or kind == "truncate"
        if kind == "sync":
            self.note(SyncFailed(file))
        if not self.fault.silent:
            raise apsw.exceptionfor(self.fault.result)
        return True

    def opened(self, name: str) -> tuple[int, bool]:
        """The number of a file, and whether it is new."""
        if name in self.names:
            return self.names[name], False
        self.names[name] = self._number()
        self.note(Name(((name, self.names[name]),)))
        return self.names[name], True

    def removed(self, name: str, *, synced: bool) -> None:
        self.names.pop(name, None)
        self.note(Name(((name, None),)))
        if synced:
            self.sync_names()

    def sync_names(self) -> None:
        if self._syncs_names:
            self.note(SyncNames(""))

    @contextmanager
    def connected(self, state: Callable[[sqlite3.Connection], Any]) -> Iterator[None]:
        """Journals that are opened here are recorded; each write ends with the `state` that it has made."""
        write = journal_module.SqliteJournal._write  # noqa: SLF001 - the one way of all writes

        async def noted_write(
            journal: journal_module.SqliteJournal, function: Callable[[sqlite3.Connection], T]
        ) -> T:
            def noted(connection: sqlite3.Connection) -> T:
                result = function(connection)
                self.note(Told(state(connection)))
                return result

            return await write(journal, noted)

        with (
            patch.object(journal_module, "_open", self._connect),
            patch.object(journal_module, "_sync_directory", lambda _path: self.sync_names()),
            patch.object(journal_module.SqliteJournal, "_write", noted_write),
        ):
            yield
        self._vfs.unregister()

    def _connect(self, path: Path) -> Any:
        return Connection(apsw.Connection(str(path), vfs=self._vfs.name), self)


class _RecordedFiles(apsw.VFS):
    def __init__(self, name: str, recorder: Recorder) -> None:
        super().__init__(name, "")
        self.name = name
        self._recorder = recorder

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
        if name is None:
            return apsw.VFSFile("", name, flags)
        path = name if isinstance(name, str) else name.filename()
        return _RecordedFile(name, Path(path).name, flags, self._recorder)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if self._recorder.fails("delete", -1, is_log=False):
            return
        super().xDelete(filename, False)
        self._recorder.removed(Path(filename).name, synced=syncdir)


class _RecordedFile(apsw.VFSFile):
    def __init__(self, path: Any, name: str, flags: list[int], recorder: Recorder) -> None:
        super().__init__("", path, flags)
        self._recorder = recorder
        self._file, is_new = recorder.opened(name)
        # SQLite's layer for Unix syncs the folder with the first sync of a journal that it has made.
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        self._syncs_its_name = is_new and bool(flags[0] & _SYNCS_ITS_NAME)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._recorder.fails("write", self._file, is_log=self._is_log):
            return
        super().xWrite(data, offset)
        self._recorder.note(Write(self._file, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        if self._recorder.fails("truncate", self._file, is_log=self._is_log):
            return
        super().xTruncate(size)
        self._recorder.note(Resize(self._file, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._recorder.fails("sync", self._file, is_log=self._is_log):
            return
        self._recorder.note(SyncFile(self._file))
        if self._syncs_its_name:
            self._recorder.sync_names()
            self._syncs_its_name = False


class Connection:
    """apsw's connection with the methods of sqlite3's that the journal uses."""

    def __init__(self, connection: apsw.Connection, recorder: Recorder) -> None:
        self._connection = connection
        self._recorder = recorder

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, text: str, values: Sequence[Any] = ()) -> Cursor:
        self._recorder.harmless = False
        with _translated():
            try:
                return Cursor(self._connection, self._connection.execute(text, tuple(values)))
            except apsw.Error:
                # apsw tells of faults that SQLite does not: sqlite3 would have returned.
                if text == "COMMIT" and self._recorder.harmless and not self._connection.in_transaction:
                    self._recorder.harmless_faults += 1
                    return Cursor(self._connection, [])
                raise

    def executemany(self, text: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        with _translated():
            return Cursor(self._connection, self._connection.executemany(text, [tuple(row) for row in rows]))

    def executescript(self, text: str) -> None:
        self.execute(text)

    def close(self) -> None:
        with suppress(apsw.Error):  # Of a last checkpoint that fails, too, sqlite3 says nothing.
            self._connection.close()


class Cursor:
    """The rows of one statement, read at once."""

    def __init__(self, connection: apsw.Connection, cursor: Any) -> None:
        self._rows = iter(list(cursor))
        self.rowcount = connection.changes()

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.Error as exc:
        error = sqlite3.OperationalError(str(exc))
        error.sqlite_errorcode = getattr(exc, "extendedresult", 0)
        error.sqlite_errorname = type(exc).__name__
        raise error from exc


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Nothing is in the folder but these files."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def scratch(folder: Path) -> Path:
    """A new folder in memory, or this one if the machine has none."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        return folder
    return Path(tempfile.mkdtemp(prefix="overwinter-", dir=memory))
