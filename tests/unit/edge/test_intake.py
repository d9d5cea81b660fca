"""Messages in: no acknowledgement before the commit, none out of order, no effect twice, and an end for everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from overwinter import workflow
from overwinter.devices.commands import ANSWER_SIGNAL
from overwinter.edge import intake as intake_module
from overwinter.edge.intake import Intake
from overwinter.edge.mqtt import MqttSession, MqttSettings
from overwinter.edge.mqtt_messages import EVENT_ID, Receipts, Received
from overwinter.edge.topics import TopicFilter
from overwinter.edge.triggers import Triggers, TriggerSettings
from overwinter.runtime.client import Client
from overwinter.runtime.clock import ManualClock
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.core.events import Signaled, WorkflowStarted
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import MemoryJournal, StorageFailed, StorageFull
from overwinter.runtime.ports import Batch, ExecutionRecord, ParkedMessage
from overwinter.runtime.requests import AlreadyRunning, EngineClosed, NoSuchExecution, StartRequest
from overwinter.runtime.values import ConvertedValues
from overwinter.runtime.worker import Worker
from overwinter.runtime.workflow._definition import workflow_definition
from tests.unit.gateways import QUEUE, engine_on, until

# -- the world around it -----------------------------------------------------------------------------


@dataclass
class Reading:
    field: str
    moisture: float


@workflow.defn
class Irrigate:
    """Waits until it has been told to end."""

    def __init__(self) -> None:
        self.flows: list[float] = []
        self.over = False

    @workflow.run
    async def run(self, reading: Reading | None = None) -> list[float]:
        await workflow.wait_condition(lambda: self.over)
        return self.flows

    @workflow.signal
    def flow(self, reading: Reading) -> None:
        self.flows.append(reading.moisture)


SOIL = TriggerSettings(topic="farm/{field}/soil", workflow="Irrigate", id="irrigate-{field}")
ONCE = TriggerSettings(topic="once/{field}/soil", workflow="Irrigate", id="once-{field}", if_running="refuse")
ANEW = TriggerSettings(
    topic="anew/{field}/soil", workflow="Irrigate", id="anew-{field}", if_running="terminate"
)
FLOW = TriggerSettings(
    topic="farm/{field}/flow", action="signal", workflow="Irrigate", id="irrigate-{field}", signal="flow"
)
RAIN = TriggerSettings(
    topic="farm/{field}/rain",
    action="signal_with_start",
    workflow="Irrigate",
    id="rain-{field}",
    signal="flow",
)
BOTH = [
    TriggerSettings(topic="both/{field}", workflow="Irrigate", id="first-{field}"),
    TriggerSettings(topic="both/{field}", workflow="Irrigate", id="second-{field}"),
]
DRY = TriggerSettings(
    topic="dry/{field}", workflow="Irrigate", id="dry-{field}", where={"moisture": {"below": 0.25}}
)


def intake_of(engine: Any, *, flags_redelivery: bool = True) -> Intake:
    definition = workflow_definition(Irrigate)
    return Intake(
        engine,
        Triggers([SOIL, ONCE, ANEW, FLOW, RAIN, *BOTH, DRY]),
        {definition.name: definition},
        ConvertedValues(DataConverter.default),
        answers=TopicFilter(["farm/{device}/answer"]),
        task_queue=QUEUE,
        flags_redelivery=flags_redelivery,
    )


@dataclass
class Asked:
    """What intake asked of the engine; the test decides how it ends."""

    what: Any
    received: tuple[str, bytes] | None
    future: asyncio.Future[Any]

    async def ends(self, error: BaseException | None = None) -> None:
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)
        await settled()


class FakeEngine:
    """Commits when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.no_room = False

    def now_us(self) -> int:
        return 1_000_000

    def start(self, request: StartRequest, *, on_conflict: str, received: Any = None) -> asyncio.Future[Any]:
        return self._ask(request, received)

    def signal(
        self, workflow_id: str, run_id: str | None, signal: Signaled, *, received: Any = None
    ) -> asyncio.Future[Any]:
        return self._ask((workflow_id, run_id, signal), received)

    def park(self, message: ParkedMessage) -> asyncio.Future[None]:
        return self._ask(message, None)

    def _ask(self, what: Any, received: Any) -> asyncio.Future[Any]:
        asked = Asked(what, received, asyncio.get_running_loop().create_future())
        self.asked.append(asked)
        if self.no_room:
            asked.future.set_exception(StorageFull("no room"))
        return asked.future

    async def commit_all(self) -> None:
        while waiting := [asked for asked in self.asked if not asked.future.done()]:
            for asked in waiting:
                asked.future.set_result(None)
            await settled()


