"""Messages out: in order, under one event id, until the broker answers; bounded by their expiry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from overwinter import messages, workflow
from overwinter.edge.mqtt_messages import PublishOutcome
from overwinter.edge.outbox import Outbox
from overwinter.runtime.client import Client
from overwinter.runtime.clock import ManualClock
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.ports import OutgoingMessage
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, engine_on, until

TAKEN = PublishOutcome(True, 0, "success")
REFUSED = PublishOutcome(False, 0x87, "not authorized")


@workflow.defn
class Says:
    @workflow.run
    async def run(self, words: list[str], expires_s: float | None) -> None:
        for word in words:
            messages.publish("farm/valve", word, expires=expires_s and timedelta(seconds=expires_s))


class FakeSession:
    """A broker's end that answers when the test says so."""

    def __init__(self) -> None:
        self.connected = False
        self.sent: list[tuple[int, str, str, int | None]] = []
        self.room = 1000

    def publish(
        self,
        token: int,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: int | None,
        user_properties: list[tuple[str, str]],
    ) -> bool:
        assert topic == "farm/valve"
        if not self.connected or self.room == 0:
            return False
        self.room -= 1
        self.sent.append((token, payload.decode(), dict(user_properties)["event-id"], expiry_s))
        return True

    @property
    def words(self) -> list[str]:
        return [word for _, word, _, _ in self.sent]


class Here:
    def __init__(self, client: Client, outbox: Outbox, session: FakeSession, clock: ManualClock) -> None:
        self.client, self.outbox, self.session, self.clock = client, outbox, session, clock
        self._count = 0

    async def says(self, *words: str, expires_s: float | None = None) -> None:
        self._count += 1
        await self.client.execute_workflow(
            Says.run, args=[list(words), expires_s], id=f"says-{self._count}", task_queue=QUEUE
        )

    def connects(self) -> None:
        self.session.connected = True
        self.outbox.on_connected()

    def answer(self, outcome: PublishOutcome = TAKEN) -> None:
        for token, *_ in self.session.sent:
            self.outbox.on_published(token, outcome)

    async def left(self) -> int:
        return await self.client.engine.journal.outbox_count()


@asynccontextmanager
async def gateway(
    journal: MemoryJournal | None = None, clock: ManualClock | None = None
) -> AsyncIterator[Here]:
    clock = clock or ManualClock()
    async with engine_on(journal or MemoryJournal(), clock) as client:
        outbox, session = Outbox(client.engine), FakeSession()
        client.engine.committed = outbox.on_committed
        outbox.connect(session)
        running = asyncio.create_task(outbox.run())
        try:
            async with Worker(client, task_queue=QUEUE, workflows=[Says]):
                yield Here(client, outbox, session, clock)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def test_messages_leave_in_the_order_of_their_commits_and_the_outbox_when_answered() -> None:
    async with gateway() as here:
        here.connects()
        await here.says("open", "wait")
        await here.says("close")
        await until(lambda: here.session.words == ["open", "wait", "close"])
        assert await here.left() == 3
        here.answer()
        await until(lambda: here.outbox.counters["sent"] == 3)
        await until(lambda: _is(here.left(), 0))


async def test_what_has_no_answer_is_sent_again_on_the_next_connection_under_the_same_id() -> None:
    async with gateway() as here:
        here.connects()
        await here.says("open", "close")
        await until(lambda: len(here.session.sent) == 2)
        first = list(here.session.sent)
        here.outbox.on_published(first[0][0], TAKEN)
        here.connects()
        await until(lambda: len(here.session.sent) == 3)
        assert here.session.sent[2] == first[1]


async def test_what_a_process_left_is_sent_by_the_next_one() -> None:
    journal, clock = MemoryJournal(), ManualClock()
    async with gateway(journal, clock) as here:
        await here.says("open")
        ids = {message.event_id for message in await journal.outbox(0, 9)}
    async with gateway(journal, clock) as here:
        here.connects()
        await until(lambda: here.session.words == ["open"])
        assert {event_id for _, _, event_id, _ in here.session.sent} == ids


async def test_messages_wait_while_the_session_has_no_room_and_keep_their_order() -> None:
    async with gateway() as here:
        here.session.room = 2
        here.connects()
        await here.says(*"abcde")
        await until(lambda: here.session.words == ["a", "b"])
        here.session.room = 1000
        here.outbox.on_published(here.session.sent[0][0], TAKEN)
        await until(lambda: here.session.words == list("abcde"))


async def test_a_refused_message_is_parked_with_the_brokers_reason_and_holds_up_nothing() -> None:
    async with gateway() as here:
        here.connects()
        await here.says("open")
        await until(lambda: here.session.words == ["open"])
        here.answer(REFUSED)
        await until(lambda: _is(here.left(), 0))
        (parked,) = await here.client.engine.journal.parked(9)
        assert (parked.topic, parked.reason, parked.body) == ("farm/valve", "publish_refused", b"open")
        assert "0x87" in parked.detail
        assert here.outbox.counters["refused"] == 1


async def test_a_message_that_waited_longer_than_it_is_worth_is_dropped_and_counted() -> None:
    async with gateway() as here:
        await here.says("open", expires_s=5)
        await here.says("report")
        here.clock.advance(6)
        here.connects()
        await until(lambda: here.session.words == ["report"])
        assert here.outbox.counters["expired"] == 1
        here.answer()
        await until(lambda: _is(here.left(), 0))


async def test_the_broker_is_told_how_long_a_message_is_still_worth_anything() -> None:
    async with gateway() as here:
        await here.says("open", expires_s=60)
        here.clock.advance(20)
        here.connects()
        await until(lambda: len(here.session.sent) == 1)
        assert here.session.sent[0][3] == 40


@pytest.mark.parametrize("count", [1, 199, 200, 201, 450])
async def test_a_backlog_larger_than_a_page_is_sent_whole_and_once(count: int) -> None:
    async with gateway() as here:
        await here.says(*[str(n) for n in range(count)])
        here.connects()
        await here.says("last")
        await until(lambda: len(here.session.sent) > count)
        assert here.session.words == [*[str(n) for n in range(count)], "last"]


async def test_an_answer_to_nothing_changes_nothing() -> None:
    async with gateway() as here:
        here.outbox.on_published(77, TAKEN)
        assert not +here.outbox.counters


async def _is(found: Any, expected: Any) -> bool:
    return bool(await found == expected)


class SlowToRead(MemoryJournal):
    """Each read of its outbox ends when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.may_end = asyncio.Semaphore(0)

    async def outbox(self, after_id: int, limit: int) -> list[OutgoingMessage]:
        found = await super().outbox(after_id, limit)
        self.reads += 1
        await self.may_end.acquire()
        return found


async def test_a_connection_that_begins_while_the_outbox_is_read_for_the_one_before_sends_all_that_waits() -> (
    None
):
    journal = SlowToRead()
    async with gateway(journal) as here:
        await here.says("open")
        here.connects()
        await until(lambda: journal.reads == 1, what="the outbox is read")
        await here.says("close")
        journal.may_end.release()
        await until(lambda: journal.reads == 2, what="the rest is read")
        assert here.session.words == ["open"]
        here.connects()
        for _ in range(10):
            journal.may_end.release()
        await until(lambda: here.session.words == ["open", "open", "close"])
