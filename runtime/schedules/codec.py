"""Schedules as values that JSON knows, and back. Fields are only ever added, with a default."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from ..common import ConcurrencyKey, ConcurrencyPolicy, Priority, RetryPolicy
from ..core.payload import Payload
from ..retry_policy import parts_of
from ..search_attributes import attributes_of, typed
from .types import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)

Encode = Callable[[Sequence[Any]], tuple[Payload, ...]]
"""Arguments as payloads, by the client's converter."""

_CALENDAR_FIELDS = ("second", "minute", "hour", "day_of_month", "month", "year", "day_of_week")


def schedule_to_json(schedule: Schedule, encode: Encode) -> dict[str, Any]:
    """The schedule as it is stored. What is a payload already, as in a described schedule, is kept.

    Raises:
        TypeError: its action is none that is known here, or a search attribute does not have its type.
    """
    if not isinstance(schedule.action, ScheduleActionStartWorkflow):
        raise TypeError(f"action is {type(schedule.action).__name__}, expected ScheduleActionStartWorkflow")
    return {
        "action": _action_to_json(schedule.action, encode),
        "spec": spec_to_json(schedule.spec),
        "policy": {
            "overlap": int(schedule.policy.overlap),
            "catchup_window_s": _seconds(schedule.policy.catchup_window),
            "pause_on_failure": schedule.policy.pause_on_failure,
        },
        "state": asdict(schedule.state),
    }


def schedule_from_json(found: Mapping[str, Any]) -> Schedule:
    """The stored schedule; the arguments, the memo's values and the headers of its action are payloads."""
    policy = found["policy"]
    return Schedule(
        action=_action_from_json(found["action"]),
        spec=spec_from_json(found["spec"]),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy(policy["overlap"]),
            catchup_window=_duration(policy["catchup_window_s"]),
            pause_on_failure=policy["pause_on_failure"],
        ),
        state=ScheduleState(**found["state"]),
    )


# -- when ----------------------------------------------------------------------------------------------


def spec_to_json(spec: ScheduleSpec) -> dict[str, Any]:
    """The spec as it is stored."""
    return {
        "calendars": [_calendar_to_json(calendar) for calendar in spec.calendars],
        "intervals": [
            {"every_s": _seconds(interval.every), "offset_s": _seconds(interval.offset)}
            for interval in spec.intervals
        ],
        "cron_expressions": list(spec.cron_expressions),
        "skip": [_calendar_to_json(calendar) for calendar in spec.skip],
        "start_at": spec.start_at.isoformat() if spec.start_at else None,
        "end_at": spec.end_at.isoformat() if spec.end_at else None,
        "jitter_s": _seconds(spec.jitter),
        "time_zone_name": spec.time_zone_name,
    }


def spec_from_json(found: Mapping[str, Any]) -> ScheduleSpec:
    """The stored spec."""
    return ScheduleSpec(
        calendars=[_calendar_from_json(calendar) for calendar in found["calendars"]],
        intervals=[
            ScheduleIntervalSpec(timedelta(seconds=each["every_s"]), _duration(each["offset_s"]))
            for each in found["intervals"]
        ],
        cron_expressions=list(found["cron_expressions"]),
        skip=[_calendar_from_json(calendar) for calendar in found["skip"]],
        start_at=_instant(found["start_at"]),
        end_at=_instant(found["end_at"]),
        jitter=_duration(found["jitter_s"]),
        time_zone_name=found["time_zone_name"],
    )


def _calendar_to_json(calendar: ScheduleCalendarSpec) -> dict[str, Any]:
    ranges = {
        name: [[each.start, each.end, each.step] for each in getattr(calendar, name)]
        for name in _CALENDAR_FIELDS
    }
    return {**ranges, "comment": calendar.comment}


def _calendar_from_json(found: Mapping[str, Any]) -> ScheduleCalendarSpec:
    ranges = {name: tuple(ScheduleRange(*each) for each in found[name]) for name in _CALENDAR_FIELDS}
    return ScheduleCalendarSpec(**ranges, comment=found["comment"])


# -- what ----------------------------------------------------------------------------------------------


