"""The errors that authors raise and catch."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from overwinter.runtime import exceptions
from overwinter.runtime.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    OverwinterError,
    RetryState,
    TemporalError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)


def activity_error() -> ActivityError:
    return ActivityError(
        "Activity task failed",
        scheduled_event_id=5,
        started_event_id=6,
        identity="1@gateway",
        activity_type="read_moisture",
        activity_id="1",
        retry_state=RetryState.TIMEOUT,
    )


def child_error() -> ChildWorkflowError:
    return ChildWorkflowError(
        "Child workflow failed",
        namespace="default",
        workflow_id="w",
        run_id="r",
        workflow_type="Irrigate",
        initiated_event_id=3,
        started_event_id=4,
        retry_state=None,
    )


def test_an_application_error_shows_its_type_before_its_message() -> None:
    error = ApplicationError("too dry", 1, {"a": 2}, type="Dry", next_retry_delay=timedelta(seconds=3))
    assert str(error) == "Dry: too dry"
    assert (error.message, error.type, tuple(error.details)) == ("too dry", "Dry", (1, {"a": 2}))
    assert error.next_retry_delay == timedelta(seconds=3)
    assert (error.non_retryable, error.category) == (False, ApplicationErrorCategory.UNSPECIFIED)
    assert str(ApplicationError("too dry")) == "too dry"


def test_the_cause_is_what_the_error_was_raised_from() -> None:
    error = activity_error()
    assert error.cause is None
    error.__cause__ = cause = ApplicationError("x")
    assert error.cause is cause
    assert error.failure is None


def test_exc_args_replace_the_message_in_args_alone() -> None:
    error = FailureError("message", exc_args=("shown", 1))
    assert error.args == ("shown", 1)
    assert error.message == "message"


def test_a_cancellation_is_known_in_all_its_forms() -> None:
    wrapped, child, failed = activity_error(), child_error(), activity_error()
    wrapped.__cause__ = CancelledError()
    child.__cause__ = CancelledError("why", 1)
    failed.__cause__ = ApplicationError("x")
    for cancelled in (asyncio.CancelledError(), CancelledError(), wrapped, child):
        assert is_cancelled_exception(cancelled)
    for other in (failed, activity_error(), ApplicationError("x"), ValueError()):
        assert not is_cancelled_exception(other)


def test_every_error_has_the_one_base_under_both_names() -> None:
    assert TemporalError is OverwinterError
    classes = [
        cls for cls in vars(exceptions).values() if isinstance(cls, type) and issubclass(cls, BaseException)
    ]
    assert len(classes) == 16
    assert all(issubclass(cls, OverwinterError) for cls in classes)
    assert not issubclass(exceptions.TimeoutError, TimeoutError)
    assert not issubclass(CancelledError, asyncio.CancelledError)


def test_an_id_in_use_is_named_by_its_error() -> None:
    error = WorkflowAlreadyStartedError("w", "Irrigate", run_id="r")
    assert (error.workflow_id, error.workflow_type, error.run_id, error.first_run_id) == (
        "w",
        "Irrigate",
        "r",
        None,
    )
    assert isinstance(error, FailureError)
