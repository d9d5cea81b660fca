"""Exceptions as the records that a history keeps, and back.

An error that is not one of ours becomes an application failure with its class name as type, its text as
message, its traceback as text and its ``__cause__`` chain. Messages, tracebacks and chains are bounded,
so that an error that grew too large does not become a second one.
"""

from __future__ import annotations

import asyncio
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from .core.payload import Failure
from .exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    ServerError,
    TerminatedError,
    TimeoutError,  # noqa: A004 - ours
    TimeoutType,
    WorkflowAlreadyStartedError,
)

if TYPE_CHECKING:
    from .payload_converters import PayloadConverter

Attribute: TypeAlias = str | int | float | bool | None

ENCODED: Final = "encoded"
"""The attribute that says that message and stack trace are in the first of the details."""

_CAUSES_MAX: Final = 32
_MESSAGE_CHARACTERS_MAX: Final = 16_384
_FRAMES_MAX: Final = 64
_OWN_CODE: Final = frozenset({str(Path(__file__).parent), str(Path(__file__).resolve().parent)})


class FailureConverter(ABC):
    """Converts exceptions to failures and back."""

    default: ClassVar[FailureConverter]
    """The converter that is used when none is set."""

    @abstractmethod
    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter) -> Failure:
        """The exception as a record."""

    @abstractmethod
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The record as an exception, with its causes."""


class DefaultFailureConverter(FailureConverter):
    """Keeps every exception's type, text, traceback and causes."""

    def __init__(self, *, encode_common_attributes: bool = False) -> None:
        """With `encode_common_attributes`, message and stack trace are a payload, which a codec encrypts."""
        self._encode = encode_common_attributes

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter) -> Failure:
        """The exception as a record; one that was read from a record becomes that record again.

        Raises:
            TypeError, ValueError: its details cannot be encoded.
        """
        failure: Failure | None = None
        for link in reversed(list(_chain(exception))):
            failure = self._one(link, failure, payload_converter)
        assert failure is not None
        return failure

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The record as an exception whose ``__cause__`` chain is that of the record."""
        raised = _exception(_shown(failure, payload_converter), payload_converter)
        raised._failure = failure  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - what it was read from
        if failure.cause is not None:
            raised.__cause__ = self.from_failure(
                failure.cause, payload_converter
            )  # a subclass may change each link
        return raised

    def _one(
        self, exception: BaseException, cause: Failure | None, payload_converter: PayloadConverter
    ) -> Failure:
        if isinstance(exception, FailureError) and exception.failure is not None:
            return exception.failure
        kind, details, attributes = _record(exception)
        failure = Failure(
            kind=kind,
            message=_message(exception),
            stack_trace=_stack_trace(exception.__traceback__),
            cause=cause,
            details=tuple(payload_converter.to_payloads(details)) if details else (),
            attributes=attributes,
        )
        return self._hidden(failure, payload_converter) if self._encode else failure

    def _hidden(self, failure: Failure, payload_converter: PayloadConverter) -> Failure:
        common = payload_converter.to_payload(
            {"message": failure.message, "stack_trace": failure.stack_trace}
        )
        return replace(
            failure,
            message="Encoded failure",
            stack_trace="",
            details=(common, *failure.details),
            attributes={**failure.attributes, ENCODED: True},
        )


class DefaultFailureConverterWithEncodedAttributes(DefaultFailureConverter):
    """The default with message and stack trace as a payload, so that a codec covers them."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


FailureConverter.default = DefaultFailureConverter()


def _chain(exception: BaseException) -> Iterator[BaseException]:
    """The exception and its causes, outermost first, each once."""
    seen: set[int] = set()
    link: BaseException | None = exception
    while link is not None and id(link) not in seen and len(seen) < _CAUSES_MAX:
        seen.add(id(link))
        yield link
        if isinstance(link, FailureError) and link.failure is not None:
            return  # its record has its own causes
        link = link.__cause__


def _shown(failure: Failure, payload_converter: PayloadConverter) -> Failure:
    """The failure with its message and stack trace in their places."""
    if failure.attributes.get(ENCODED) is not True or not failure.details:
        return failure
    common = payload_converter.from_payload(failure.details[0], dict[str, str])
    return replace(
        failure,
        message=common.get("message", ""),
        stack_trace=common.get("stack_trace", ""),
        details=failure.details[1:],
    )


# -- exception to record ---------------------------------------------------------------------------

_ACTIVITY: Final = ("scheduled_event_id", "started_event_id", "identity", "activity_type", "activity_id")
_CHILD: Final = (
    "namespace",
    "workflow_id",
    "run_id",
    "workflow_type",
    "initiated_event_id",
    "started_event_id",
)


