"""Clients: starting workflows, talking to them, waiting for them."""

from __future__ import annotations

import enum
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from .clock import SystemClock, SystemEntropy
from .common import QueryRejectCondition, RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from .converter import DataConverter
from .core import commands as cmd
from .core import events as ev
from .core.events import Closing, Event
from .engine import AlreadyRunning, Engine, EngineClosed, EngineLimits, NoSuchExecution, StartRequest
from .exceptions import (
    CancelledError,
    TemporalError,
    TerminatedError,
    TimeoutError,  # noqa: A004 - the name that authors import
    TimeoutType,
    WorkflowAlreadyStartedError,
)
from .journal import SqliteJournal, StorageFull
from .ports import Blocked, ExecutionRecord
from .retry_policy import rule_of
from .service import RPCError, RPCStatusCode
from .values import ConvertedValues
from .workflow._continuing import workflow_name_of, workflow_result_type
from .workflow._definition import query_definition, signal_name

R = TypeVar("R")
_UNSET: Any = object()


class WorkflowExecutionStatus(enum.IntEnum):
    """How far an execution has come."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7


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
        self.new_execution_run_id = new_execution_run_id


class WorkflowQueryFailedError(TemporalError):
    """The query's handler raised, or there is none."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class WorkflowQueryRejectedError(TemporalError):
    """The workflow's status is one in which the caller did not want an answer."""

    def __init__(self, status: WorkflowExecutionStatus | None) -> None:
        super().__init__(f"Query rejected, status: {status}")
        self.status = status


@dataclass(frozen=True)
class WorkflowExecution:
    """One execution, as a list shows it."""

    id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: WorkflowExecutionStatus
    start_time: datetime
    close_time: datetime | None
    blocked: Blocked | None
    """Why the execution waits for its code to be mended; None when it does not."""


@dataclass(frozen=True)
class PendingActivity:
    """An activity that has not ended."""

    activity_id: str
    activity_type: str
    attempt: int


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """One execution, with what it waits for."""

    history_length: int
    pending_activities: Sequence[PendingActivity]
    next_timer: datetime | None


@dataclass(frozen=True)
class WorkflowHistory:
    """The events of one run."""

    workflow_id: str
    events: Sequence[Event]

    @property
    def run_id(self) -> str:
        """The run whose history it is."""
        started = self.events[0].body
        assert isinstance(started, ev.WorkflowStarted)
        return started.run_id


