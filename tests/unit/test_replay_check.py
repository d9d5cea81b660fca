"""Open executions are replayed dry when a worker has come, and what does not fit its code is held before it has an effect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from overwinter import activity, messages, workflow
from overwinter.runtime import replay_check
from overwinter.runtime.api.common.v1 import Payload
from overwinter.runtime.client import Client, WorkflowHandle
from overwinter.runtime.clock import ManualClock, SystemEntropy
from overwinter.runtime.common import RawValue
from overwinter.runtime.converter import DataConverter, PayloadCodec
from overwinter.runtime.core import commands as cmd
from overwinter.runtime.core import replay
from overwinter.runtime.core.events import COMMANDS
from overwinter.runtime.core.replay import Activation
from overwinter.runtime.engine import Engine, EngineLimits
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.replay_check import CheckReport
from overwinter.runtime.runtime import MetricBuffer, Runtime, TelemetryConfig
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, engine_on, event_names, until

AT_ONCE = EngineLimits(replay_check_after_s=0)
NEVER = EngineLimits(replay_check_after_s=None)

done: list[str] = []


@activity.defn
async def note(what: str) -> str:
    done.append(what)
    return what


def _note(what: str) -> Any:
    return workflow.execute_activity(note, what, start_to_close_timeout=timedelta(seconds=9))


@workflow.defn(name="Water")
class Water:
    """Waits for an hour in the middle."""

    @workflow.run
    async def run(self) -> str:
        await _note("measured")
        await workflow.sleep(3600)
        return str(await _note("opened"))


@workflow.defn(name="Water")
class WaterChangedBehind:
    @workflow.run
    async def run(self) -> str:
        await _note("measured")
        await workflow.sleep(3600)
        return str(await _note("opened wide"))


@workflow.defn(name="Water")
class WaterChangedBefore:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(60)
        await _note("measured")
        return str(await _note("opened"))


@workflow.defn(name="Water")
class WaterWithMore:
    @workflow.run
    async def run(self) -> str:
        await _note("measured")
        await asyncio.gather(workflow.sleep(3600), _note("rang"))
        return str(await _note("opened"))


@workflow.defn(name="Water")
class WaterWithLess:
    @workflow.run
    async def run(self) -> str:
        await _note("measured")
        await workflow.wait_condition(lambda: False)
        return str(await _note("opened"))


@workflow.defn(name="Water")
class WaterWithBug:
    @workflow.run
    async def run(self) -> str:
        await _note("measured")
        raise KeyError("no such valve")


@workflow.defn(name="Shade")
class Shade:
    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        await workflow.wait_condition(lambda: len(self.got) >= wanted)
        return self.got

    @workflow.signal
    def put(self, value: str) -> None:
        self.got.append(value)


@pytest.fixture(autouse=True)
def _forget() -> None:
    done.clear()


def _line(cls: Any, below: int) -> str:
    code = cls.run.__code__
    return f"{__file__}:{code.co_firstlineno + below} in run"


async def _watering(client: Client, workflow_id: str = "w") -> WorkflowHandle[Any, Any]:
    handle = await client.start_workflow("Water", id=workflow_id, task_queue=QUEUE)

    async def sleeps() -> bool:
        return "TimerStarted" in await event_names(client, workflow_id)

    await until(sleeps)
    return handle


async def _report(client: Client, task_queue: str = QUEUE) -> CheckReport:
    await client.engine.replay_check.settled()
    return client.engine.replay_check.reports[task_queue]


def _counts(report: CheckReport) -> tuple[int, int, int, int]:
    return report.fits, report.needs_patch, report.blocked, report.not_checked


async def _listed_as_blocked(client: Client) -> list[str]:
    return [record.workflow_id for record in await client.engine.journal.executions(blocked=True)]


# -- what the report says --------------------------------------------------------------------------------------


async def test_what_fits_goes_on_with_the_new_code(durable: SqliteGateway) -> None:
    async with durable.on([Water, Shade], [note]) as client:
        await _watering(client)
        await client.start_workflow("Shade", 1, id="s", task_queue=QUEUE)
    async with durable.on([WaterChangedBehind, Shade], [note], limits=AT_ONCE) as client:
        report = await _report(client)
        assert _counts(report) == (2, 0, 0, 0)
        assert report.misfits == []
        assert report.took_s is not None
        assert await _listed_as_blocked(client) == []
        durable.advance(client, 3600)
        assert await client.get_workflow_handle("w").result() == "opened wide"
    assert done == ["measured", "opened wide"]


async def test_what_asks_for_something_else_is_held_and_the_others_go_on(
    durable: SqliteGateway, caplog: pytest.LogCaptureFixture
) -> None:
    async with durable.on([Water, Shade], [note]) as client:
        await _watering(client)
        await client.start_workflow("Shade", 1, id="s", task_queue=QUEUE)
    async with durable.on([WaterChangedBefore, Shade], [note], limits=AT_ONCE) as client:
        report = await _report(client)
        assert _counts(report) == (1, 1, 0, 0)
        (misfit,) = report.misfits
        assert (misfit.workflow_id, misfit.verdict) == ("w", "needs a patch")
        assert "the history has ActivityScheduled 'note' (id 1) (event 2)" in misfit.problem
        assert "the code now asks for TimerStarted of 60 s (id 1)" in misfit.problem
        assert misfit.where == _line(WaterChangedBefore, 2)
        assert await _listed_as_blocked(client) == ["w"]
        blocked = (await client.get_workflow_handle("w").describe()).blocked
        assert blocked is not None
        assert misfit.problem in blocked.cause
        assert blocked.where == misfit.where
        assert any(
            "1 of the open executions" in r.message and r.levelno == logging.ERROR for r in caplog.records
        )
        await client.get_workflow_handle("s").signal("put", "down")
        assert await client.get_workflow_handle("s").result() == ["down"]


@pytest.mark.parametrize(
    ("code", "below", "there", "here"),
    [
        (WaterWithMore, 3, "nothing more", "ActivityScheduled 'note' (id 3)"),
        (WaterWithLess, 3, "TimerStarted of 3600 s (id 2) (event 4)", "nothing more"),
    ],
)
async def test_the_line_that_asks_for_more_or_waits_instead_is_named(
    gateway: Gateway, code: type, below: int, there: str, here: str
) -> None:
    async with gateway.on([Water], [note]) as client:
        await _watering(client)
    async with gateway.on([code], [note], limits=AT_ONCE) as client:
        (misfit,) = (await _report(client)).misfits
        assert misfit.problem.endswith(f"the history has {there}, but the code now asks for {here}")
        assert misfit.where == _line(code, below)


async def test_code_that_raises_where_it_did_not_is_held_with_its_line(gateway: Gateway) -> None:
    async with gateway.on([Water], [note]) as client:
        await _watering(client)
    async with gateway.on([WaterWithBug], [note], limits=AT_ONCE) as client:
        report = await _report(client)
        assert _counts(report) == (0, 0, 1, 0)
        (misfit,) = report.misfits
        assert (misfit.verdict, misfit.problem) == ("blocked", "'no such valve'")
        assert misfit.where == _line(WaterWithBug, 3)
        assert await _listed_as_blocked(client) == ["w"]


async def test_the_event_that_the_report_names_is_where_a_reset_begins(gateway: Gateway) -> None:
    async with gateway.on([Water], [note]) as client:
        await _watering(client)
    async with gateway.on([WaterWithMore], [note], limits=AT_ONCE) as client:
        (misfit,) = (await _report(client)).misfits
        assert isinstance(misfit.error, replay.HistoryDiverged)
        new = await client.get_workflow_handle("w").reset(misfit.error.event)
        await until(lambda: "rang" in done)
        gateway.advance(client, 3600)
        assert await new.result() == "opened"
    assert done == ["measured", "rang", "opened"]


async def test_executions_that_no_worker_knows_are_counted(gateway: Gateway) -> None:
    async with gateway.on([Water, Shade], [note]) as client:
        await _watering(client)
        await client.start_workflow("Shade", 1, id="s", task_queue=QUEUE)
    async with gateway.on([Shade], [note], limits=AT_ONCE) as client:
        assert _counts(await _report(client)) == (1, 0, 0, 1)
        assert await _listed_as_blocked(client) == []


async def test_without_open_executions_nothing_is_said(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway.on([Water], [note], limits=AT_ONCE) as client:
        assert (await _report(client)).checked == 0
        assert "replayed dry" not in caplog.text


async def test_it_can_be_switched_off(gateway: Gateway) -> None:
    async with gateway.on([Water], [note]) as client:
        await _watering(client)
    async with gateway.on([WaterWithBug], [note], limits=NEVER) as client:
        await client.engine.replay_check.settled()
        assert client.engine.replay_check.reports == {}
        assert await _listed_as_blocked(client) == []


async def test_the_counts_are_measured(gateway: Gateway) -> None:
    async with gateway.on([Water, Shade], [note]) as client:
        for workflow_id in ("a", "b"):
            await _watering(client, workflow_id)
        await client.start_workflow("Shade", 1, id="s", task_queue=QUEUE)
    buffer = MetricBuffer(100)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    async with Engine(gateway.journal, gateway.clock, SystemEntropy(), AT_ONCE) as engine:
        measured = Client(engine)
        measured.service_client.config.runtime = runtime
        async with Worker(measured, task_queue=QUEUE, workflows=[WaterWithBug, Shade], activities=[note]):
            await _report(measured)
            updates = buffer.retrieve_updates()
    found = {update.attributes["verdict"]: update.value for update in updates if update.metric.name == GAUGE}
    assert found == {"fits": 1, "needs_patch": 0, "blocked": 2, "not_checked": 0}


GAUGE = "overwinter_replay_check_executions"


# -- who is held, and until when -------------------------------------------------------------------------------


async def test_what_happens_to_a_held_one_is_recorded_and_handed_to_the_mended_code(
    durable: SqliteGateway,
) -> None:
    async with durable.on([Water], [note]) as client:
        await _watering(client)
    async with durable.on([WaterChangedBefore], [note], limits=AT_ONCE) as client:
        assert (await _report(client)).needs_patch == 1
        durable.advance(client, 3600)

        async def has_fired() -> bool:
            return "TimerFired" in await event_names(client, "w")

        await until(has_fired)
        assert (await event_names(client, "w"))[-1] == "TimerFired"
        assert await _listed_as_blocked(client) == ["w"]
    assert done == ["measured"]
    async with durable.on([Water], [note], limits=AT_ONCE) as client:
        assert await client.get_workflow_handle("w").result() == "opened"
    assert done == ["measured", "opened"]


async def test_the_mark_goes_when_the_code_fits_again(durable: SqliteGateway) -> None:
    async with durable.on([Water], [note]) as client:
        await _watering(client)
    async with durable.on([WaterWithBug], [note], limits=AT_ONCE) as client:
        await _report(client)
        assert await _listed_as_blocked(client) == ["w"]
    async with durable.on([Water], [note], limits=AT_ONCE) as client:
        assert _counts(await _report(client)) == (1, 0, 0, 0)
        assert await _listed_as_blocked(client) == []
        assert (await client.get_workflow_handle("w").describe()).blocked is None
    assert done == ["measured"]


async def test_executions_are_checked_when_another_worker_comes(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock, AT_ONCE) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[Water], activities=[note]):
            await _watering(client)
        async with Worker(client, task_queue="other", workflows=[WaterWithBug], activities=[note]):
            assert (await _report(client, "other")).checked == 0
            assert await _listed_as_blocked(client) == []
        async with Worker(client, task_queue=QUEUE, workflows=[WaterWithBug], activities=[note]):
            assert (await _report(client)).blocked == 1
            assert await _listed_as_blocked(client) == ["w"]
        async with Worker(client, task_queue=QUEUE, workflows=[Water], activities=[note]):
            assert (await _report(client)).fits == 1
            assert await _listed_as_blocked(client) == []


async def test_a_held_one_that_is_in_memory_is_tried_when_something_happens_to_it(gateway: Gateway) -> None:
    """Its code is mended without a new worker having come: the next thing that happens to it sees that."""
    async with engine_on(gateway.journal, gateway.clock, AT_ONCE) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[Shade]):
            handle = await client.start_workflow("Shade", 1, id="s", task_queue=QUEUE)
            await handle.signal("other")
        broken.append("valve")
        async with Worker(client, task_queue=QUEUE, workflows=[ShadeThatMayBreak]):
            assert (await _report(client)).blocked == 1
            assert await _listed_as_blocked(client) == ["s"]
            broken.clear()
            await handle.signal("put", "down")
            assert await handle.result() == ["down"]


broken: list[str] = []


@workflow.defn(name="Shade")
class ShadeThatMayBreak:
    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        if broken:
            raise RuntimeError("the shade is stuck")
        await workflow.wait_condition(lambda: len(self.got) >= wanted)
        return self.got

    @workflow.signal
    def put(self, value: str) -> None:
        self.got.append(value)


async def test_a_paused_one_is_checked_and_marked_too(gateway: Gateway) -> None:
    async with gateway.on([Water], [note]) as client:
        await (await _watering(client)).pause()
    async with gateway.on([WaterWithBug], [note], limits=AT_ONCE) as client:
        assert (await _report(client)).blocked == 1
        description = await client.get_workflow_handle("w").describe()
        assert description.status is not None
        assert (description.status.name, description.blocked is None) == ("PAUSED", False)


async def test_an_activity_that_was_asked_for_goes_on_for_a_held_execution(durable: SqliteGateway) -> None:
    """It is no new effect: the history has it."""
    async with durable.on([Water], []) as client:
        await client.start_workflow("Water", id="w", task_queue=QUEUE)
        await until(lambda: client.engine.activities_waiting() == 1)
    async with durable.on([WaterChangedBefore], [note], limits=AT_ONCE) as client:
        await _report(client)

        async def has_ended() -> bool:
            return (await event_names(client, "w"))[-1] == "ActivityCompleted"

        await until(has_ended)
        assert await _listed_as_blocked(client) == ["w"]
    assert done == ["measured"]


# -- bounded work ----------------------------------------------------------------------------------------------


@workflow.defn
class Long:
    def __init__(self) -> None:
        self.told = 0

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def tell(self) -> None:
        self.told += 1


async def test_others_go_on_while_a_long_history_is_replayed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_check, "_WORK_S", 0.0)
    async with gateway.on([Long, Shade]) as client:
        await client.start_workflow("Shade", 10, id="s", task_queue=QUEUE)
        long = await client.start_workflow(Long.run, id="long", task_queue=QUEUE)
        for _ in range(200):
            await long.signal(Long.tell)
    async with gateway.on([Long, Shade], limits=AT_ONCE) as client:
        while not client.engine.replay_check.reports:
            await asyncio.sleep(0)
        report = client.engine.replay_check.reports[QUEUE]
        for value in "abc":
            await client.get_workflow_handle("s").signal("put", value)
            assert report.took_s is None
        assert _counts(await _report(client)) == (2, 0, 0, 0)


async def test_what_happens_while_it_is_replayed_counts(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was terminated meanwhile: the check of what was before does not mark, or open it again."""
    monkeypatch.setattr(replay_check, "_WORK_S", 0.0)
    async with gateway.on([Water], [note]) as client:
        await _watering(client)
    async with gateway.on([WaterWithBug], [note], limits=AT_ONCE) as client:
        check = client.engine.replay_check
        mark = check._mark  # noqa: SLF001 - the moment between the replay and the mark

        async def terminated_first(*found: Any) -> None:
            await client.get_workflow_handle("w").terminate()
            await mark(*found)

        monkeypatch.setattr(check, "_mark", terminated_first)
        await _report(client)
        description = await client.get_workflow_handle("w").describe()
        assert description.status is not None
        assert (description.status.name, description.blocked) == ("TERMINATED", None)


