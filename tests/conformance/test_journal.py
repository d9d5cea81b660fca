"""One suite for every journal: what the port promises, each adapter keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overwinter.runtime.core import codec
from overwinter.runtime.core.commands import CompleteWorkflow, ContinueAsNew, ScheduleActivity
from overwinter.runtime.core.events import ActivityCompleted, Body, Signaled, WorkflowStarted
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.journal import AppendConflict, MemoryJournal, SqliteJournal
from overwinter.runtime.ports import (
    AttemptRecord,
    Batch,
    Blocked,
    EventRecord,
    ExecutionChange,
    ExecutionRecord,
    Journal,
    OutgoingMessage,
    ParkedMessage,
    Pause,
)
from overwinter.runtime.visibility import parse

VALUE = Payload({"encoding": b"msgpack/plain"}, b"\x01")


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal(parked_max=3)
        return
    opened = await SqliteJournal.open(tmp_path / "journal.db", parked_max=3)
    yield opened
    await opened.close()


def execution(key: int, workflow_id: str = "w", status: str = "running", **more: object) -> ExecutionRecord:
    record = {
        "key": key,
        "workflow_id": workflow_id,
        "run_id": f"run-{key}",
        "workflow_type": "Irrigate",
        "task_queue": "default",
        "started_at_us": 1000 + key,
        "status": status,
        "closed_at_us": None if status == "running" else 2000,
        "wake_at_us": 0 if status == "running" else None,
    }
    return ExecutionRecord(**(record | more))  # type: ignore[arg-type] - a test's shorthand


def started(record: ExecutionRecord) -> WorkflowStarted:
    return WorkflowStarted(
        record.workflow_id, record.run_id, record.workflow_type, record.task_queue, (VALUE,), 7
    )


class Writer:
    """Builds the stored form of an execution's events."""

    def __init__(self, record: ExecutionRecord) -> None:
        self.record = record
        self.sequence = 0
        self.checksum = codec.chain_start(record.run_id)

    def add(self, body: Body, activation: int = 1, at_us: int = 1000) -> EventRecord:
        self.sequence += 1
        kind, data = codec.kind_of(body), codec.encode_body(body)
        self.checksum = codec.chain_next(self.checksum, self.sequence, activation, at_us, kind, data)
        return EventRecord(self.record.key, self.sequence, activation, at_us, kind, data, self.checksum)


async def begin(journal: Journal, record: ExecutionRecord) -> tuple[dict[int, ExecutionRecord], Writer]:
    writer = Writer(record)
    batch = Batch()
    batch.starts[record.key] = record
    batch.events.append(writer.add(started(record)))
    return await journal.commit(batch), writer


async def test_a_committed_history_reads_back_whole_and_in_order(journal: Journal) -> None:
    record = execution(1)
    refused, writer = await begin(journal, record)
    bodies = [
        ScheduleActivity(1, "read", "default", (VALUE,)),
        ActivityCompleted(1, VALUE),
        Signaled("flow", (VALUE,)),
    ]
    await journal.commit(Batch(events=[writer.add(body, 2) for body in bodies]))
    history = await journal.history(record)
    assert refused == {}
    assert [event.body for event in history.events] == [started(record), *bodies]
    assert [event.sequence for event in history.events] == [1, 2, 3, 4]
    assert (history.state.sequence, history.state.checksum) == (4, writer.checksum)


async def test_a_second_open_run_of_a_workflow_id_is_left_out_and_the_first_is_reported(
    journal: Journal,
) -> None:
    first, second = execution(1), execution(2)
    await begin(journal, first)
    batch = Batch(outgoing=[OutgoingMessage(1, 2, "e", "t", b"", 1, False, 5, None)])
    batch.starts[2] = second
    batch.events.append(Writer(second).add(started(second)))
    assert await journal.commit(batch) == {2: first}
    assert await journal.executions() == [first]
    assert await journal.outbox(0, 10) == []
    assert len(await journal.changes(0, 10)) == 1


# -- concurrency keys --------------------------------------------------------------------------------


def keyed(key: int, *, limit: int = 1, rank: int = 0, **more: object) -> ExecutionRecord:
    return execution(
        key, f"w{key}", concurrency_key="field", concurrency_limit=limit, concurrency_rank=rank, **more
    )


