"""Exceptions as failures, and back.

An error that is not one of ours becomes an application failure with its class name as type, its text as
message, its traceback as text and its ``__cause__`` chain. Messages, tracebacks and chains are bounded,
so that an error that grew too large does not become a second one.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .api.failure.v1 import Failure
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
)
from .plain_values import LocatedError

if TYPE_CHECKING:
    from .payload_converters import PayloadConverter

_CAUSES_MAX: Final = 32
_MESSAGE_CHARACTERS_MAX: Final = 16_384
_FRAMES_MAX: Final = 64
_OWN_CODE: Final = frozenset({str(Path(__file__).parent), str(Path(__file__).resolve().parent)})


class FailureConverter(ABC):
    """Converts exceptions to failures and back."""

    default: ClassVar[FailureConverter]
    """The converter that is used when none is set."""

    @abstractmethod
    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """`failure`, which was empty, says what the exception says; the exception is left as it is."""

    @abstractmethod
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The failure as an exception, with its causes; the failure is left as it is."""


class DefaultFailureConverter(FailureConverter):
    """Keeps every exception's type, text, traceback and causes.

    Causes go through `to_failure` and `from_failure` again, so that a subclass sees each of them.
    """

    def __init__(self, *, encode_common_attributes: bool = False) -> None:
        """With `encode_common_attributes`, message and stack trace are a payload, which a codec encrypts."""
        super().__init__()
        self._encode = encode_common_attributes

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """`failure` says what the exception says; one that was read from a failure becomes that failure again.

        Raises:
            TypeError, ValueError: its details cannot be encoded.
        """
        if isinstance(exception, FailureError) and exception.failure is not None:
            failure.CopyFrom(exception.failure)
        else:
            self._write(exception, payload_converter, failure)
        if self._encode and not failure.HasField("encoded_attributes"):
            common = {"message": failure.message, "stack_trace": failure.stack_trace}
            failure.encoded_attributes.CopyFrom(payload_converter.to_payload(common))
            failure.message, failure.stack_trace = "Encoded failure", ""

    def _write(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        failure.message = _message(exception)
        failure.stack_trace = _stack_trace(exception.__traceback__)
        _fill(exception, payload_converter, failure)
        cause = _cause(exception)
        if cause is not None and failure.depth < _CAUSES_MAX - 1:
            self.to_failure(cause, payload_converter, failure.cause)

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The failure as an exception whose ``__cause__`` chain is that of the failure."""
        shown = _with_common_attributes(failure, payload_converter)
        raised = _exception(shown, payload_converter)
        raised._failure = failure  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - what it was read from
        if failure.HasField("cause"):
            raised.__cause__ = self.from_failure(failure.cause, payload_converter)
        return raised


class DefaultFailureConverterWithEncodedAttributes(DefaultFailureConverter):
    """The default with message and stack trace as a payload, so that a codec covers them."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


FailureConverter.default = DefaultFailureConverter()


# -- exception to failure --------------------------------------------------------------------------


def _cause(exception: BaseException) -> BaseException | None:
    """What led to an exception. One of ours has it also when it was raised while another was handled."""
    if exception.__cause__ is not None:
        return exception.__cause__
    if isinstance(exception, FailureError) and not exception.__suppress_context__:
        return exception.__context__
    return None


def _type_of(exception: BaseException) -> str:
    """The name of its class; converters raise kinds of `TypeError`, which retry policies know by that name."""
    is_theirs = isinstance(exception, LocatedError) and isinstance(exception, TypeError)
    return "TypeError" if is_theirs else type(exception).__name__


def _fill(exception: BaseException, payloads: PayloadConverter, failure: Failure) -> None:
    """The part of a failure that says of what kind it is."""
    match exception:
        case ApplicationError():
            _fill_application(exception, payloads, failure)
        case TimeoutError():
            info = failure.timeout_failure_info
            info.timeout_type = _number(exception.type)
            if exception.last_heartbeat_details:
                info.last_heartbeat_details.payloads.extend(
                    payloads.to_payloads(exception.last_heartbeat_details)
                )
        case CancelledError():
            failure.canceled_failure_info.SetInParent()
            if exception.details:
                failure.canceled_failure_info.details.payloads.extend(payloads.to_payloads(exception.details))
        case TerminatedError():
            failure.terminated_failure_info.SetInParent()
            if exception.details:
                failure.terminated_failure_info.details.payloads.extend(
                    payloads.to_payloads(exception.details)
                )
        case ServerError():
            failure.server_failure_info.non_retryable = exception.non_retryable
        case ActivityError():
            _fill_activity(exception, failure)
        case ChildWorkflowError():
            _fill_child(exception, failure)
        case FailureError():
            pass  # Of no kind that is known.
        case _:
            failure.application_failure_info.type = _type_of(exception)


def _fill_application(error: ApplicationError, payloads: PayloadConverter, failure: Failure) -> None:
    info = failure.application_failure_info
    info.type = error.type or ""
    info.non_retryable = bool(error.non_retryable)
    if error.details:
        info.details.payloads.extend(payloads.to_payloads(error.details))
    if error.next_retry_delay is not None:
        info.next_retry_delay.FromTimedelta(error.next_retry_delay)
    info.category = _number(error.category)


def _fill_activity(error: ActivityError, failure: Failure) -> None:
    info = failure.activity_failure_info
    info.scheduled_event_id = error.scheduled_event_id
    info.started_event_id = error.started_event_id
    info.identity = error.identity
    info.activity_type.name = error.activity_type
    info.activity_id = error.activity_id
    info.retry_state = _number(error.retry_state)


def _fill_child(error: ChildWorkflowError, failure: Failure) -> None:
    info = failure.child_workflow_execution_failure_info
    info.namespace = error.namespace
    info.workflow_execution.workflow_id = error.workflow_id
    info.workflow_execution.run_id = error.run_id
    info.workflow_type.name = error.workflow_type
    info.initiated_event_id = error.initiated_event_id
    info.started_event_id = error.started_event_id
    info.retry_state = _number(error.retry_state)


def _number(member: int | None) -> Any:
    """A member of our enumerations, which the protocol's have the same numbers as."""
    return 0 if member is None else int(member)


def _message(exception: BaseException) -> str:
    if isinstance(exception, FailureError):
        text = exception.message
    else:
        try:
            text = str(exception)
        except Exception as failed:  # an author's __str__ may do anything
            text = f"{type(exception).__name__}, whose text could not be made ({type(failed).__name__})"
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


# -- failure to exception --------------------------------------------------------------------------


def _with_common_attributes(failure: Failure, payload_converter: PayloadConverter) -> Failure:
    """The failure with message and stack trace in their places."""
    if not failure.HasField("encoded_attributes"):
        return failure
    common: Any = None
    try:
        common = payload_converter.from_payload(failure.encoded_attributes)
    except Exception:  # whatever a converter raises, the error is more important than its text
        common = None
    if not isinstance(common, dict):
        return failure  # Of another converter or codec: what it has in the open is shown.
    shown = Failure()
    shown.CopyFrom(failure)
    for name in ("message", "stack_trace"):
        if isinstance(text := common.get(name), str):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of any type until here
            setattr(shown, name, text)
    return shown


def _exception(failure: Failure, payloads: PayloadConverter) -> FailureError:
    """The exception of a failure, without its cause."""
    match failure.WhichOneof("failure_info"):
        case "application_failure_info":
            return _application_error(failure, payloads)
        case "timeout_failure_info":
            info = failure.timeout_failure_info
            return TimeoutError(
                failure.message or "Timeout",
                type=TimeoutType(info.timeout_type) if info.timeout_type else None,
                last_heartbeat_details=payloads.from_payloads(info.last_heartbeat_details.payloads),
            )
        case "canceled_failure_info":
            details = payloads.from_payloads(failure.canceled_failure_info.details.payloads)
            return CancelledError(failure.message or "Cancelled", *details)
        case "terminated_failure_info":
            details = payloads.from_payloads(failure.terminated_failure_info.details.payloads)
            return TerminatedError(failure.message or "Terminated", *details)
        case "server_failure_info":
            non_retryable = failure.server_failure_info.non_retryable
            return ServerError(failure.message or "Server error", non_retryable=non_retryable)
        case "activity_failure_info":
            return _activity_error(failure)
        case "child_workflow_execution_failure_info":
            return _child_error(failure)
        case _:
            return FailureError(failure.message or "Failure error")


def _application_error(failure: Failure, payloads: PayloadConverter) -> ApplicationError:
    info = failure.application_failure_info
    return ApplicationError(
        failure.message or "Application error",
        *payloads.from_payloads(info.details.payloads),
        type=info.type or None,
        non_retryable=info.non_retryable,
        next_retry_delay=info.next_retry_delay.ToTimedelta() if info.HasField("next_retry_delay") else None,
        category=ApplicationErrorCategory(info.category),
    )


def _activity_error(failure: Failure) -> ActivityError:
    info = failure.activity_failure_info
    return ActivityError(
        failure.message or "Activity error",
        scheduled_event_id=info.scheduled_event_id,
        started_event_id=info.started_event_id,
        identity=info.identity,
        activity_type=info.activity_type.name,
        activity_id=info.activity_id,
        retry_state=RetryState(info.retry_state) if info.retry_state else None,
    )


def _child_error(failure: Failure) -> ChildWorkflowError:
    info = failure.child_workflow_execution_failure_info
    return ChildWorkflowError(
        failure.message or "Child workflow error",
        namespace=info.namespace,
        workflow_id=info.workflow_execution.workflow_id,
        run_id=info.workflow_execution.run_id,
        workflow_type=info.workflow_type.name,
        initiated_event_id=info.initiated_event_id,
        started_event_id=info.started_event_id,
        retry_state=RetryState(info.retry_state) if info.retry_state else None,
    )
