"""External storage as users of Temporal's SDK configure it, with drivers of their own that take their time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.api.common.v1 import Payload
from overwinter.runtime.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    WorkflowFailureError,
    WorkflowHistory,
)
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.converter import (
    DataConverter,
    ExternalStorage,
    PayloadCodec,
    PayloadLimitError,
    StorageDriver,
    StorageDriverActivityInfo,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
)
from overwinter.runtime.core import commands as cmd
from overwinter.runtime.core import events as ev
from overwinter.runtime.core.payload_groups import groups_of
from overwinter.runtime.exceptions import ActivityError, ApplicationError
from overwinter.runtime.worker import Replayer, Worker
from overwinter.runtime.workflow import NondeterminismError
from tests.unit.external_storage.sites import Site
from tests.unit.gateways import QUEUE, event_names, until

SOON = timedelta(seconds=10)


class Shelf(StorageDriver):
    """A dictionary that answers after a while."""

    def __init__(self, name: str = "shelf") -> None:
        self._name = name
        self.kept: dict[str, bytes] = {}
        self.stores = self.retrieves = 0
        self.told: list[StorageDriverStoreContext] = []
        self.before_store: Callable[[], Any] | None = None
        self.before_retrieve: Callable[[], Any] | None = None

    def name(self) -> str:
        return self._name

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        self.stores += 1
        self.told.append(context)
        await asyncio.sleep(0.002)
        if self.before_store is not None:
            await self.before_store()
        keys = [f"{len(self.kept) + index}" for index in range(len(payloads))]
        for key, payload in zip(keys, payloads, strict=True):
            self.kept[key] = payload.SerializeToString()
        return [StorageDriverClaim(claim_data={"key": key}) for key in keys]

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        self.retrieves += 1
        await asyncio.sleep(0.002)
        if self.before_retrieve is not None:
            await self.before_retrieve()
        found: list[Payload] = []
        for claim in claims:
            payload = Payload()
            payload.ParseFromString(self.kept[claim.claim_data["key"]])
            found.append(payload)
        return found


def storing(driver: StorageDriver, threshold: int = 1024, **parts: Any) -> DataConverter:
    storage = ExternalStorage(drivers=[driver], payload_size_threshold=threshold)
    return dataclasses.replace(DataConverter.default, external_storage=storage, **parts)


# -- the data converter ------------------------------------------------------------------------------


async def test_large_values_are_elsewhere_and_small_ones_are_not() -> None:
    shelf = Shelf()
    data = storing(shelf, 100)
    small, large = await data.encode(["small", "x" * 200])
    assert not small.external_payloads
    assert [each.size_bytes for each in large.external_payloads] == [len(shelf.kept["0"])]
    assert large.metadata["encoding"] == b"json/protobuf"
    assert len(large.data) < 100
    assert await data.decode([small, large], [str, str]) == ["small", "x" * 200]
    assert (shelf.stores, shelf.retrieves) == (1, 1)


async def test_a_reference_that_the_sdk_wrote_is_read_in_both_of_its_forms() -> None:
    shelf = Shelf()
    data = storing(shelf)
    shelf.kept["0"] = DataConverter.default.payload_converter.to_payload("there").SerializeToString()
    now = Payload(
        {"encoding": b"json/protobuf", "messageType": b"temporal.api.sdk.v1.ExternalStorageReference"},
        b'{"driverName": "shelf", "claimData": {"key": "0"}}',
    )
    before = Payload(
        {"encoding": b"json/external-storage-reference"},
        b'{"driver_name": "shelf", "driver_claim": {"claim_data": {"key": "0"}}}',
    )
    assert await data.decode([now, before]) == ["there", "there"]
    assert shelf.retrieves == 1  # Both in one call.


async def test_values_over_the_journals_limit_are_fine_where_they_are_kept_elsewhere() -> None:
    large = b"x" * 5_000_000
    data = storing(Shelf())
    assert await data.decode(await data.encode([large])) == [large]
    with pytest.raises(PayloadLimitError, match="give the data converter an external storage"):
        await DataConverter.default.encode([large])


async def test_what_a_selector_leaves_in_the_journal_has_the_journals_limit() -> None:
    storage = ExternalStorage(drivers=[Shelf()], driver_selector=lambda _context, _payload: None)
    data = DataConverter(external_storage=storage)
    assert await data.decode(await data.encode(["x" * 300_000])) == ["x" * 300_000]
    with pytest.raises(PayloadLimitError, match="are kept in a history"):
        await data.encode([b"x" * 5_000_000])


async def test_each_driver_is_asked_once_for_all_that_is_its_own_and_both_at_the_same_time() -> None:
    small, large = Shelf("small"), Shelf("large")
    meeting = asyncio.Barrier(2)
    small.before_store = large.before_store = meeting.wait
    seen: list[StorageDriverSelectContext] = []

    def select(context: StorageDriverSelectContext, payload: Payload) -> StorageDriver:
        seen.append(context)
        return small if payload.ByteSize() < 500 else large

    storage = ExternalStorage(drivers=[small, large], driver_selector=select, payload_size_threshold=50)
    data = DataConverter(external_storage=storage)
    values = ["a" * 100, "b" * 1000, "c" * 100]
    stored = await asyncio.wait_for(data.encode(values), 5)
    assert (small.stores, large.stores) == (1, 1)
    assert await data.decode(stored) == values
    assert (small.retrieves, large.retrieves) == (1, 1)
    assert {context.target for context in seen} == {None}


async def test_the_error_of_a_driver_is_raised_as_it_is_and_the_others_are_cancelled() -> None:
    cancelled = asyncio.Event()

    class Slow(Shelf):
        async def store(self, context: Any, payloads: Any) -> list[StorageDriverClaim]:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return []

    class Broken(Shelf):
        async def store(self, context: Any, payloads: Any) -> list[StorageDriverClaim]:
            raise ValueError("it is broken")

    drivers = [Slow("slow"), Broken("broken")]
    chosen = iter(drivers)
    storage = ExternalStorage(
        drivers=drivers, driver_selector=lambda _c, _p: next(chosen), payload_size_threshold=0
    )
    with pytest.raises(ValueError, match="^it is broken$"):
        await DataConverter(external_storage=storage).encode([1, 2])
    assert cancelled.is_set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drivers": []}, "must contain at least one driver"),
        ({"drivers": [Shelf(), Shelf("b")]}, "driver_selector must be specified"),
        (
            {"drivers": [Shelf(), Shelf()], "driver_selector": lambda _c, _p: None},
            "multiple drivers with name 'shelf'",
        ),
        ({"drivers": [Shelf()], "payload_size_threshold": -1}, "greater than or equal to zero"),
    ],
)
def test_a_storage_that_cannot_work_is_refused_when_it_is_made(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExternalStorage(**options)


async def test_drivers_that_break_their_word_are_named() -> None:
    class Careless(Shelf):
        async def store(self, context: Any, payloads: Any) -> list[StorageDriverClaim]:
            return []

        async def retrieve(self, context: Any, claims: Any) -> list[Payload]:
            return []

    with pytest.raises(ValueError, match="Driver 'shelf' returned 0 claims, expected 1"):
        await storing(Careless(), 0).encode([1])
    shelf = Shelf()
    stored = await storing(shelf, 0).encode([1])
    with pytest.raises(ValueError, match="Driver 'shelf' returned 0 payloads, expected 1"):
        await storing(Careless()).decode(stored)
    with pytest.raises(ValueError, match="No driver found with name 'shelf'"):
        await storing(Shelf("other")).decode(stored)
    with pytest.raises(RuntimeError, match=r"\[TMPRL1105\].*external storage is not configured"):
        await DataConverter.default.decode(stored)
    foreign = ExternalStorage(
        drivers=[shelf], driver_selector=lambda _c, _p: Shelf(), payload_size_threshold=0
    )
    with pytest.raises(ValueError, match="not registered in ExternalStorage.drivers"):
        await DataConverter(external_storage=foreign).encode([1])


class Labelled(PayloadCodec):
    """Wraps, and really waits."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await asyncio.sleep(0.001)
        wrapped: list[Payload] = []
        for payload in payloads:
            one = Payload()
            one.metadata["encoding"] = b"binary/labelled"
            one.data = payload.SerializeToString()
            wrapped.append(one)
        return wrapped

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await asyncio.sleep(0.001)
        for payload in payloads:
            assert payload.metadata["encoding"] == b"binary/labelled", payload
        return [Payload.FromString(payload.data) for payload in payloads]