async def test_a_start_that_finds_its_key_taken_is_left_out_and_the_oldest_is_reported(
    journal: Journal,
) -> None:
    first, second = keyed(1, limit=2), keyed(2, limit=2)
    assert (await begin(journal, first))[0] == {}
    assert (await begin(journal, second))[0] == {}
    assert (await begin(journal, keyed(3, limit=2)))[0] == {3: first}
    assert (await begin(journal, keyed(4, limit=3)))[0] == {}
    assert (await begin(journal, execution(5, concurrency_key="other", concurrency_limit=1)))[0] == {}
    line = await journal.concurrency_line("field", 2)
    assert (line.running, line.oldest, line.waiting) == (3, [first, second], [])


async def test_nobody_begins_while_others_wait_and_they_stand_by_rank_and_age(journal: Journal) -> None:
    begun, late, soon, later = keyed(1), keyed(2, rank=4), keyed(3, rank=2), keyed(4, rank=4)
    for record in (begun, late, soon, later):
        assert (await begin(journal, record))[0] == {}
    line = await journal.concurrency_line("field", 10)
    assert (line.running, line.waiting) == (1, [soon, late, later])
    assert [await journal.concurrency_ahead(record) for record in (soon, late, later)] == [0, 1, 2]
    assert await journal.concurrency_waiting() == ["field"]
    await journal.commit(Batch(changes={1: ExecutionChange(1, "completed", 3000, None, None, 0)}))
    assert (await begin(journal, keyed(5)))[0] == {5: soon}  # the place is free, and theirs
    changes = {key: ExecutionChange(key, "running", None, 0, None, 0) for key in (2, 3, 4)}
    await journal.commit(Batch(changes=changes))
    assert (await journal.concurrency_line("field", 10)).running == 3
    assert await journal.concurrency_waiting() == []


async def test_what_continues_a_run_takes_its_place_before_other_starts_of_the_same_batch(
    journal: Journal,
) -> None:
    first, other, next_run = keyed(1), keyed(2), keyed(3)
    await begin(journal, first)
    batch = Batch(
        starts={2: other, 3: next_run},
        continues={3: 1},
        events=[Writer(other).add(started(other)), Writer(next_run).add(started(next_run))],
        changes={1: ExecutionChange(1, "continued_as_new", 3000, None, None, 0)},
    )
    assert await journal.commit(batch) == {2: next_run}


async def test_the_id_of_a_start_comes_before_its_key(journal: Journal) -> None:
    holder, same_id = keyed(1), execution(2)
    await begin(journal, holder)
    await begin(journal, same_id)
    start = execution(3, concurrency_key="field", concurrency_limit=1)
    assert (await begin(journal, start))[0] == {3: same_id}


async def test_a_run_that_began_and_ended_in_one_batch_is_left_out_too(journal: Journal) -> None:
    first, second = execution(1), execution(2, status="completed")
    await begin(journal, first)
    refused, _ = await begin(journal, second)
    assert refused == {2: first}
    assert await journal.executions() == [first]


async def test_what_continues_a_run_that_was_left_out_is_left_out_with_it(journal: Journal) -> None:
    first = execution(1)
    await begin(journal, first)
    second, third = execution(2, status="continued_as_new"), execution(3)
    writer = Writer(second)
    batch = Batch(
        starts={2: second, 3: third},
        continues={3: 2},
        events=[
            writer.add(started(second)),
            writer.add(ContinueAsNew("Irrigate", "default", ())),
            Writer(third).add(started(third)),
        ],
    )
    assert await journal.commit(batch) == {2: first, 3: first}
    assert await journal.executions() == [first]


async def test_a_run_may_end_and_the_next_begin_in_one_batch(journal: Journal) -> None:
    first, second = execution(1), execution(2)
    _, writer = await begin(journal, first)
    batch = Batch(starts={2: second}, continues={2: 1})
    batch.changes[1] = ExecutionChange(1, "continued_as_new", 3000, None, None, 0)
    batch.events = [
        writer.add(ContinueAsNew("Irrigate", "default", ()), 2),
        Writer(second).add(started(second)),
    ]
    assert await journal.commit(batch) == {}
    found = await journal.executions(workflow_id="w")
    assert [(run.key, run.status) for run in found] == [(2, "running"), (1, "continued_as_new")]


async def test_a_workflow_id_can_be_used_again_when_its_run_has_closed(journal: Journal) -> None:
    _, writer = await begin(journal, execution(1))
    batch = Batch(events=[writer.add(CompleteWorkflow(VALUE), 2)])
    batch.changes[1] = ExecutionChange(1, "completed", 3000, None, None, 0)
    await journal.commit(batch)
    refused, _ = await begin(journal, execution(2))
    assert refused == {}


