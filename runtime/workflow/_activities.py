"""Activities, called from workflow code."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar, Unpack, overload

from ..activity import activity_definition
from ..common import ConcurrencyKey, ConcurrencyPolicy, Priority, RetryPolicy
from ..core.activities import ActivityCancellationType, ActivityHandle, ActivityOutcome, PendingActivity
from ..core.commands import ScheduleActivity
from ..core.instance import Instance, Values
from ..interceptors import StartActivityInput, StartLocalActivityInput
from ..retry_policy import inherited, parts_of, rule_of
from ._arguments import UNSET, arguments, positive
from ._current import current
from ._event_groups import belonging_to
from ._intercepting import NO_HEADERS, intercepted, outbound_of

P1 = TypeVar("P1")
R = TypeVar("R")


class ActivityConfig(TypedDict, total=False):
    """The options of an activity, to be kept in one place and given as `**config`."""

    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    versioning_intent: Any
    summary: str | None
    event_groups: Sequence[Any] | None
    priority: Priority
    concurrency: ConcurrencyKey | None


class _Options(ActivityConfig, total=False):
    result_type: type | None


@overload
def start_activity(
    activity: Callable[[], Awaitable[R]], **options: Unpack[_Options]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[[P1], Awaitable[R]], arg: P1, **options: Unpack[_Options]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[..., Awaitable[R]], *, args: Sequence[Any], **options: Unpack[_Options]
) -> ActivityHandle[R]: ...
@overload
def start_activity(activity: Callable[[], R], **options: Unpack[_Options]) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[[P1], R], arg: P1, **options: Unpack[_Options]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: Callable[..., R], *, args: Sequence[Any], **options: Unpack[_Options]
) -> ActivityHandle[R]: ...
@overload
def start_activity(
    activity: str, arg: Any = ..., *, args: Sequence[Any] = ..., **options: Unpack[_Options]
) -> ActivityHandle[Any]: ...
def start_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: Any = None,
    summary: str | None = None,
    event_groups: Sequence[Any] | None = None,
    priority: Priority = Priority.default,
    concurrency: ConcurrencyKey | None = None,
) -> ActivityHandle[Any]:
    """Schedule an activity; awaiting the handle gives its result.

    An activity runs at least once, and again after each failure as its retry policy says (by default for ever).
    `start_to_close_timeout` bounds one attempt, `schedule_to_close_timeout` all of them; one of both is required.
    `schedule_to_start_timeout` bounds the wait for a worker, `heartbeat_timeout` the silence between two beats. Of the attempts
    with one `concurrency` key, whatever their workflows and types, at most its limit run at a time.

    Raises:
        ValueError: no timeout, both `arg` and `args`, or a retry policy that contradicts itself.
        PayloadLimitError: an argument is larger than may be stored.
        ActivityError: (from the handle) the activity failed; its cause says how.
    """
    instance, asked = _asked_for(
        activity,
        arguments(arg, args),
        result_type,
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        versioning_intent=versioning_intent,
        summary=summary,
        event_groups=event_groups,
        priority=priority,
        concurrency=concurrency,
    )
    return outbound_of(instance).start_activity(asked)


@overload
async def execute_activity(activity: Callable[[], Awaitable[R]], **options: Unpack[_Options]) -> R: ...
@overload
async def execute_activity(
    activity: Callable[[P1], Awaitable[R]], arg: P1, **options: Unpack[_Options]
) -> R: ...
@overload
async def execute_activity(
    activity: Callable[..., Awaitable[R]], *, args: Sequence[Any], **options: Unpack[_Options]
) -> R: ...
@overload
async def execute_activity(activity: Callable[[], R], **options: Unpack[_Options]) -> R: ...
@overload
async def execute_activity(activity: Callable[[P1], R], arg: P1, **options: Unpack[_Options]) -> R: ...
@overload
async def execute_activity(
    activity: Callable[..., R], *, args: Sequence[Any], **options: Unpack[_Options]
) -> R: ...
@overload
async def execute_activity(
    activity: str, arg: Any = ..., *, args: Sequence[Any] = ..., **options: Unpack[_Options]
) -> Any: ...
async def execute_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: Any = None,
    summary: str | None = None,
    event_groups: Sequence[Any] | None = None,
    priority: Priority = Priority.default,
    concurrency: ConcurrencyKey | None = None,
) -> Any:
    """Schedule an activity and wait for its result; see `start_activity`."""
    instance, asked = _asked_for(
        activity,
        arguments(arg, args),
        result_type,
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        versioning_intent=versioning_intent,
        summary=summary,
        event_groups=event_groups,
        priority=priority,
        concurrency=concurrency,
    )
    if intercepted(instance):
        return await outbound_of(instance).start_activity(asked)
    return await ActivityOutcome(schedule(instance, asked), instance)


# A method or callable class is an activity like any other here; the names are those that authors know.
start_activity_method = start_activity
execute_activity_method = execute_activity
start_activity_class = start_activity
execute_activity_class = execute_activity


def _asked_for(
    activity: Any, args: Sequence[Any], result_type: type | None, **options: Any
) -> tuple[Instance, StartActivityInput]:
    instance = current()
    name, hint, durability = activity_target(activity)
    instance.require_writable("start activity")
    return instance, StartActivityInput(
        activity=name,
        args=args,
        headers=NO_HEADERS,
        disable_eager_execution=False,
        durability=durability,
        arg_types=None,
        ret_type=result_type if result_type is not None else hint,
        **options,
    )


def schedule(instance: Instance, input: StartActivityInput) -> PendingActivity:
    """Ask the core for an activity."""
    if input.start_to_close_timeout is None:
        _require_a_timeout(input.activity, input.start_to_close_timeout, input.schedule_to_close_timeout)
    number = instance.next_id()
    name = str(instance.next_activity_number())
    activity_id = input.activity_id or name
    task_queue = input.task_queue or instance.start.task_queue
    values = instance.values.for_activity(
        instance.start, activity_id, input.activity, task_queue, local=False
    )
    key, limit = _key_and_limit(input.concurrency)
    command = ScheduleActivity(
        number,
        input.activity,
        task_queue,
        _encoded(values, input.activity, input.args),
        positive(input.schedule_to_close_timeout, "schedule_to_close_timeout"),
        positive(input.schedule_to_start_timeout, "schedule_to_start_timeout"),
        positive(input.start_to_close_timeout, "start_to_close_timeout"),
        positive(input.heartbeat_timeout, "heartbeat_timeout"),
        rule_of(input.retry_policy),
        activity_id,
        input.headers,
        input.summary or "",
        False,
        *inherited(input.priority, instance.start),
        concurrency_key=key,
        concurrency_limit=limit,
        durability=input.durability,
    )
    return _start(instance, command, values, input)


def _key_and_limit(concurrency: ConcurrencyKey | None) -> tuple[str, int]:
    if concurrency is None:
        return "", 0
    key, limit, policy = parts_of(concurrency)
    if policy != ConcurrencyPolicy.WAIT:
        raise ValueError(
            f"the concurrency policy of an activity is {concurrency.policy.name}, expected WAIT: only executions join, replace "
            "and are refused"
        )
    return key, limit


def _start(
    instance: Instance,
    command: ScheduleActivity,
    values: Values,
    input: StartActivityInput | StartLocalActivityInput,
) -> PendingActivity:
    pending = PendingActivity(
        command, instance.loop, values, cancellation=input.cancellation_type, result_type=input.ret_type
    )
    if input.event_groups:
        with belonging_to(input.event_groups):
            instance.start_activity(pending)
    else:
        instance.start_activity(pending)
    return pending


def _require_a_timeout(
    name: str, start_to_close: timedelta | None, schedule_to_close: timedelta | None
) -> None:
    if start_to_close is None and schedule_to_close is None:
        raise ValueError(
            f"Activity must have start_to_close_timeout or schedule_to_close_timeout: {name} has neither"
        )


def activity_target(activity: Any) -> tuple[str, Any, int]:
    """The type of an activity that is asked for, the type of its result where it is known, and its durability class."""
    if isinstance(activity, str):
        return activity, None, 0
    definition = activity_definition(activity)
    if definition.name is None:
        raise ValueError("Cannot invoke dynamic activity explicitly: give the name as a string")
    return definition.name, definition.return_type, definition.durability


def _encoded(values: Values, name: str, args: Sequence[Any]) -> tuple[Any, ...]:
    try:
        return values.encode(args)
    except ValueError as error:
        error.add_note(f"while the arguments of activity {name} were encoded")
        raise


# -- local activities ------------------------------------------------------------------------------------


class LocalActivityConfig(TypedDict, total=False):
    """The options of a local activity, to be kept in one place and given as `**config`."""

    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    local_retry_threshold: timedelta | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    summary: str | None
    event_groups: Sequence[Any] | None


def start_local_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Sequence[Any] | None = None,
) -> ActivityHandle[Any]:
    """Run an activity in the worker that runs this workflow: no task queue, no heartbeat, the same promises.

    Raises:
        ValueError: no timeout, or both `arg` and `args`.
        ActivityError: (from the handle) the activity failed; its cause says how.
    """
    instance = current()
    name, hint, durability = activity_target(activity)
    instance.require_writable("start local activity")
    return outbound_of(instance).start_local_activity(
        StartLocalActivityInput(
            activity=name,
            args=arguments(arg, args),
            activity_id=activity_id,
            schedule_to_close_timeout=schedule_to_close_timeout,
            schedule_to_start_timeout=schedule_to_start_timeout,
            start_to_close_timeout=start_to_close_timeout,
            retry_policy=retry_policy,
            local_retry_threshold=local_retry_threshold,
            cancellation_type=cancellation_type,
            headers=NO_HEADERS,
            summary=summary,
            event_groups=event_groups,
            durability=durability,
            ret_type=result_type if result_type is not None else hint,
        )
    )


async def execute_local_activity(
    activity: Any, arg: Any = UNSET, *, args: Sequence[Any] = (), **options: Any
) -> Any:
    """Run a local activity and wait for its result; see `start_local_activity`."""
    return await start_local_activity(activity, arg, args=args, **options)


execute_local_activity.__signature__ = inspect.signature(start_local_activity).replace(return_annotation=Any)  # type: ignore[attr-defined]
start_local_activity_method = start_local_activity
execute_local_activity_method = execute_local_activity
start_local_activity_class = start_local_activity
execute_local_activity_class = execute_local_activity


def schedule_local(instance: Instance, input: StartLocalActivityInput) -> PendingActivity:
    """Ask the core for a local activity.

    Raises:
        ValueError: this worker does not have it; the workflow waits for one that has.
    """
    _require_a_timeout(input.activity, input.start_to_close_timeout, input.schedule_to_close_timeout)
    require: Callable[[str], None] | None = instance.extras.get("require_activity")
    if require is not None:
        require(input.activity)  # Local activities run where their workflow does.
    number = instance.next_id()
    name = str(instance.next_activity_number())
    activity_id = input.activity_id or name
    task_queue = instance.start.task_queue
    values = instance.values.for_activity(instance.start, activity_id, input.activity, task_queue, local=True)
    command = ScheduleActivity(
        number,
        input.activity,
        task_queue,
        _encoded(values, input.activity, input.args),
        positive(input.schedule_to_close_timeout, "schedule_to_close_timeout"),
        positive(input.schedule_to_start_timeout, "schedule_to_start_timeout"),
        positive(input.start_to_close_timeout, "start_to_close_timeout"),
        None,
        rule_of(input.retry_policy),
        activity_id,
        input.headers,
        input.summary or "",
        True,
        durability=input.durability,
    )
    return _start(instance, command, values, input)
