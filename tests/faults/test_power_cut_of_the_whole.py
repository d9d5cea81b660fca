"""Power cuts under a whole process: its journal, its payload files and what its activities write, on one disk.

The process is the deployed one, with the SQLite it has; strace notes what it does to its folder, with the bytes, and what it
says. From that come the states of the disk after a cut anywhere (see `disk`). In each, everything that had been said must be
true, and every reference to a payload file must have its file; some are given to a new process, which must bring everything to
its end without a second run of a recorded step.

This stands in for a file system in user space that forgets what was not synced: it asks for no rights, and one run gives
thousands of states. ``OVERWINTER_CUTS`` says how many.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from overwinter.runtime.converter import DataConverter
from overwinter.runtime.core.events import Signaled
from overwinter.runtime.core.payload_groups import groups_of
from overwinter.runtime.external_storage import PayloadFileError
from overwinter.runtime.journal import JournalError, SqliteJournal
from overwinter.runtime.ports import ExecutionRecord
from tests.brokers import require
from tests.faults.crew import converter
from tests.faults.crews import Checker, done_again, finish, note_recorded, scenario, seed
from tests.faults.disk import Disk, Operation, SyncFile, SyncNames, Told
from tests.faults.recorded_calls import operations_in, strace
from tests.faults.recorded_files import put

CUTS = int(os.environ.get("OVERWINTER_CUTS", "120"))
GO_ON_EVERY = 60
NAMES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _needs_strace() -> None:
    require(shutil.which("strace") is not None, "strace")


async def recorded(folder: Path, log: Path) -> list[Operation]:
    """What a process does to the folder while it works from a first start to a shutdown."""
    await scenario(folder, Checker(), NAMES, strace(log), files=True)
    return operations_in(log, folder)


async def problems_in(folder: Path, files: dict[str, bytes], checker: Checker) -> list[str]:
    """What had been said and is not true, and what cannot be read."""
    put(folder, files)
    data = converter(folder)
    try:
        journal = await SqliteJournal.open(folder / "journal.db")
    except JournalError as error:
        return [f"refused: {error}"]
    found: list[str] = []
    try:
        for name in sorted(checker.started):
            records = await journal.executions(workflow_id=name)
            if not records:
                found.append(f"acknowledged start {name} is missing")
                continue
            signals = await signals_of(journal, data, records[0])
            missing = checker.signaled.get(name, set()) - signals
            found += [f"{name}: acknowledged signals {missing} are missing"] if missing else []
            if name in checker.results and records[0].status != "completed":
                found.append(f"{name} was said to have ended, and is {records[0].status}")
    except (JournalError, PayloadFileError) as error:
        found.append(f"{type(error).__name__}: {error}")
    finally:
        await journal.close()
    return found


async def signals_of(journal: SqliteJournal, data: DataConverter, record: ExecutionRecord) -> set[int]:
    """The signals in a history, of which every payload was read."""
    found: set[int] = set()
    for event in (await journal.history(record)).events:
        values = [await data.decode(list(group)) for group in groups_of([event.body])]
        if isinstance(event.body, Signaled):
            found.add(values[0][0])
    return found


async def problems_when_it_goes_on(folder: Path, checker: Checker) -> list[str]:
    steps: dict[str, int] = {}
    await note_recorded(folder, steps)
    await finish(folder, checker, files=True)
    return checker.problems() + done_again(folder, steps)


async def cut_power(
    folder: Path, operations: list[Operation], cuts: int, chance: random.Random, *, lies: bool = False
) -> list[str]:
    disk, done = Disk({}, chance, lies=lies), 0
    syncs = [n for n, o in enumerate(operations) if isinstance(o, SyncFile | SyncNames | Told)]
    places = sorted(
        chance.choice((chance.randint(0, len(operations)), chance.choice(syncs) + 1)) for _ in range(cuts)
    )
    found: list[str] = []
    checker = Checker()
    for number, place in enumerate(places, 1):
        for operation in operations[done:place]:
            disk.apply(operation)
            if isinstance(operation, Told):
                checker.hear(operation.what)
        done = place
        problems = await problems_in(folder, disk.after_power_cut(), checker)
        if not problems and number % GO_ON_EVERY == 0 and checker.started:
            heard = Checker(set(checker.started), {k: set(v) for k, v in checker.signaled.items()})
            problems = await problems_when_it_goes_on(folder, heard)
        found += [f"cut at {place} of {len(operations)}: {problem}" for problem in problems]
    return found


@pytest.mark.timeout(60 + CUTS // 10)
async def test_what_a_process_has_said_is_true_after_a_power_cut_anywhere(
    folder: Path, tmp_path: Path
) -> None:
    chance = random.Random(seed())
    problems: list[str] = []
    for _ in range(-(-CUTS // 2000)):
        put(folder, {})
        operations = await recorded(folder, tmp_path / "calls")
        assert any(isinstance(operation, Told) for operation in operations)
        problems += await cut_power(folder, operations, min(CUTS, 2000), chance)
    assert problems == []


@pytest.mark.timeout(60)
async def test_this_harness_sees_the_loss_when_a_protection_is_off(folder: Path, tmp_path: Path) -> None:
    chance = random.Random(seed())
    operations = await recorded(folder, tmp_path / "calls")
    assert await cut_power(folder, operations, 60, chance, lies=True)
    names_not_synced = [operation for operation in operations if not isinstance(operation, SyncNames)]
    assert await cut_power(folder, names_not_synced, 60, chance)
    journal = {o.names[0][1] for o in operations if hasattr(o, "names") and "journal" in o.names[0][0]}
    payload_files_not_synced = [o for o in operations if not isinstance(o, SyncFile) or o.file in journal]
    assert await cut_power(folder, payload_files_not_synced, 60, chance)