async def test_a_codec_works_on_what_is_stored_and_not_on_the_reference() -> None:
    shelf = Shelf()
    data = storing(shelf, 50, payload_codec=Labelled())
    (stored,) = await data.encode(["x" * 200])
    assert stored.metadata["encoding"] == b"json/protobuf"
    assert Payload.FromString(shelf.kept["0"]).metadata["encoding"] == b"binary/labelled"
    assert await data.decode([stored]) == ["x" * 200]


# -- executions --------------------------------------------------------------------------------------


@activity.defn
async def produce(size: int) -> str:
    return "x" * size


@activity.defn
def measure(text: str) -> int:
    return len(text)


@activity.defn
async def beats(size: int) -> str:
    info = activity.info()
    if info.heartbeat_details:
        return f"{len(info.heartbeat_details[0])} from attempt {info.attempt - 1}"
    activity.heartbeat("x" * size)
    raise ApplicationError("again", "y" * size)


@workflow.defn
class Chain:
    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self, text: str, size: int) -> str:
        options: Any = {"schedule_to_close_timeout": SOON}
        again = RetryPolicy(initial_interval=timedelta(milliseconds=1))
        large = await workflow.execute_activity(produce, size, **options)
        measured = await workflow.execute_activity(measure, large, **options)
        beat = await workflow.execute_activity(beats, size, retry_policy=again, **options)
        await workflow.wait_condition(lambda: bool(self.told))
        return f"{len(text)} {measured} {beat} {self.told[0]}" + "z" * size

    @workflow.signal
    def tell(self, text: str) -> None:
        self.told.append(str(len(text)))

    @workflow.update
    def change(self, text: str) -> str:
        return text + "!"

    @workflow.query
    def ask(self, text: str) -> str:
        return text + "?"