async def test_a_worker_that_comes_during_a_check_is_followed_by_another_one(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_check, "_WORK_S", 0.0)
    async with gateway.on([Water], [note]) as client:
        await _watering(client)
    async with engine_on(gateway.journal, gateway.clock, AT_ONCE) as client:
        async with Worker(client, task_queue="other", workflows=[Water]):
            while "other" not in client.engine.replay_check.reports:
                await asyncio.sleep(0)
            async with Worker(client, task_queue=QUEUE, workflows=[WaterWithBug], activities=[note]):
                assert (await _report(client)).blocked == 1


# -- sealed payloads -------------------------------------------------------------------------------------------


class Reversing(PayloadCodec):
    """Payloads backwards, as long as it works."""

    works = True

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": b"back"}, data=p.SerializeToString()[::-1]) for p in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await asyncio.sleep(0)
        if not self.works:
            raise ConnectionError("the key server is away")
        return [Payload.FromString(payload.data[::-1]) for payload in payloads]


@asynccontextmanager
async def _sealed(gateway: Gateway, codec: PayloadCodec, workflows: Sequence[type]) -> AsyncIterator[Client]:
    async with Engine(gateway.journal, gateway.clock, SystemEntropy(), AT_ONCE) as engine:
        client = Client(engine, data_converter=DataConverter(payload_codec=codec))
        async with Worker(client, task_queue=QUEUE, workflows=workflows, activities=[note]):
            yield client