async def test_an_event_whose_place_is_taken_is_refused_and_nothing_of_its_batch_is_kept(
    journal: Journal,
) -> None:
    record = execution(1)
    _, writer = await begin(journal, record)
    batch = Batch(events=[writer.add(Signaled("a", ())), Writer(record).add(started(record))])
    with pytest.raises(AppendConflict, match="place|sequence"):
        await journal.commit(batch)
    assert (await journal.history(record)).state.sequence == 1


async def test_changes_replace_what_is_listed_of_an_execution(journal: Journal) -> None:
    await begin(journal, execution(1))
    blocked = Blocked("ZeroDivisionError: division by zero", "farm.py:3 in run", 5, 2)
    await journal.commit(Batch(changes={1: ExecutionChange(1, "running", None, 77, blocked, 0)}))
    (found,) = await journal.executions()
    assert (found.wake_at_us, found.blocked) == (77, blocked)
    assert (await journal.counts())["blocked"] == 1


async def test_executions_are_found_by_what_they_are_newest_first(journal: Journal) -> None:
    for key, workflow_id in enumerate(["a", "b", "c"], 1):
        await begin(journal, execution(key, workflow_id))
    await begin(journal, execution(4, "d", status="failed", workflow_type="Frost"))
    assert [e.key for e in await journal.executions()] == [4, 3, 2, 1]
    assert [e.key for e in await journal.executions(limit=2)] == [4, 3]
    assert [e.key for e in await journal.executions(before_key=3)] == [2, 1]
    assert [e.key for e in await journal.executions(status="failed")] == [4]
    assert [e.key for e in await journal.executions(workflow_type="Frost")] == [4]
    assert [e.key for e in await journal.executions(run_id="run-2")] == [2]
    assert [e.key for e in await journal.executions(blocked=True)] == []
    counts = await journal.counts()
    assert (counts["running"], counts["failed"], counts["completed"]) == (3, 1, 0)
    assert await journal.history_lengths([1, 4]) == {1: 1, 4: 1}


async def test_what_goes_on_at_once_and_what_wakes_later_are_told_apart(journal: Journal) -> None:
    for key, wake_at_us in ((1, 0), (2, 500), (3, 400), (4, None), (5, 900)):
        await begin(journal, execution(key, f"w{key}", wake_at_us=wake_at_us))
    assert [e.key for e in await journal.hot()] == [1]
    assert [(due, e.key) for due, e in await journal.due(0, 600, 10)] == [(400, 3), (500, 2)]
    assert [e.key for _, e in await journal.due(400, 1000, 1)] == [2]


async def test_what_is_paused_by_itself_or_with_others_is_told_apart(journal: Journal) -> None:
    own = Pause(scope="execution", identity="me", reason="pump", since_us=5)
    for record in (
        execution(1, "alone", paused=own),
        execution(2, "type", workflow_type="Frost"),
        execution(3, "queue", task_queue="gpu", blocked=Blocked("x", "y", 1, 1)),
        execution(4, "free"),
        execution(5, "closed", status="failed", workflow_type="Frost"),
    ):
        await begin(journal, record)
    wide = {
        (scope, name): Pause(scope=scope, name=name, identity="me", reason="", since_us=since)
        for since, (scope, name) in enumerate((("workflow_type", "Frost"), ("task_queue", "gpu")), 1)
    }
    await journal.commit(Batch(pauses={**wide}))
    assert list(await journal.pauses()) == list(wide)
    assert (await journal.pauses())["task_queue", "gpu"] == wide["task_queue", "gpu"]
    assert (await journal.executions(workflow_id="alone"))[0].paused == own
    assert [e.key for e in await journal.executions(paused=True)] == [3, 2, 1]
    assert [e.key for e in await journal.executions(status="running", paused=False)] == [4]
    assert [e.key for e in await journal.hot()] == [4]
    counts = await journal.counts()
    assert (counts["running"], counts["paused"], counts["blocked"]) == (4, 3, 0)
    paused = await journal.select(parse("ExecutionStatus = 'Paused'", {}))
    assert [e.key for e in paused] == [3, 2, 1]
    await journal.commit(
        Batch(
            pauses=dict.fromkeys(wide),
            changes={1: ExecutionChange(1, "running", None, 0, None, 0)},
        )
    )
    assert await journal.pauses() == {}
    assert [e.key for e in await journal.hot()] == [1, 2, 3, 4]
    everything = Pause(scope="everything", identity="me", reason="", since_us=1)
    await journal.commit(Batch(pauses={("everything", ""): everything}))
    assert [e.key for e in await journal.executions(paused=True)] == [4, 3, 2, 1]
    assert await journal.hot() == []


