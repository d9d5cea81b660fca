"""Activities, called from workflow code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar, Unpack, overload

from ..activity import activity_definition
from ..common import Priority, RetryPolicy
from ..core.activities import ActivityCancellationType, ActivityHandle, PendingActivity
from ..core.commands import ScheduleActivity
from ..core.instance import Instance
from ..retry_policy import rule_of
from ._current import current

P1 = TypeVar("P1")
R = TypeVar("R")
_UNSET: Any = object()


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
    priority: Priority


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
    arg: Any = _UNSET,
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
    priority: Priority = Priority.default,
) -> ActivityHandle[Any]:
    """Schedule an activity; awaiting the handle gives its result.

    An activity runs at least once, and again after each failure as its retry policy says (by default for ever).
    `start_to_close_timeout` bounds one attempt, `schedule_to_close_timeout` all of them; one of both is required.
    `schedule_to_start_timeout` bounds the wait for a worker, `heartbeat_timeout` the silence between two beats.

    Raises:
        ValueError: no timeout, both `arg` and `args`, or a retry policy that contradicts itself.
        PayloadLimitError: an argument is larger than may be stored.
        ActivityError: (from the handle) the activity failed; its cause says how.
    """
    del versioning_intent, priority
    return _schedule(
        activity,
        _arguments(arg, args),
        ActivityConfig(
            task_queue=task_queue,
            schedule_to_close_timeout=schedule_to_close_timeout,
            schedule_to_start_timeout=schedule_to_start_timeout,
            start_to_close_timeout=start_to_close_timeout,
            heartbeat_timeout=heartbeat_timeout,
            retry_policy=retry_policy,
            cancellation_type=cancellation_type,
            activity_id=activity_id,
            summary=summary,
        ),
        result_type,
    )


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
    arg: Any = _UNSET,
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
    priority: Priority = Priority.default,
) -> Any:
    """Schedule an activity and wait for its result; see `start_activity`."""
    del versioning_intent, priority
    return await _schedule(
        activity,
        _arguments(arg, args),
        ActivityConfig(
            task_queue=task_queue,
            schedule_to_close_timeout=schedule_to_close_timeout,
            schedule_to_start_timeout=schedule_to_start_timeout,
            start_to_close_timeout=start_to_close_timeout,
            heartbeat_timeout=heartbeat_timeout,
            retry_policy=retry_policy,
            cancellation_type=cancellation_type,
            activity_id=activity_id,
            summary=summary,
        ),
        result_type,
    )


# A method or callable class is an activity like any other here; the names are those that authors know.
start_activity_method = start_activity
execute_activity_method = execute_activity
start_activity_class = start_activity
execute_activity_class = execute_activity


def _arguments(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    if arg is _UNSET:
        return args
    if args:
        raise ValueError("Cannot have arg and args: give one argument as arg, or all of them as args")
    return (arg,)


def _schedule(
    activity: Any, args: Sequence[Any], options: ActivityConfig, result_type: type | None
) -> ActivityHandle[Any]:
    instance = current()
    name, return_type = _target(activity)
    start_to_close = options.get("start_to_close_timeout")
    schedule_to_close = options.get("schedule_to_close_timeout")
    if start_to_close is None and schedule_to_close is None:
        raise ValueError(f"Activity {name} must have start_to_close_timeout or schedule_to_close_timeout")
    instance.require_writable("start an activity")
    activity_id = instance.next_id()
    command = ScheduleActivity(
        activity_id,
        name,
        options.get("task_queue") or instance.start.task_queue,
        _encoded(instance, name, args),
        _positive(schedule_to_close, "schedule_to_close_timeout"),
        _positive(options.get("schedule_to_start_timeout"), "schedule_to_start_timeout"),
        _positive(start_to_close, "start_to_close_timeout"),
        _positive(options.get("heartbeat_timeout"), "heartbeat_timeout"),
        rule_of(options.get("retry_policy")),
        options.get("activity_id") or str(activity_id),
        _no_headers,
        options.get("summary") or "",
    )
    pending = PendingActivity(
        command,
        instance.loop.create_future(),
        cancellation=options.get("cancellation_type", ActivityCancellationType.TRY_CANCEL),
        result_type=result_type if result_type is not None else return_type,
    )
    return instance.start_activity(pending)


_no_headers: Mapping[str, Any] = {}


def _target(activity: Any) -> tuple[str, Any]:
    if isinstance(activity, str):
        return activity, None
    definition = activity_definition(activity)
    if definition.name is None:
        raise ValueError("a dynamic activity has no name of its own: give the name as a string")
    return definition.name, definition.return_type


def _encoded(instance: Instance, name: str, args: Sequence[Any]) -> tuple[Any, ...]:
    try:
        return instance.values.encode(args)
    except ValueError as error:
        error.add_note(f"while the arguments of activity {name} were encoded")
        raise


def _positive(timeout: timedelta | None, name: str) -> float | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds()
    if seconds <= 0:
        raise ValueError(f"{name} is {timeout}, expected a positive duration")
    return seconds
