"""Batch operations: the same for every execution that fits a filter, as a durable job."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..batch_jobs import BatchJob
from ..batch_jobs import BatchOperation as Asked
from ..core.records import dataclass
from ..resets import ResetPoint
from ..values import ConvertedValues
from ..workflow._definition import signal_name
from ._execution import instant

if TYPE_CHECKING:
    from ..frontend import Frontend


class BatchOperation(ABC):
    """What a batch job does to each execution."""

    @abstractmethod
    async def asked(self, values: ConvertedValues) -> Asked:
        """The operation as an engine is asked for it."""


@dataclass(frozen=True)
class BatchOperationSignal(BatchOperation):
    """Send a signal to each open execution."""

    signal: str | Callable[..., Any]
    args: Sequence[Any] = ()

    async def asked(self, values: ConvertedValues) -> Asked:
        """See `BatchOperation`."""
        # Kept in the job and in many histories, so nowhere outside of the journal.
        args = await values.for_passing().stored(self.args)
        return Asked(kind="signal", name=signal_name(self.signal), args=args)


@dataclass(frozen=True)
class BatchOperationCancellation(BatchOperation):
    """Ask each open execution to end by itself."""

    async def asked(self, values: ConvertedValues) -> Asked:
        """See `BatchOperation`."""
        del values
        return Asked(kind="cancel")


@dataclass(frozen=True)
class BatchOperationTermination(BatchOperation):
    """End each open execution without asking its code; `details` are for a reader."""

    details: Sequence[Any] = ()

    async def asked(self, values: ConvertedValues) -> Asked:
        """See `BatchOperation`."""
        return Asked(kind="terminate", args=await values.for_passing().stored(self.details))


@dataclass(frozen=True)
class BatchOperationReset(BatchOperation):
    """Begin a new run of each execution from a point of its history, as `WorkflowHandle.reset` does."""

    to: ResetPoint
    reapply_signals: bool = True
    reapply_updates: bool = True

    async def asked(self, values: ConvertedValues) -> Asked:
        """See `BatchOperation`."""
        del values
        return Asked(kind="reset", point=self.to, signals=self.reapply_signals, updates=self.reapply_updates)


@dataclass(frozen=True)
class BatchOperationPause(BatchOperation):
    """Pause each open execution, one by one; `Client.pause_workflows` pauses also what starts later."""

    async def asked(self, values: ConvertedValues) -> Asked:
        """See `BatchOperation`."""
        del values
        return Asked(kind="pause")


@dataclass(frozen=True)
class BatchOperationUnpause(BatchOperation):
    """Let each execution go on that is paused by itself."""

    async def asked(self, values: ConvertedValues) -> Asked:
        """See `BatchOperation`."""
        del values
        return Asked(kind="unpause")


@dataclass(frozen=True)
class BatchOperationDeletion(BatchOperation):
    """Delete each closed execution with its history."""

    async def asked(self, values: ConvertedValues) -> Asked:
        """See `BatchOperation`."""
        del values
        return Asked(kind="delete")


class BatchOperationState(enum.IntEnum):
    """How far a job has come."""

    RUNNING = 1
    COMPLETED = 2
    STOPPED = 3


@dataclass(frozen=True)
class BatchOperationFailure:
    """An execution on which the operation failed, and why."""

    id: str
    run_id: str
    message: str


@dataclass(frozen=True)
class BatchOperationPreview:
    """How many executions an operation would be carried out on, and the newest of them by workflow id and run id."""

    count: int
    sample: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class BatchOperationDescription:
    """A job: what it does, and how far it has come."""

    id: str
    operation_type: str
    query: str
    reason: str
    identity: str
    state: BatchOperationState
    start_time: datetime
    close_time: datetime | None
    total_operation_count: int
    complete_operation_count: int
    failure_operation_count: int
    failures: Sequence[BatchOperationFailure]
    """The first of them."""
    max_operations_per_second: float
    stopped_by: str
    stop_reason: str

    @classmethod
    def of(cls, job: BatchJob) -> BatchOperationDescription:
        """As a client sees it."""
        return cls(
            id=job.id,
            operation_type=job.operation.kind,
            query=job.query,
            reason=job.reason,
            identity=job.identity,
            state=BatchOperationState[job.state.upper()],
            start_time=instant(job.started_at_us),
            close_time=None if job.closed_at_us is None else instant(job.closed_at_us),
            total_operation_count=job.total,
            complete_operation_count=job.completed,
            failure_operation_count=job.failed,
            failures=[BatchOperationFailure(f.workflow_id, f.run_id, f.message) for f in job.failures],
            max_operations_per_second=job.per_second,
            stopped_by=job.stopped_by,
            stop_reason=job.stop_reason,
        )


class BatchOperationHandle:
    """A batch job, to look at, to wait for, to stop."""

    def __init__(self, frontend: Frontend, identity: str, id: str) -> None:
        self._frontend = frontend
        self._identity = identity
        self._id = id

    @property
    def id(self) -> str:
        """The job's id."""
        return self._id

    async def describe(self) -> BatchOperationDescription:
        """How far it has come.

        Raises:
            RPCError: there is no such job.
        """
        return BatchOperationDescription.of(await self._frontend.describe_batch(self._id))

    async def result(self) -> BatchOperationDescription:
        """Wait until it has ended.

        Raises:
            RPCError: there is no such job, or the engine stops; the job then goes on at the next start.
        """
        return BatchOperationDescription.of(await self._frontend.batch_closed(self._id))

    async def stop(self, *, reason: str = "") -> BatchOperationDescription:
        """It has stopped; what it has done stays done.

        Raises:
            RPCError: there is no such job.
        """
        return BatchOperationDescription.of(await self._frontend.stop_batch(self._id, self._identity, reason))