@workflow.defn
class Echo:
    @workflow.run
    async def run(self, text: str) -> str:
        return text


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, text: str) -> str:
        child = await workflow.execute_child_workflow(
            Echo.run, text, id=f"{workflow.info().workflow_id}-child"
        )
        await workflow.get_external_workflow_handle("other").signal(Waits.tell, text)
        return child


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.text: str | None = None

    @workflow.run
    async def run(self, again: str) -> str:
        await workflow.wait_condition(lambda: self.text is not None)
        if again:
            workflow.continue_as_new("")
        assert self.text is not None
        return self.text

    @workflow.signal
    def tell(self, text: str) -> None:
        self.text = text


@workflow.defn
class Schedules:
    @workflow.run
    async def run(self, text: str) -> int:
        return await workflow.execute_activity(
            measure, text, activity_id="named", schedule_to_close_timeout=SOON
        )


WORKFLOWS = [Chain, Echo, Parent, Waits, Schedules]
ACTIVITIES = [produce, measure, beats]


def site_with(data: DataConverter) -> Site:
    return Site(data, WORKFLOWS, ACTIVITIES)


def references(history: WorkflowHistory) -> list[str]:
    """Which events of a history refer to something that is kept elsewhere."""
    return [
        type(event.body).__name__
        for event in history.records
        for group in groups_of([event.body])
        for payload in group
        if payload.external_bytes
    ]


