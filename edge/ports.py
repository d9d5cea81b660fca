"""What the control socket, the command line and the web page ask of a gateway.

Answers are plain JSON values: dicts, lists, strings, numbers, booleans and None; instants are ISO 8601, UTC.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from overwinter.runtime.display import Json

__all__ = ["BadRequest", "GatewayOperations", "GatewayReader", "Json", "OperationRefused", "UnknownExecution"]


RESET_TYPES = ("FirstWorkflowTask", "LastWorkflowTask", "LastContinuedAsNew", "FailedActivity")
"""Where a run can be reset to, beside its events."""


class OperationRefused(Exception):
    """An operation was not carried out; nothing has changed.

    The message says what was found and what was expected, `hint` what to do.
    """

    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class UnknownExecution(OperationRefused):
    """No execution has this workflow id (and run id)."""

    hint = "`overwinter list` shows the executions that there are."


class BadRequest(OperationRefused):
    """The request has no known operation, or its arguments do not fit."""


class GatewayReader(Protocol):
    """What can be asked of a running gateway, and of the journal of a stopped one."""

    async def list(self, *, status: str | None = None, type: str | None = None, limit: int = 50) -> Json:
        """The newest executions first, at most `limit`, and how many there are of each status."""
        ...

    async def show(self, *, workflow_id: str, run_id: str | None = None) -> Json:
        """One execution with its whole history; the newest run when `run_id` is None.

        Raises:
            UnknownExecution: there is none of this id.
        """
        ...

    async def quarantine(self, *, limit: int = 50) -> Json:
        """The newest refused messages, at most `limit`, and how many were refused for each reason."""
        ...

    async def status(self) -> Json:
        """What the gateway is, how it is, and its counters."""
        ...


class GatewayOperations(GatewayReader, Protocol):
    """What can be asked of a running gateway. When a change has returned, it is durable."""

    async def signal(
        self, *, workflow_id: str, name: str, args: Sequence[Any] = (), run_id: str | None = None
    ) -> Json:
        """The signal is recorded. Raises `UnknownExecution` or another `OperationRefused`."""
        ...

    async def cancel(self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None) -> Json:
        """The request to cancel is recorded; the workflow's code decides how it ends."""
        ...

    async def terminate(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None
    ) -> Json:
        """The execution has ended, without asking its code."""
        ...

    async def reset(
        self,
        *,
        workflow_id: str,
        run_id: str | None = None,
        event: int | None = None,
        to: str | None = None,
        activity: str | None = None,
        signals: str | None = None,
        updates: str | None = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> Json:
        """A new run has begun from the activation of an event, or from one of `RESET_TYPES`; answers ``{"run_id": ...}``.

        `activity` is the type or id for ``FailedActivity``. `signals` and `updates` that came later are handed to the new
        run, unless they say ``exclude``.
        """
        ...

    async def pause(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        """The execution does not go on until it is resumed."""
        ...

    async def resume(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        """The execution goes on, unless more than itself is paused."""
        ...

    async def pause_all(
        self, *, scope: str, name: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        """Nothing goes on of this ``workflow_type``, this ``task_queue``, or of ``everything``."""
        ...

    async def resume_all(self, *, scope: str, name: str | None = None) -> Json:
        """What was paused so goes on."""
        ...

    async def reload_keys(self) -> Json:
        """The keys of payloads are read anew, and the newest encrypts; answers ``{"current": its id}``."""
        ...

    async def delete(self, *, workflow_id: str, run_id: str | None = None) -> Json:
        """The closed execution is gone, with its history."""
        ...

    async def batch_preview(self, *, operation: Json, query: str) -> Json:
        """How many executions fit, and the newest of them; nothing is done.

        An operation has a ``kind``: signal (with ``name`` and ``args``), cancel, terminate, reset (with what `reset` takes),
        pause, unpause or delete.
        """
        ...

    async def batch_start(
        self,
        *,
        operation: Json,
        query: str,
        reason: str | None = None,
        by: str | None = None,
        per_second: float | None = None,
    ) -> Json:
        """The job has begun, and is what `batch_show` answers."""
        ...

    async def batch_show(self, *, job_id: str) -> Json:
        """A job as it is now."""
        ...

    async def batch_list(self) -> Json:
        """The jobs that are under way, and the last that have ended, the newest first."""
        ...

    async def batch_stop(self, *, job_id: str, reason: str | None = None, by: str | None = None) -> Json:
        """The job has stopped; what it has done stays done."""
        ...

    async def start(
        self, *, type: str, workflow_id: str, args: Sequence[Any] = (), task_queue: str | None = None
    ) -> Json:
        """The execution exists; answers ``{"run_id": ...}``."""
        ...

    def tail(self, *, after_lsn: int | None = None) -> AsyncIterator[Json]:
        """Every event after `after_lsn` in commit order, then those to come; from now on when it is None."""
        ...
