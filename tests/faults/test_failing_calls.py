"""Every call to the disk is made to fail in turn, under a whole engine.

No room: what comes from outside is refused and asked for again by whoever wants it, what is inside waits, and everything comes
to its end in the same process. A failed sync: the process must stop; the system may have dropped what was to be synced, so the
power is cut after it, too. ``OVERWINTER_FAILURES=all`` tries every place, a number so many of them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from overwinter.runtime import engine as engine_module
from overwinter.runtime.client import Client
from overwinter.runtime.journal import (
    JournalError,
    SqliteJournal,
    StorageFailed,
    StorageFull,
    log_watch,
    sqlite,
)
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.faults.crews import seed
from tests.faults.disk import Disk, SyncFailed, Told
from tests.faults.recorded_files import Fault, Recorder, put
from tests.faults.rounds import (
    Effect,
    Round,
    Signaled,
    Started,
    engine_on,
    problems_when_it_goes_on,
    state_of,
)
from tests.unit.gateways import QUEUE

T = TypeVar("T")

FAILURES = os.environ.get("OVERWINTER_FAILURES", "10")
NAMES = ("a", "b", "c")
FAILED = {
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "write": apsw.SQLITE_IOERR_WRITE,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "delete": apsw.SQLITE_IOERR_DELETE,
}


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are frequent and their failure is noticed soon; whoever finds no room asks again soon."""
    monkeypatch.setitem(sqlite._PRAGMAS, "wal_autocheckpoint", "20")
    monkeypatch.setattr(log_watch, "LOG_BYTES", 120_000)
    monkeypatch.setattr(log_watch, "_STEP_BYTES", 20_000)
    monkeypatch.setattr(engine_module, "_FULL_WAIT_S", 0.02)


@dataclass
class Outcome:
    """What one life came to."""

    recorder: Recorder
    ended: bool = False
    log_bytes: int = 0
    stopped_by: BaseException | None = None
    told: list[Any] = field(default_factory=list)

    @property
    def promised(self) -> tuple[set[str], set[str]]:
        started = {what.name for what in self.told if isinstance(what, Started)}
        return started, {what.name for what in self.told if isinstance(what, Signaled)}


async def live(folder: Path, fault: Fault | None, later: Fault | None = None) -> Outcome:
    """One life with this fault, and another one once the journal is open, until everything has ended or the process would."""
    put(folder, {})
    outcome = Outcome(Recorder(folder, {}, fault=fault))

    def tell(what: Any) -> None:
        outcome.told.append(what)
        outcome.recorder.note(Told(what))

    with outcome.recorder.connected(state_of):
        try:
            journal = await SqliteJournal.open(folder / "journal.db")
        except JournalError as error:
            outcome.stopped_by = error
            return outcome
        outcome.recorder.fault = later or fault
        try:
            async with engine_on(journal, tell) as client:
                await asyncio.gather(*(round_of(name, client, tell) for name in NAMES))
                outcome.ended = True
        except (RPCError, AssertionError, RuntimeError):
            outcome.stopped_by = client.engine.failure
            if outcome.stopped_by is None:
                raise
        finally:
            outcome.log_bytes = journal.sizes()[1]
            await journal.close()
    return outcome


async def round_of(name: str, client: Client, tell: Callable[[Any], None]) -> None:
    """A round from its start to its end, by someone who asks again for what was refused for want of room."""
    handle = await insist(lambda: client.start_workflow(Round.run, name, id=name, task_queue=QUEUE))
    tell(Started(name))
    await insist(lambda: handle.signal(Round.note))
    tell(Signaled(name))
    await handle.result()


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await call()
        except RPCError as error:
            if error.status != RPCStatusCode.RESOURCE_EXHAUSTED:
                raise
        await asyncio.sleep(0.005)


class Counting(Fault):
    """Fails nothing and counts."""

    def __init__(self) -> None:
        super().__init__("none", 0, 0)
        self.counts: Counter[str] = Counter()

    def strikes(self, kind: str, *, is_log: bool) -> bool:
        self.counts[kind] += 1
        return False


async def places(folder: Path, *kinds: str) -> list[tuple[str, int]]:
    """Each call of these kinds in a life without a fault, or a sample of them."""
    counting = Counting()
    assert (await live(folder, counting)).ended
    found = [(kind, number) for kind in kinds for number in range(1, counting.counts[kind] + 1)]
    return found if FAILURES == "all" else random.Random(seed()).sample(found, int(FAILURES))


