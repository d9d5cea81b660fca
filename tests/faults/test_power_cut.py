"""Power cuts at any moment of the journal's life, with sectors that were not synced lost, torn and out of order.

A whole engine works on a journal whose file layer notes every operation. From that list come the states that a disk may
hold after a cut at any place in it; each is opened as after a restart, by the SQLite that the gateway uses. It must hold
exactly what one of the commits has made: the last one that anybody was told of, or the one that was under way. Some of the
states are taken on by an engine until everything has ended, and one becomes the beginning of the next life.

``OVERWINTER_CUTS`` says how many, ``OVERWINTER_SEED`` the first seed.
"""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from overwinter.runtime.journal import JournalError, SqliteJournal, sqlite, store
from tests.faults.disk import Disk, Operation, SyncFile, SyncNames, Told
from tests.faults.recorded_files import Recorder, put
from tests.faults.rounds import (
    Signaled,
    Started,
    engine_on,
    integrity_of,
    problems_when_it_goes_on,
    state_of,
    work,
)

CUTS = int(os.environ.get("OVERWINTER_CUTS", "400"))
SEED = int(os.environ.get("OVERWINTER_SEED", "1"))
CUTS_A_LIFE = 100
LIVES_A_DISK = 4
GO_ON_EVERY = 20
"""One of so many states is taken on until everything has ended."""


@dataclass
class Life:
    """What happened on a disk from a start to a stop; the power may have gone at any place in between."""

    before: dict[str, bytes]
    operations: list[Operation]
    nothing: str
    """The state that opening alone has made."""
    started: set[str] = field(default_factory=set)
    """What was told in lives before."""
    signaled: set[str] = field(default_factory=set)

    def possible_states(self, cut: int) -> set[str]:
        """The last state anybody was told of before the cut, and the one that may have been under way."""
        before = [what for what in told(self.operations[:cut]) if isinstance(what, str)]
        after = [what for what in told(self.operations[cut:]) if isinstance(what, str)]
        last = before[-1] if before else self.nothing
        return {last, after[0] if after else last}

    def promised(self, cut: int) -> tuple[set[str], set[str]]:
        """The starts and the signals that somebody was told of before the cut."""
        before = told(self.operations[:cut])
        started = {what.name for what in before if isinstance(what, Started)}
        signaled = {what.name for what in before if isinstance(what, Signaled)}
        return started | self.started, signaled | self.signaled


def told(operations: Sequence[Operation]) -> list[Any]:
    return [operation.what for operation in operations if isinstance(operation, Told)]


async def live(
    folder: Path,
    before: dict[str, bytes],
    names: Sequence[str],
    *,
    syncs_names: bool = True,
    synchronous: str = "FULL",
) -> Life:
    put(folder, {})
    recorder = Recorder(folder, before, syncs_names=syncs_names)

    def tell(what: Any) -> None:
        recorder.note(Told(what))

    with recorder.connected(state_of):
        journal = await SqliteJournal.open(folder / "journal.db")
        nothing = await journal._write(state_of)
        await journal._write(lambda connection: connection.execute(f"PRAGMA synchronous = {synchronous}"))
        async with engine_on(journal, tell) as client:
            await work(client, names, tell)
        await journal.close()
    return Life(before, recorder.operations, nothing)


# -- what is found after a cut -----------------------------------------------------------------------


async def problem_of(
    folder: Path, files: dict[str, bytes], possible: set[str], *, read_histories: bool = True
) -> str:
    """What is wrong with a journal of these files; empty if nothing is."""
    put(folder, files)
    try:
        journal = await SqliteJournal.open(folder / "journal.db")
    except JournalError as error:
        return f"refused: {error}"
    try:
        if await journal._write(state_of) not in possible:
            return "it is not in a state that a commit has made and nobody is mistaken about"
        if read_histories:
            for record in await journal.executions(limit=1000):
                await journal.history(record)
        integrity = await journal._write(integrity_of)
        return "" if integrity == "ok" else integrity
    except JournalError as error:
        return f"damaged: {error}"
    finally:
        await journal.close()


@dataclass
class Findings:
    cuts: int = 0
    gone_on: int = 0
    problems: list[str] = field(default_factory=list)


