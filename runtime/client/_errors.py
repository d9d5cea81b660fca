"""What can go wrong for a client."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from ..activity import ActivityCancellationDetails
from ..exceptions import TemporalError
from ..service import RPCError, RPCStatusCode
from ._execution import WorkflowExecutionStatus


class WorkflowFailureError(TemporalError):
    """The workflow ended without a result; `cause` says how."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Workflow execution failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """An `ApplicationError`, `CancelledError`, `TerminatedError`, `TimeoutError` or other failure."""
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowContinuedAsNewError(TemporalError):
    """The run ended by continuing as a new one, and the caller did not want to follow."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__("Workflow continued as new")
        self._new_execution_run_id = new_execution_run_id

    @property
    def new_execution_run_id(self) -> str:
        """The run that followed."""
        return self._new_execution_run_id


class WorkflowQueryFailedError(TemporalError):
    """The query's handler raised, or there is none."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._message = message

    @property
    def message(self) -> str:
        """What the handler said."""
        return self._message


class WorkflowQueryRejectedError(TemporalError):
    """The workflow's status is one in which the caller did not want an answer."""

    def __init__(self, status: WorkflowExecutionStatus | None) -> None:
        super().__init__(f"Query rejected, status: {status}")
        self._status = status

    @property
    def status(self) -> WorkflowExecutionStatus | None:
        """The workflow's status."""
        return self._status


class WorkflowUpdateFailedError(TemporalError):
    """The update was rejected, or its handler failed; `cause` says how."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("Workflow update failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """What the validator or the handler raised."""
        assert self.__cause__ is not None
        return self.__cause__


class within:  # noqa: N801 - used as a statement
    """Within this block a call has so long; what was asked may still happen afterwards.

    Raises:
        RPCError: DEADLINE_EXCEEDED, when it took longer.
    """

    def __init__(self, timeout: timedelta | None) -> None:
        self._timer = None if timeout is None else asyncio.timeout(timeout.total_seconds())

    async def __aenter__(self) -> None:
        if self._timer is not None:
            await self._timer.__aenter__()

    async def __aexit__(self, *raised: Any) -> None:
        if self._timer is None:
            return
        try:
            await self._timer.__aexit__(*raised)
        except TimeoutError:
            raise RPCError("Timeout expired", RPCStatusCode.DEADLINE_EXCEEDED) from None


class RPCTimeoutOrCancelledError(TemporalError):
    """The caller's patience ended before the answer came; what was asked may still happen."""


class WorkflowUpdateRPCTimeoutOrCancelledError(RPCTimeoutOrCancelledError):
    """The caller's patience ended before the update's outcome was there; the update goes on."""

    def __init__(self) -> None:
        super().__init__("Timeout or cancellation waiting for update")


class ActivityFailureError(TemporalError):
    """The activity, which no workflow asked for, ended without a result; `cause` says how."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Activity execution failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """An `ApplicationError`, `CancelledError`, `TerminatedError`, `TimeoutError` or other failure."""
        assert self.__cause__ is not None
        return self.__cause__


class AsyncActivityCancelledError(TemporalError):
    """The activity was asked to stop; `details` say why."""

    def __init__(self, details: ActivityCancellationDetails | None = None) -> None:
        super().__init__("Activity cancelled")
        self.details = details