def _record(exception: BaseException) -> tuple[str, Sequence[Any], dict[str, Attribute]]:
    """Kind, details and attributes of an exception."""
    match exception:
        case ApplicationError():
            return "application", exception.details, _application_attributes(exception)
        case CancelledError():
            return "canceled", exception.details, {}
        case asyncio.CancelledError():
            return "canceled", (), {}
        case TerminatedError():
            return "terminated", exception.details, {}
        case TimeoutError():
            return "timeout", exception.last_heartbeat_details, {"timeout_type": _name(exception.type)}
        case ServerError():
            return "server", (), {"non_retryable": exception.non_retryable}
        case ActivityError():
            return "activity", (), _attributes(exception, _ACTIVITY)
        case ChildWorkflowError():
            return "child_workflow", (), _attributes(exception, _CHILD)
        case _:
            return "application", (), {"type": type(exception).__name__}


def _attributes(error: ActivityError | ChildWorkflowError, names: Sequence[str]) -> dict[str, Attribute]:
    return {name: getattr(error, name) for name in names} | {"retry_state": _name(error.retry_state)}


def _name(member: RetryState | TimeoutType | None) -> str | None:
    return None if member is None else member.name


def _application_attributes(error: ApplicationError) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {"type": error.type}
    if error.non_retryable:
        attributes["non_retryable"] = True
    if error.next_retry_delay is not None:
        attributes["next_retry_delay_s"] = error.next_retry_delay.total_seconds()
    if error.category:
        attributes["category"] = error.category.name
    return attributes


def _message(exception: BaseException) -> str:
    if isinstance(exception, FailureError):
        text = exception.message
    else:
        try:
            text = str(exception)
        except Exception as failed:  # an author's __str__ may do anything
            text = f"{type(exception).__name__}, whose text could not be made ({type(failed).__name__})"
    if not text and isinstance(exception, asyncio.CancelledError):
        return "Cancelled"
    # Lone surrogates have no place in stored text.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    dropped = len(text) - _MESSAGE_CHARACTERS_MAX
    return text if dropped <= 0 else f"{text[:_MESSAGE_CHARACTERS_MAX]}... ({dropped} more characters)"


def _stack_trace(trace: TracebackType | None) -> str:
    """The traceback as text, without this package's frames unless there are no others."""
    frames = traceback.extract_tb(trace, limit=-_FRAMES_MAX)
    foreign = traceback.StackSummary.from_list([frame for frame in frames if not _is_own(frame.filename)])
    return "".join((foreign or frames).format()).encode("utf-8", "backslashreplace").decode("utf-8")


def _is_own(filename: str) -> bool:
    return any(filename.startswith(folder + "/") for folder in _OWN_CODE)


# -- record to exception ---------------------------------------------------------------------------


def _exception(failure: Failure, payload_converter: PayloadConverter) -> FailureError:
    """The exception of a record, without its cause."""
    details = payload_converter.from_payloads(failure.details) if failure.details else []
    read = failure.attributes.get
    match failure.kind:
        case "application":
            return _application_error(failure, details)
        case "canceled":
            return CancelledError(failure.message or "Cancelled", *details)
        case "terminated":
            return TerminatedError(failure.message or "Terminated", *details)
        case "timeout":
            ran_out = TimeoutType.__members__.get(str(read("timeout_type")))
            return TimeoutError(failure.message or "Timeout", type=ran_out, last_heartbeat_details=details)
        case "server":
            return ServerError(failure.message or "Server error", non_retryable=read("non_retryable") is True)
        case "activity":
            return ActivityError(failure.message or "Activity error", **_arguments(failure, _ACTIVITY))
        case "child_workflow":
            return ChildWorkflowError(
                failure.message or "Child workflow error", **_arguments(failure, _CHILD)
            )
        case "already_started":
            names = ("workflow_id", "workflow_type", "run_id")
            workflow_id, workflow_type, run_id = [str(failure.attributes.get(name) or "") for name in names]
            return WorkflowAlreadyStartedError(workflow_id, workflow_type, run_id=run_id or None)
        case _:
            return FailureError(failure.message or "Failure error")


def _application_error(failure: Failure, details: Sequence[Any]) -> ApplicationError:
    read = failure.attributes.get
    name, delay_s = read("type"), read("next_retry_delay_s")
    return ApplicationError(
        failure.message or "Application error",
        *details,
        type=name if isinstance(name, str) else None,
        non_retryable=read("non_retryable") is True,
        next_retry_delay=timedelta(seconds=delay_s) if isinstance(delay_s, int | float) else None,
        category=ApplicationErrorCategory.__members__.get(
            str(read("category")), ApplicationErrorCategory.UNSPECIFIED
        ),
    )


def _arguments(failure: Failure, names: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments of an error; an event number or a name that is missing is 0 or empty."""
    arguments: dict[str, Any] = {
        name: failure.attributes.get(name) or (0 if name.endswith("_event_id") else "") for name in names
    }
    return arguments | {"retry_state": RetryState.__members__.get(str(failure.attributes.get("retry_state")))}
