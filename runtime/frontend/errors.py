"""Errors of an engine as the errors that its clients know."""

from __future__ import annotations

from typing import Any, Final

from ..batch_runner import JobExists, NoSuchJob, TooManyJobs
from ..core.resetting import NoSuchPoint
from ..deletions import CannotDelete
from ..exceptions import ConcurrencyKeyTakenError, WorkflowAlreadyStartedError
from ..journal.errors import HistoryDamaged, StorageFailed, StorageFull
from ..requests import (
    AlreadyRunning,
    EngineClosed,
    ExecutionPaused,
    KeyTaken,
    NoSuchExecution,
    NotPaused,
    PausedAlready,
)
from ..schedules import ScheduleAlreadyRunningError
from ..schedules.runner import NoSuchSchedule, ScheduleExists
from ..service import RPCError, RPCStatusCode
from ..visibility import InvalidFilter


class translated:  # noqa: N801 - used as a statement
    """Engine errors, within this block, as the errors that callers of a client know."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if error is not None and (known := _translation(error)) is not None:
            raise known from error


_STATUSES: Final[tuple[tuple[tuple[type[BaseException], ...], RPCStatusCode], ...]] = (
    ((NoSuchExecution, NoSuchSchedule, NoSuchJob), RPCStatusCode.NOT_FOUND),
    ((NoSuchPoint,), RPCStatusCode.INVALID_ARGUMENT),
    ((PausedAlready, NotPaused, ExecutionPaused, CannotDelete), RPCStatusCode.FAILED_PRECONDITION),
    ((JobExists,), RPCStatusCode.ALREADY_EXISTS),
    ((StorageFull, TooManyJobs), RPCStatusCode.RESOURCE_EXHAUSTED),
    ((HistoryDamaged,), RPCStatusCode.DATA_LOSS),
    ((EngineClosed, StorageFailed), RPCStatusCode.UNAVAILABLE),
)
"""Of the errors whose message says all."""


def _translation(error: BaseException) -> BaseException | None:
    match error:
        case AlreadyRunning():
            record = error.record
            return WorkflowAlreadyStartedError(
                record.workflow_id,
                record.workflow_type,
                run_id=record.run_id,
                first_run_id=record.first_run_id or None,
            )
        case KeyTaken():
            record = error.record
            return ConcurrencyKeyTakenError(
                error.key, error.limit, workflow_id=record.workflow_id, run_id=record.run_id
            )
        case InvalidFilter():
            return RPCError(f"invalid query: {error}", RPCStatusCode.INVALID_ARGUMENT)
        case ScheduleExists():
            return ScheduleAlreadyRunningError()
        case _:
            status = next((code for kinds, code in _STATUSES if isinstance(error, kinds)), None)
            return None if status is None else RPCError(str(error), status)
