"""Opening a journal: its settings are read back, and what is no journal of ours is refused and left alone."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from overwinter.runtime.journal import JournalError, SqliteJournal
from overwinter.runtime.journal.errors import JournalTooNew, JournalUnusable, StorageFailed, StorageFull
from overwinter.runtime.journal.sqlite import translated


async def test_the_settings_that_durability_rests_on_are_in_force(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await SqliteJournal.open(path)
    try:
        in_force = await journal._write(  # noqa: SLF001 - the writer's own connection is what counts
            lambda connection: (
                connection.execute("PRAGMA journal_mode").fetchone()[0],
                connection.execute("PRAGMA synchronous").fetchone()[0],
            )
        )
    finally:
        await journal.close()
    assert in_force == ("wal", 2)


async def test_a_new_journal_syncs_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        status = os.fstat(file)
        if stat.S_ISDIR(status.st_mode):
            synced.append(status.st_ino)
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    await journal.close()
    assert tmp_path.stat().st_ino in synced


async def test_a_journal_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await (await SqliteJournal.open(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(JournalTooNew, match="schema 999"):
        await SqliteJournal.open(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (999,)
    connection.close()


async def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photographs (name TEXT)")
    connection.close()
    with pytest.raises(JournalUnusable, match="tables of something else"):
        await SqliteJournal.open(path)


@pytest.mark.parametrize("content", [b"no database at all, but text" * 300, None])
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "journal.db"
    if content is None:  # a journal that was cut short
        await (await SqliteJournal.open(path)).close()
        content = path.read_bytes()[:5000]
    path.write_bytes(content)
    with pytest.raises(JournalError):
        await SqliteJournal.open(path)
    assert path.read_bytes() == content


async def test_it_can_be_opened_again_after_it_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database at all, but text" * 300)
    with pytest.raises(JournalError):
        await SqliteJournal.open(path)
    path.unlink()
    await (await SqliteJournal.open(path)).close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_IOERR | (4 << 8), StorageFailed),  # SQLITE_IOERR_FSYNC
        (sqlite3.SQLITE_IOERR, StorageFailed),
    ],
)
def test_an_error_of_the_disk_says_what_to_do(code: int, expected: type[JournalError]) -> None:
    error = sqlite3.OperationalError("from the disk")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "OF_THE_TEST"
    found = translated(error)
    assert type(found) is expected
    assert found.hint in str(found)


async def test_a_full_journal_refuses_a_commit_and_takes_the_next_when_there_is_room(tmp_path: Path) -> None:
    from overwinter.runtime.ports import Batch, ParkedMessage

    journal = await SqliteJournal.open(tmp_path / "journal.db")
    try:
        pages = await journal._write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])  # noqa: SLF001
        await journal._write(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())  # noqa: SLF001
        message = ParkedMessage(1, 0, "farm/a", "invalid", "", bytes(100_000))
        with pytest.raises(StorageFull):
            await journal.commit(Batch(parked=[message]))
        assert await journal.parked(10) == []
        await journal._write(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchone())  # noqa: SLF001
        await journal.commit(Batch(parked=[message]))
        assert await journal.parked(10) == [message]
    finally:
        await journal.close()