async def test_children_are_adopted_by_a_start_that_is_kept_and_by_none_that_is_left_out(
    journal: Journal,
) -> None:
    await begin(journal, execution(1, "parent"))
    await begin(journal, execution(2, "child", parent_workflow_id="parent", parent_run_id="run-1"))
    for key in (3, 4):
        record = execution(key, "parent")
        batch = Batch(starts={key: record}, adopted={2: key}, events=[Writer(record).add(started(record))])
        if key == 4:
            batch.changes[1] = ExecutionChange(1, "terminated", 5, None, None, 0)
        refused = await journal.commit(batch)
        assert bool(refused) == (key == 3)
        (child,) = await journal.executions(workflow_id="child")
        assert child.parent_run_id == ("run-1" if key == 3 else "run-4")
    assert [record.key for record in await journal.children("run-4")] == [2]
    assert await journal.orphans() == []


async def test_batch_jobs_are_kept_and_forgotten(journal: Journal) -> None:
    await journal.commit(Batch(jobs={"b": b"1", "a": b"2"}))
    await journal.commit(Batch(jobs={"a": b"3"}))
    assert await journal.jobs() == {"a": b"3", "b": b"1"}
    await journal.commit(Batch(jobs={"a": None, "none": None}))
    assert await journal.jobs() == {"b": b"1"}


async def test_what_is_deleted_leaves_nothing_behind_and_its_key_is_not_given_out_again(
    journal: Journal,
) -> None:
    for key in (1, 2):
        await begin(journal, execution(key, f"w{key}"))
    batch = Batch(changes={2: ExecutionChange(2, "failed", 5, None, None, 0)})
    batch.attributes[2] = {"Field": ("Keyword", "north")}
    batch.attempts[2, 1] = AttemptRecord(2, 1, 1, 5, None, None)
    await journal.commit(batch)
    before = await journal.last_ids()
    assert await journal.last_lsn(2) == before.lsn
    await journal.commit(Batch(deleted=[2]))
    assert [e.key for e in await journal.executions()] == [1]
    assert await journal.history_lengths([2]) == {2: 0}
    assert (await journal.attributes([2]), await journal.attempts(2), await journal.last_lsn(2)) == (
        {},
        [],
        0,
    )
    assert [change.execution.key for change in await journal.changes(0, 10)] == [1]
    assert (await journal.last_ids()).execution == 2
    await begin(journal, execution(3, "w3"))
    assert [(c.execution.key, c.lsn > before.lsn) for c in await journal.changes(0, 10)] == [
        (1, False),
        (3, True),
    ]


async def test_attempts_are_kept_until_they_are_over(journal: Journal) -> None:
    first, second = AttemptRecord(1, 3, 2, 77, b"f", b"h"), AttemptRecord(1, 4, 0, 0, None, b"h")
    await journal.commit(Batch(attempts={(1, 3): first, (1, 4): second}))
    await journal.commit(Batch(attempts={(1, 3): AttemptRecord(1, 3, 3, 99, None, None), (1, 4): None}))
    assert await journal.attempts(1) == [AttemptRecord(1, 3, 3, 99, None, None)]
    assert await journal.attempts(2) == []


async def test_the_outbox_keeps_its_order_until_messages_are_answered(journal: Journal) -> None:
    messages = [
        OutgoingMessage(n, 1, f"run:{n}", "farm/valve", b"%d" % n, 1, n == 2, 5, 9 if n == 3 else None)
        for n in (1, 2, 3)
    ]
    await journal.commit(Batch(outgoing=messages))
    assert await journal.outbox(0, 2) == messages[:2]
    assert await journal.outbox(2, 10) == messages[2:]
    await journal.commit(Batch(sent=[1, 3, 42]))
    assert await journal.outbox(0, 10) == [messages[1]]
    assert await journal.outbox_count() == 1


async def test_received_keys_are_remembered_the_newest_last(journal: Journal) -> None:
    await journal.commit(Batch(received=[(0, ("event:0:a", b"1")), (0, ("packet:0:7", b"2"))]))
    await journal.commit(Batch(received=[(0, ("event:0:a", b"3"))]))
    assert await journal.received() == [("packet:0:7", b"2"), ("event:0:a", b"3")]


async def test_the_key_of_a_message_is_left_out_with_the_start_that_is_its_effect(journal: Journal) -> None:
    await journal.commit(Batch(starts={1: execution(1)}))
    refused = await journal.commit(
        Batch(starts={2: execution(2), 3: execution(3, "other")}, received=[(2, ("a", b"")), (3, ("b", b""))])
    )
    assert list(refused) == [2]
    assert await journal.received() == [("b", b"")]