@pytest.mark.parametrize("codec", [None, Labelled()], ids=["plain", "codec"])
async def test_every_way_that_values_take_leads_through_the_storage(codec: PayloadCodec | None) -> None:
    shelf = Shelf()
    site = site_with(storing(shelf, payload_codec=codec))
    large = "a" * 5000
    async with site.on() as client:
        handle = await client.start_workflow(Chain.run, args=[large, 4000], id="one", task_queue=QUEUE)
        assert await handle.query(Chain.ask, large) == large + "?"
        assert await handle.execute_update(Chain.change, large) == large + "!"
        await handle.signal(Chain.tell, large)
        result = await handle.result()
        assert result == "5000 4000 4000 from attempt 1 5000" + "z" * 4000
        history = await handle.fetch_history()
        assert set(references(history)) == {
            "WorkflowStarted",
            "UpdateAccepted",
            "CompleteUpdate",
            "ActivityCompleted",
            "ScheduleActivity",
            "Signaled",
            "CompleteWorkflow",
        }
        assert max(len(p.data) for e in history.records for g in groups_of([e.body]) for p in g) < 1500
        assert await handle.query(Chain.ask, large) == large + "?"  # of a closed execution
    await Replayer(workflows=WORKFLOWS, data_converter=site.data).replay_workflow(history)


async def test_a_restart_rebuilds_code_from_what_is_kept_elsewhere() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf))
    async with site.on() as client:
        handle = await client.start_workflow(Chain.run, args=["a" * 5000, 4000], id="one", task_queue=QUEUE)
        await until(lambda: _waits_for_signal(client, "one"))
        before = shelf.stores
    async with site.on() as client:
        assert shelf.stores == before
        handle = client.get_workflow_handle_for(Chain.run, "one")
        await handle.signal(Chain.tell, "b" * 3000)
        assert (await handle.result()).startswith("5000 4000 4000 from attempt 1 3000")


async def _waits_for_signal(client: Client, workflow_id: str) -> bool:
    names = await event_names(client, workflow_id)
    return names.count("ActivityCompleted") == 3


async def test_others_go_on_while_one_waits_for_its_values() -> None:
    shelf = Shelf()
    let = asyncio.Event()
    site = site_with(storing(shelf))
    async with site.on() as client:
        shelf.before_retrieve = let.wait
        slow = await client.start_workflow(Echo.run, "x" * 5000, id="slow", task_queue=QUEUE)
        assert await client.execute_workflow(Echo.run, "quick", id="quick", task_queue=QUEUE) == "quick"
        assert (await slow.describe()).blocked is None
        shelf.before_retrieve, shelf.before_store = None, let.wait
        stuck = asyncio.ensure_future(
            client.start_workflow(
                Waits.run, "", id="stuck", task_queue=QUEUE, start_signal="tell", start_signal_args=["s"]
            )
        )
        assert await client.execute_workflow(Echo.run, "quick", id="again", task_queue=QUEUE) == "quick"
        let.set()
        assert await slow.result() == "x" * 5000
        assert await (await stuck).result() == "s"


async def test_a_start_is_durable_while_its_arguments_are_still_fetched_and_signals_keep_their_order() -> (
    None
):
    shelf = Shelf()
    site = site_with(storing(shelf))
    let = asyncio.Event()
    async with site.on() as client:
        shelf.before_retrieve = let.wait
        handle = await client.start_workflow(Collects.run, "x" * 3000, id="one", task_queue=QUEUE)
        for number in range(6):
            await handle.signal(Collects.tell, f"{number}" * (3000 if number % 2 else 1))
        let.set()
        await handle.signal(Collects.tell, "end")
        assert await handle.result() == ["0", "1", "2", "3", "4", "5", "e"]


@workflow.defn
class Collects:
    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self, text: str) -> list[str]:
        await workflow.wait_condition(lambda: "e" in self.told)
        return self.told

    @workflow.signal
    def tell(self, text: str) -> None:
        self.told.append(text[0])


