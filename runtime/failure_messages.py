"""The record of a failure as the message that failure converters work on, and back.

A history keeps a record, which does not change (`core.payload.Failure`); converters fill in and read a message
(`api.failure.v1.Failure`). Nothing that the default converter writes is lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import IntEnum
from typing import Any, Final, TypeAlias

from .api.failure import v1
from .core.payload import Failure, Payload
from .core.payload_groups import ENCODED_ATTRIBUTES
from .exceptions import ApplicationErrorCategory, RetryState, TimeoutType

Attributes: TypeAlias = dict[str, str | int | float | bool | None]
Read: TypeAlias = Mapping[str, str | int | float | bool | None]


def record_of(message: v1.Failure) -> Failure:
    """The record of a message that a converter has filled in."""
    info = message.WhichOneof("failure_info") or ""
    kind = _KINDS.get(info, "failure")
    details, attributes = _TO_RECORD[kind](message)
    if message.HasField("encoded_attributes"):
        details = (message.encoded_attributes, *details)
        attributes[ENCODED_ATTRIBUTES] = True
    return Failure(
        kind=kind,
        message=message.message,
        stack_trace=message.stack_trace,
        cause=record_of(message.cause) if message.HasField("cause") else None,
        details=details,
        attributes=attributes,
    )


def message_of(record: Failure) -> v1.Failure:
    """The message of a record, for a converter to read."""
    message = v1.Failure(message=record.message, stack_trace=record.stack_trace)
    details = record.details
    if record.attributes.get(ENCODED_ATTRIBUTES) is True and details:
        message.encoded_attributes.CopyFrom(details[0])
        details = details[1:]
    fill = _TO_MESSAGE.get(record.kind)
    if fill is not None:
        fill(message, details, record.attributes)
    if record.cause is not None:
        message.cause.CopyFrom(message_of(record.cause))
    return message


# -- one pair for each kind ------------------------------------------------------------------------


def _application(message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    info = message.application_failure_info
    attributes: Attributes = {"type": info.type or None}
    if info.non_retryable:
        attributes["non_retryable"] = True
    if info.HasField("next_retry_delay"):
        attributes["next_retry_delay_s"] = info.next_retry_delay.ToTimedelta().total_seconds()
    if category := _name(ApplicationErrorCategory, info.category):
        attributes["category"] = category
    return tuple(info.details.payloads), attributes


def _to_application(message: v1.Failure, details: tuple[Payload, ...], read: Read) -> None:
    info = message.application_failure_info
    info.type = str(read.get("type") or "")
    info.non_retryable = read.get("non_retryable") is True
    if details:
        info.details.payloads.extend(details)
    delay_s = read.get("next_retry_delay_s")
    if isinstance(delay_s, int | float):
        info.next_retry_delay.FromTimedelta(timedelta(seconds=delay_s))
    info.category = _number(ApplicationErrorCategory, read.get("category"))


def _timeout(message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    info = message.timeout_failure_info
    return tuple(info.last_heartbeat_details.payloads), {
        "timeout_type": _name(TimeoutType, info.timeout_type)
    }


def _to_timeout(message: v1.Failure, details: tuple[Payload, ...], read: Read) -> None:
    info = message.timeout_failure_info
    info.timeout_type = _number(TimeoutType, read.get("timeout_type"))
    if details:
        info.last_heartbeat_details.payloads.extend(details)


def _canceled(message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    return tuple(message.canceled_failure_info.details.payloads), {}


def _to_canceled(message: v1.Failure, details: tuple[Payload, ...], _read: Read) -> None:
    message.canceled_failure_info.SetInParent()
    if details:
        message.canceled_failure_info.details.payloads.extend(details)


def _terminated(message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    return tuple(message.terminated_failure_info.details.payloads), {}


def _to_terminated(message: v1.Failure, details: tuple[Payload, ...], _read: Read) -> None:
    message.terminated_failure_info.SetInParent()
    if details:
        message.terminated_failure_info.details.payloads.extend(details)


def _server(message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    return (), {"non_retryable": message.server_failure_info.non_retryable}


def _to_server(message: v1.Failure, _details: tuple[Payload, ...], read: Read) -> None:
    message.server_failure_info.non_retryable = read.get("non_retryable") is True


def _activity(message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    info = message.activity_failure_info
    return (), {
        "scheduled_event_id": info.scheduled_event_id,
        "started_event_id": info.started_event_id,
        "identity": info.identity,
        "activity_type": info.activity_type.name,
        "activity_id": info.activity_id,
        "retry_state": _name(RetryState, info.retry_state),
    }


def _to_activity(message: v1.Failure, _details: tuple[Payload, ...], read: Read) -> None:
    info = message.activity_failure_info
    info.scheduled_event_id = _whole(read.get("scheduled_event_id"))
    info.started_event_id = _whole(read.get("started_event_id"))
    info.identity = str(read.get("identity") or "")
    info.activity_type.name = str(read.get("activity_type") or "")
    info.activity_id = str(read.get("activity_id") or "")
    info.retry_state = _number(RetryState, read.get("retry_state"))


def _child(message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    info = message.child_workflow_execution_failure_info
    return (), {
        "namespace": info.namespace,
        "workflow_id": info.workflow_execution.workflow_id,
        "run_id": info.workflow_execution.run_id,
        "workflow_type": info.workflow_type.name,
        "initiated_event_id": info.initiated_event_id,
        "started_event_id": info.started_event_id,
        "retry_state": _name(RetryState, info.retry_state),
    }


def _to_child(message: v1.Failure, _details: tuple[Payload, ...], read: Read) -> None:
    info = message.child_workflow_execution_failure_info
    info.namespace = str(read.get("namespace") or "")
    info.workflow_execution.workflow_id = str(read.get("workflow_id") or "")
    info.workflow_execution.run_id = str(read.get("run_id") or "")
    info.workflow_type.name = str(read.get("workflow_type") or "")
    info.initiated_event_id = _whole(read.get("initiated_event_id"))
    info.started_event_id = _whole(read.get("started_event_id"))
    info.retry_state = _number(RetryState, read.get("retry_state"))


def _of_no_kind(_message: v1.Failure) -> tuple[tuple[Payload, ...], Attributes]:
    return (), {}


_KINDS: Final[Mapping[str, str]] = {
    "application_failure_info": "application",
    "timeout_failure_info": "timeout",
    "canceled_failure_info": "canceled",
    "terminated_failure_info": "terminated",
    "server_failure_info": "server",
    "activity_failure_info": "activity",
    "child_workflow_execution_failure_info": "child_workflow",
}
_TO_RECORD: Final[Mapping[str, Callable[[v1.Failure], tuple[tuple[Payload, ...], Attributes]]]] = {
    "application": _application,
    "timeout": _timeout,
    "canceled": _canceled,
    "terminated": _terminated,
    "server": _server,
    "activity": _activity,
    "child_workflow": _child,
    "failure": _of_no_kind,
}
_TO_MESSAGE: Final[Mapping[str, Callable[[v1.Failure, tuple[Payload, ...], Read], None]]] = {
    "application": _to_application,
    "timeout": _to_timeout,
    "canceled": _to_canceled,
    "terminated": _to_terminated,
    "server": _to_server,
    "activity": _to_activity,
    "child_workflow": _to_child,
}


def _name(kind: type[IntEnum], number: int) -> str | None:
    """The name of a member; None for 0, which says nothing, and for numbers that are none."""
    return next((member.name for member in kind if number and member == number), None)


def _number(kind: type[IntEnum], name: Any) -> Any:
    member = kind.__members__.get(str(name))
    return 0 if member is None else int(member)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