def _action_to_json(action: ScheduleActionStartWorkflow, encode: Encode) -> dict[str, Any]:
    attributes = {
        **attributes_of(action.untyped_search_attributes),
        **attributes_of(action.typed_search_attributes),
    }
    return {
        "workflow": action.workflow,
        "args": [_payload_to_json(payload) for payload in _encoded(action.args, encode)],
        "id": action.id,
        "task_queue": action.task_queue,
        "execution_timeout_s": _seconds(action.execution_timeout),
        "run_timeout_s": _seconds(action.run_timeout),
        "task_timeout_s": _seconds(action.task_timeout),
        "retry_policy": _retry_to_json(action.retry_policy),
        "memo": _payloads_to_json(action.memo, encode),
        "search_attributes": {name: list(attribute) for name, attribute in attributes.items()},
        "static_summary": _text_to_json(action.static_summary),
        "static_details": _text_to_json(action.static_details),
        "priority": asdict(action.priority),
        "concurrency": None if action.concurrency is None else list(parts_of(action.concurrency)),
        "headers": _payloads_to_json(action.headers, encode),
    }


def _action_from_json(found: Mapping[str, Any]) -> ScheduleActionStartWorkflow:
    return ScheduleActionStartWorkflow(
        found["workflow"],
        args=[_payload_from_json(each) for each in found["args"]],
        id=found["id"],
        task_queue=found["task_queue"],
        execution_timeout=_duration(found["execution_timeout_s"]),
        run_timeout=_duration(found["run_timeout_s"]),
        task_timeout=_duration(found["task_timeout_s"]),
        retry_policy=_retry_from_json(found["retry_policy"]),
        memo=_payloads_from_json(found["memo"]),
        typed_search_attributes=typed(
            {name: (kind, value) for name, (kind, value) in found["search_attributes"].items()}
        ),
        static_summary=_text_from_json(found["static_summary"]),
        static_details=_text_from_json(found["static_details"]),
        headers=_payloads_from_json(found["headers"]),
        priority=Priority(**found["priority"]),
        concurrency=_concurrency_from_json(found.get("concurrency")),
    )


def _concurrency_from_json(found: Sequence[Any] | None) -> ConcurrencyKey | None:
    return None if found is None else ConcurrencyKey(found[0], found[1], ConcurrencyPolicy(found[2]))


def _retry_to_json(policy: RetryPolicy | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    types = policy.non_retryable_error_types
    return {
        "initial_interval_s": policy.initial_interval.total_seconds(),
        "backoff_coefficient": policy.backoff_coefficient,
        "maximum_interval_s": _seconds(policy.maximum_interval),
        "maximum_attempts": policy.maximum_attempts,
        "non_retryable_error_types": None if types is None else list(types),
    }


def _retry_from_json(found: Mapping[str, Any] | None) -> RetryPolicy | None:
    if found is None:
        return None
    return RetryPolicy(
        initial_interval=timedelta(seconds=found["initial_interval_s"]),
        backoff_coefficient=found["backoff_coefficient"],
        maximum_interval=_duration(found["maximum_interval_s"]),
        maximum_attempts=found["maximum_attempts"],
        non_retryable_error_types=found["non_retryable_error_types"],
    )


# -- small values --------------------------------------------------------------------------------------


def _encoded(values: Sequence[Any], encode: Encode) -> list[Payload]:
    """Values as payloads; one by one, since some may be payloads already."""
    return [value if isinstance(value, Payload) else encode((value,))[0] for value in values]


def _payloads_to_json(values: Mapping[str, Any] | None, encode: Encode) -> dict[str, Any] | None:
    if values is None:
        return None
    payloads = _encoded(list(values.values()), encode)
    return {name: _payload_to_json(payload) for name, payload in zip(values, payloads, strict=True)}


def _payloads_from_json(found: Mapping[str, Any] | None) -> dict[str, Payload] | None:
    return None if found is None else {name: _payload_from_json(each) for name, each in found.items()}


def _payload_to_json(payload: Payload) -> dict[str, Any]:
    return {
        "metadata": {name: base64.b64encode(value).decode() for name, value in payload.metadata.items()},
        "data": base64.b64encode(payload.data).decode(),
        **({"external_bytes": payload.external_bytes} if payload.external_bytes else {}),
    }


def _payload_from_json(found: Mapping[str, Any]) -> Payload:
    return Payload(
        metadata={name: base64.b64decode(value) for name, value in found["metadata"].items()},
        data=base64.b64decode(found["data"]),
        external_bytes=tuple(found.get("external_bytes", ())),
    )


def _text_to_json(text: str | Payload | None) -> Any:
    return _payload_to_json(text) if isinstance(text, Payload) else text


def _text_from_json(found: str | dict[str, Any] | None) -> str | Payload | None:
    return _payload_from_json(found) if isinstance(found, dict) else found


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _duration(seconds: float | None) -> timedelta | None:
    if seconds is None:
        return None
    # The longest duration there is, in seconds, is rounded up to more than there can be.
    return timedelta.max if seconds >= timedelta.max.total_seconds() else timedelta(seconds=seconds)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
