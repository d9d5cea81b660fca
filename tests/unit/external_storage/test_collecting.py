"""What is removed from a folder of payload files, and above all what is not."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, messages, workflow
from overwinter.runtime.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.converter import DataConverter, ExternalStorage, FileStorageDriver
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.external_storage import FolderOfAnotherJournal
from overwinter.runtime.external_storage.collecting import Collected, Collector
from overwinter.runtime.external_storage.files import OWNER
from overwinter.runtime.journal import MemoryJournal, SqliteJournal, StorageFull
from overwinter.runtime.ports import Journal
from tests.unit.external_storage.sites import Site
from tests.unit.gateways import QUEUE, until

SOON = timedelta(seconds=10)
LARGE = "x" * 5000


@activity.defn
async def produce(text: str) -> str:
    return text * 2


@activity.defn
async def beats_and_fails(text: str) -> None:
    activity.heartbeat(text + "beat")
    raise ApplicationError("once more", text + "detail")


@workflow.defn
class Large:
    @workflow.run
    async def run(self, text: str) -> str:
        return await workflow.execute_activity(produce, text, schedule_to_close_timeout=SOON)


@workflow.defn
class Tries:
    @workflow.run
    async def run(self, text: str) -> None:
        await workflow.execute_activity(
            beats_and_fails,
            text,
            start_to_close_timeout=SOON,
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=1)),
        )


@workflow.defn
class Publishes:
    @workflow.run
    async def run(self, reference: str) -> None:
        messages.publish("farm/frame", reference.encode())


@workflow.defn
class Waits:
    @workflow.run
    async def run(self) -> None:
        await asyncio.Event().wait()

    @workflow.update
    def change(self, text: str) -> str:
        return text


WORKFLOWS = [Large, Tries, Publishes, Waits]
ACTIVITIES = [produce, beats_and_fails]


class Files:
    """A folder of payload files whose collector is run by the test."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.driver = FileStorageDriver(folder)
        storage = ExternalStorage(drivers=[self.driver], payload_size_threshold=1000)
        self.data = DataConverter(external_storage=storage)
        self.journal = MemoryJournal()

    @asynccontextmanager
    async def on(self) -> AsyncIterator[Client]:
        async with Site(self.data, WORKFLOWS, ACTIVITIES, self.journal).on() as client:
            yield client

    def names(self) -> set[str]:
        return {name for name in os.listdir(self.path) if name != OWNER}

    async def collect(self, client: Client, age_s: float = 0) -> Collected:
        gc.collect()
        self.make_old(self.names())
        return await Collector(self.driver, client.engine, age_s_min=age_s).collect()

    def make_old(self, names: Iterable[str], age_s: float = 7200) -> None:
        for name in names:
            os.utime(self.path / name, (time.time() - age_s,) * 2)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_what_a_history_refers_to_stays_and_everything_else_goes(files: Files) -> None:
    async with files.on() as client:
        assert await client.execute_workflow(Large.run, LARGE, id="one", task_queue=QUEUE) == LARGE * 2
        kept = files.names()
        assert len(kept) == 2
        await files.data.encode([LARGE + "of nobody"])
        assert (await files.collect(client)).removed == 1
        assert files.names() == kept
    async with files.on() as client:  # With nothing in memory but the journal.
        assert (await files.collect(client)) == Collected(2, 0, 0)
        assert await client.get_workflow_handle("one").result() == LARGE * 2


