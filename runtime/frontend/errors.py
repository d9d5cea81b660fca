"""Errors of an engine as the errors that its clients know."""

from __future__ import annotations

from typing import Any

from ..core.resetting import NoSuchPoint
from ..exceptions import ConcurrencyKeyTakenError, WorkflowAlreadyStartedError
from ..journal.errors import HistoryDamaged, StorageFull
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
        case NoSuchExecution():
            return RPCError(str(error), RPCStatusCode.NOT_FOUND)
        case PausedAlready() | NotPaused() | ExecutionPaused():
            return RPCError(str(error), RPCStatusCode.FAILED_PRECONDITION)
        case StorageFull():
            return RPCError(str(error), RPCStatusCode.RESOURCE_EXHAUSTED)
        case EngineClosed():
            return RPCError(str(error), RPCStatusCode.UNAVAILABLE)
        case NoSuchPoint():
            return RPCError(str(error), RPCStatusCode.INVALID_ARGUMENT)
        case HistoryDamaged():
            return RPCError(str(error), RPCStatusCode.DATA_LOSS)
        case InvalidFilter():
            return RPCError(f"invalid query: {error}", RPCStatusCode.INVALID_ARGUMENT)
        case ScheduleExists():
            return ScheduleAlreadyRunningError()
        case NoSuchSchedule():
            return RPCError(str(error.args[0]), RPCStatusCode.NOT_FOUND)
        case _:
            return None