@workflow.defn(name="Told")
class Told:
    @workflow.run
    async def run(self, what: str) -> None:
        await _note(what)
        await workflow.wait_condition(lambda: False)


@workflow.defn(name="Told")
class ToldToWait:
    @workflow.run
    async def run(self, what: str) -> None:
        if what == "wait":
            await workflow.sleep(60)
        await _note(what)
        await workflow.wait_condition(lambda: False)


async def test_histories_with_sealed_payloads_are_opened_for_the_check(gateway: Gateway) -> None:
    async with _sealed(gateway, Reversing(), [Told]) as client:
        for what in ("wait", "go"):
            await client.start_workflow("Told", what, id=what, task_queue=QUEUE)
        await until(lambda: len(done) == 2)
        await client.get_workflow_handle("wait").query("__stack_trace")
    async with _sealed(gateway, Reversing(), [ToldToWait]) as client:
        assert _counts(await _report(client)) == (1, 1, 0, 0)
        assert await _listed_as_blocked(client) == ["wait"]


async def test_payloads_that_cannot_be_opened_now_hold_nothing(gateway: Gateway) -> None:
    async with _sealed(gateway, Reversing(), [Told]) as client:
        await client.start_workflow("Told", "go", id="go", task_queue=QUEUE)
        await until(lambda: len(done) == 1)
    codec = Reversing()
    codec.works = False
    async with _sealed(gateway, codec, [ToldToWait]) as client:
        report = await _report(client)
        assert (report.not_checked, report.misfits) == (1, [])


