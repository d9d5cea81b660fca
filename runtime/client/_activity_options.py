"""Options of activities that no workflow asked for, and how a client changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final, Generic, TypeVar

from ..common import Priority, RetryPolicy
from ..core.events import ActivityOptionsUpdated
from ..core.standalone import NUMBER
from ..retry_policy import policy_in_effect, priority_of, rule_of

V = TypeVar("V")


@dataclass(frozen=True)
class ActivityOptionsKey(Generic[V]):
    """One option that can be changed: one of `ActivityOptionsKeys`."""

    name: str

    def value_set(self, value: V) -> ActivityOptionsUpdate[V]:
        """The change to this value."""
        return ActivityOptionsUpdate(self, value)

    def value_unset(self) -> ActivityOptionsUpdate[V]:
        """The change to no value."""
        return ActivityOptionsUpdate(self, None)


@dataclass(frozen=True)
class ActivityOptionsUpdate(Generic[V]):
    """One change of one option."""

    key: ActivityOptionsKey[V]
    value: V | None
    """None for no value."""


class ActivityOptionsKeys:
    """The options that `ActivityHandle.update_options` can change."""

    task_queue: ClassVar[ActivityOptionsKey[str]] = ActivityOptionsKey("task_queue.name")
    schedule_to_close_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey(
        "schedule_to_close_timeout"
    )
    schedule_to_start_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey(
        "schedule_to_start_timeout"
    )
    start_to_close_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey(
        "start_to_close_timeout"
    )
    heartbeat_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey("heartbeat_timeout")
    start_delay: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey("start_delay")
    retry_policy: ClassVar[ActivityOptionsKey[RetryPolicy]] = ActivityOptionsKey("retry_policy")
    priority: ClassVar[ActivityOptionsKey[Priority]] = ActivityOptionsKey("priority")


@dataclass(frozen=True)
class ActivityExecutionOptions:
    """The options of an activity as they are: a timeout of zero is none."""

    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    start_delay: timedelta | None
    retry_policy: RetryPolicy | None
    priority: Priority | None


_DURATIONS: Final = {
    "schedule_to_close_timeout": "schedule_to_close_s",
    "schedule_to_start_timeout": "schedule_to_start_s",
    "start_to_close_timeout": "start_to_close_s",
    "heartbeat_timeout": "heartbeat_s",
    "start_delay": "delay_s",
}


def check_updates(updates: Sequence[ActivityOptionsUpdate[Any]], asked_by: str) -> None:
    """No option is named twice.

    Raises:
        ValueError: one is.
    """
    seen: set[str] = set()
    for update in updates:
        if update.key.name in seen:
            raise ValueError(f"{asked_by} received more than one update for {update.key.name}")
        seen.add(update.key.name)


def changes_of(
    updates: Sequence[ActivityOptionsUpdate[Any]],
) -> tuple[ActivityOptionsUpdated, tuple[str, ...]]:
    """The values of changed options, and the names of those that are changed, as they are recorded.

    Raises:
        ValueError: an option is unknown or named twice, or a retry policy contradicts itself.
    """
    check_updates(updates, "update_activity_options")
    values: dict[str, Any] = {"task_queue": ""}
    names: list[str] = []
    for update in updates:
        found = _recorded(update.key.name, update.value)
        values.update(found)
        names += found
    return ActivityOptionsUpdated(NUMBER, **values), tuple(names)


def _recorded(name: str, value: Any) -> dict[str, Any]:
    if name == "task_queue.name":
        return {"task_queue": value or ""}
    if name == "retry_policy":
        return {"retry": rule_of(value)}
    if name == "priority":
        priority: Priority = value or Priority.default
        return {
            "priority_key": priority.priority_key or 0,
            "fairness_key": priority.fairness_key or "",
            "fairness_weight": priority.fairness_weight or 0.0,
        }
    if name not in _DURATIONS:
        raise ValueError(f"No conversion for activity option {name!r}")
    seconds = None if value is None else value.total_seconds()
    return {_DURATIONS[name]: seconds or 0.0 if name == "start_delay" else seconds}


def options_as_they_are(found: ActivityOptionsUpdated) -> ActivityExecutionOptions:
    """Recorded options, as a client sees them."""
    return ActivityExecutionOptions(
        task_queue=found.task_queue,
        schedule_to_close_timeout=timedelta(seconds=found.schedule_to_close_s or 0),
        schedule_to_start_timeout=timedelta(seconds=found.schedule_to_start_s or 0),
        start_to_close_timeout=timedelta(seconds=found.start_to_close_s or 0),
        heartbeat_timeout=timedelta(seconds=found.heartbeat_s or 0),
        start_delay=timedelta(seconds=found.delay_s) if found.delay_s else None,
        retry_policy=policy_in_effect(found.retry),
        priority=priority_of(found.priority_key, found.fairness_key, found.fairness_weight),
    )