async def cut_power(
    folder: Path, seed: int, cuts: int, *, lies: bool = False, names_a_life: int = 6, **protections: Any
) -> Findings:
    """So many power cuts, over lives of which each begins with what the one before has left."""
    found = Findings()
    chance = random.Random(seed)
    for number in itertools.count():
        if number % LIVES_A_DISK == 0:
            start = Life({}, [], "")
        names = [f"{seed}-{number}-{each}" for each in range(names_a_life)]
        life = await live(folder, start.before, names, **protections)
        life.started, life.signaled = start.started, start.signaled
        places = sorted(_places(life, chance, min(CUTS_A_LIFE, cuts - found.cuts)))
        next_start = start
        disk, done = Disk(life.before, chance, lies=lies), 0
        for place in places:
            for operation in life.operations[done:place]:
                disk.apply(operation)
            done = place
            files = disk.after_power_cut()
            where = f"seed {seed}, life {number}, cut at {place} of {len(life.operations)}"
            problem = await problem_of(folder, files, life.possible_states(place))
            found.cuts += 1
            if problem:
                found.problems.append(f"{where}: {problem}")
                continue
            if found.cuts % GO_ON_EVERY == 0:
                found.gone_on += 1
                put(folder, files)
                further = await problems_when_it_goes_on(folder, *life.promised(place))
                found.problems += [f"{where}: {each}" for each in further]
            if place > len(life.operations) // 3:
                next_start = Life(files, [], "", *life.promised(place))
        start = next_start
        if found.cuts >= cuts or len(found.problems) > 100:
            return found
    raise AssertionError


def _places(life: Life, chance: random.Random, count: int) -> Iterator[int]:
    """Anywhere, and more often beside a sync, where most is at stake, and while the journal is being made."""
    syncs = [n for n, o in enumerate(life.operations) if isinstance(o, SyncFile | SyncNames)]
    made = next(n for n, o in enumerate(life.operations) if isinstance(o, Told))
    for _ in range(count):
        match chance.randrange(4):
            case 0:
                yield chance.randint(0, made)
            case 1:
                yield min(len(life.operations), chance.choice(syncs) + chance.randint(0, 1))
            case _:
                yield chance.randint(0, len(life.operations))


@pytest.fixture(autouse=True)
def _checkpoints_are_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that cuts hit them, too."""
    monkeypatch.setitem(sqlite._PRAGMAS, "wal_autocheckpoint", "40")


@pytest.mark.timeout(60 + CUTS // 10)
async def test_after_a_power_cut_the_journal_holds_what_was_acknowledged_and_whole_commits_only(
    folder: Path,
) -> None:
    print(f"OVERWINTER_SEED={SEED}, SQLite {sqlite3.sqlite_version}, recorded by {apsw_version()}")
    found = await cut_power(folder, SEED, CUTS)
    print(f"{found.cuts} cuts, {found.gone_on} of them taken on to the end")
    assert found.problems == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", [number for number, _ in store.migrations()[:-1]])
async def test_a_journal_of_any_older_version_is_brought_to_this_one_wherever_the_power_goes(
    folder: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "journal.db"
    steps = store.migrations()
    put(folder, {})
    with monkeypatch.context() as older:
        older.setattr(store, "migrations", lambda: [step for step in steps if step[0] <= version])
        old = sqlite3.connect(path, isolation_level=None)
        sqlite._prepare(old, path=path)
        old.execute(
            "INSERT INTO executions (key, workflow_id, run_id, type, task_queue, status, started_at, wake_at) "
            "VALUES (7, 'w', 'r', 'Round', 'tests', 0, 1, 0)"
        )
        old.execute("INSERT INTO events VALUES (1, 7, 1, 1, 1, 1, x'00', 1)")
        old.close()
    before = {"journal.db": path.read_bytes()}  # closed: its log is in it
    recorder = Recorder(folder, before)
    with recorder.connected(state_of):
        journal = await SqliteJournal.open(path)
        state = await journal._write(state_of)
        await journal.close()
    chance = random.Random(SEED)
    disk = Disk(before, chance)
    for number, operation in enumerate(recorder.operations):
        disk.apply(operation)
        for _ in range(2):
            problem = await problem_of(folder, disk.after_power_cut(), {state}, read_histories=False)
            assert problem == "", f"OVERWINTER_SEED={SEED}, cut after operation {number}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "protection_off",
    [{"synchronous": "NORMAL"}, {"lies": True}, {"syncs_names": False}],
    ids=["synchronous=NORMAL", "a disk that lies", "folder not synced"],
)
async def test_this_harness_sees_the_loss_when_a_protection_is_off(
    folder: Path, protection_off: dict[str, Any]
) -> None:
    found = await cut_power(folder, SEED, 100, **protection_off)
    print(f"{len(found.problems)} of {found.cuts} cuts: {found.problems[:3]}")
    assert found.problems


def apsw_version() -> str:
    import apsw

    return apsw.sqlite_lib_version()
