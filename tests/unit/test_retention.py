"""Closed executions leave the journal by age and by size; what somebody still has to get stays; the disk stays flat."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from overwinter import workflow
from overwinter.runtime import archive
from overwinter.runtime import retention as retention_module
from overwinter.runtime.client import Client
from overwinter.runtime.core.events import event_name
from overwinter.runtime.journal import MemoryJournal, SqliteJournal, StorageFull
from overwinter.runtime.ports import Batch, ExecutionRecord, Journal
from overwinter.runtime.relations import Relations
from overwinter.runtime.retention import DAY_S, Retention, RetentionPolicy
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, until


@workflow.defn
class Short:
    @workflow.run
    async def run(self, text: str) -> str:
        return text


@workflow.defn
class Endless:
    """Starts a child for each signal, and never ends."""

    def __init__(self) -> None:
        self.asked = self.done = 0

    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self.asked > self.done)
            self.done += 1
            await workflow.execute_child_workflow(Child.run, id=f"child-{self.done}")

    @workflow.signal
    def ask(self) -> None:
        self.asked += 1


@workflow.defn
class Child:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.go)

    @workflow.signal
    def end(self) -> None:
        self.go = True


WORKFLOWS = [Short, Endless, Child]


async def run_some(client: Client, ids: Sequence[str], text: str = "done") -> None:
    for id in ids:
        await client.execute_workflow(Short.run, text, id=id, task_queue=QUEUE)


async def ids_in(journal: Journal) -> set[str]:
    return {record.workflow_id for record in await journal.executions(limit=1000)}


async def test_what_has_closed_long_ago_goes_into_a_file_and_leaves_the_journal(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, ["old-1", "old-2"])
        gateway.advance(client, 8 * DAY_S)
        await run_some(client, ["new"])
        await client.start_workflow(Endless.run, id="open", task_queue=QUEUE)
        retention = Retention(
            client.engine, RetentionPolicy(closed_for_s=7 * DAY_S, archive=tmp_path / "archive")
        )
        assert await retention.once() == 2
        assert await ids_in(gateway.journal) == {"new", "open"}
        (file,) = archive.files(tmp_path / "archive")
        found = {each.workflow_id: each for each in archive.read(file)}
        assert set(found) == {"old-1", "old-2"}
        assert found["old-1"].about["status"] == "completed"
        assert [event_name(event.body) for event in found["old-1"].events()] == [
            "WorkflowStarted",
            "WorkflowCompleted",
        ]
        assert await retention.once() == 0
        assert (retention.counters.archived, retention.counters.events) == (2, 4)


async def test_without_an_archive_they_are_dropped(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, ["a", "b", "c"])
        gateway.advance(client, 2 * DAY_S)
        retention = Retention(client.engine, RetentionPolicy(closed_for_s=DAY_S))
        assert await retention.once() == 3
        assert (retention.counters.archived, retention.counters.dropped) == (0, 3)


async def test_a_journal_that_is_too_large_lets_the_oldest_go_until_it_is_not(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, [str(n) for n in range(20)], "x" * 10_000)
        gateway.advance(client, 120)
        await run_some(client, ["just-closed"], "x" * 10_000)
        policy = RetentionPolicy(closed_for_s=None, journal_bytes_max=200_000)
        retention = Retention(client.engine, policy)
        monkeypatch.setattr(retention_module, "_PAGE", 4)
        await retention.once()
        used = (await gateway.journal.room()).used
        assert 100_000 < used <= 200_000 * 0.9
        left = await ids_in(gateway.journal)
        assert {"19", "just-closed"} <= left
        assert not {"0", "1", "2"} & left


async def test_a_journal_in_which_nothing_may_go_is_warned_of_once(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, ["just-closed"], "x" * 10_000)
        retention = Retention(client.engine, RetentionPolicy(journal_bytes_max=1000))
        with caplog.at_level(logging.WARNING):
            await retention.once()
            await retention.once()
        assert caplog.text.count("nothing in it may go") == 1


async def test_what_is_not_replicated_yet_stays(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, ["a", "b"])
        gateway.advance(client, 2 * DAY_S)
        (b,) = await gateway.journal.executions(workflow_id="b")
        client.engine.deletions.kept_from_lsn = lambda: 3
        assert await gateway.journal.last_lsn(b.key) == 4
        retention = Retention(client.engine, RetentionPolicy(closed_for_s=DAY_S))
        assert await retention.once() == 1
        assert await ids_in(gateway.journal) == {"b"}
        assert retention.counters.kept_back == 1


async def test_a_child_stays_until_its_parent_has_heard_of_its_end(gateway: Gateway) -> None:
    policy = RetentionPolicy(closed_for_s=DAY_S)
    with pytest.MonkeyPatch.context() as silence:
        # As when the process dies before the parent is told.
        silence.setattr(Relations, "_tell_parent", lambda *_args: None)
        async with gateway.on(WORKFLOWS) as client:
            parent = await client.start_workflow(Endless.run, id="parent", task_queue=QUEUE)
            await parent.signal(Endless.ask)
            await until(lambda: client.engine.cache.open_run("child-1") is not None)
            child = client.get_workflow_handle("child-1")
            await child.signal(Child.end)
            await child.result()
            gateway.advance(client, 9 * DAY_S)
            retention = Retention(client.engine, policy)
            assert await retention.once() == 0
            assert retention.counters.kept_back == 1
    async with gateway.on(WORKFLOWS) as client:
        await until(lambda: _has_heard(client))
        assert await Retention(client.engine, policy).once() == 1


def _has_heard(client: Client) -> bool:
    live = client.engine.cache.open_run("parent")
    return live is not None and not live.state.children


async def test_a_full_disk_keeps_what_could_not_be_archived(gateway: Gateway, tmp_path: Path) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, ["a"])
        gateway.advance(client, 2 * DAY_S)
        folder = tmp_path / "archive"
        folder.write_text("in the way")
        retention = Retention(client.engine, RetentionPolicy(closed_for_s=DAY_S, archive=folder))
        with pytest.raises(OSError, match="archive"):
            await retention.once()
        assert await ids_in(gateway.journal) == {"a"}


async def test_a_crash_after_the_file_and_before_the_commit_leaves_it_in_both(tmp_path: Path) -> None:
    class Full(MemoryJournal):
        full = True

        async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
            if batch.deleted and self.full:
                raise StorageFull("no room")
            return await super().commit(batch)

    journal = Full()
    gateway = Gateway(journal)
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, ["a"])
        gateway.advance(client, 2 * DAY_S)
        policy = RetentionPolicy(closed_for_s=DAY_S, archive=tmp_path / "archive")
        with pytest.raises(StorageFull):
            await Retention(client.engine, policy).once()
        assert await ids_in(journal) == {"a"}
        journal.full = False
        assert await Retention(client.engine, policy).once() == 1
        (file,) = archive.files(tmp_path / "archive")  # the same executions, the same name
        assert [each.workflow_id for each in archive.read(file)] == ["a"]


async def test_an_archive_has_its_bound_too_and_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    gateway = Gateway(MemoryJournal())
    folder = tmp_path / "archive"
    async with gateway.on(WORKFLOWS) as client:
        retention = Retention(
            client.engine, RetentionPolicy(closed_for_s=DAY_S, archive=folder, archive_bytes_max=1500)
        )
        for day in range(20):
            await run_some(client, [f"{day}-{number}" for number in range(3)])
            gateway.advance(client, 2 * DAY_S)
            await retention.once()
            assert archive.size(folder) <= 1500
        assert retention.counters.archive_files_removed > 10
    newest = archive.files(folder)[-1]
    assert [each.workflow_id for each in archive.read(newest)] == ["19-0", "19-1", "19-2"]
    newest.write_bytes(newest.read_bytes()[:-20])
    with pytest.raises(ValueError, match="is not whole"):
        list(archive.read(newest))


@pytest.mark.parametrize("kept", [True, False], ids=["with retention", "without, the disk grows"])
async def test_under_endless_load_the_disk_stays_flat(tmp_path: Path, kept: bool) -> None:
    """Forty days of the same work: after the first ten the journal does not grow, nor does the archive."""
    gateway = SqliteGateway(tmp_path / "journal.db")
    folder = tmp_path / "archive"
    sizes: list[int] = []
    async with gateway.on(WORKFLOWS) as client:
        policy = RetentionPolicy(
            closed_for_s=5 * DAY_S if kept else None, archive=folder, archive_bytes_max=20_000
        )
        retention = Retention(client.engine, policy)
        journal = gateway.journal
        assert isinstance(journal, SqliteJournal)
        for day in range(40):
            await run_some(client, [f"{day}-{number}" for number in range(10)], "reading " * 200)
            gateway.advance(client, DAY_S)
            await retention.once()
            room = await journal.room()
            sizes.append(room.used + room.free + archive.size(folder))
    first, later = max(sizes[:10]), max(sizes[10:])
    print([size // 1024 for size in sizes])
    assert (later <= first * 1.1) is kept


async def test_it_is_done_by_itself_while_it_runs(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await run_some(client, ["a"])
        gateway.advance(client, 2 * DAY_S)
        retention = Retention(client.engine, RetentionPolicy(closed_for_s=DAY_S, interval_s=0.01))
        async with retention.running():
            await until(lambda: retention.counters.dropped == 1)
