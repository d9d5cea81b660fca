"""What a worker can be asked for, what goes together, and what is refused by name."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.common import VersioningBehavior
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    PollerBehaviorAutoscaling,
    PollerBehaviorSimpleMaximum,
    ResourceBasedSlotConfig,
    ResourceBasedSlotSupplier,
    ResourceBasedTunerConfig,
    SharedStateManager,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkerDeploymentVersion,
    WorkerTuner,
)
from overwinter.runtime.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxMatcher,
    SandboxRestrictions,
)
from tests.unit.gateways import engine_on

QUEUE = "farm"
VERSION = WorkerDeploymentVersion("gateways", "2027.4")


@activity.defn
async def nothing() -> None: ...


@activity.defn
def waits_in_a_thread() -> None: ...


@workflow.defn
class Versions:
    @workflow.run
    async def run(self) -> tuple[str, str | None]:
        info = workflow.info()
        version = info.get_current_deployment_version()
        return info.get_current_build_id(), None if version is None else version.to_canonical_string()


@workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
class Pinned:
    @workflow.run
    async def run(self) -> None: ...


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with engine_on(MemoryJournal(), SystemClock()) as client:
        yield client


def worker(client: Client, **options: Any) -> Worker:
    options = {"workflows": [Versions], "activities": [nothing]} | options
    return Worker(client, task_queue=QUEUE, **options)


def slots(made: Worker) -> tuple[int, int]:
    """How many activities, and how many local ones, a running worker runs at a time."""
    assert made._serving is not None
    counts = made._serving.activities._slots
    return counts[False], counts[True]


class _Custom(CustomSlotSupplier):
    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None: ...

    def release_slot(self, ctx: SlotReleaseContext) -> None: ...


# -- tuning --------------------------------------------------------------------------------------------


FIXED = FixedSizeSlotSupplier(7)
RESOURCES = ResourceBasedTunerConfig(0.5, 0.5)


@pytest.mark.parametrize(
    ("tuner", "expected"),
    [
        (WorkerTuner.create_fixed(activity_slots=3, local_activity_slots=4), (3, 4)),
        (WorkerTuner.create_fixed(), (100, 100)),
        (
            WorkerTuner.create_resource_based(
                target_memory_usage=0.5,
                target_cpu_usage=0.5,
                activity_config=ResourceBasedSlotConfig(1, 20, timedelta(milliseconds=60)),
            ),
            (20, 500),
        ),
        (
            WorkerTuner.create_composite(
                workflow_supplier=FIXED,
                activity_supplier=FIXED,
                local_activity_supplier=ResourceBasedSlotSupplier(
                    ResourceBasedSlotConfig(maximum_slots=5), RESOURCES
                ),
                nexus_supplier=FIXED,
            ),
            (7, 5),
        ),
    ],
    ids=["fixed", "fixed by default", "resources", "composite"],
)
async def test_a_tuner_says_how_many_activities_run_at_a_time(
    client: Client, tuner: WorkerTuner, expected: tuple[int, int]
) -> None:
    async with worker(client, tuner=tuner) as made:
        assert slots(made) == expected


async def test_a_custom_slot_supplier_is_refused_and_says_what_to_use(client: Client) -> None:
    custom = _Custom()
    tuner = WorkerTuner.create_composite(
        workflow_supplier=custom,
        activity_supplier=custom,
        local_activity_supplier=custom,
        nexus_supplier=custom,
    )
    with pytest.raises(NotImplementedError, match="_Custom .*max_concurrent_activities"):
        worker(client, tuner=tuner)


async def test_options_that_tune_the_polling_of_a_server_are_accepted(client: Client) -> None:
    with multiprocessing.get_context("spawn").Manager() as manager, ThreadPoolExecutor() as executor:
        async with worker(
            client,
            workflow_task_executor=executor,
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_passthrough_modules("pydantic")
            ),
            unsandboxed_workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_workflow_tasks=10,
            max_concurrent_workflow_task_polls=2,
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(initial=2),
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(2),
            nexus_task_poller_behavior=PollerBehaviorSimpleMaximum(2),
            shared_state_manager=SharedStateManager.create_from_multiprocessing(manager, executor),
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            disable_eager_activity_execution=True,
            debug_mode=True,
        ):
            assert await client.execute_workflow(Versions.run, id="v", task_queue=QUEUE) == ("", None)


# -- versions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("", None)),
        ({"build_id": "7"}, ("7", None)),
        ({"deployment_config": WorkerDeploymentConfig(VERSION, False)}, ("2027.4", "gateways.2027.4")),
    ],
)
async def test_workflows_read_the_version_of_their_worker(
    client: Client, options: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    async with worker(client, **options):
        assert await client.execute_workflow(Versions.run, id="v", task_queue=QUEUE) == expected


# -- what does not go together -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workflows": [], "activities": []}, "At least one activity, Nexus service, or workflow"),
        (
            {"tuner": WorkerTuner.create_fixed(), "max_concurrent_workflow_tasks": 10},
            "Cannot specify .* when also specifying tuner",
        ),
        ({"use_worker_versioning": True}, "build_id must be specified"),
        (
            {"build_id": "7", "deployment_config": WorkerDeploymentConfig(VERSION, True)},
            "deployment_config cannot be used with build_id",
        ),
        (
            {"deployment_config": WorkerDeploymentConfig(VERSION, False, VersioningBehavior.PINNED)},
            "default_versioning_behavior must be UNSPECIFIED",
        ),
        (
            {"deployment_config": WorkerDeploymentConfig(VERSION, True)},
            "Workflow Versions must specify a versioning behavior",
        ),
        ({"max_concurrent_activities": 0}, "max_concurrent_activities is 0"),
        ({"max_activities_per_second": -1.0}, r"max_activities_per_second is -1\.0"),
        ({"max_cached_workflows": -1}, "max_cached_workflows is -1"),
        ({"max_eager_activity_reservations_per_workflow_task": 0}, "must be positive"),
        ({"max_workflow_task_external_storage_concurrency": 0}, "must be positive"),
        ({"workflows": [Versions, Versions]}, "More than one workflow named Versions"),
        ({"activities": [nothing, nothing]}, "More than one activity named nothing"),
    ],
)
async def test_options_that_make_no_sense_are_refused_in_the_words_of_the_sdk(
    client: Client, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        worker(client, **options)


async def test_a_workflow_or_a_default_may_say_the_versioning_behavior(client: Client) -> None:
    worker(client, workflows=[Pinned], deployment_config=WorkerDeploymentConfig(VERSION, True))
    default = WorkerDeploymentConfig(VERSION, True, VersioningBehavior.AUTO_UPGRADE)
    worker(client, deployment_config=default)


async def test_nexus_is_refused_and_says_what_to_use(client: Client) -> None:
    with pytest.raises(NotImplementedError, match="Nexus is not offered, .* child"):
        worker(client, nexus_service_handlers=[object()])


async def test_an_executor_that_is_too_small_is_warned_of(client: Client) -> None:
    tuner = WorkerTuner.create_resource_based(target_memory_usage=0.5, target_cpu_usage=0.5)
    with (
        ThreadPoolExecutor(2) as executor,
        pytest.warns(
            UserWarning,
            match="max_concurrent_activities is 500 but activity_executor's max_workers is only 2",
        ),
    ):
        worker(client, activities=[waits_in_a_thread], activity_executor=executor, tuner=tuner)


async def test_an_unbound_method_is_warned_of(client: Client) -> None:
    @activity.defn
    async def read(self: Any) -> None: ...

    with pytest.warns(UserWarning, match="first parameter named self"):
        worker(client, activities=[read])


async def test_the_client_can_be_replaced_by_another_of_the_same_engine(client: Client) -> None:
    seen: list[Client] = []

    @activity.defn
    async def see() -> None:
        seen.append(activity.client())

    other = Client(client.engine)
    async with worker(client, workflows=[Sees], activities=[see]) as made:
        await client.execute_workflow(Sees.run, id="one", task_queue=QUEUE)
        made.client = other
        assert made.client is other
        await client.execute_workflow(Sees.run, id="two", task_queue=QUEUE)
        assert seen == [client, other]
        async with engine_on(MemoryJournal(), SystemClock()) as elsewhere:
            with pytest.raises(ValueError, match="not on the same runtime"):
                made.client = elsewhere


@workflow.defn
class Sees:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("see", start_to_close_timeout=timedelta(seconds=10))


# -- the sandbox that is not there -----------------------------------------------------------------------


def test_restrictions_keep_what_they_are_given() -> None:
    runner = SandboxedWorkflowRunner()
    changed = dataclasses.replace(
        runner, restrictions=runner.restrictions.with_passthrough_modules("my_module", "numpy")
    )
    assert "my_module" in changed.restrictions.passthrough_modules
    assert "my_module" not in SandboxRestrictions.default.passthrough_modules
    assert runner.restrictions.with_passthrough_all_modules().passthrough_all_modules


def test_matchers_are_added_and_taken_from() -> None:
    dates = SandboxMatcher(children={"datetime": SandboxMatcher(use={"date", "time"})})
    both = dates | SandboxMatcher(access={"open"}, children={"random": SandboxMatcher.all_uses})
    assert both.access == {"open"}
    assert both.children["datetime"].use == {"date", "time"}
    assert both.with_child_unrestricted("datetime", "date").children["datetime"].use == {"time"}
    assert "random" not in both.with_child_unrestricted("random").children
    assert (dates | SandboxMatcher.all).match_self
    nested = SandboxMatcher.nested_child(["a", "b"], SandboxMatcher.all)
    assert nested.children["a"].children["b"] == SandboxMatcher.all
