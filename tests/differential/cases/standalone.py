"""Activities that a client starts, without a workflow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import (
    ActivityExecutionDescription,
    ActivityHandle,
    ActivityOptionsKeys,
    Client,
)
from temporalio.common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from temporalio.exceptions import ActivityAlreadyStartedError, ApplicationError

from ..observe import SHORT, chain, outcome, until, worker

ONCE = RetryPolicy(maximum_attempts=1)
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=20), backoff_coefficient=1.0)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
NOBODY = "standalone-nobody"
"""A task queue that no worker serves."""
CROP = SearchAttributeKey.for_keyword("Crop")


@activity.defn(name="StandaloneEcho")
async def echo(*values: Any) -> list[Any]:
    return list(values)


@activity.defn(name="StandaloneNothing")
async def nothing() -> None:
    pass


@activity.defn(name="StandaloneAbout")
def about() -> list[Any]:
    found = activity.info()
    policy = found.retry_policy
    assert policy is not None
    return [
        found.activity_id,
        found.activity_type,
        found.attempt,
        found.namespace,
        found.workflow_id,
        found.workflow_namespace,
        found.workflow_run_id,
        found.workflow_type,
        found.activity_run_id is not None,
        found.in_workflow,
        found.is_local,
        found.task_queue,
        str(found.schedule_to_close_timeout),
        str(found.start_to_close_timeout),
        str(found.heartbeat_timeout),
        [str(policy.initial_interval), policy.backoff_coefficient, str(policy.maximum_interval)],
        [policy.maximum_attempts, found.priority.priority_key, list(found.heartbeat_details)],
    ]


@activity.defn(name="StandaloneFailing")
async def failing(times: int) -> int:
    attempt = activity.info().attempt
    activity.heartbeat(attempt)
    if attempt <= times:
        raise ApplicationError("not yet", attempt, type="Early")
    return attempt


@activity.defn(name="StandaloneFinal")
async def final() -> None:
    raise ApplicationError("never", non_retryable=True)


@activity.defn(name="StandaloneSlow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "awake"


@activity.defn(name="StandaloneBeats")
async def beats() -> list[Any]:
    if activity.info().attempt > 1:
        return ["again", *activity.info().heartbeat_details]
    try:
        for _ in range(200):
            activity.heartbeat("here")
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        why = activity.cancellation_details()
        assert why is not None
        _told[activity.info().activity_id] = [why.cancel_requested, why.paused, why.not_found]
        raise
    return ["to the end"]


@activity.defn(name="StandaloneLater")
async def later() -> str:
    activity.raise_complete_async()


@activity.defn(name="StandaloneCalled")
class Called:
    async def __call__(self, value: int) -> int:
        return value + 1


class Pump:
    @activity.defn(name="StandaloneRun")
    async def run(self, seconds: int) -> str:
        return f"ran {seconds} s"


WORKFLOWS: list[type] = []
ACTIVITIES: list[Any] = [
    echo, nothing, about, failing, final, slow, beats, later, Called(), Pump().run,
]  # fmt: skip
_told: dict[str, list[Any]] = {}


async def _described(handle: ActivityHandle[Any], **included: bool) -> list[Any]:
    """What is known of an activity, but for times, which are not the same twice."""
    found = await handle.describe(**included)
    policy, priority = found.retry_policy, found.priority
    assert policy is not None
    return [
        [found.activity_id, found.activity_type, found.namespace, found.activity_run_id == handle.run_id],
        [found.status.name, None if found.run_state is None else found.run_state.name, found.attempt],
        [found.canceled_reason, str(found.current_retry_interval), str(found.start_delay)],
        _options(found),
        [str(policy.initial_interval), policy.backoff_coefficient, str(policy.maximum_interval)],
        [
            policy.maximum_attempts,
            policy.non_retryable_error_types,
            priority.priority_key,
            priority.fairness_key,
        ],
        [found.close_time is None, found.execution_duration is None, found.expiration_time is None],
        [found.last_attempt_complete_time is None, found.last_started_time is None],
        [found.last_heartbeat_time is None, found.next_attempt_schedule_time is None],
        [found.has_input(), found.has_result(), found.has_outcome_failure()],
        [found.has_heartbeat_details(), found.has_last_failure()],
    ]


def _options(found: Any) -> list[Any]:
    return [
        found.task_queue,
        str(found.schedule_to_close_timeout),
        str(found.schedule_to_start_timeout),
        str(found.start_to_close_timeout),
        str(found.heartbeat_timeout),
        str(found.start_delay),
    ]


async def _state(handle: ActivityHandle[Any]) -> str:
    found = await handle.describe()
    return found.status.name if found.run_state is None else found.run_state.name


async def _until_state(handle: ActivityHandle[Any], *names: str) -> str:
    while (name := await _state(handle)) not in names:
        await asyncio.sleep(0.03)
    return name


async def case_results_come_as_they_were_returned(client: Client, task_queue: str) -> Any:
    named: Any = {"task_queue": task_queue, "start_to_close_timeout": SHORT}
    handle = await client.start_activity(echo, args=[1, "two"], id="standalone-echo", **named)
    found = client.get_activity_handle("standalone-echo", result_type=list)
    return [
        await handle.result(),
        await handle.result(),
        await found.result(),
        [found.id, found.run_id, handle.id, handle.run_id is not None],
        await client.execute_activity(nothing, id="standalone-nothing", **named),
        await client.execute_activity("StandaloneEcho", "by name", id="standalone-name", **named),
        await client.execute_activity_class(Called, 1, id="standalone-class", **named),
        await client.execute_activity_method(Pump.run, 3, id="standalone-method", **named),
        await (await client.start_activity_class(Called, 2, id="standalone-class2", **named)).result(),
        await (await client.start_activity_method(Pump.run, 4, id="standalone-method2", **named)).result(),
    ]


async def case_an_activity_knows_that_it_has_no_workflow(client: Client, task_queue: str) -> Any:
    plain = await client.execute_activity(
        about, id="standalone-about", task_queue=task_queue, start_to_close_timeout=SHORT
    )
    full = await client.execute_activity(
        about,
        id="standalone-about-full",
        task_queue=task_queue,
        schedule_to_close_timeout=MINUTE,
        schedule_to_start_timeout=SHORT,
        start_to_close_timeout=2 * MINUTE,
        heartbeat_timeout=SHORT,
        retry_policy=RetryPolicy(initial_interval=SECOND, backoff_coefficient=3.0, maximum_attempts=4),
        priority=Priority(priority_key=2),
    )
    return [plain, full]


async def case_failures_are_told_with_their_causes(client: Client, task_queue: str) -> Any:
    named: Any = {"task_queue": task_queue, "start_to_close_timeout": SHORT}
    seen: list[Any] = []
    for number, (target, args, policy) in enumerate(
        [
            (failing, [9], ONCE),
            (failing, [9], RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_attempts=2)),
            (failing, [2], QUICK),
            (final, [], None),
            ("StandaloneUnknown", [], ONCE),
        ]
    ):
        handle = await client.start_activity(
            target, args=args, id=f"standalone-failing-{number}", retry_policy=policy, **named
        )
        ended = await outcome(handle.result())
        seen.append(list(ended[:2]) if number == 4 else ended)
        described = await handle.describe(include_outcome=True, include_last_failure=True)
        failure, last = await described.outcome_failure(), await described.last_failure()
        seen.append([described.status.name, described.attempt, described.has_last_failure()])
        if number < 4:
            seen.append([chain(failure), chain(last), await described.result()])
    return seen


async def case_timeouts_have_the_names_of_what_has_passed(client: Client, task_queue: str) -> Any:
    async def start(id: str, target: Any, *args: Any, **options: Any) -> ActivityHandle[Any]:
        named = {"task_queue": task_queue} | options
        return await client.start_activity(target, args=args, id=f"standalone-{id}", **named)

    handles = [
        await start("queued", echo, task_queue=NOBODY, schedule_to_close_timeout=SECOND),
        await start(
            "queued2", echo, task_queue=NOBODY, schedule_to_start_timeout=SECOND, start_to_close_timeout=SHORT
        ),
        await start("late", slow, 3.0, start_to_close_timeout=SECOND, retry_policy=ONCE),
        await start(
            "silent", slow, 3.0, start_to_close_timeout=SHORT, heartbeat_timeout=SECOND, retry_policy=ONCE
        ),
        await start("whole", slow, 3.0, schedule_to_close_timeout=SECOND),
        await start(
            "no-time",
            failing,
            9,
            schedule_to_close_timeout=SECOND,
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=5)),
        ),
        await start(
            "soon-no-time",
            failing,
            9,
            schedule_to_close_timeout=SECOND,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=400), backoff_coefficient=1.0),
        ),
        await start("paused", echo, task_queue=NOBODY, schedule_to_close_timeout=SECOND),
    ]
    await handles[-1].pause()
    seen: list[Any] = []
    for handle in handles:
        ended = await outcome(handle.result())
        if (
            handle.id == "standalone-soon-no-time"
        ):  # How many attempts were made depends on how late they began.
            ended = [error[:3] if isinstance(error, list) else error for error in ended]
        described = await handle.describe(include_last_failure=True)
        seen.append([handle.id, ended, described.status.name, described.has_last_failure()])
    return seen


async def case_ids_are_used_again_as_the_policies_say(client: Client, task_queue: str) -> Any:
    named: Any = {"task_queue": task_queue, "start_to_close_timeout": SHORT}
    reject = ActivityIDReusePolicy.REJECT_DUPLICATE
    failed_only = ActivityIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
    existing = ActivityIDConflictPolicy.USE_EXISTING

    async def again(id: str, **options: Any) -> list[Any]:
        return await outcome(client.execute_activity(echo, "again", id=id, **named, **options))

    seen = [await again("standalone-used"), await again("standalone-used")]
    seen += [await again("standalone-used", id_reuse_policy=policy) for policy in (reject, failed_only)]
    seen.append(await outcome(client.execute_activity(final, id="standalone-failed", **named)))
    seen.append(await again("standalone-failed", id_reuse_policy=reject))
    seen.append(await again("standalone-failed", id_reuse_policy=failed_only))
    first = await client.start_activity(
        echo, id="standalone-open", task_queue=NOBODY, start_to_close_timeout=SHORT
    )
    try:
        await client.start_activity(nothing, id="standalone-open", **named)
    except ActivityAlreadyStartedError as error:
        seen.append([error.activity_id, error.activity_type, error.run_id == first.run_id, str(error)])
    for options in ({}, {"id_reuse_policy": reject}):
        same = await client.start_activity(
            echo, id="standalone-open", id_conflict_policy=existing, **options, **named
        )
        seen.append(same.run_id == first.run_id)
    await first.terminate()
    seen.append(await again("standalone-open", id_reuse_policy=failed_only))
    return seen


async def case_what_has_not_begun_is_cancelled_at_once(client: Client, task_queue: str) -> Any:
    async def cancelled(id: str, target: Any, *args: Any, **options: Any) -> list[Any]:
        pause = options.pop("pause", False)
        handle = await client.start_activity(
            target, args=args, id=f"standalone-{id}", schedule_to_close_timeout=MINUTE, **options
        )
        if target is failing:
            while (await handle.describe()).attempt < 2:
                await asyncio.sleep(0.03)
        if pause:
            await handle.pause(reason="wait")
        await handle.cancel(reason="not wanted")
        return [await outcome(handle.result()), await _described(handle, include_outcome=True)]

    slowly = RetryPolicy(initial_interval=timedelta(seconds=30))
    seen = [
        await cancelled("cancel-queued", echo, task_queue=NOBODY),
        await cancelled("cancel-paused", echo, task_queue=NOBODY, pause=True),
        await cancelled("cancel-delayed", echo, task_queue=task_queue, start_delay=MINUTE),
        await cancelled("cancel-backing-off", failing, 9, task_queue=task_queue, retry_policy=slowly),
    ]
    handle = await client.start_activity(
        echo, id="standalone-cancel-silently", task_queue=NOBODY, schedule_to_close_timeout=MINUTE
    )
    await handle.cancel()
    return [*seen, await outcome(handle.result())]


async def case_what_runs_is_told_of_its_cancellation(client: Client, task_queue: str) -> Any:
    handle = await client.start_activity(
        beats,
        id="standalone-cancel-running",
        task_queue=task_queue,
        start_to_close_timeout=MINUTE,
        heartbeat_timeout=SECOND,
    )
    await _until_state(handle, "STARTED")
    await handle.cancel(reason="enough")
    ended = await outcome(handle.result())
    twice = await outcome(handle.cancel())
    return [ended, twice, _told["standalone-cancel-running"], await _described(handle)]


async def case_what_is_terminated_says_nothing_more(client: Client, task_queue: str) -> Any:
    seen: list[Any] = []
    for number, reason in enumerate(("too long", None)):
        handle = await client.start_activity(
            slow,
            3.0,
            id=f"standalone-terminated-{number}",
            task_queue=task_queue,
            start_to_close_timeout=SHORT,
        )
        await _until_state(handle, "STARTED")
        await handle.terminate(reason=reason)
        seen += [await outcome(handle.result()), await _described(handle, include_outcome=True)]
        seen.append(await outcome(handle.terminate()))
    return seen


async def case_a_pause_holds_until_it_ends(client: Client, task_queue: str) -> Any:
    queued = await client.start_activity(
        echo, "held", id="standalone-held", task_queue=task_queue, schedule_to_close_timeout=MINUTE,
        start_delay=timedelta(milliseconds=500),
    )  # fmt: skip
    seen: list[Any] = [await outcome(queued.unpause())]
    await queued.pause(reason="wait")
    seen.append(await outcome(queued.pause()))
    await asyncio.sleep(0.7)
    seen.append(await _described(queued))
    await queued.unpause(reason="go")
    seen.append(await outcome(queued.result()))
    running = await client.start_activity(
        beats,
        id="standalone-held-running",
        task_queue=task_queue,
        start_to_close_timeout=MINUTE,
        heartbeat_timeout=SECOND,
        retry_policy=QUICK,
    )
    await _until_state(running, "STARTED")
    await running.pause()
    seen.append(await _until_state(running, "PAUSED"))
    seen.append(await _described(running, include_last_failure=True, include_heartbeat_details=True))
    described = await running.describe(include_last_failure=True, include_heartbeat_details=True)
    seen.append([chain(await described.last_failure()), await described.heartbeat_details()])
    seen.append(_told["standalone-held-running"])
    await running.unpause()
    seen.append(await outcome(running.result()))
    silent = await client.start_activity(
        slow, 0.5, id="standalone-held-silent", task_queue=task_queue, start_to_close_timeout=MINUTE
    )
    await _until_state(silent, "STARTED")
    await silent.pause()
    seen += [await _state(silent), await outcome(silent.result()), (await silent.describe()).status.name]
    return seen


async def case_options_are_changed_one_by_one(client: Client, task_queue: str) -> Any:
    keys = ActivityOptionsKeys
    handle = await client.start_activity(
        about,
        id="standalone-changed",
        task_queue=NOBODY,
        schedule_to_close_timeout=MINUTE,
        start_to_close_timeout=timedelta(seconds=20),
        heartbeat_timeout=timedelta(seconds=3),
        retry_policy=RetryPolicy(maximum_attempts=3),
        priority=Priority(priority_key=2),
    )
    beat = keys.heartbeat_timeout.value_set(timedelta(seconds=4))
    seen: list[Any] = []
    for updates in (
        [beat],
        [keys.heartbeat_timeout.value_set(timedelta(minutes=10))],
        [beat, keys.retry_policy.value_unset()],
        [
            keys.retry_policy.value_set(RetryPolicy(maximum_attempts=5)),
            keys.priority.value_set(Priority(priority_key=4)),
        ],
        [keys.schedule_to_start_timeout.value_set(timedelta(minutes=10))],
        [beat, keys.schedule_to_close_timeout.value_unset()],
        [beat, keys.schedule_to_close_timeout.value_unset(), keys.start_to_close_timeout.value_unset()],
        [beat, keys.task_queue.value_unset()],
        [keys.start_to_close_timeout.value_set(-SECOND)],
        [keys.start_delay.value_set(SECOND)],
        [],
        [beat, beat],
    ):
        changed = await outcome(handle.update_options(updates))
        if changed[0] == "result":
            found = changed[1]
            changed = [*_options(found), found.retry_policy.maximum_attempts, found.priority.priority_key]
        seen.append(changed)
    restored = await handle.restore_original_options()
    seen.append([*_options(restored), restored.retry_policy is not None])
    await handle.update_options([keys.task_queue.value_set(task_queue)])
    seen.append(await handle.result())
    seen.append(await outcome(handle.update_options([beat])))
    seen.append(await outcome(handle.restore_original_options()))
    return seen


async def case_changed_options_hold_for_what_waits(client: Client, task_queue: str) -> Any:
    keys = ActivityOptionsKeys
    delayed = await client.start_activity(
        echo,
        "delayed",
        id="standalone-sooner",
        task_queue=task_queue,
        start_to_close_timeout=SHORT,
        start_delay=MINUTE,
    )
    changed = await delayed.update_options([keys.start_delay.value_set(timedelta(milliseconds=100))])
    retrying = await client.start_activity(
        failing,
        1,
        id="standalone-retried-sooner",
        task_queue=task_queue,
        start_to_close_timeout=SHORT,
        retry_policy=RetryPolicy(initial_interval=MINUTE),
    )
    while (await retrying.describe()).attempt < 2:
        await asyncio.sleep(0.03)
    seen = [str(changed.start_delay), await outcome(delayed.result()), await _described(retrying)]
    await retrying.update_options([keys.retry_policy.value_set(QUICK)])
    return [*seen, await outcome(retrying.result())]


async def case_a_description_has_what_is_asked_for(client: Client, task_queue: str) -> Any:
    handle = await client.start_activity(
        failing,
        1,
        id="standalone-described",
        task_queue=task_queue,
        start_to_close_timeout=SHORT,
        retry_policy=QUICK,
    )
    await handle.result()
    seen = [await _described(handle)]
    found: ActivityExecutionDescription = await handle.describe(
        include_input=True, include_outcome=True, include_heartbeat_details=True, include_last_failure=True
    )
    seen.append(
        [await found.input(), await found.input([int]), await found.result(), await found.result(int)]
    )
    seen.append([await found.heartbeat_details(), await found.heartbeat_details([int])])
    seen.append([chain(await found.last_failure()), await found.outcome_failure()])
    assert found.execution_time is not None
    seen.append([str(found.execution_time - found.schedule_time), found.total_heartbeat_count > 0])
    delayed = await client.start_activity(
        echo,
        id="standalone-delayed",
        task_queue=task_queue,
        schedule_to_close_timeout=MINUTE,
        start_delay=MINUTE,
    )
    seen.append(await _described(delayed, include_input=True))
    found = await delayed.describe(include_input=True)
    assert found.execution_time is not None
    assert found.expiration_time is not None
    seen.append(
        [str(found.execution_time - found.schedule_time), str(found.expiration_time - found.schedule_time)]
    )
    seen.append(await found.input())
    await delayed.terminate()
    return seen


async def case_what_is_not_there_or_has_closed_is_refused(client: Client, task_queue: str) -> Any:
    handles = [client.get_activity_handle("standalone-never")]
    done = await client.start_activity(
        echo, id="standalone-done", task_queue=task_queue, start_to_close_timeout=SHORT
    )
    await done.result()
    handles += [
        client.get_activity_handle("standalone-done", run_id="00000000-0000-0000-0000-000000000000"),
        done,
    ]
    asked: list[Callable[[ActivityHandle[Any]], Awaitable[Any]]] = [
        lambda handle: handle.cancel(),
        lambda handle: handle.terminate(),
        lambda handle: handle.pause(),
        lambda handle: handle.unpause(),
        lambda handle: handle.update_options([ActivityOptionsKeys.heartbeat_timeout.value_set(SECOND)]),
        lambda handle: handle.restore_original_options(),
    ]
    seen = [await outcome(ask(handle)) for handle in handles for ask in asked]
    seen += [await outcome(handle.result()) for handle in handles]
    return [*seen, *[await outcome(handle.describe()) for handle in handles[:2]]]


async def case_starts_that_cannot_be_are_refused(client: Client, task_queue: str) -> Any:
    async def start(**options: Any) -> list[Any]:
        named = {
            "id": "standalone-refused",
            "task_queue": task_queue,
            "start_to_close_timeout": SHORT,
        } | options
        return await outcome(client.start_activity(echo, **named))

    seen = [
        await start(start_to_close_timeout=None),
        await start(start_to_close_timeout=timedelta(0)),
        await start(start_to_close_timeout=-SECOND),
        await start(heartbeat_timeout=-SECOND),
        await start(start_delay=-SECOND),
        await start(id=""),
        await start(task_queue=""),
    ]
    return [answer if answer[0] == "raised" else "accepted" for answer in seen]


async def case_they_are_listed_and_counted_by_themselves(client: Client, task_queue: str) -> Any:
    crops = TypedSearchAttributes([SearchAttributePair(CROP, "standalone")])
    handles = [
        await client.start_activity(
            target,
            args=args,
            id=f"standalone-listed-{number}",
            task_queue=task_queue,
            start_to_close_timeout=SHORT,
            search_attributes=crops,
        )
        for number, (target, args) in enumerate([(echo, [1]), (echo, [2]), (final, []), (slow, [2.5])])
    ]
    for handle in handles[:3]:
        await outcome(handle.result())

    async def ids(query: str) -> list[str]:
        return sorted([each.activity_id async for each in client.list_activities(query)])

    ours = "Crop = 'standalone'"
    await until(lambda: ids(f"{ours} AND ExecutionStatus = 'Failed'"), ["standalone-listed-2"])
    await until(lambda: ids(f"{ours} AND ExecutionStatus = 'Completed'"), [h.id for h in handles[:2]])
    await until(lambda: ids(f"{ours} AND ExecutionStatus = 'Running'"), ["standalone-listed-3"])
    seen: list[Any] = [
        await ids(ours),
        await ids(f"{ours} AND ActivityType = 'StandaloneEcho'"),
        await ids("ActivityId = 'standalone-listed-1'"),
        await ids(f"{ours} AND ActivityId STARTS_WITH 'standalone-listed'"),
        await ids(f"RunId = '{handles[0].run_id}'"),
        await ids(f"{ours} AND CloseTime IS NULL"),
        await outcome(ids("NoSuchField = 1")),
        (await client.count_workflows(ours)).count,
        [each.id async for each in client.list_workflows(ours)],
        (await client.count_activities(ours)).count,
    ]
    groups = (await client.count_activities(f"{ours} GROUP BY ExecutionStatus")).groups
    seen.append(sorted([[*group.group_values, group.count] for group in groups]))
    pages = client.list_activities(ours, page_size=3)
    await pages.fetch_next_page()
    seen.append([len(pages.current_page or ()), pages.current_page_index, pages.next_page_token is not None])
    seen.append(len([each async for each in client.list_activities(ours, limit=2)]))
    (listed,) = [each async for each in client.list_activities("ActivityId = 'standalone-listed-2'")]
    seen.append([listed.activity_type, listed.status.name, listed.task_queue, listed.namespace])
    seen.append([listed.typed_search_attributes.get(CROP), listed.activity_run_id == handles[2].run_id])
    seen.append([listed.close_time is None, listed.execution_duration is None, listed.execution_time is None])
    await handles[3].terminate()
    return seen


async def case_someone_else_completes_them(client: Client, task_queue: str) -> Any:
    async def start(id: str) -> ActivityHandle[Any]:
        handle = await client.start_activity(
            later,
            id=f"standalone-{id}",
            task_queue=task_queue,
            start_to_close_timeout=SHORT,
            retry_policy=ONCE,
        )
        await _until_state(handle, "STARTED")
        await asyncio.sleep(
            0.2
        )  # The function has ended by then, and its worker has said that another completes it.
        return handle

    seen: list[Any] = []
    done = await start("later-done")
    outside = client.get_async_activity_handle(activity_id="standalone-later-done", run_id=done.run_id)
    await outside.heartbeat("alive")
    await outside.complete("from outside")
    seen.append(await outcome(done.result()))
    failed = await start("later-failed")
    await client.get_async_activity_handle(activity_id="standalone-later-failed").fail(ApplicationError("no"))
    seen.append(await outcome(failed.result()))
    cancelled = await start("later-cancelled")
    outside = client.get_async_activity_handle(activity_id="standalone-later-cancelled")
    await cancelled.cancel(reason="enough")
    seen.append(await _state(cancelled))
    seen.append(await outcome(cancelled.cancel()))
    try:
        await outside.heartbeat()
    except Exception as error:
        details: Any = getattr(error, "details", None)
        seen.append([type(error).__name__, details.cancel_requested, details.paused])
    await outside.report_cancellation("gone")
    seen.append(await outcome(cancelled.result()))
    paused = await start("later-paused")
    outside = client.get_async_activity_handle(activity_id="standalone-later-paused")
    await paused.pause()
    seen.append([await _state(paused), (await paused.describe()).status.name])
    try:
        await outside.heartbeat()
    except Exception as error:
        details = getattr(error, "details", None)
        seen.append([type(error).__name__, details.cancel_requested, details.paused])
    await outside.complete("all the same")
    seen.append(await outcome(paused.result()))
    nobody = client.get_async_activity_handle(activity_id="standalone-nobody")
    seen.append(await outcome(nobody.complete()))
    for options in ({}, {"workflow_id": "w"}, {"task_token": b"t", "activity_id": "a"}):
        try:
            client.get_async_activity_handle(**options)
        except ValueError as error:
            seen.append(str(error))
    return seen


async def case_they_wait_for_a_worker(client: Client, task_queue: str) -> Any:
    queue = "standalone-served-later"
    handle = await client.start_activity(
        echo, "at last", id="standalone-waits", task_queue=queue, start_to_close_timeout=SHORT
    )
    before = await _state(handle)
    async with worker(client, queue, activities=[echo]):
        return [before, await handle.result()]