async def test_what_an_attempt_refers_to_stays_while_there_is_one(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(
        logging.CRITICAL, "overwinter.activity"
    )  # Else pytest has the failure, with its details.
    async with files.on() as client:
        handle = await client.start_workflow(Tries.run, LARGE, id="one", task_queue=QUEUE)
        await until(lambda: _attempts(client, files.journal))
    async with files.on() as client:
        assert len(files.names()) == 3  # argument, heartbeat and detail of the failure
        assert (await files.collect(client)).removed == 0
        await client.get_workflow_handle("one").terminate()
        del handle
        assert (await files.collect(client)).removed == 2
        (argument,) = files.names()
        assert argument in str((await client.get_workflow_handle("one").fetch_history()).events)


async def _attempts(client: Client, journal: Journal) -> bool:
    (record,) = await journal.executions(workflow_id="one")
    return any(attempt.heartbeat and attempt.failure for attempt in await journal.attempts(record.key))


async def test_what_a_schedule_refers_to_stays_until_it_is_deleted(files: Files) -> None:
    action = ScheduleActionStartWorkflow(Large.run, LARGE, id="scheduled", task_queue=QUEUE)
    action.memo = {"map": LARGE + "memo"}
    async with files.on() as client:
        schedule = Schedule(action=action, spec=ScheduleSpec())
        await client.create_schedule("daily", schedule, memo={"why": LARGE + "why"})
    async with files.on() as client:
        assert len(files.names()) == 3
        assert (await files.collect(client)).removed == 0
        await client.get_schedule_handle("daily").delete()
        assert (await files.collect(client)).removed == 3


async def test_what_a_message_in_the_outbox_names_stays_until_it_is_sent(files: Files) -> None:
    async with files.on() as client:
        (stored,) = await files.data.encode([LARGE])
        reference = stored.data.decode()
        await client.execute_workflow(Publishes.run, "small", id="two", task_queue=QUEUE)
        # The history of the execution names it too, but for this test it has to be the outbox alone.
        (message,) = await files.journal.outbox(0, 10)
        files.journal._outbox[message.id] = type(message)(
            **{name: getattr(message, name) for name in message.__slots__} | {"body": reference.encode()}
        )
        del stored
        assert (await files.collect(client)).removed == 0
        client.engine.note_sent([message.id])
        await client.engine.flushed()
        assert (await files.collect(client)).removed == 1


async def test_a_result_that_waits_for_room_in_the_journal_keeps_its_file(files: Files) -> None:
    async with files.on() as client:
        handle = await client.start_workflow(FillsUp.run, id="one", task_queue=QUEUE)
        full.set_result(files.journal)
        await until(lambda: client.engine.counters.commit_failures == 1)
        assert len(files.names()) == 1
        assert (await files.collect(client)).removed == 0
        assert await handle.result() == len(LARGE)


full: asyncio.Future[MemoryJournal]


@activity.defn
async def fills_up() -> str:
    (await full).fail_next = StorageFull("full")
    return LARGE


@workflow.defn
class FillsUp:
    @workflow.run
    async def run(self) -> int:
        return len(await workflow.execute_activity(fills_up, schedule_to_close_timeout=SOON))


WORKFLOWS.append(FillsUp)
ACTIVITIES.append(fills_up)


@pytest.fixture(autouse=True)
async def _fill_later() -> None:
    global full  # noqa: PLW0603 - one for each test's loop
    full = asyncio.get_running_loop().create_future()


async def test_an_update_that_waits_for_a_worker_keeps_its_arguments_whoever_sent_it(files: Files) -> None:
    """It is in no history yet; and who sent it may be another process, which holds nothing here."""
    site = Site(files.data, [Waits], journal=files.journal)
    async with site.on() as client:
        await client.start_workflow(Waits.run, id="one", task_queue=QUEUE)
    async with Site(files.data, [Large], journal=files.journal).on() as client:  # nobody who has Waits
        handle = client.get_workflow_handle("one")
        update = asyncio.ensure_future(handle.execute_update(Waits.change, LARGE))
        await until(
            lambda: (
                bool(client.engine.cache.open_run("one")) and bool(client.engine.cache.open_run("one").held)
            )
        )  # type: ignore[union-attr]
        files.driver._held.clear()  # As if another process had written it.
        assert (await files.collect(client)).removed == 0
        update.cancel()
        await asyncio.gather(update, return_exceptions=True)


async def test_young_files_are_left_alone_and_files_asked_for_again_are_young(files: Files) -> None:
    async with files.on() as client:
        await files.data.encode([LARGE])
        gc.collect()
        collector = Collector(files.driver, client.engine)
        assert (await collector.collect()) == Collected(0, 0, 0)
        files.make_old(files.names())
        await files.data.encode([LARGE])
        gc.collect()
        assert (await collector.collect()) == Collected(0, 0, 0)
        files.make_old(files.names())
        assert (await collector.collect()).removed == 1


async def test_a_file_that_is_asked_for_while_it_is_looked_at_stays(files: Files) -> None:
    async with files.on() as client:
        await files.data.encode([LARGE])
        gc.collect()
        files.make_old(files.names())
        stored: list[Payload] = []
        scan = files.journal.events_with

        async def meanwhile(*args: Any) -> Any:
            stored.extend(await files.data.encode([LARGE]))
            return await scan(*args)

        await client.start_workflow(
            Waits.run, id="one", task_queue=QUEUE
        )  # So that there is an event to scan.
        files.journal.events_with = meanwhile  # type: ignore[method-assign]
        assert (await Collector(files.driver, client.engine).collect()).removed_bytes == 0
        assert await files.data.decode(stored) == [LARGE]


async def test_what_is_left_of_writes_that_a_crash_cut_off_goes(files: Files) -> None:
    async with files.on() as client:
        (files.path / ".0123.part").write_bytes(b"half")
        (files.path / "notes.txt").write_bytes(b"a person's")
        assert (await files.collect(client)).removed == 1
        assert files.names() == {"notes.txt"}


async def test_a_folder_serves_one_journal_and_a_second_one_is_refused(files: Files, tmp_path: Path) -> None:
    async with files.on() as client:
        await client.execute_workflow(Large.run, LARGE, id="one", task_queue=QUEUE)
    other = Files(files.path)
    with pytest.raises(FolderOfAnotherJournal, match="give each journal a folder of its own"):
        async with other.on():
            pass
    async with files.on() as client:
        assert await client.get_workflow_handle("one").result() == LARGE * 2


async def test_a_worker_keeps_the_folder_clean_and_a_second_worker_leaves_it_to_the_first(
    files: Files,
) -> None:
    async with files.on():
        assert files.driver.kept_clean
        async with Site(files.data, WORKFLOWS, journal=files.journal).on():
            assert files.driver.kept_clean
        assert files.driver.kept_clean
    assert not files.driver.kept_clean


async def test_everything_is_found_in_a_journal_on_the_disk_too(tmp_path: Path) -> None:
    driver = FileStorageDriver(tmp_path / "payloads")
    data = DataConverter(external_storage=ExternalStorage(drivers=[driver], payload_size_threshold=1000))
    for _ in range(2):
        async with Client.open(tmp_path / "journal.db", data_converter=data) as client:
            from overwinter.runtime.worker import Worker

            assert isinstance(client.engine.journal, SqliteJournal)
            async with Worker(client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES):
                if not list(await client.engine.journal.executions()):
                    await client.execute_workflow(Large.run, LARGE, id="one", task_queue=QUEUE)
                    await client.start_workflow(Tries.run, LARGE, id="two", task_queue=QUEUE)
                    await until(lambda: _has_failed(client))
                await data.encode([LARGE + "of nobody"])
                gc.collect()
                collected = await Collector(driver, client.engine, age_s_min=-10).collect()
                assert (collected.removed, len(os.listdir(driver.folder.path))) == (1, 5)
    async with Client.open(tmp_path / "journal.db", data_converter=data) as client:
        assert await client.get_workflow_handle("one").result() == LARGE * 2


async def _has_failed(client: Client) -> bool:
    (record,) = await client.engine.journal.executions(workflow_id="two")
    return any(a.failure and a.heartbeat for a in await client.engine.journal.attempts(record.key))