async def test_the_quarantine_is_bounded_and_its_counts_go_on(journal: Journal) -> None:
    for number in range(1, 6):
        reason = "invalid_json" if number % 2 else "unknown_topic"
        await journal.commit(Batch(parked=[ParkedMessage(number, 10, "t", reason, "why", b"{")]))
    assert [message.id for message in await journal.parked(10)] == [5, 4, 3]
    assert await journal.parked_counts() == {"invalid_json": 3, "unknown_topic": 2}


async def test_changes_come_in_the_order_of_commits_without_a_gap(journal: Journal) -> None:
    _, one = await begin(journal, execution(1, "a"))
    _, two = await begin(journal, execution(2, "b"))
    await journal.commit(Batch(events=[one.add(Signaled("x", ())), two.add(Signaled("y", ()))]))
    changes = await journal.changes(0, 10)
    assert [change.lsn for change in changes] == [1, 2, 3, 4]
    assert [(change.execution.workflow_id, change.event.sequence) for change in changes] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("b", 2),
    ]
    assert await journal.changes(2, 1) == changes[2:3]


async def test_settings_keep_their_first_value(journal: Journal) -> None:
    assert await journal.setting("origin", "1") == "1"
    assert await journal.setting("origin", "2") == "1"


async def test_last_ids_are_the_highest_that_were_given_out(journal: Journal) -> None:
    await begin(journal, execution(9))
    await journal.commit(
        Batch(
            outgoing=[OutgoingMessage(4, 9, "e", "t", b"", 1, False, 5, None)],
            parked=[ParkedMessage(6, 1, "t", "r", "d", b"")],
        )
    )
    last = await journal.last_ids()
    assert (last.execution, last.outbox, last.parked, last.lsn) == (9, 4, 6, 1)


async def test_what_contains_some_bytes_is_found_wherever_it_is(journal: Journal) -> None:
    mark = Payload({"encoding": b"binary/plain"}, b"...needle...")
    _, writer = await begin(journal, execution(1))
    await begin(journal, execution(2, "v"))
    before = (await journal.last_ids()).lsn
    more = Batch(events=[writer.add(Signaled("a", (mark,)), 2), writer.add(Signaled("b", (VALUE,)), 2)])
    more.attempts[1, 5] = AttemptRecord(1, 5, 1, 0, None, codec.encode_payloads((mark,)))
    more.attempts[1, 6] = AttemptRecord(1, 6, 1, 0, codec.encode_payloads((mark,)), None)
    more.attempts[1, 7] = AttemptRecord(1, 7, 1, 0, None, None)
    more.outgoing = [
        OutgoingMessage(1, 2, "e", "t", b"a needle", 1, False, 0, None),
        OutgoingMessage(2, 2, "f", "t", b"hay", 1, False, 0, None),
    ]
    await journal.commit(more)
    last = (await journal.last_ids()).lsn
    assert [key for key, _ in await journal.events_with(b"needle", 0, last)] == [1]
    assert await journal.events_with(b"needle", 0, before) == []
    assert await journal.events_with(b"needle", last, last + 100) == []
    found = await journal.attempts_and_messages_with(b"needle")
    assert sorted(key for key, _ in found) == [1, 1, 2]
    assert all(b"needle" in data for _, data in found)


async def test_closed_executions_are_found_by_when_they_closed_in_the_order_of_their_starts(
    journal: Journal,
) -> None:
    batch = Batch()
    for key, status, closed_at_us in (
        (1, "completed", 50),
        (2, "running", None),
        (3, "failed", 10),
        (4, "completed", 60),
    ):
        batch.starts[key] = execution(key, str(key), status, closed_at_us=closed_at_us)
    await journal.commit(batch)
    assert [record.key for record in await journal.closed(0, 55, 10)] == [1, 3]
    assert [record.key for record in await journal.closed(0, 60, 2)] == [1, 3]
    assert [record.key for record in await journal.closed(3, 60, 2)] == [4]


async def test_a_journal_says_how_much_room_it_uses_and_less_when_executions_are_deleted(
    journal: Journal,
) -> None:
    batch = Batch()
    record = batch.starts[1] = execution(1)
    chain = codec.chain_start(record.run_id)
    for number in range(1, 51):
        data = codec.encode_body(Signaled("put", (Payload({}, bytes(2000)),)))
        chain = codec.chain_next(chain, number, 1, 1, 5, data)
        batch.events.append(EventRecord(1, number, 1, 1, 5, data, chain))
    await journal.commit(batch)
    full = (await journal.room()).used
    gone = Batch()
    gone.deleted.append(1)
    await journal.commit(gone)
    assert full > 100_000
    assert (await journal.room()).used < full - 90_000