# -- nothing that does not replay ever runs a new effect -------------------------------------------------------

old: list[str] = []
new: list[str] = []


@activity.defn(dynamic=True)
async def act(_args: Sequence[RawValue]) -> None:
    done.append(activity.info().activity_type)


class _ByPlan:
    """Does one thing after the other, as a list says."""

    def __init__(self) -> None:
        self.calls = 0

    @workflow.signal
    def call(self) -> None:
        self.calls += 1

    async def follow(self, plan: Sequence[str]) -> None:
        for step in plan:
            kind, _, name = step.partition(" ")
            if kind == "act":
                await workflow.execute_activity(name, start_to_close_timeout=timedelta(seconds=9))
            elif kind == "sleep":
                await workflow.sleep(10)
            elif kind == "say":
                messages.publish(name)
            else:
                awaited = self.calls + 1
                await workflow.wait_condition(lambda awaited=awaited: self.calls >= awaited)


@workflow.defn(name="ByPlan")
class ByOldPlan(_ByPlan):
    @workflow.run
    async def run(self) -> None:
        await self.follow(old)


@workflow.defn(name="ByPlan")
class ByNewPlan(_ByPlan):
    @workflow.run
    async def run(self) -> None:
        await self.follow(new)


def _random_plan(random: Random) -> list[str]:
    names = ("valve", "pump", "fan")
    kinds = ("act", "act", "sleep", "say", "wait")
    kind_of = [random.choice(kinds) for _ in range(random.randint(2, 7))]
    return [f"{kind} {random.choice(names)}" if kind in ("act", "say") else kind for kind in kind_of]


