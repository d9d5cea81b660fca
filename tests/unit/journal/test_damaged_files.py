"""Files that are not what was written: each is refused by name, or what is damaged is stopped and the rest goes on.

``OVERWINTER_FLIPS`` says how many bits are flipped, ``OVERWINTER_SEED`` which.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overwinter.edge.doctor import check_journal
from overwinter.runtime.client import Client
from overwinter.runtime.journal import JournalError, SqliteJournal
from overwinter.runtime.journal.errors import HistoryDamaged, JournalDamaged, JournalUnusable, StorageFull
from overwinter.runtime.ports import Batch, ParkedMessage
from tests.unit.gateways import QUEUE, SqliteGateway
from tests.unit.journal.test_damage import Collects

FLIPS = int(os.environ.get("OVERWINTER_FLIPS", "60"))
SEED = int(os.environ.get("OVERWINTER_SEED", "1"))
WANTED = 4

Histories = dict[str, list[str]]


async def _a_journal(folder: Path, executions: int = 8) -> Path:
    """Executions that wait for signals, some of which have come."""
    durable = SqliteGateway(folder / "journal.db")
    async with durable.on([Collects]) as client:
        for number in range(executions):
            handle = await client.start_workflow(Collects.run, WANTED, id=f"w{number}", task_queue=QUEUE)
            for value in range(number % WANTED):
                await handle.signal(Collects.put, value)
    return durable.path


async def _histories(path: Path) -> tuple[Histories, list[JournalError]]:
    """What a journal says, and what it refuses to say."""
    found: Histories = {}
    errors: list[JournalError] = []
    journal = await SqliteJournal.open(path)
    try:
        for record in await journal.executions(limit=1000):
            try:
                history = await journal.history(record)
            except JournalError as error:
                errors.append(error)
            else:
                found[record.workflow_id] = [repr(event) for event in history.events]
    finally:
        await journal.close()
    return found, errors


def _put(path: Path, content: bytes, log: bytes | None = None) -> None:
    for old in path.parent.iterdir():
        old.unlink()
    path.write_bytes(content)
    if log is not None:
        path.with_name("journal.db-wal").write_bytes(log)


def _flipped(content: bytes, chance: random.Random) -> tuple[int, bytes]:
    changed = bytearray(content)
    place = chance.choice([number for number, byte in enumerate(content) if byte])
    changed[place] ^= 1 << chance.randrange(8)
    return place, bytes(changed)


@pytest.mark.timeout(60 + FLIPS // 5)
async def test_a_flipped_bit_anywhere_changes_no_event_that_is_read(tmp_path: Path) -> None:
    """A history is as it was or refused, or it is found to be incomplete when the whole file is checked."""
    path = await _a_journal(tmp_path)
    content = path.read_bytes()
    whole, _ = await _histories(path)
    chance = random.Random(SEED)
    refused = 0
    for _ in range(FLIPS):
        place, changed = _flipped(content, chance)
        where = f"OVERWINTER_SEED={SEED}, byte {place}"
        _put(path, changed)
        try:
            found, errors = await _histories(path)
        except JournalError:
            refused += 1
            continue
        refused += bool(errors)
        for name, events in found.items():
            before = whole.get(name, [])
            assert events == before[: len(events)] or name not in whole, where
        if not errors and {name: events for name, events in found.items() if name in whole} != whole:
            assert check_journal(path, tmp_path / "no socket").level == "problem", where
    assert refused


@pytest.mark.timeout(60 + FLIPS)
async def test_an_engine_on_a_journal_with_a_flipped_bit_gives_the_right_results_or_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "overwinter")
    path = await _a_journal(tmp_path)
    content = path.read_bytes()
    chance = random.Random(SEED)
    all_went_on = some_went_on = stopped = 0
    for _ in range(max(FLIPS // 4, 1)):
        place, changed = _flipped(content, chance)
        _put(path, changed)
        try:
            results = await _results(path)
        except (JournalError, AssertionError):  # refused, or the engine has stopped
            stopped += 1
            continue
        right = sum(result == list(range(WANTED)) for result in results)
        assert right + sum(isinstance(result, Exception) for result in results) == len(results), (
            f"OVERWINTER_SEED={SEED}, byte {place}: {results}"
        )
        all_went_on += right == len(results)
        some_went_on += 0 < right < len(results)
    print(f"in {all_went_on} cases nothing was hurt, in {some_went_on} one or some, in {stopped} the whole")
    assert all_went_on


async def _results(path: Path) -> list[object]:
    """What comes of the executions when the signals that they wait for come."""

    async def one(client: Client, number: int) -> list[int]:
        handle = client.get_workflow_handle(f"w{number}", result_type=list[int])
        for value in range(number % WANTED, WANTED):
            await handle.signal(Collects.put, value)
        return await asyncio.wait_for(handle.result(), 1)

    async with SqliteGateway(path).on([Collects]) as client:
        ends = [one(client, number) for number in range(8)]
        return list(await asyncio.gather(*ends, return_exceptions=True))


async def test_the_others_go_on_beside_an_execution_whose_event_has_columns_of_other_types(
    durable: SqliteGateway,
) -> None:
    async with durable.on([Collects]) as client:
        for name in ("hurt", "well"):
            await client.start_workflow(Collects.run, 1, id=name, task_queue=QUEUE)
        hurt = await client.engine.find("hurt")
    connection = sqlite3.connect(durable.path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'events'")
    connection.commit()
    connection.close()
    with sqlite3.connect(durable.path) as connection:
        connection.execute("UPDATE events SET at = NULL WHERE execution = ?", (hurt.key,))
    connection.close()
    async with durable.on([Collects]) as client:
        await client.get_workflow_handle("well").signal(Collects.put, 1)
        assert await client.get_workflow_handle("well").result() == [1]
        with pytest.raises(HistoryDamaged, match="other types"):
            await durable.journal.history(hurt)


@pytest.mark.parametrize("left", [0, 1, 99, 100, 512, 4096, 5000, 20_000])
async def test_a_journal_that_was_cut_short_is_refused_and_left_as_it_is(tmp_path: Path, left: int) -> None:
    path = await _a_journal(tmp_path)
    os.truncate(path, left)
    before = path.read_bytes()
    with pytest.raises(JournalError) as refused:
        await _histories(path)
    assert isinstance(refused.value, JournalUnusable if left < 512 else JournalDamaged)
    assert "restore" in str(refused.value)
    assert path.read_bytes() == before


async def test_a_journal_that_is_gone_is_not_taken_for_one_that_is_still_to_be_made(tmp_path: Path) -> None:
    path = await _a_journal(tmp_path)
    path.unlink()
    with pytest.raises(JournalUnusable, match=r"gone or empty: restore it from a backup"):
        await SqliteJournal.open(path)
    path.with_name("journal.db.lock").unlink()  # as the message says
    await (await SqliteJournal.open(path)).close()


async def test_a_journal_that_was_never_made_whole_may_be_made_again(tmp_path: Path) -> None:
    """As after a power cut right at the beginning."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"not yet a journal" * 300)
    with pytest.raises(JournalDamaged):
        await SqliteJournal.open(path)
    path.unlink()
    await (await SqliteJournal.open(path)).close()