class Client:
    """Starts workflows in an engine, and talks to them."""

    def __init__(self, engine: Engine, *, data_converter: DataConverter = DataConverter.default) -> None:
        if data_converter.payload_codec is not None:
            raise ValueError(
                "the data converter has a payload codec, which this version would not apply: leave it out"
            )
        self.engine = engine
        self.data_converter = data_converter
        self._values = ConvertedValues(data_converter)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        journal: str | Path,
        *,
        data_converter: DataConverter = DataConverter.default,
        limits: EngineLimits | None = None,
    ) -> AsyncGenerator[Client]:
        """A client with an engine of its own in this process, on the journal at this path; it is made if need be.

        Raises:
            JournalHeld: another process runs an engine on it.
            JournalError: it cannot be used; the message says why and what to do.
        """
        opened = await SqliteJournal.open(Path(journal))
        try:
            async with Engine(opened, SystemClock(), SystemEntropy(), limits) as engine:
                yield cls(engine, data_converter=data_converter)
        finally:
            await opened.close()

    async def start_workflow(
        self,
        workflow: str | Callable[..., Any],
        arg: Any = _UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,
        task_queue: str,
        result_type: type | None = None,
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED,
        retry_policy: RetryPolicy | None = None,
        memo: Mapping[str, Any] | None = None,
        start_signal: str | None = None,
        start_signal_args: Sequence[Any] = (),
    ) -> WorkflowHandle[Any]:
        """Begin a workflow; when this returns, it survives power loss.

        Raises:
            WorkflowAlreadyStartedError: the id is in use, or was and may not be used again.
            PayloadLimitError: an argument is larger than may be stored.
            RPCError: the journal is full, or the engine stops; nothing was accepted.
        """
        name = workflow if isinstance(workflow, str) else workflow_name_of(workflow)
        request = StartRequest(
            workflow_id=id,
            workflow_type=name,
            task_queue=task_queue,
            args=self._arguments(f"workflow {name}", arg, args),
            signal=None if start_signal is None else self._signal(start_signal, _UNSET, start_signal_args),
            execution_timeout_s=_seconds(execution_timeout),
            run_timeout_s=_seconds(run_timeout),
            task_timeout_s=_seconds(task_timeout),
            retry=rule_of(retry_policy),
            memo={key: self._values.encode((value,))[0] for key, value in (memo or {}).items()},
            caused_by="client",
        )
        await self._check_reuse(request, id_reuse_policy)
        with _translated(name):
            record, started = await self.engine.start(
                request, on_conflict=_on_conflict(id_conflict_policy, id_reuse_policy)
            )
        hint = workflow_result_type(workflow) if callable(workflow) and result_type is None else result_type
        return WorkflowHandle(
            self,
            record.workflow_id,
            result_run_id=record.run_id,
            first_execution_run_id=record.run_id if started else None,
            result_type=hint,
        )

    async def execute_workflow(
        self, workflow: str | Callable[..., Any], arg: Any = _UNSET, **options: Any
    ) -> Any:
        """Begin a workflow and wait for its result; see `start_workflow` and `WorkflowHandle.result`."""
        return await (await self.start_workflow(workflow, arg, **options)).result()

    def get_workflow_handle(
        self, workflow_id: str, *, run_id: str | None = None, result_type: type | None = None
    ) -> WorkflowHandle[Any]:
        """A handle for an execution, of the latest run without a run id; whether there is one shows when it is used."""
        return WorkflowHandle(self, workflow_id, run_id=run_id, result_run_id=run_id, result_type=result_type)

    def get_workflow_handle_for(
        self, workflow: Callable[..., Any], workflow_id: str, *, run_id: str | None = None
    ) -> WorkflowHandle[Any]:
        """As `get_workflow_handle`, with the result type of this workflow."""
        return self.get_workflow_handle(
            workflow_id, run_id=run_id, result_type=workflow_result_type(workflow)
        )

    async def list_workflows(
        self, *, status: str | None = None, workflow_type: str | None = None, limit: int | None = None
    ) -> AsyncIterator[WorkflowExecution]:
        """Executions, the newest first."""
        before: int | None = None
        left = limit
        while left is None or left > 0:
            page = await self.engine.journal.executions(
                status=status,
                workflow_type=workflow_type,
                before_key=before,
                limit=100 if left is None else min(100, left),
            )
            for record in page:
                yield execution_of(record)
            if not page:
                return
            before = page[-1].key
            left = None if left is None else left - len(page)

    async def count_workflows(self) -> Mapping[str, int]:
        """How many executions there are, by status, and how many of the running ones are `blocked`."""
        return await self.engine.journal.counts()

    # -- used by the handles -------------------------------------------------------------------------

    def _arguments(self, what: str, arg: Any, args: Sequence[Any]) -> Any:
        if arg is not _UNSET and args:
            raise ValueError("Cannot have arg and args: give one argument as arg, or all of them as args")
        try:
            return self._values.encode(args if arg is _UNSET else (arg,))
        except ValueError as error:
            error.add_note(f"while the arguments of {what} were encoded")
            raise

    def _signal(self, signal: str | Callable[..., Any], arg: Any, args: Sequence[Any]) -> ev.Signaled:
        name = signal_name(signal)
        return ev.Signaled(name, self._arguments(f"signal {name}", arg, args), caused_by="client")

    async def _check_reuse(self, request: StartRequest, policy: WorkflowIDReusePolicy) -> None:
        if policy in (WorkflowIDReusePolicy.ALLOW_DUPLICATE, WorkflowIDReusePolicy.TERMINATE_IF_RUNNING):
            return
        found = await self.engine.journal.executions(workflow_id=request.workflow_id, limit=1)
        if not found or found[0].status == "running":
            return
        only_failed = policy == WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
        if only_failed and found[0].status != "completed":
            return
        raise WorkflowAlreadyStartedError(request.workflow_id, request.workflow_type, run_id=found[0].run_id)

    async def _result(self, workflow_id: str, run_id: str | None, hint: Any, follow_runs: bool) -> Any:
        record = await self.engine.find(workflow_id, run_id)
        while True:
            closing = await self.engine.closing_event(record)
            if isinstance(closing, cmd.ContinueAsNew):
                record = await self._next_run(record)
                if not follow_runs:
                    raise WorkflowContinuedAsNewError(record.run_id)
                continue
            if isinstance(closing, cmd.CompleteWorkflow):
                return self._values.decode([closing.result], None if hint is None else [hint])[0]
            raise WorkflowFailureError(cause=self._error_of(closing))

    async def _next_run(self, record: ExecutionRecord) -> ExecutionRecord:
        runs = await self.engine.journal.executions(workflow_id=record.workflow_id, limit=1_000_000)
        return next(run for run in reversed(runs) if run.key > record.key)

    def _error_of(self, closing: Closing) -> BaseException:
        match closing:
            case cmd.FailWorkflow():
                return self._values.error_of(closing.failure)
            case cmd.CancelWorkflow():
                return CancelledError("Workflow cancelled")
            case ev.WorkflowTerminated():
                return TerminatedError(closing.reason or "Workflow terminated")
            case ev.WorkflowTimedOut():
                return TimeoutError(
                    "Workflow timed out", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[]
                )
            case _:
                raise AssertionError(f"{type(closing).__name__} has a result")


