"""Overload with kills, for as long as one likes: nothing acknowledged is lost, and memory, descriptors, log and file stay bounded.

Three times as much work is offered as the gateway has been seen to do, by clients in this process; of each piece of work that
was accepted the result is asked for, whatever becomes of the gateway meanwhile, and then it is deleted, as a retention would.
``OVERWINTER_SOAK_S=3600`` says for how many seconds; without it nothing is done.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from overwinter.runtime.client import Client
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.remote import RemoteEngine
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.faults.crews import ROOT, seed
from tests.faults.soak_crew import PADDING, QUEUE, STEPS, Work

CREW = Path(__file__).with_name("soak_crew.py")
SOAK_S = float(os.environ.get("OVERWINTER_SOAK_S", "0"))
OVERLOAD = 3
IN_FLIGHT_MAX = 800
"""What the clients wait for at a time; what is offered beyond it is turned away, as a device that finds no connection is."""
KILL_EVERY_S = (5.0, 25.0)
MIB = 1 << 20

RSS_MAX = 250 * MIB
DESCRIPTORS_MAX = 100
LOG_MAX = 64 * MIB
"""As long as the log may stay; it is cut when it is longer."""


@dataclass(frozen=True)
class Sample:
    """What the gateway takes at a moment."""

    rss: int
    descriptors: int
    log: int
    file: int


class Gateway:
    """A process that is started again as often as it is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = ("journal.db", "client.sock", "effects")
        self._command = [sys.executable, str(CREW), *(str(folder / name) for name in names)]
        self._process: asyncio.subprocess.Process | None = None
        self.kills = 0
        self.samples: list[Sample] = []

    async def start(self) -> None:
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
        )
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), 120) == b"ready\n"

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]  # no public way to close its pipes
        self.kills += 1

    async def kill_now_and_then(self, dice: random.Random) -> None:
        while True:
            await asyncio.sleep(dice.uniform(*KILL_EVERY_S))
            await self.kill()
            await self.start()

    async def measure(self) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                self.samples.append(self._sample())
            except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
                pass  # It has just been killed.

    def _sample(self) -> Sample:
        assert self._process is not None
        process = Path(f"/proc/{self._process.pid}")
        pages = int((process / "statm").read_text().split()[1])
        descriptors = len(list((process / "fd").iterdir()))
        log, file = ((self.folder / name).stat().st_size for name in ("journal.db-wal", "journal.db"))
        return Sample(pages * os.sysconf("SC_PAGE_SIZE"), descriptors, log, file)


@dataclass
class Load:
    """Clients that offer work, and what has become of it."""

    client: Client
    accepted: int = 0
    done: int = 0
    refused: int = 0
    turned_away: int = 0
    problems: list[str] = field(default_factory=list)
    recorded: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    async def work(self) -> None:
        self._number += 1
        name = f"work-{self._number}"
        try:
            handle = await self.client.start_workflow(Work.run, PADDING, id=name, task_queue=QUEUE)
        except RPCError as error:
            if error.status == RPCStatusCode.RESOURCE_EXHAUSTED:
                self.refused += 1
            else:
                self.problems.append(f"{name}: {error!r}")
            return
        self.accepted += 1
        try:
            result = await handle.result()
            if result != sum(range(STEPS)):
                self.problems.append(f"{name} ended with {result}")
            await handle.delete()
            self.done += 1
        except Exception as error:  # noqa: BLE001 - the checker wants to know of any
            self.problems.append(f"{name}: {error!r}")

    async def as_fast_as_it_goes(self, seconds: float) -> float:
        """How much a second is done for clients who wait for one piece before they offer the next."""
        until = time.monotonic() + seconds

        async def one_after_the_other() -> None:
            while time.monotonic() < until:
                await self.work()

        before = self.done
        await asyncio.gather(*(one_after_the_other() for _ in range(50)))
        return (self.done - before) / seconds

    async def offer(self, per_second: float, seconds: float) -> None:
        """So much a second, whether it is done or not."""
        began, offered = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            for _ in range(int(passed * per_second) - offered):
                offered += 1
                if len(self._tasks) < IN_FLIGHT_MAX:
                    task = asyncio.create_task(self.work())
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                else:
                    self.turned_away += 1
            await asyncio.sleep(0.01)

    async def finish(self) -> None:
        if self._tasks:
            await asyncio.wait_for(asyncio.gather(*self._tasks), 300)


def steps_done_again(effects: Path, kills: int) -> list[str]:
    """Steps that ran more often than there were kills to cut them off, or that never ran."""
    runs = Counter(line.split()[1] for line in effects.read_text().splitlines())
    found = [f"{key} ran {count} times" for key, count in runs.items() if count > 1 + kills]
    repeated = sum(count - 1 for count in runs.values())
    # Each kill cuts off at most what ran at that moment, and what had ended and was not yet recorded.
    if repeated > kills * 2 * IN_FLIGHT_MAX:
        found.append(f"{repeated} repetitions after {kills} kills")
    return found


def growth(samples: list[Sample], what: str) -> str:
    """What is wrong with how a figure goes on in the last third, beside the third before."""
    values = [getattr(sample, what) for sample in samples]
    third = len(values) // 3
    middle, last = max(values[third : 2 * third]), max(values[2 * third :])
    return f"{what} grew from {middle} to {last}" if last > 1.3 * middle + 8 * MIB else ""


@pytest.mark.skipif(SOAK_S == 0, reason="OVERWINTER_SOAK_S does not say for how many seconds")
@pytest.mark.timeout(SOAK_S * 2 + 600)
async def test_an_overloaded_gateway_that_is_killed_loses_nothing_and_stays_bounded(tmp_path: Path) -> None:
    dice = random.Random(seed())
    gateway = Gateway(tmp_path)
    await gateway.start()
    engine = RemoteEngine(tmp_path / "client.sock", patience_s=180)
    load = Load(Client(engine))
    capacity = await load.as_fast_as_it_goes(min(10.0, SOAK_S / 5))
    beside = [asyncio.create_task(gateway.kill_now_and_then(dice)), asyncio.create_task(gateway.measure())]
    await load.offer(OVERLOAD * capacity, SOAK_S)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await gateway.kill()
    await gateway.start()
    await load.finish()
    await engine.close()
    await gateway.kill()
    samples = gateway.samples
    print(
        f"{capacity:.0f} a second could be done, {load.accepted} were accepted and {load.done} done over {gateway.kills} kills, "
        f"{load.refused} refused, {load.turned_away} turned away; at most {max(s.rss for s in samples) / MIB:.0f} MiB of "
        f"memory, {max(s.descriptors for s in samples)} descriptors, {max(s.log for s in samples) / MIB:.1f} MiB of log, "
        f"{max(s.file for s in samples) / MIB:.1f} MiB of file"
    )
    assert load.problems == []
    assert load.accepted == load.done > 0
    assert steps_done_again(tmp_path / "effects", gateway.kills) == []
    assert max(sample.rss for sample in samples) < RSS_MAX
    assert max(sample.descriptors for sample in samples) < DESCRIPTORS_MAX
    assert max(sample.log for sample in samples) <= LOG_MAX
    assert [text for what in ("rss", "log", "file") if (text := growth(samples, what))] == []
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    assert await journal.executions(limit=10) == []
    await journal.close()