WORKFLOWS.append(Collects)


async def test_an_execution_can_be_terminated_while_it_waits_for_its_values_in_either_direction() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf))
    never = asyncio.Event()
    async with site.on() as client:
        shelf.before_retrieve = never.wait
        fetching = await client.start_workflow(Echo.run, "x" * 3000, id="fetching", task_queue=QUEUE)
        await fetching.terminate("enough")
        with pytest.raises(WorkflowFailureError):
            await fetching.result()
        shelf.before_retrieve = None

        async def only_the_signal() -> None:
            if len(shelf.told) > signals:
                await never.wait()

        large = await client.start_workflow(Waits.run, "", id="large", task_queue=QUEUE)
        signals = len(shelf.told) + 1
        shelf.before_store = only_the_signal
        signal = asyncio.ensure_future(large.signal(Waits.tell, "y" * 3000))
        await until(lambda: _leaving(client, "large"))
        await large.terminate("enough")
        await signal
        with pytest.raises(WorkflowFailureError):
            await large.result()
        events = [type(event.body) for event in (await large.fetch_history()).records]
        assert events[-2:] == [ev.Signaled, ev.WorkflowTerminated]
        assert cmd.CompleteWorkflow not in events


def _leaving(client: Client, workflow_id: str) -> bool:
    live = client.engine.cache.open_run(workflow_id)
    return live is not None and live.transit is not None and live.transit.leaving is not None


# -- what fails --------------------------------------------------------------------------------------


async def test_values_that_cannot_be_had_block_their_execution_until_they_can() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf))
    async with site.on() as client:
        handle = await client.start_workflow(Waits.run, "", id="one", task_queue=QUEUE)
        argument = "x" * 3000

        async def missing() -> None:
            raise RuntimeError("the shelf is empty")

        shelf.before_retrieve = missing
        await handle.signal(Waits.tell, argument)
        await until(lambda: _is_blocked(client, "one", "the shelf is empty"))
        assert await client.execute_workflow(Echo.run, "other", id="other", task_queue=QUEUE) == "other"
        shelf.before_retrieve = None
        assert await handle.result() == argument


async def _is_blocked(client: Client, workflow_id: str, cause: str) -> bool:
    blocked = (await client.get_workflow_handle(workflow_id).describe()).blocked
    return blocked is not None and cause in blocked.cause


async def test_results_that_cannot_be_stored_block_their_execution_until_they_can() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf))
    async with site.on() as client:
        handle = await client.start_workflow(Echo.run, "x" * 3000, id="one", task_queue=QUEUE)

        async def broken() -> None:
            raise RuntimeError("the shelf is full")

        shelf.before_store = broken
        await until(lambda: _is_blocked(client, "one", "the shelf is full"))
        shelf.before_store = None
        assert await handle.result() == "x" * 3000


async def test_an_error_that_says_that_it_is_final_fails_the_workflow() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf))

    async def gone() -> None:
        raise ApplicationError("the bucket is gone", type="BucketGone", non_retryable=True)

    shelf.before_retrieve = gone
    async with site.on() as client:
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(Echo.run, "x" * 3000, id="one", task_queue=QUEUE)
        cause = failed.value.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.message, cause.type, cause.non_retryable) == ("the bucket is gone", "BucketGone", True)


async def failed_activity(data: DataConverter, size: int, text: str) -> BaseException | None:
    site = site_with(data)
    async with site.on() as client:
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(OneActivity.run, args=[text, size], id="one", task_queue=QUEUE)
    assert isinstance(failed.value.cause, ActivityError)
    return failed.value.cause.cause


@activity.defn
async def repeats(text: str, size: int) -> str:
    return "x" * size