@pytest.mark.timeout(60 if FAILURES != "all" else 1200)
async def test_without_room_what_is_refused_can_be_asked_for_again_and_the_rest_waits(folder: Path) -> None:
    chance = random.Random(seed())
    refused_at_start = 0
    for kind, number in await places(folder, "write"):
        count = chance.choice((1, 1, 3, 12))
        outcome = await live(folder, Fault(kind, number, apsw.SQLITE_FULL, count))
        where = f"no room for {count} writes from the {number}th on"
        if not outcome.ended:
            assert isinstance(outcome.stopped_by, StorageFull), where
            assert outcome.told == [], where  # it was not even open
            refused_at_start += 1
            outcome = Outcome(outcome.recorder)
        effects = Counter(what.key for what in outcome.told if isinstance(what, Effect))
        assert set(effects.values()) <= {1}, where
        assert await problems_when_it_goes_on(folder, *outcome.promised) == [], where
    print(f"{refused_at_start} of them while the journal was made")


@pytest.mark.timeout(60 if FAILURES != "all" else 1200)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
async def test_after_a_failed_call_nothing_acknowledged_is_lost_also_when_the_power_goes(
    folder: Path, lasting: bool
) -> None:
    chance = random.Random(seed())
    for kind, number in await places(folder, *FAILED):
        # A device on which no write ever succeeds again looks like a full one, and is waited for.
        count = 1 if not lasting else 10 if kind == "write" else float("inf")
        fault = Fault(kind, number, FAILED[kind], count)
        outcome = await live(folder, fault)
        where = f"{kind} {number} {'and all later ones' if lasting else ''} failed"
        last = outcome.recorder.operations
        assert await problems_when_it_goes_on(folder, *outcome.promised) == [], where
        disk = Disk({}, chance)
        for operation in last:
            disk.apply(operation)
        put(folder, disk.after_power_cut())
        assert await problems_when_it_goes_on(folder, *outcome.promised) == [], f"{where}, then the power"


@pytest.mark.timeout(60 if FAILURES != "all" else 1200)
async def test_a_sync_of_a_commit_that_failed_ends_the_process(folder: Path) -> None:
    """Never is it tried again as if nothing had happened."""
    stopped = 0
    for _, number in await places(folder, "sync"):
        outcome = await live(folder, Fault("sync", number, apsw.SQLITE_IOERR_FSYNC))
        if outcome.recorder.harmless_faults:
            continue  # It was SQLite's own checkpoint, which writes everything again.
        after = itertools.dropwhile(lambda o: not isinstance(o, SyncFailed), outcome.recorder.operations)
        assert not [o for o in after if isinstance(o, Told)], f"sync {number} failed"
        stopped += isinstance(outcome.stopped_by, StorageFailed)
    assert stopped


async def test_a_journal_that_its_log_cannot_be_written_back_to_ends_the_process(folder: Path) -> None:
    """Although each commit succeeds: SQLite's automatic checkpoints tell nobody that they fail."""
    fault = Fault("sync", 1, apsw.SQLITE_IOERR_FSYNC, float("inf"), spares_log=True)
    outcome = await live(folder, None, fault)
    assert isinstance(outcome.stopped_by, StorageFailed)
    assert outcome.log_bytes < 2 * log_watch.LOG_BYTES
    assert await problems_when_it_goes_on(folder, *outcome.promised) == []


async def test_while_the_log_cannot_be_written_back_for_want_of_room_nothing_more_is_taken_in(
    folder: Path,
) -> None:
    fault = Fault("write", 1, apsw.SQLITE_FULL, 30, spares_log=True)
    outcome = await live(folder, None, fault)
    assert outcome.ended
    assert fault.number < -30
    assert outcome.log_bytes < 2 * log_watch.LOG_BYTES


@pytest.mark.timeout(60)
async def test_this_harness_sees_the_loss_when_a_failed_sync_says_nothing(folder: Path) -> None:
    """The power goes right after somebody was told of what was to be synced."""
    chance = random.Random(seed())
    for number in [*range(1, 8)] * 3:
        outcome = await live(folder, None, Fault("sync", number, 0, silent=True))
        after = itertools.dropwhile(lambda o: not isinstance(o, SyncFailed), outcome.recorder.operations)
        told_next = next((o for o in after if isinstance(o, Told) and not isinstance(o.what, str)), None)
        if told_next is None:
            continue
        disk, told = Disk({}, chance), Outcome(outcome.recorder)
        for operation in outcome.recorder.operations:
            disk.apply(operation)
            if isinstance(operation, Told):
                told.told.append(operation.what)
            if operation is told_next:
                break
        put(folder, disk.after_power_cut())
        if await problems_when_it_goes_on(folder, *told.promised, patience_s=1):
            return
    pytest.fail("nothing was lost")
