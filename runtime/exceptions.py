"""What an author raises and catches, with the names and attributes of the Temporal SDK.

Every error of the runtime that can end an execution or an activity is a `FailureError`. Python's own
``__cause__`` carries the chain; `OverwinterError.cause` reads it. ``TemporalError`` is another name of
the base, so that code written for that SDK changes its imports and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any

from .api.failure.v1 import Failure


class OverwinterError(Exception):
    """Base of the errors that the runtime raises for authors and clients."""

    @property
    def cause(self) -> BaseException | None:
        """What led to this error; the same as ``__cause__``."""
        return self.__cause__


TemporalError = OverwinterError


class FailureError(OverwinterError):
    """An error that is kept in a history; it fails the execution that does not catch it."""

    def __init__(
        self, message: str, *, failure: Failure | None = None, exc_args: tuple[Any, ...] | None = None
    ) -> None:
        """``exc_args`` replaces the message in ``args``; ``failure`` is what it was read from."""
        super().__init__(*(exc_args if exc_args is not None else (message,)))
        self._message = message
        self._failure = failure

    @property
    def message(self) -> str:
        """What went wrong, without the type in front."""
        return self._message

    @property
    def failure(self) -> Failure | None:
        """What this error was read from; None when it was made here."""
        return self._failure


class ApplicationErrorCategory(IntEnum):
    """How loudly an application error is reported."""

    UNSPECIFIED = 0
    BENIGN = 1
    """Expected: logged for debugging only and not counted as a failure."""


class ApplicationError(FailureError):
    """Raised by an author to fail an activity or an execution, with a type that retry policies know."""

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
        category: ApplicationErrorCategory = ApplicationErrorCategory.UNSPECIFIED,
    ) -> None:
        """``details`` are encoded like arguments; ``next_retry_delay`` replaces the next interval."""
        super().__init__(message, exc_args=(f"{type}: {message}" if type else message,))
        self._details = details
        self._type = type
        self._non_retryable = non_retryable
        self._next_retry_delay = next_retry_delay
        self._category = category

    @property
    def details(self) -> Sequence[Any]:
        """Values that travel with the error."""
        return self._details

    @property
    def type(self) -> str | None:
        """The name that `RetryPolicy.non_retryable_error_types` is compared with."""
        return self._type

    @property
    def non_retryable(self) -> bool:
        """Whether no retry policy applies to this error."""
        return self._non_retryable

    @property
    def next_retry_delay(self) -> timedelta | None:
        """The wait before the next attempt, instead of the retry policy's."""
        return self._next_retry_delay

    @property
    def category(self) -> ApplicationErrorCategory:
        """How loudly the error is reported."""
        return self._category


class CancelledError(FailureError):
    """The work was cancelled on request."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """Values given by what was cancelled."""
        return self._details


class TerminatedError(FailureError):
    """The execution was ended from outside, without being asked."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """Values given by who terminated it."""
        return self._details


class TimeoutType(IntEnum):
    """Which of the four timeouts ran out."""

    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class TimeoutError(FailureError):  # noqa: A001 - the name that authors import
    """An activity or an execution did not end in time; not the built-in of the same name."""

    def __init__(
        self, message: str, *, type: TimeoutType | None, last_heartbeat_details: Sequence[Any]
    ) -> None:
        super().__init__(message)
        self._type = type
        self._last_heartbeat_details = last_heartbeat_details

    @property
    def type(self) -> TimeoutType | None:
        """Which timeout ran out."""
        return self._type

    @property
    def last_heartbeat_details(self) -> Sequence[Any]:
        """What the last heartbeat carried."""
        return self._last_heartbeat_details


class ServerError(FailureError):
    """The runtime itself could not carry out what was asked."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self._non_retryable = non_retryable

    @property
    def non_retryable(self) -> bool:
        """Whether another attempt is pointless."""
        return self._non_retryable