# -- the log -----------------------------------------------------------------------------------------


async def _killed(folder: Path) -> tuple[bytes, bytes, list[Histories]]:
    """What the files hold after a kill, and what each commit has made of the journal."""
    path = folder / "journal.db"
    states: list[Histories] = []
    durable = SqliteGateway(path)
    async with durable.on([Collects]) as client:
        for number in range(3):
            handle = await client.start_workflow(Collects.run, WANTED, id=f"w{number}", task_queue=QUEUE)
            for value in range(2):
                await handle.signal(Collects.put, value)
        content, log = path.read_bytes(), path.with_name("journal.db-wal").read_bytes()
        for record in await durable.journal.executions(limit=10):
            await durable.journal.history(record)
    states.append((await _histories(path))[0])
    return content, log, states


@pytest.mark.timeout(60)
async def test_a_log_with_a_flipped_bit_or_cut_short_gives_an_earlier_state_and_no_mixture(
    tmp_path: Path,
) -> None:
    """SQLite takes it for a log whose end was never written: what comes after the damage is lost, nothing else is changed."""
    content, log, (whole,) = await _killed(tmp_path)
    path = tmp_path / "journal.db"
    chance = random.Random(SEED)
    shorter = 0
    for number in range(16):
        damaged = _flipped(log, chance)[1] if number % 2 else log[: chance.randrange(len(log))]
        _put(path, content, damaged)
        try:
            found, errors = await _histories(path)
        except JournalError:
            continue
        assert errors == []
        for name, events in found.items():
            assert events == whole[name][: len(events)]
        shorter += found != whole
    assert shorter
    _put(path, content, log)
    assert (await _histories(path))[0] == whole


@pytest.mark.timeout(60)
async def test_a_log_of_another_journal_is_refused_or_found_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    content, log, (whole,) = await _killed(tmp_path / "a")
    _, foreign, (other,) = await _killed(tmp_path / "b")
    path = tmp_path / "a" / "journal.db"
    _put(path, content, foreign)
    try:
        found, errors = await _histories(path)
    except JournalError:
        return
    # A log that holds every page is a whole journal by itself: then it is the other one, and no mixture.
    assert errors or found in (other, whole)
    assert log != foreign