class WorkflowHandle(Generic[R]):
    """One execution, to talk to and to wait for."""

    def __init__(
        self,
        client: Client,
        id: str,
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> None:
        self._client = client
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that this handle talks to; None for whichever is open."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run whose result `result` waits for."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The first run of the chain, when this handle began it."""
        return self._first_execution_run_id

    async def result(self, *, follow_runs: bool = True) -> R:
        """Wait until the workflow has ended; `follow_runs` goes on through runs that continue as new.

        Raises:
            WorkflowFailureError: it ended without a result; the cause says how.
            WorkflowContinuedAsNewError: it continued as new, and `follow_runs` is false.
            RPCError: there is no such execution, or the engine stops.
        """
        with _translated(self._id):
            result = await self._client._result(self._id, self._result_run_id, self._result_type, follow_runs)  # noqa: SLF001
        return cast("R", result)

    async def signal(
        self, signal: str | Callable[..., Any], arg: Any = _UNSET, *, args: Sequence[Any] = ()
    ) -> None:
        """Send a signal; when this returns, it survives power loss.

        Raises:
            RPCError: no open execution, a full journal, or an engine that stops.
        """
        with _translated(self._id):
            await self._client.engine.signal(self._id, self._run_id, self._client._signal(signal, arg, args))  # noqa: SLF001

    async def query(
        self,
        query: str | Callable[..., Any],
        arg: Any = _UNSET,
        *,
        args: Sequence[Any] = (),
        result_type: Any = None,
        reject_condition: QueryRejectCondition | None = None,
    ) -> Any:
        """Ask a query; a closed execution answers too.

        Raises:
            WorkflowQueryFailedError: there is no handler, or it raised.
            WorkflowQueryRejectedError: the status is one that `reject_condition` names.
            RPCError: there is no such execution.
        """
        name, hint = query_definition(query)
        client = self._client
        with _translated(self._id):
            if reject_condition is not None and reject_condition != QueryRejectCondition.NONE:
                await self._check_status(reject_condition)
            try:
                payload = await client.engine.query(
                    self._id,
                    self._run_id,
                    name,
                    client._arguments(f"query {name}", arg, args),  # noqa: SLF001
                )
            except (NoSuchExecution, EngineClosed):
                raise
            except Exception as error:
                raise WorkflowQueryFailedError(str(error.__cause__ or error)) from error
        hint = result_type if result_type is not None else hint
        return client._values.decode([payload], None if hint is None else [hint])[0]  # noqa: SLF001

    async def _check_status(self, condition: QueryRejectCondition) -> None:
        record = await self._client.engine.find(self._id, self._run_id)
        unwanted = record.status != "running" and (
            condition == QueryRejectCondition.NOT_OPEN or record.status != "completed"
        )
        if unwanted:
            raise WorkflowQueryRejectedError(execution_of(record).status)

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the workflow to end by itself.

        Raises:
            RPCError: no open execution, a full journal, or an engine that stops.
        """
        with _translated(self._id):
            await self._client.engine.cancel(self._id, self._run_id, reason)

    async def terminate(self, *args: Any, reason: str | None = None) -> None:
        """End the workflow without asking its code.

        Raises:
            RPCError: no open execution, a full journal, or an engine that stops.
        """
        del args
        with _translated(self._id):
            await self._client.engine.terminate(self._id, self._run_id, reason or "")

    async def describe(self) -> WorkflowExecutionDescription:
        """What the execution is and waits for.

        Raises:
            RPCError: there is no such execution.
        """
        engine = self._client.engine
        with _translated(self._id):
            record = await engine.find(self._id, self._run_id)
            state = (await engine.journal.history(record)).state
            attempts = {attempt.activity: attempt for attempt in await engine.journal.attempts(record.key)}
        due_us = state.next_due_us() if record.status == "running" else None
        return WorkflowExecutionDescription(
            **vars(execution_of(record)),
            history_length=state.sequence,
            pending_activities=[
                PendingActivity(
                    pending.command.activity_id,
                    pending.command.activity_type,
                    attempts[number].failures + 1 if number in attempts else 1,
                )
                for number, pending in state.activities.items()
                if record.status == "running"
            ],
            next_timer=None if due_us is None else _instant(due_us),
        )

    async def fetch_history(self) -> WorkflowHistory:
        """The whole history.

        Raises:
            RPCError: there is no such execution.
        """
        engine = self._client.engine
        with _translated(self._id):
            record = await engine.find(self._id, self._run_id)
            history = await engine.journal.history(record)
        return WorkflowHistory(record.workflow_id, history.events)


class _translated:  # noqa: N801 - used as a statement
    """Engine errors as the errors that callers of a client know."""

    def __init__(self, subject: str) -> None:
        self._subject = subject

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        match error:
            case AlreadyRunning():
                record = error.record
                raise WorkflowAlreadyStartedError(
                    record.workflow_id, record.workflow_type, run_id=record.run_id
                ) from error
            case NoSuchExecution():
                raise RPCError(str(error), RPCStatusCode.NOT_FOUND) from error
            case StorageFull():
                raise RPCError(str(error), RPCStatusCode.RESOURCE_EXHAUSTED) from error
            case EngineClosed():
                raise RPCError(str(error), RPCStatusCode.UNAVAILABLE) from error
            case _:
                pass


def execution_of(record: ExecutionRecord) -> WorkflowExecution:
    """A record as a list shows it."""
    return WorkflowExecution(
        id=record.workflow_id,
        run_id=record.run_id,
        workflow_type=record.workflow_type,
        task_queue=record.task_queue,
        status=WorkflowExecutionStatus[record.status.upper()],
        start_time=_instant(record.started_at_us),
        close_time=None if record.closed_at_us is None else _instant(record.closed_at_us),
        blocked=record.blocked,
    )


def new_workflow_id(name: str) -> str:
    """An id for a workflow that was given none."""
    return f"{name}-{uuid.uuid4()}"


def _on_conflict(conflict: WorkflowIDConflictPolicy, reuse: WorkflowIDReusePolicy) -> str:
    if reuse == WorkflowIDReusePolicy.TERMINATE_IF_RUNNING:
        return "terminate_existing"
    names = {
        WorkflowIDConflictPolicy.USE_EXISTING: "use_existing",
        WorkflowIDConflictPolicy.TERMINATE_EXISTING: "terminate_existing",
    }
    return names.get(conflict, "fail")


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


__all__ = [
    "Client",
    "WorkflowContinuedAsNewError",
    "WorkflowExecution",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
]