def _changed(plan: Sequence[str], random: Random) -> list[str]:
    changed = list(plan)
    at = random.randrange(len(changed))
    match random.randrange(3):
        case 0:
            changed.insert(at, random.choice(("act lamp", "say lamp", "sleep", "wait")))
        case 1:
            del changed[at]
        case _:
            changed[at] = random.choice(("act lamp", "say lamp", "sleep", "wait"))
    return changed


def _effects(plan: Sequence[str]) -> list[str]:
    return [step for step in plan if step != "wait"] + ["end"]


async def _recorded(client: Client) -> list[str]:
    events = (await client.get_workflow_handle("w").fetch_history()).records
    return [_word(event.body) for event in events if isinstance(event.body, COMMANDS)]


def _word(body: object) -> str:
    match body:
        case cmd.ScheduleActivity():
            return f"act {body.activity_type}"
        case cmd.PublishMessage():
            return f"say {body.topic}"
        case cmd.StartTimer():
            return "sleep"
        case _:
            return "end"


async def _live_a_while(gateway: Gateway, client: Client, random: Random) -> None:
    """Anything may happen to it; what can go on has gone on when this returns."""
    for _ in range(random.randint(0, 5)):
        if random.random() < 0.5 and client.engine.cache.open_run("w") is not None:
            await client.get_workflow_handle("w").signal("call")
        else:
            gateway.advance(client, random.choice((3, 10, 30)))
        await _at_rest(client)


