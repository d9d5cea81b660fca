"""The journal of a simulated gateway: the real one, on a file in memory, whose threads and device do what a seed says.

What is on the disk outlives the process that wrote it. A process that is killed while a commit is under way finds it
whole or not at all when it comes back; it may be there although nobody was told.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

from overwinter.runtime.journal import SqliteJournal, store
from overwinter.runtime.ports import Batch, ExecutionRecord

from .loop import Process

T = TypeVar("T")
Durable = Callable[[Batch, dict[int, ExecutionRecord]], None]


@cache
def _empty_file() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    store.migrate(connection)
    return connection.serialize()


class Disk:
    """One journal file, and how its device behaves from now on."""

    def __init__(self, seed: str, durable: Durable) -> None:
        self.random = random.Random(seed)
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.deserialize(_empty_file())
        self.durable = durable
        """Called when a batch is on the disk, before anyone is told."""
        self.full = False
        self.sync_s = (0.0001, 0.002)
        """How long a write takes, at least and at most."""
        self.read_s = (0.0, 0.001)
        self.failing = 0.0
        """How often a write, or a hundredth as often a read, fails for good."""
        self.crash: Callable[[], None] = lambda: None
        """Kills the process that writes."""
        self.crashing = 0.0
        """How often the process is killed right before or right after a write."""

    def open(self, process: Process) -> SqliteJournal:
        """The journal, as this process sees it."""
        broken = _Broken()
        writer: Any = DiskThread(self, process, broken, writes=True)
        reader: Any = DiskThread(self, process, broken, writes=False)
        return SqliteJournal(Path("simulated.db"), None, writer, reader, 1000)

    def read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What a person would find on the disk."""
        return function(self.connection, *args, **kwargs)

    answers_first = False
    """Whether it answers before it writes."""

    def about_to_write(self) -> None:
        """A commit follows."""

    def lose_power(self) -> None:
        """A good disk has lost nothing that it said it had."""


class _Broken:
    """Whether the device has failed, for one process."""

    is_broken = False


class DiskThread:
    """A thread that does one thing after the other on the disk; what it is asked for is done also when nobody waits any more."""

    def __init__(self, disk: Disk, process: Process, broken: _Broken, *, writes: bool) -> None:
        self._disk = disk
        self._process = process
        self._broken = broken
        self._writes = writes
        self._asked: deque[tuple[Callable[..., Any], asyncio.Future[Any]]] = deque()
        self._answers: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._busy = False

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """As aiosqlite's connection does it: a hop to the thread, and one back."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._asked.append((function, answer))
        if not self._busy:
            self._next()
        if self._disk.answers_first and _batch_of(function) is not None:
            answer.set_result(cast("T", {}))
        return await answer

    async def close(self) -> None:
        """What was asked for is done first."""
        await self.run(lambda _connection: None)

    def _next(self) -> None:
        self._busy = True
        least, most = self._disk.sync_s if self._writes else self._disk.read_s
        self._later(self._disk.random.uniform(least, most), self._perform)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, action, context=self._process.context.copy())

    def _perform(self) -> None:
        function, answer = self._asked.popleft()
        disk, draw = self._disk, self._disk.random
        result: Any = None
        error: BaseException | None = None
        commits = _batch_of(function) is not None
        if commits and draw.random() < disk.crashing:
            with suppress(sqlite3.Error):
                if draw.random() < 0.5:
                    self._carry_out(function)
            disk.crash()
            return
        try:
            result = self._carry_out(function)
        except sqlite3.Error as failed:
            error = failed
        self._answers.append((answer, result, error))
        self._later(draw.uniform(*disk.read_s), self._tell)
        self._busy = False
        if self._asked:
            self._next()

    def _carry_out(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        disk, draw = self._disk, self._disk.random
        if self._broken.is_broken:
            raise _sqlite_error(sqlite3.SQLITE_IOERR, "SQLITE_IOERR")
        batch = _batch_of(function)
        often = disk.failing if batch is not None else disk.failing / 100
        fails = draw.random() < often
        self._broken.is_broken = fails
        if fails and draw.random() < 0.5:
            raise _sqlite_error(10 | (4 << 8), "SQLITE_IOERR_FSYNC")
        if batch is not None and disk.full:
            raise _sqlite_error(sqlite3.SQLITE_FULL, "SQLITE_FULL")
        if batch is not None:
            disk.about_to_write()
        result = function(disk.connection)
        if batch is not None:
            disk.durable(batch, result)
        if fails:  # The device has it, and says that it has not.
            raise _sqlite_error(10 | (4 << 8), "SQLITE_IOERR_FSYNC")
        return result

    def _tell(self) -> None:
        answer, result, error = self._answers.popleft()
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)


def _batch_of(function: Callable[..., Any]) -> Batch | None:
    """What a commit is to write; None for whatever else the journal asks for."""
    return function.keywords.get("batch") if isinstance(function, partial) else None


def _sqlite_error(code: int, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"simulated {name}")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


class LyingDisk(Disk):
    """Says that it has what it was given, and forgets the last of it when the power goes: a device without flushes."""

    _before: bytes | None = None

    def about_to_write(self) -> None:
        self._before = self.connection.serialize()

    def lose_power(self) -> None:
        if self._before is not None:
            self.connection = sqlite3.connect(":memory:", isolation_level=None)
            self.connection.deserialize(self._before)
            self._before = None


class HastyDisk(Disk):
    """Tells that a commit is written when it is asked for it."""

    answers_first = True