@workflow.defn
class OneActivity:
    @workflow.run
    async def run(self, length: str, size: int) -> str:
        return await workflow.execute_activity(
            repeats,
            args=["x" * int(length), size],
            schedule_to_close_timeout=SOON,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


WORKFLOWS.append(OneActivity)
ACTIVITIES.append(repeats)


async def test_arguments_of_an_activity_that_cannot_be_had_fail_its_attempt() -> None:
    class Forgets(Shelf):
        async def retrieve(self, context: Any, claims: Any) -> list[Payload]:
            return []

    cause = await failed_activity(storing(Forgets()), 10, "2000")
    assert isinstance(cause, ApplicationError)
    assert cause.message == "Failed decoding arguments"
    assert "returned 0 payloads, expected 1" in str(cause.cause)


async def test_a_result_of_an_activity_that_cannot_be_stored_fails_its_attempt() -> None:
    class Forgets(Shelf):
        async def store(self, context: Any, payloads: Any) -> list[StorageDriverClaim]:
            return []

    cause = await failed_activity(storing(Forgets()), 2000, "10")
    assert isinstance(cause, ApplicationError)
    assert (cause.message, cause.type) == ("Driver 'shelf' returned 0 claims, expected 1", "ValueError")


async def test_replay_tells_what_a_worker_would_do() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf))
    async with site.on() as client:
        handle = await client.start_workflow(Schedules.run, "x" * 3000, id="one", task_queue=QUEUE)
        await handle.result()
        history = await handle.fetch_history()

    async def outcome(**options: Any) -> Exception | None:
        replayer = Replayer(workflows=WORKFLOWS, **options)
        return (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure

    assert await outcome(data_converter=site.data) is None
    without = await outcome()
    assert isinstance(without, RuntimeError)
    assert not isinstance(without, NondeterminismError)
    assert "[TMPRL1105] Detected externally stored payload(s)" in without.args[0]
    empty = await outcome(data_converter=storing(Shelf()))
    assert isinstance(empty, RuntimeError)

    async def gone() -> None:
        raise ApplicationError("gone", non_retryable=True)

    shelf.before_retrieve = gone
    assert isinstance(await outcome(data_converter=site.data), NondeterminismError)


# -- whom drivers are told of ------------------------------------------------------------------------


async def test_drivers_are_told_for_whom_they_store() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf, 0))
    async with site.on() as client:
        other = await client.start_workflow(Waits.run, "", id="other", task_queue=QUEUE)
        parent = await client.start_workflow(Parent.run, "t", id="parent", task_queue=QUEUE)
        await parent.result()
        await other.result()
        parent_run = (await parent.describe()).run_id
    targets = [context.target for context in shelf.told]
    namespace = "default"
    assert targets[:2] == [
        StorageDriverWorkflowInfo(namespace=namespace, id="other", type="Waits"),
        StorageDriverWorkflowInfo(namespace=namespace, id="parent", type="Parent"),
    ]
    assert targets[2:5] == [
        StorageDriverWorkflowInfo(namespace=namespace, id="parent-child", type="Echo"),
        # The child's result is the parent's to keep, since it replays with it.
        StorageDriverWorkflowInfo(namespace=namespace, id="parent", run_id=parent_run),
        StorageDriverWorkflowInfo(namespace=namespace, id="other"),
    ]
    assert (
        StorageDriverWorkflowInfo(namespace=namespace, id="parent", run_id=parent_run, type="Parent")
        in (targets[5:])
    )
    assert len(targets) == 7
    assert not any(isinstance(target, StorageDriverActivityInfo) for target in targets)


async def test_activities_of_a_workflow_store_for_the_workflow() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf, 0))
    async with site.on() as client:
        handle = await client.start_workflow(Schedules.run, "text", id="one", task_queue=QUEUE)
        assert await handle.result() == 4
        run_id = (await handle.describe()).run_id
    this = StorageDriverWorkflowInfo(namespace="default", id="one", run_id=run_id, type="Schedules")
    assert [context.target for context in shelf.told[1:]] == [this, this, this]


