"""What a journal does while nobody waits: checkpoints, free pages, and its own figures."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from overwinter.runtime.journal import SqliteJournal, StorageFailed, upkeep
from overwinter.runtime.journal.upkeep import Work
from overwinter.runtime.ports import Batch, EventRecord, ExecutionRecord
from overwinter.runtime.wear import wear
from tests.unit.gateways import until

BODY = b"x" * 4000
needs_counts = pytest.mark.skipif(
    upkeep.written_by(threading.get_native_id()) is None,
    reason="this system does not count what a thread writes",
)


def batch(key: int, events: int = 1) -> Batch:
    found = Batch()
    record = ExecutionRecord(
        key=key, workflow_id=str(key), run_id=f"r{key}", workflow_type="T", task_queue="q", started_at_us=1
    )
    found.starts[key] = record
    found.events += [EventRecord(key, number, 1, 1, 1, BODY, 0) for number in range(1, events + 1)]
    return found


async def read(journal: SqliteJournal, pragma: str) -> int:
    def ask(connection: sqlite3.Connection) -> int:
        found: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        return found

    return await journal._write(ask)


@needs_counts
async def test_an_idle_journal_moves_its_log_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "WAL_PAGES_MAX", 20)
    monkeypatch.setattr(upkeep, "IDLE_S", 0.01)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        assert await read(journal, "wal_autocheckpoint") == 2000  # The bound is SQLite's, and far away.
        await journal.commit(batch(1, events=30))
        before = (tmp_path / "journal.db").stat().st_size
        await until(lambda: journal.work().checkpoints == 1)
        assert (tmp_path / "journal.db").stat().st_size > before
        await journal.commit(batch(2))
        await journal.commit(batch(3))
        assert journal.work().commits == 3
        assert journal.work().checkpoints == 1  # Short again: not worth one.
    finally:
        await journal.close()


async def test_while_commits_come_the_log_is_left_to_grow_up_to_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overwinter.runtime.journal import sqlite

    monkeypatch.setattr(upkeep, "IDLE_S", 3600.0)
    monkeypatch.setitem(sqlite._PRAGMAS, "wal_autocheckpoint", "100")
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        for key in range(1, 40):
            await journal.commit(batch(key, events=20))
        _, log = journal.sizes()
        # A commit is written before its length is looked at: the bound, and the largest commit beyond it.
        assert log < (100 + 60) * 4200
        assert journal.work().checkpoints == 0
    finally:
        await journal.close()


async def test_pages_that_are_free_are_given_back_when_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_FREE_PAGES_KEPT", 20)
    monkeypatch.setattr(upkeep, "IDLE_S", 0.01)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        for key in range(1, 11):
            await journal.commit(batch(key, events=40))
        full = (await journal.room()).used
        gone = Batch()
        gone.deleted += range(1, 11)
        await journal.commit(gone)
        await until(lambda: journal.work().pages_returned > 300)
        room = await journal.room()
        assert room.used + room.free < full / 5
    finally:
        await journal.close()


async def test_free_pages_that_will_be_used_again_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_FREE_PAGES_KEPT", 20)
    monkeypatch.setattr(upkeep, "IDLE_S", 0.01)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        for key in range(1, 11):
            await journal.commit(batch(key, events=40))
        gone = Batch()
        gone.deleted += [1, 2]
        await journal.commit(gone)
        assert (await journal.room()).free > 20 * 4096
        assert not await journal._write(journal._upkeep._one_thing)
        assert journal.work().pages_returned == 0
    finally:
        await journal.close()


@needs_counts
async def test_it_says_what_it_has_written_and_how_long_flash_would_bear_that(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        opened = journal.work().bytes_written
        assert opened is not None
        for key in range(1, 11):
            await journal.commit(batch(key))
        work = journal.work()
        assert work.bytes_written is not None
        assert (work.commits, work.syncs) == (10, 10)
        # At least the rows themselves, and no more than a dozen pages for each.
        assert 10 * len(BODY) < work.bytes_written - opened < 10 * 12 * 4120
    finally:
        await journal.close()
    found = wear(Work(bytes_written=1_000_000), elapsed_s=86_400.0, endurance_bytes=365e6)
    assert (found.bytes_per_day, found.life_days) == (1_000_000, 365)
    assert wear(Work(bytes_written=None), 1.0, 1.0).life_days is None
    assert wear(Work(bytes_written=0), 1.0, 1.0).life_days is None


async def test_where_the_system_does_not_count_the_journal_works_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncounted(_thread: int) -> None:
        return None

    monkeypatch.setattr(upkeep, "written_by", uncounted)
    monkeypatch.setattr(upkeep, "IDLE_S", 0.01)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        await journal.commit(batch(1))
        assert journal.work().bytes_written is None
    finally:
        await journal.close()


async def test_a_checkpoint_whose_sync_fails_stops_the_next_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_upkeep: upkeep.Upkeep, _connection: sqlite3.Connection) -> bool:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    monkeypatch.setattr(upkeep.Upkeep, "_one_thing", failing)
    monkeypatch.setattr(upkeep, "IDLE_S", 0.01)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        await journal.commit(batch(1))
        await until(lambda: journal._upkeep._failure is not None)
        with pytest.raises(StorageFailed):
            await journal.commit(batch(2))
    finally:
        await journal.close()