async def _at_rest(client: Client) -> None:
    engine = client.engine
    await engine.replay_check.settled()
    quiet = 0
    while quiet < 3:
        await asyncio.sleep(0.001)
        quiet = 0 if engine.busy or engine.activities_running() else quiet + 1


async def _one_life(seed: int) -> tuple[list[str], list[str], list[str]]:
    """What was recorded before the code changed and at the end, and whether something was done that is not in it."""
    random = Random(seed)
    gateway = Gateway(MemoryJournal(), ManualClock())
    done.clear()
    old[:] = _random_plan(random)
    new[:] = old if random.random() < 0.2 else _changed(old, random)
    limits = random.choice((AT_ONCE, NEVER))
    async with gateway.on([ByOldPlan], [act], limits=NEVER) as client:
        await client.start_workflow("ByPlan", id="w", task_queue=QUEUE)
        await _at_rest(client)
        await _live_a_while(gateway, client, random)
        before = await _recorded(client)
    for _ in range(random.randint(1, 2)):
        async with gateway.on([ByNewPlan], [act], limits=limits) as client:
            await _at_rest(client)
            await _live_a_while(gateway, client, random)
            after = await _recorded(client)
            said = [f"say {message.topic}" for message in await gateway.journal.outbox(0, 100)]
    acted = [f"act {name}" for name in done]
    beside = [each for each in [*said, *acted] if each not in after]
    return before, after, beside


def _is_new_effect(before: list[str], after: list[str], beside: list[str]) -> bool:
    """Whether something was done that neither the old code had done nor the new code does in this place."""
    fits = _effects(new)[: len(before)] == before
    allowed = _effects(new)[: len(after)] == after if fits else after == before
    return not allowed or bool(beside)


async def test_nothing_that_does_not_replay_ever_runs_a_new_effect() -> None:
    held = went_on = 0
    for seed in range(60):
        before, after, beside = await _one_life(seed)
        assert not _is_new_effect(before, after, beside), f"seed {seed}: {old} then {new}: {before} {after}"
        held += _effects(new)[: len(before)] != before
        went_on += len(after) > len(before)
    assert held > 5, "the changes have to matter"
    assert went_on > 5, "what fits has to go on"


async def test_the_test_above_sees_code_that_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(_exact: replay.Exact, instance: Any, activation: Activation) -> None:
        instance.activate(activation.at_us, activation.inputs)

    monkeypatch.setattr(replay.Exact, "step", step)
    for seed in range(60):
        if _is_new_effect(*await _one_life(seed)):
            return
    pytest.fail("60 lives without a check of the history, and no new effect")