async def test_a_continuation_stores_under_its_own_run() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf, 0))
    async with site.on() as client:
        handle = await client.start_workflow(Waits.run, "again", id="one", task_queue=QUEUE)
        await handle.signal(Waits.tell, "a")
        first = handle.result_run_id
        await until(lambda: _has_another_run(client, "one", first))
        await client.get_workflow_handle("one").signal(Waits.tell, "b")
        assert await handle.result() == "b"
        last = (await client.get_workflow_handle("one").describe()).run_id
    runs = [getattr(context.target, "run_id", None) for context in shelf.told]
    assert runs == [None, None, first, None, last]


async def _has_another_run(client: Client, workflow_id: str, run_id: str | None) -> bool:
    return (await client.get_workflow_handle(workflow_id).describe()).run_id != run_id


async def test_a_schedule_stores_what_it_starts_workflows_with_once() -> None:
    shelf = Shelf()
    site = site_with(storing(shelf, 100))
    async with site.on() as client:
        await client.create_schedule(
            "daily",
            Schedule(
                action=ScheduleActionStartWorkflow(Echo.run, "x" * 500, id="scheduled", task_queue=QUEUE),
                spec=ScheduleSpec(),
            ),
        )
        assert [context.target for context in shelf.told] == [
            StorageDriverWorkflowInfo(namespace="default", id="scheduled", type="Echo")
        ]
        handle = client.get_schedule_handle("daily")
        await handle.trigger()
        described = (await handle.describe()).schedule.action
        assert isinstance(described, ScheduleActionStartWorkflow)
        assert await site.data.decode(list(described.args)) == ["x" * 500]
        started = [each async for each in client.list_workflows()]
        assert await client.get_workflow_handle(started[0].id).result() == "x" * 500


async def test_the_number_of_operations_at_a_time_is_bounded() -> None:
    shelf = Shelf()
    at_once = most = 0

    async def counted() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.005)
        at_once -= 1

    site = site_with(storing(shelf, 100))
    async with site.on(max_workflow_task_external_storage_concurrency=2) as client:
        shelf.before_store = counted
        assert await client.execute_workflow(Fans.run, 8, id="one", task_queue=QUEUE) == 8 * 300
    assert most == 2
    with pytest.raises(ValueError, match="max_workflow_task_external_storage_concurrency must be positive"):
        Worker(client, task_queue=QUEUE, workflows=[Echo], max_workflow_task_external_storage_concurrency=0)


@workflow.defn
class Fans:
    @workflow.run
    async def run(self, count: int) -> int:
        each = [
            workflow.execute_activity(measure, f"{number}" * 300, schedule_to_close_timeout=SOON)
            for number in range(count)
        ]
        return sum(await asyncio.gather(*each))


WORKFLOWS.append(Fans)


# -- codecs that wait --------------------------------------------------------------------------------


async def test_a_codec_that_waits_holds_up_nobody_else() -> None:
    let = asyncio.Event()

    class Waiting(Labelled):
        async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
            opened = await super().decode(payloads)
            if any(b"slow" in payload.data for payload in opened):
                await let.wait()
            return opened

    site = site_with(DataConverter(payload_codec=Waiting()))
    async with site.on() as client:
        slow = await client.start_workflow(Echo.run, "slow", id="slow", task_queue=QUEUE)
        assert await client.execute_workflow(Echo.run, "quick", id="quick", task_queue=QUEUE) == "quick"
        let.set()
        assert await slow.result() == "slow"


async def test_a_codec_may_use_the_event_loop_in_every_way() -> None:
    class Elsewhere(Labelled):
        async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                task = group.create_task(super().encode(payloads))
            await asyncio.to_thread(len, payloads)
            return task.result()

    site = site_with(DataConverter(payload_codec=Elsewhere()))
    async with site.on() as client:
        handle = await client.start_workflow(Chain.run, args=["a", 10], id="one", task_queue=QUEUE)
        await handle.signal(Chain.tell, "b")
        assert await handle.result() == "1 10 10 from attempt 1 1" + "z" * 10
