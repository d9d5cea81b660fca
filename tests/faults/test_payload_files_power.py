"""Power cuts between any two steps of writing payload files, of committing, and of removing what is unused.

The journal of these tests commits in one step and forgets nothing; the folder forgets what was not synced. Whatever was
committed must be readable after each cut. ``OVERWINTER_CUTS`` says how many runs, ``OVERWINTER_SEED`` the first seed.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.converter import DataConverter, ExternalStorage, FileStorageDriver
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.external_storage import FolderOfAnotherJournal, PayloadFileError
from overwinter.runtime.external_storage.collecting import Collector
from overwinter.runtime.journal import MemoryJournal
from tests.faults.lossy_folder import LossyFolder, PowerCut
from tests.unit.external_storage.sites import Site
from tests.unit.gateways import QUEUE

CUTS = int(os.environ.get("OVERWINTER_CUTS", "150"))
SEED = int(os.environ.get("OVERWINTER_SEED", "1"))


class Inline(FileStorageDriver):
    """Does its work in place, so that thousands of runs need no threads."""

    def __init__(self, folder: LossyFolder) -> None:
        super().__init__(folder.path)
        self.folder = folder

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        return function(*args)


class Elsewhere(Inline):
    """Says where a value will be without having written it: a commit before its file."""

    def _keep(self, digest: str, content: bytes) -> None:
        pass


class Machine:
    """Stores values, commits references to them and removes what is unused, until the power goes; again and again."""

    def __init__(self, seed: int, *, lies: Iterable[str] = (), commits_first: bool = False) -> None:
        self.chance = random.Random(seed)
        self.folder = LossyFolder(self.chance, lies=frozenset(lies))
        self.committed: dict[bytes, str] = {}
        self.commits_first = commits_first
        self.journal = MemoryJournal()
        self._start()

    def _start(self) -> None:
        self.driver = Inline(self.folder)
        self.data = storing_in(self.driver)

    @property
    def memory(self) -> Any:
        """What the collector asks of an engine: here the journal is a dictionary."""
        machine = self

        class Memory:
            journal = machine.journal

            async def flushed(self) -> None:
                pass

            def payloads_in_memory(self) -> list[Payload]:
                return [Payload(data=data) for data in machine.committed]

        return Memory()

    async def live(self) -> None:
        """Do things at random until the power goes."""
        self.folder.steps_left = self.chance.randint(1, 40)
        try:
            while True:
                await self._do_something()
        except PowerCut:
            self.folder.cut_power()
            self._start()

    async def _do_something(self) -> None:
        match self.chance.randrange(6):
            case 0:
                self.folder.make_old()
                await Collector(self.driver, self.memory, age_s_min=60).collect()
            case 1:
                await self.data.encode([f"never committed {self.chance.randrange(5)}"])
            case 2 if self.committed:
                del self.committed[self.chance.choice(list(self.committed))]
            case _:
                value = f"value {self.chance.randrange(5)}"
                if self.commits_first:
                    (stored,) = await storing_in(Elsewhere(self.folder)).encode([value])
                    self.committed[stored.data] = value
                (stored,) = await self.data.encode([value])
                self.committed[stored.data] = value

    async def lost(self) -> list[str]:
        """What was committed and cannot be read."""
        found: list[str] = []
        for data, value in self.committed.items():
            reference = Payload(
                {
                    "encoding": b"json/protobuf",
                    "messageType": b"temporal.api.sdk.v1.ExternalStorageReference",
                },
                data,
            )
            try:
                assert await self.data.decode([reference]) == [value]
            except PayloadFileError as error:
                found.append(str(error))
        return found

    async def unused(self) -> int:
        """How many files nobody refers to are left by a collection after a start."""
        self.folder.make_old()
        await Collector(self.driver, self.memory, age_s_min=60).collect()
        referred = {
            name for name in self.folder.names() if any(name.encode() in data for data in self.committed)
        }
        return len(set(self.folder.names()) - referred - {"journal"})


def storing_in(driver: FileStorageDriver, threshold: int = 0) -> DataConverter:
    return DataConverter(external_storage=ExternalStorage(drivers=[driver], payload_size_threshold=threshold))


async def run(seeds: Iterable[int], **protections_off: Any) -> list[str]:
    """What was lost over all of these runs, of several lives each."""
    lost: list[str] = []
    for seed in seeds:
        machine = Machine(seed, **protections_off)
        for life in range(6):
            try:
                await machine.live()
            except FolderOfAnotherJournal as error:  # The file that says whose folder it is was lost, too.
                lost.append(f"seed {seed}, life {life}: {error}")
                break
            lost += [f"seed {seed}, life {life}: {what}" for what in await machine.lost()]
    return lost


async def test_no_reference_is_ever_without_its_file() -> None:
    print(f"OVERWINTER_SEED={SEED}")
    assert await run(range(SEED, SEED + CUTS)) == []


async def test_files_without_a_reference_are_gone_after_the_next_collection() -> None:
    for seed in range(SEED, SEED + 30):
        machine = Machine(seed)
        await machine.live()
        assert await machine.unused() == 0, f"OVERWINTER_SEED={seed}"
        assert await machine.lost() == []


@pytest.mark.parametrize(
    "protection_off",
    [{"lies": ["sync_file"]}, {"lies": ["sync_names"]}, {"commits_first": True}],
    ids=["content not synced", "name not synced", "commit before the file"],
)
async def test_this_harness_sees_the_loss_when_a_protection_is_off(protection_off: Any) -> None:
    assert await run(range(SEED, SEED + 60), **protection_off)


# -- a whole engine ----------------------------------------------------------------------------------


@activity.defn
async def grow(text: str) -> str:
    return text + "x" * 500


@workflow.defn
class Grows:
    @workflow.run
    async def run(self, text: str) -> int:
        for _ in range(4):
            text = await workflow.execute_activity(grow, text, start_to_close_timeout=timedelta(seconds=10))
        return len(text)


class PoweredJournal(MemoryJournal):
    """Commits nothing once the power is gone."""

    def __init__(self, folder: LossyFolder) -> None:
        super().__init__()
        self.folder = folder

    async def commit(self, batch: Any) -> Any:
        if self.folder.steps_left == 0:
            raise PowerCut
        return await super().commit(batch)


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
async def test_an_execution_goes_on_after_power_cuts_in_the_middle_of_storing(seed: int) -> None:
    chance = random.Random(seed)
    folder = LossyFolder(chance)
    journal = PoweredJournal(folder)
    result: int | None = None
    for life in range(50):
        site = Site(storing_in(Inline(folder), 100), [Grows], [grow], journal)
        folder.steps_left = None if life == 49 else chance.randint(4, 25)
        try:
            async with site.on() as client:
                handle = client.get_workflow_handle("one", result_type=int)
                if not await journal.executions(workflow_id="one"):
                    handle = await client.start_workflow(Grows.run, "y" * 500, id="one", task_queue=QUEUE)
                result = await _until_it_ends_or_the_power_goes(client, handle, folder)
        except (PowerCut, AssertionError, RuntimeError):  # the worker says that its engine has failed
            pass
        folder.cut_power()
        if result is not None:
            break
    assert result == 2500


async def _until_it_ends_or_the_power_goes(client: Any, handle: Any, folder: LossyFolder) -> int | None:
    ended = asyncio.ensure_future(handle.result())
    while not ended.done() and folder.steps_left != 0:
        await asyncio.sleep(0.002)
    if ended.done() and folder.steps_left != 0:
        return ended.result()  # type: ignore[no-any-return]
    ended.cancel()
    await asyncio.gather(ended, return_exceptions=True)
    return None