class FakeSession:
    """Notes what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[Received] = []

    def acknowledge(self, received: Received) -> None:
        self.acknowledged.append(received)


class FakeConnection:
    """A connection without a socket: real bookkeeping of receipts, PUBACKs into a list."""

    def __init__(self, generation: int) -> None:
        self.live = True
        self.generation = generation
        self.pubacks: list[int] = []
        self.receipts = Receipts()

    @property
    def unacknowledged(self) -> int:
        return len(self.receipts)

    def acknowledge(self, receipt: int) -> int:
        sent = list(self.receipts.finish(receipt))
        self.pubacks += sent
        return len(sent)

    def brings(self, packet_id: int, **more: Any) -> Received:
        """A message that comes on this connection."""
        return message(
            packet_id=packet_id,
            generation=self.generation,
            receipt=self.receipts.add(packet_id),
            **more,
        )


def session_on(*connections: FakeConnection) -> Iterator[MqttSession]:
    """A real session that has each of these connections in turn."""
    session = MqttSession(
        MqttSettings(client_id="gw"),
        subscriptions=[],
        on_message=lambda _received: None,
        on_connected=lambda _present, _generation: None,
        on_disconnected=lambda _reason: None,
        on_published=lambda _token, _outcome: None,
    )
    for connection in connections:
        session._connection = connection  # type: ignore[assignment]
        yield session
        connection.live = False


def message(
    topic: str = "farm/north/soil",
    payload: Any = None,
    *,
    event_id: str | None = None,
    packet_id: int = 1,
    qos: int = 1,
    duplicate: bool = False,
    retain: bool = False,
    generation: int = 1,
    receipt: int = 0,
) -> Received:
    if payload is None:
        payload = {"moisture": 0.2}
    return Received(
        topic=topic,
        payload=payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
        qos=qos,
        retain=retain,
        duplicate=duplicate,
        packet_id=packet_id,
        generation=generation,
        receipt=receipt,
        user_properties=() if event_id is None else ((EVENT_ID, event_id),),
    )


async def settled() -> None:
    """Let every callback that is due run."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
async def intake(engine: FakeEngine, session: FakeSession) -> Intake:
    found = intake_of(engine)
    found.connect(session)
    return found


@pytest.fixture
def short_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_FULL_RETRY_S", 0.01)


ANSWER_ID = "1/run-1/irrigate-north"
WITH_AN_EFFECT = {
    "start": message(),
    "signal": message("farm/north/flow"),
    "signal-with-start": message("farm/north/rain"),
    "answer": message("farm/valve/answer", {"id": ANSWER_ID, "ok": True, "result": 1}),
}


# -- acknowledged after the commit -------------------------------------------------------------------


@pytest.mark.parametrize(
    "received", [*WITH_AN_EFFECT.values(), message(payload=b"{")], ids=[*WITH_AN_EFFECT, "poison"]
)
async def test_a_message_is_acknowledged_after_the_commit_of_its_end_and_not_before(
    engine: FakeEngine, session: FakeSession, intake: Intake, received: Received
) -> None:
    intake.on_message(received)
    await settled()
    (asked,) = engine.asked
    assert session.acknowledged == []
    await asked.ends()
    assert session.acknowledged == [received]


@pytest.mark.parametrize(
    ("name", "counted"),
    [("start", "started"), ("signal", "signaled"), ("signal-with-start", "started"), ("answer", "answered")],
)
async def test_an_effect_goes_into_the_commit_with_its_key_and_is_counted_after_it(
    engine: FakeEngine, intake: Intake, name: str, counted: str
) -> None:
    intake.on_message(WITH_AN_EFFECT[name])
    (asked,) = engine.asked
    assert asked.received is not None
    assert asked.received[0] == "packet:0:1"
    assert intake.counters[counted] == 0
    await asked.ends()
    assert intake.counters == {counted: 1}