class RetryState(IntEnum):
    """Why no further attempt was made."""

    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class ActivityError(FailureError):
    """An activity ended without a result; ``cause`` says why."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._scheduled_event_id = scheduled_event_id
        self._started_event_id = started_event_id
        self._identity = identity
        self._activity_type = activity_type
        self._activity_id = activity_id
        self._retry_state = retry_state

    @property
    def scheduled_event_id(self) -> int:
        """The event that scheduled the activity."""
        return self._scheduled_event_id

    @property
    def started_event_id(self) -> int:
        """The event that started it."""
        return self._started_event_id

    @property
    def identity(self) -> str:
        """The worker that ran it; empty when none did."""
        return self._identity

    @property
    def activity_type(self) -> str:
        """The activity's name."""
        return self._activity_type

    @property
    def activity_id(self) -> str:
        """The activity's id within its execution."""
        return self._activity_id

    @property
    def retry_state(self) -> RetryState | None:
        """Why no further attempt was made."""
        return self._retry_state


class ChildWorkflowError(FailureError):
    """A child workflow ended without a result; ``cause`` says why."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._namespace = namespace
        self._workflow_id = workflow_id
        self._run_id = run_id
        self._workflow_type = workflow_type
        self._initiated_event_id = initiated_event_id
        self._started_event_id = started_event_id
        self._retry_state = retry_state

    @property
    def namespace(self) -> str:
        """The gateway's namespace."""
        return self._namespace

    @property
    def workflow_id(self) -> str:
        """The child's workflow id."""
        return self._workflow_id

    @property
    def run_id(self) -> str:
        """The child's run id."""
        return self._run_id

    @property
    def workflow_type(self) -> str:
        """The child's workflow name."""
        return self._workflow_type

    @property
    def initiated_event_id(self) -> int:
        """The event that asked for the child."""
        return self._initiated_event_id

    @property
    def started_event_id(self) -> int:
        """The event that recorded its start."""
        return self._started_event_id

    @property
    def retry_state(self) -> RetryState | None:
        """Why no further attempt was made."""
        return self._retry_state


class WorkflowAlreadyStartedError(FailureError):
    """The workflow id is in use, or its reuse was not allowed; nothing was started."""

    def __init__(
        self,
        workflow_id: str,
        workflow_type: str,
        *,
        run_id: str | None = None,
        first_run_id: str | None = None,
    ) -> None:
        super().__init__("Workflow execution already started")
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id
        self.first_run_id = first_run_id


class ConcurrencyKeyTakenError(FailureError):
    """As many executions of this concurrency key run, or wait, as its limit allows; nothing was started.

    `workflow_id` and `run_id` are those of the one that began first.
    """

    def __init__(self, key: str, limit: int, *, workflow_id: str, run_id: str) -> None:
        super().__init__(
            f"concurrency key {key!r} (limit {limit}) is taken by workflow {workflow_id!r} (run {run_id})"
        )
        self.key = key
        self.limit = limit
        self.workflow_id = workflow_id
        self.run_id = run_id


class ActivityAlreadyStartedError(FailureError):
    """The id of an activity outside a workflow is in use; nothing was started."""

    def __init__(self, activity_id: str, activity_type: str, *, run_id: str | None = None) -> None:
        super().__init__("Activity execution already started")
        self.activity_id = activity_id
        self.activity_type = activity_type
        self.run_id = run_id


class InvalidVersioningOverrideError(FailureError):
    """Never raised: one process has one version."""

    def __init__(self) -> None:
        super().__init__("Invalid versioning override")


class NexusOperationAlreadyStartedError(FailureError):
    """Never raised; see `nexus`."""

    def __init__(self, operation_id: str, *, run_id: str | None = None) -> None:
        super().__init__("Nexus operation execution already started")
        self.operation_id = operation_id
        self.run_id = run_id


class NexusOperationError(FailureError):
    """Never raised; see `nexus`."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        endpoint: str,
        service: str,
        operation: str,
        operation_token: str,
    ) -> None:
        super().__init__(message)
        self.scheduled_event_id = scheduled_event_id
        self.endpoint = endpoint
        self.service = service
        self.operation = operation
        self.operation_token = operation_token


def is_cancelled_exception(exception: BaseException) -> bool:
    """Whether this is a cancellation: asyncio's, ours, or an activity's or child's error caused by ours."""
    if isinstance(exception, ActivityError | ChildWorkflowError):
        return isinstance(exception.cause, CancelledError)
    return isinstance(exception, asyncio.CancelledError | CancelledError)