@pytest.mark.parametrize("removed", [True, False], ids=["removed", "there"])
async def test_a_log_that_is_gone_after_a_kill_is_reported(
    tmp_path: Path, removed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    durable = SqliteGateway(path)
    async with durable.on([Collects]) as client:
        await client.start_workflow(Collects.run, WANTED, id="w", task_queue=QUEUE)
        kept = {
            name: (tmp_path / name).read_bytes()
            for name in ("journal.db", "journal.db-wal", "journal.db.lock")
        }
    _put(path, kept["journal.db"], None if removed else kept["journal.db-wal"])
    path.with_name("journal.db.lock").write_bytes(kept["journal.db.lock"])
    reader = await SqliteJournal.open_read_only(path)  # changes nothing
    await reader.close()
    await (await SqliteJournal.open(path)).close()
    assert ("its log journal.db-wal is gone" in caplog.text) == removed
    caplog.clear()
    await (await SqliteJournal.open(path)).close()
    assert caplog.text == ""  # It was closed: then there is no log.


async def test_a_long_reader_lets_the_log_grow_and_it_is_used_again_when_he_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overwinter.runtime.journal import log_watch, sqlite

    monkeypatch.setitem(sqlite._PRAGMAS, "wal_autocheckpoint", "30")
    monkeypatch.setattr(log_watch, "LOG_BYTES", 200_000)
    monkeypatch.setattr(log_watch, "_STEP_BYTES", 50_000)
    journal = await SqliteJournal.open(tmp_path / "journal.db", parked_max=50)
    reader = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    number = 0

    async def commit(times: int) -> int:
        nonlocal number
        for _ in range(times):
            number += 1
            await journal.commit(Batch(parked=[ParkedMessage(number, 0, "a", "invalid", "", bytes(2000))]))
        return journal.sizes()[1]

    try:
        bounded = await commit(100)
        assert bounded < 400_000
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM parked").fetchone()
        grown = await commit(150)
        assert grown > 2 * bounded
        reader.execute("COMMIT")
        await commit(20)
        assert await commit(300) == grown  # It is not cut, and does not grow.
    finally:
        reader.close()
        await journal.close()


# -- rights ------------------------------------------------------------------------------------------

OPEN = """
import asyncio, pathlib, sys
from overwinter.runtime.journal import JournalError, SqliteJournal
async def main():
    try:
        await (await SqliteJournal.open(pathlib.Path(sys.argv[1]))).close()
    except JournalError as error:
        sys.exit(f"{type(error).__name__}: {error}")
asyncio.run(main())
"""


def _open_without_special_rights(path: Path) -> str:
    """What a process says that opens the journal and has, as root, no right to write whatever the files say."""
    command = [sys.executable, "-c", OPEN, str(path)]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=15, check=False).stderr


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Path]:
    """The path of a journal whose rights the test takes away."""
    path = asyncio.run(_a_journal(tmp_path, 1))
    yield path
    tmp_path.chmod(0o700)
    for file in tmp_path.iterdir():
        file.chmod(0o600)


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="setpriv is missing, which root needs for this",
)
@pytest.mark.parametrize("what", ["folder", "lock", "journal"])
def test_who_may_not_write_is_told_so(made: Path, what: str) -> None:
    if what == "folder":
        made.with_name("journal.db.lock").unlink()
        made.parent.chmod(0o500)
    elif what == "lock":
        made.with_name("journal.db.lock").chmod(0o400)
    else:
        assert _open_without_special_rights(made) == ""
        made.chmod(0o400)
    told = _open_without_special_rights(made)
    assert told.startswith(("JournalUnusable: ", "StorageFailed: ")), told
    assert "Permission denied" in told or "SQLITE_READONLY" in told
    assert "belong to the user" in told


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system takes root")


@only_root
async def test_on_a_volume_that_is_read_only_the_journal_is_read_and_work_is_refused(
    small_volume: Path,
) -> None:
    path = await _a_journal(small_volume, 3)
    whole, _ = await _histories(path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_volume)], check=True)
    with pytest.raises(JournalUnusable, match="Read-only file system"):
        await SqliteJournal.open(path)
    journal = await SqliteJournal.open_read_only(path)
    try:
        assert {record.workflow_id for record in await journal.executions()} == whole.keys()
    finally:
        await journal.close()


@only_root
async def test_on_a_full_volume_what_is_there_is_read_and_work_goes_on_when_there_is_room(
    small_volume: Path,
) -> None:
    filler = small_volume / "filler"
    filler.write_bytes(bytes(1_000_000))
    journal = await SqliteJournal.open(small_volume / "journal.db")
    taken: list[int] = []
    refused = 0
    try:
        while refused < 3:
            number = len(taken) + 1
            try:
                message = ParkedMessage(number, 0, "a", "invalid", "", bytes(20_000))
                await journal.commit(Batch(parked=[message]))
                taken.append(number)
            except StorageFull:
                refused += 1
                assert {each.id for each in await journal.parked(1000)} == set(taken)
        filler.unlink()
        await journal.commit(Batch(parked=[ParkedMessage(1000, 0, "a", "invalid", "", bytes(20_000))]))
        assert {each.id for each in await journal.parked(1000)} == {*taken, 1000}
    finally:
        await journal.close()