async def test_a_message_with_two_effects_is_acknowledged_after_the_second(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.on_message(message("both/north", event_id="e"))
    first, second = engine.asked
    assert [asked.received[0] for asked in engine.asked if asked.received] == ["event:0:e", "event:1:e"]
    await second.ends()
    assert session.acknowledged == []
    await first.ends()
    assert len(session.acknowledged) == 1


async def test_what_calls_for_nothing_is_acknowledged_at_once(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.on_message(message("dry/north", {"moisture": 0.5}))
    intake.on_message(message(retain=True))
    assert engine.asked == []
    assert len(session.acknowledged) == 2
    assert intake.counters == {"ignored": 2}


async def test_a_message_at_qos_0_has_its_effect_and_no_acknowledgement(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.on_message(message(qos=0, receipt=-1))
    assert engine.asked[0].received is None
    await engine.commit_all()
    assert intake.counters == {"started": 1}
    assert session.acknowledged == []


async def test_an_engine_that_stops_leaves_the_message_with_the_broker(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.on_message(message(event_id="a"))
    intake.on_message(message(event_id="b"))
    intake.on_message(message(payload=b"{"))
    await engine.asked[0].ends(EngineClosed("the engine stops"))
    engine.asked[1].future.cancel()
    await engine.asked[2].ends(EngineClosed("the engine stops"))
    assert session.acknowledged == []


async def test_nothing_is_acknowledged_before_a_real_engine_has_written_it() -> None:
    async with farm(HeldJournal()) as here:
        here.journal.hold()
        for number, topic in enumerate(["farm/a/soil", "farm/b/rain", "unknown/topic"]):
            here.intake.on_message(message(topic, event_id=f"e{number}"))
        await until(lambda: here.journal.waiting)
        await settled()
        assert here.session.acknowledged == []
        here.journal.release()
        await until(lambda: len(here.session.acknowledged) == 3)
        assert [name for name, _ in await here.journal.received()] == ["event:0:e0", "event:0:e1"]
        assert [parked.reason for parked in await here.journal.parked(9)] == ["unknown_topic"]


# -- in order of receipt, on the connection it came on -----------------------------------------------


async def test_acknowledgements_leave_in_the_order_of_receipt_whatever_order_the_commits_have(
    engine: FakeEngine,
) -> None:
    connection = FakeConnection(1)
    (session,) = session_on(connection)
    connection.live = True
    intake = intake_of(engine)
    intake.connect(session)
    for packet_id in (7, 3, 9):
        intake.on_message(connection.brings(packet_id, event_id=f"e{packet_id}"))
    first, second, third = engine.asked
    await third.ends()
    assert connection.pubacks == []
    await first.ends()
    assert connection.pubacks == [7]
    await second.ends()
    assert connection.pubacks == [7, 3, 9]
    assert session.counters.acknowledged == 3


async def test_poison_keeps_its_place_in_the_order(engine: FakeEngine) -> None:
    connection = FakeConnection(1)
    (session,) = session_on(connection)
    connection.live = True
    intake = intake_of(engine)
    intake.connect(session)
    intake.on_message(connection.brings(1))
    intake.on_message(connection.brings(2, payload=b"{"))
    start, park = engine.asked
    await park.ends()
    assert connection.pubacks == []
    await start.ends()
    assert connection.pubacks == [1, 2]


async def test_a_commit_that_comes_after_a_reconnect_acknowledges_nothing_on_the_new_connection(
    engine: FakeEngine,
) -> None:
    """The new connection gives the old packet id to another message: its acknowledgement would destroy that."""
    old, new = FakeConnection(1), FakeConnection(2)
    connections = session_on(old, new)
    session = next(connections)
    intake = intake_of(engine)
    intake.connect(session)
    intake.on_message(old.brings(1, event_id="old"))
    next(connections)
    intake.on_connected(False)
    intake.on_message(new.brings(1, event_id="new"))
    await engine.asked[0].ends()
    assert (old.pubacks, new.pubacks) == ([], [])
    assert session.counters.stale_acknowledgements == 1
    await engine.asked[1].ends()
    assert new.pubacks == [1]


async def test_a_message_that_comes_again_while_its_effect_is_under_way_is_acknowledged_with_it(
    engine: FakeEngine,
) -> None:
    old, new = FakeConnection(1), FakeConnection(2)
    connections = session_on(old, new)
    intake = intake_of(engine)
    intake.connect(next(connections))
    intake.on_message(old.brings(1, event_id="e"))
    next(connections)
    intake.on_connected(True)
    intake.on_message(new.brings(1, event_id="e", duplicate=True))
    await settled()
    assert new.pubacks == []
    (only,) = engine.asked
    await only.ends()
    assert new.pubacks == [1]
    assert intake.counters == {"started": 1, "duplicates": 1}


# -- redelivery --------------------------------------------------------------------------------------


async def test_a_repeat_of_an_event_id_has_no_second_effect_and_is_acknowledged(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.on_message(message(event_id="e", packet_id=1))
    await engine.commit_all()
    again = message(event_id="e", packet_id=2)
    intake.on_message(again)
    assert len(engine.asked) == 1
    assert session.acknowledged[-1] is again
    assert intake.counters == {"started": 1, "duplicates": 1}


async def test_other_event_ids_have_effects_of_their_own(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    for number in range(3):
        intake.on_message(message(event_id=f"e{number}"))
    await engine.commit_all()
    assert intake.counters == {"started": 3}


async def test_long_event_ids_that_differ_at_their_end_are_different(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    device = "urn:device:" + "x" * 200
    intake.on_message(message(event_id=f"{device}:1"))
    intake.on_message(message(event_id=f"{device}:2"))
    await engine.commit_all()
    assert intake.counters == {"started": 2}


async def test_of_a_message_whose_first_effect_alone_was_committed_the_second_is_made_up_for(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.recall([("event:0:e", b"")])
    intake.on_message(message("both/north", event_id="e", duplicate=True))
    (asked,) = engine.asked
    assert asked.what.workflow_id == "second-north"
    assert session.acknowledged == []
    await asked.ends()
    assert len(session.acknowledged) == 1


async def test_a_repeat_after_a_restart_has_no_second_effect() -> None:
    journal = HeldJournal()
    async with farm(journal) as here:
        for topic in ("farm/north/soil", "farm/north/rain"):
            here.intake.on_message(message(topic, event_id=topic))
        await until(lambda: len(here.session.acknowledged) == 2)
        here.intake.on_message(message("farm/north/flow", event_id="flow"))
        await until(lambda: len(here.session.acknowledged) == 3)
    async with farm(journal) as here:
        here.intake.on_connected(True)
        for topic in ("farm/north/soil", "farm/north/rain"):
            here.intake.on_message(message(topic, event_id=topic, duplicate=True))
        here.intake.on_message(message("farm/north/flow", event_id="flow", duplicate=True))
        await until(lambda: len(here.session.acknowledged) == 3)
        assert here.intake.counters == {"duplicates": 3}
        assert await bodies(journal, "irrigate-north", Signaled) == [["flow"]]
        assert await bodies(journal, "rain-north", Signaled) == [["flow"]]


async def test_without_an_event_id_the_same_message_twice_on_one_connection_is_said_twice(
    engine: FakeEngine, intake: Intake
) -> None:
    intake.on_connected(False)
    for packet_id in (1, 2):
        intake.on_message(message("farm/north/flow", packet_id=packet_id))
    await engine.commit_all()
    intake.on_message(message("farm/north/flow", packet_id=1))  # the broker has the number free again
    await engine.commit_all()
    assert intake.counters == {"signaled": 3}


@pytest.mark.parametrize(
    ("flags_redelivery", "duplicate", "repeat"),
    [(True, True, True), (True, False, False), (False, False, True)],
    ids=["flagged", "not-flagged", "a-broker-that-never-flags"],
)
async def test_without_an_event_id_a_packet_of_a_resumed_session_is_a_repeat(
    engine: FakeEngine, session: FakeSession, flags_redelivery: bool, duplicate: bool, repeat: bool
) -> None:
    intake = intake_of(engine, flags_redelivery=flags_redelivery)
    intake.connect(session)
    intake.on_connected(False)
    intake.on_message(message(packet_id=4))
    await engine.commit_all()
    intake.on_connected(True)
    again = message(packet_id=4, duplicate=duplicate, generation=2)
    intake.on_message(again)
    await engine.commit_all()
    assert intake.counters == ({"started": 1, "duplicates": 1} if repeat else {"started": 2})
    assert session.acknowledged[-1] is again


@pytest.mark.parametrize(
    ("session_present", "payload"),
    [(False, {"moisture": 0.2}), (True, {"moisture": 0.1})],
    ids=["new-session", "other-content"],
)
async def test_a_packet_id_alone_does_not_make_a_repeat(
    engine: FakeEngine, intake: Intake, session_present: bool, payload: Any
) -> None:
    intake.on_connected(False)
    intake.on_message(message(packet_id=4))
    await engine.commit_all()
    intake.on_connected(session_present)
    intake.on_message(message(packet_id=4, payload=payload, duplicate=True, generation=2))
    await engine.commit_all()
    assert intake.counters["started"] == 2


async def test_only_the_first_packet_under_a_number_can_be_a_repeat(
    engine: FakeEngine, intake: Intake
) -> None:
    intake.on_connected(False)
    intake.on_message(message(packet_id=4))
    await engine.commit_all()
    intake.on_connected(True)
    for _ in range(2):
        intake.on_message(message(packet_id=4, duplicate=True, generation=2))
        await engine.commit_all()
    assert intake.counters == {"started": 2, "duplicates": 1}


async def test_a_session_that_the_broker_has_lost_is_counted_as_a_gap(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    intake.on_connected(False)
    assert intake.counters["gaps"] == 0
    intake.on_connected(True)
    assert intake.counters["gaps"] == 0
    intake.on_connected(False)
    assert intake.counters["gaps"] == 1
    assert "has lost our session" in caplog.text


async def test_a_session_that_is_gone_after_a_restart_is_a_gap_too(intake: Intake) -> None:
    intake.recall([("event:0:e", b"")])
    intake.on_connected(False)
    assert intake.counters["gaps"] == 1


async def test_the_first_connection_is_no_gap_when_attempts_had_failed_before(intake: Intake) -> None:
    intake.on_connected(False)
    assert intake.counters["gaps"] == 0


# -- a crash between two commits ---------------------------------------------------------------------


async def crash_then_redeliver(received: Received) -> HeldJournal:
    """The device fails at the first commit after the one that has the message's key; then all begins anew."""
    journal = HeldJournal()
    async with farm(journal) as here:
        here.intake.on_message(message(received.topic, {"moisture": 0.0}, event_id="before"))
        await until(lambda: len(here.session.acknowledged) == 1)
    async with farm(journal, fails=True) as here:
        journal.fail_after_key = f"event:0:{received.event_id}"
        here.intake.on_message(received)
        await until(lambda: here.session.acknowledged or here.client.engine.failure is not None)
        journal.fail_after_key = None
    async with farm(journal) as here:
        here.intake.on_connected(True)
        here.intake.on_message(received)
        await until(lambda: here.session.acknowledged)
    return journal


async def test_a_start_survives_a_crash_right_after_the_commit_of_its_key() -> None:
    journal = await crash_then_redeliver(message("both/north", event_id="e"))
    assert await journal.executions(workflow_id="first-north")


async def test_signal_with_start_survives_a_crash_right_after_the_commit_of_its_key() -> None:
    journal = await crash_then_redeliver(message("farm/north/rain", {"moisture": 0.3}, event_id="e"))
    assert await bodies(journal, "rain-north", Signaled) == [["flow", "flow"]]


async def test_a_start_that_ends_the_open_run_survives_a_crash_right_after_the_commit_of_its_key() -> None:
    journal = await crash_then_redeliver(message("anew/north/soil", {"moisture": 0.3}, event_id="e"))
    assert len(await bodies(journal, "anew-north", WorkflowStarted)) == 2


# -- what cannot be used -----------------------------------------------------------------------------

POISON = {
    "invalid-json": (message(payload=b'{"moisture": '), "invalid_json"),
    "not-utf-8": (message(payload=b"\xff\xfe"), "invalid_json"),
    "empty": (message(payload=b""), "invalid_json"),
    "too-deep": (message(payload=b"[" * 100 + b"]" * 100), "too_deep"),
    "unknown-topic": (message("garden/north/soil"), "unknown_topic"),
    "field-missing": (message(payload={"wet": True}), "wrong_type"),
    "field-of-wrong-type": (message(payload={"moisture": "wet"}), "wrong_type"),
    "signal-of-wrong-type": (message("farm/north/flow", {"moisture": [1]}), "wrong_type"),
    "signal-with-start-of-wrong-type": (message("farm/north/rain", {"moisture": {}}), "wrong_type"),
    "judged-field-missing": (message("dry/north", {}), "missing_field"),
    "bad-id": (message("farm/\x07/soil"), "bad_id"),
    "answer-no-json": (message("farm/valve/answer", b"ok"), "invalid_json"),
    "answer-no-object": (message("farm/valve/answer", [1]), "wrong_type"),
    "answer-without-ok": (message("farm/valve/answer", {"id": ANSWER_ID}), "wrong_type"),
    "answer-to-nothing": (message("farm/valve/answer", {"id": "x", "ok": True}), "wrong_type"),
}


@pytest.mark.parametrize(("poison", "reason"), POISON.values(), ids=POISON)
async def test_poison_is_quarantined_counted_and_acknowledged_and_the_next_message_has_its_effect(
    poison: Received, reason: str
) -> None:
    async with farm(HeldJournal()) as here:
        good = message("farm/south/soil")
        here.intake.on_message(poison)
        here.intake.on_message(good)
        await until(lambda: len(here.session.acknowledged) == 2)
        assert set(map(id, here.session.acknowledged)) == {id(poison), id(good)}
        (parked,) = await here.journal.parked(9)
        assert (parked.topic, parked.reason, parked.body) == (poison.topic, reason, poison.payload)
        assert parked.detail
        assert await here.journal.parked_counts() == {reason: 1}
        assert here.intake.refused == {reason: 1}
        assert here.intake.counters == {"started": 1}


async def test_one_effect_that_does_not_fit_keeps_the_others_of_its_message_back(
    engine: FakeEngine, intake: Intake
) -> None:
    intake.on_message(message("both/north", {"moisture": "wet"}))
    (park,) = engine.asked
    assert isinstance(park.what, ParkedMessage)


async def test_a_bug_in_the_triggers_is_the_end_of_the_message_and_not_of_the_session(
    engine: FakeEngine, session: FakeSession, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_more: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(intake._triggers, "decide", broken)
    intake.on_message(message())
    (park,) = engine.asked
    assert (park.what.reason, park.what.detail) == ("internal_error", "KeyError: 'a bug'")
    await park.ends()
    assert len(session.acknowledged) == 1


async def test_a_start_that_must_find_no_open_run_is_quarantined_when_it_finds_one() -> None:
    async with farm(HeldJournal()) as here:
        for number in range(2):
            here.intake.on_message(message("once/north/soil", event_id=f"e{number}"))
        await until(lambda: len(here.session.acknowledged) == 2)
        assert here.intake.refused == {"already_running": 1}
        assert here.intake.counters == {"started": 1}


async def test_an_effect_that_the_engine_refuses_is_quarantined(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.on_message(message())
    await engine.asked[0].ends(ValueError("too large"))
    start, park = engine.asked
    assert (park.what.reason, park.what.detail) == ("effect_failed", "ValueError: too large")
    assert session.acknowledged == []
    await park.ends()
    assert len(session.acknowledged) == 1


async def test_a_signal_for_nobody_is_counted_and_dropped(
    engine: FakeEngine, session: FakeSession, intake: Intake
) -> None:
    intake.on_message(message("farm/north/flow"))
    await engine.asked[0].ends(NoSuchExecution("nobody"))
    assert intake.counters == {"no_open_execution": 1}
    assert len(session.acknowledged) == 1


@pytest.mark.parametrize("error", [AlreadyRunning, ValueError])
async def test_a_repeat_of_a_message_that_ends_in_quarantine_waits_for_the_quarantine(
    engine: FakeEngine, session: FakeSession, intake: Intake, error: type[Exception]
) -> None:
    intake.on_message(message("once/north/soil", event_id="e"))
    intake.on_message(message("once/north/soil", event_id="e", duplicate=True, generation=2))
    open_run = ExecutionRecord(
        key=1, workflow_id="w", run_id="r", workflow_type="t", task_queue="q", started_at_us=0
    )
    await engine.asked[0].ends(AlreadyRunning(open_run) if error is AlreadyRunning else ValueError("no"))
    assert isinstance(engine.asked[1].what, ParkedMessage)
    assert session.acknowledged == []


# -- no room -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "received", [*WITH_AN_EFFECT.values(), message(payload=b"{")], ids=[*WITH_AN_EFFECT, "poison"]
)
@pytest.mark.usefixtures("short_retry")
async def test_without_room_nothing_is_acknowledged_and_it_is_tried_until_there_is(
    engine: FakeEngine, session: FakeSession, intake: Intake, received: Received
) -> None:
    engine.no_room = True
    intake.on_message(received)
    await until(lambda: len(engine.asked) >= 3)
    assert session.acknowledged == []
    assert not +intake.counters
    assert sum(intake.refused.values()) in (0, 1)
    engine.no_room = False
    await until(lambda: not engine.asked[-1].future.done())
    await engine.commit_all()
    assert session.acknowledged == [received]
    assert sum(intake.refused.values()) == (received.payload == b"{")


@pytest.mark.usefixtures("short_retry")
async def test_a_message_that_found_no_room_has_one_effect_when_there_is_room_and_it_comes_again() -> None:
    journal = HeldJournal()
    async with farm(journal) as here:
        journal.full = True
        first = message(event_id="e")
        here.intake.on_message(first)
        await until(lambda: here.client.engine.counters.commit_failures)
        again = message(event_id="e", duplicate=True, generation=2)
        here.intake.on_message(again)
        await settled()
        assert here.session.acknowledged == []
        journal.full = False
        await until(lambda: len(here.session.acknowledged) == 2)
        assert here.intake.counters == {"started": 1, "duplicates": 1}
        assert len(await journal.executions(workflow_id="irrigate-north")) == 1


# -- bounds ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_retry")
async def test_receive_maximum_is_the_bound_of_what_waits_here_while_there_is_no_room(
    engine: FakeEngine,
) -> None:
    """The broker sends no more than that unacknowledged, and without room nothing is acknowledged."""
    receive_maximum, count = 8, 40
    connection = FakeConnection(1)
    (session,) = session_on(connection)
    connection.live = True
    intake = intake_of(engine)
    intake.connect(session)
    engine.no_room = True
    numbers = iter(range(count))

    def broker_sends() -> None:
        while connection.unacknowledged < receive_maximum and (number := next(numbers, None)) is not None:
            intake.on_message(connection.brings(number + 1, event_id=f"e{number}"))

    for _ in range(20):
        broker_sends()
        await asyncio.sleep(0.005)
    assert session.unacknowledged == receive_maximum
    assert len({asked.received for asked in engine.asked}) == receive_maximum
    engine.no_room = False
    while len(connection.pubacks) < count:
        await asyncio.sleep(0.005)
        await engine.commit_all()
        broker_sends()
    assert connection.pubacks == list(range(1, count + 1))
    assert intake.counters == {"started": count}


async def test_messages_at_qos_0_have_a_bound_while_there_is_no_room(
    engine: FakeEngine, intake: Intake
) -> None:
    engine.no_room = True
    count = 25_000  # more than any bound that there is for messages, even the 20,000 keys
    loop = asyncio.get_running_loop()
    retries: list[Any] = []
    original = loop.call_later
    loop.call_later = lambda *args, **more: retries.append(original(*args, **more)) or retries[-1]  # type: ignore[method-assign]
    try:
        for _ in range(count):
            intake.on_message(message(qos=0, receipt=-1))
            if len(engine.asked) > 100:
                engine.asked.clear()
        await settled()
    finally:
        loop.call_later = original  # type: ignore[method-assign]
        for retry in retries:
            retry.cancel()
    assert len(retries) < count


async def test_the_remembered_keys_have_a_bound_and_the_oldest_go_first(
    engine: FakeEngine, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "WINDOW", 10)
    for number in range(25):
        intake.on_message(message("farm/north/flow", event_id=f"e{number}"))
        await engine.commit_all()
    assert len(intake._known) == 10
    engine.asked.clear()
    intake.on_message(message("farm/north/flow", event_id="e15"))
    assert engine.asked == []
    intake.on_message(message("farm/north/flow", event_id="e14"))
    assert len(engine.asked) == 1


async def test_what_the_journal_remembers_is_taken_over_within_the_same_bound(
    engine: FakeEngine, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "WINDOW", 10)
    intake.recall([(f"event:0:e{number}", b"") for number in range(25)])
    assert len(intake._known) == 10
    intake.on_message(message(event_id="e24"))
    assert engine.asked == []


async def test_nothing_stays_of_what_has_ended_but_its_key(engine: FakeEngine, intake: Intake) -> None:
    """What is under way has the bound of what is unacknowledged."""
    for number in range(50):
        intake.on_message(message(event_id=f"e{number}"))
        intake.on_message(message(event_id=f"e{number}", duplicate=True))
    assert len(intake._under_way) == 50
    await engine.commit_all()
    assert intake._under_way == {}


@pytest.mark.parametrize(("size", "kept"), [(1000, 1000), (200_000, 64 * 1024)])
async def test_the_quarantine_has_a_bound_for_each_message(
    engine: FakeEngine, intake: Intake, size: int, kept: int
) -> None:
    intake.on_message(message("unknown/topic", b"x" * size))
    assert len(engine.asked[0].what.body) == kept


async def test_the_quarantine_has_a_bound_and_its_oldest_messages_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with farm(HeldJournal(parked_max=10)) as here:
        for number in range(25):
            here.intake.on_message(message("unknown/topic", str(number).encode()))
        await until(lambda: len(here.session.acknowledged) == 25)
        kept = [int(parked.body) for parked in await here.journal.parked(100)]
        assert kept == list(range(24, 14, -1))
        assert await here.journal.parked_counts() == {"unknown_topic": 25}


# -- a real engine -----------------------------------------------------------------------------------


class HeldJournal(MemoryJournal):
    """In memory; it can hold its commits, be full, or fail after the commit of a certain key."""

    def __init__(self, *, parked_max: int = 1000) -> None:
        super().__init__(parked_max=parked_max)
        self.full = False
        self.waiting = False
        self.fail_after_key: str | None = None
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        self.waiting = not self._gate.is_set()
        await self._gate.wait()
        if self.full:
            self.fail_next = StorageFull("no room")
        refused = await super().commit(batch)
        if self.fail_after_key in [name for name, _ in batch.received]:
            self.fail_next = StorageFailed("the device is gone")
        return refused


@dataclass
class Farm:
    """One life of a gateway without its broker."""

    journal: HeldJournal
    client: Client
    intake: Intake
    session: FakeSession


@asynccontextmanager
async def farm(journal: HeldJournal, *, fails: bool = False) -> AsyncIterator[Farm]:
    async with engine_on(journal, ManualClock()) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[Irrigate], activities=[]):
            intake = intake_of(client.engine)
            intake.recall(await journal.received())
            here = Farm(journal, client, intake, FakeSession())
            intake.connect(here.session)
            yield here
        assert fails or client.engine.failure is None
    journal.fail_next = None


async def bodies(journal: HeldJournal, workflow_id: str, kind: type[Any]) -> Sequence[Any]:
    """What of a kind happened to each run of a workflow id, the oldest first; of signals their names."""
    runs = []
    for record in reversed(await journal.executions(workflow_id=workflow_id)):
        events = (await journal.history(record)).events
        runs.append([getattr(event.body, "name", "") for event in events if isinstance(event.body, kind)])
    return runs


def test_the_fakes_are_what_intake_asks_for() -> None:
    assert {"start", "signal", "park", "now_us"} <= set(dir(Engine)) & set(dir(FakeEngine))
    assert ANSWER_SIGNAL.startswith("__")
