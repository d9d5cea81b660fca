"""What an engine is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, TypeVar

from .common import ConcurrencyKey
from .core import events as ev
from .core.commands import ScheduleActivity
from .core.payload import Attribute, Failure, Payload
from .core.records import record
from .core.retry import RetryRule
from .core.skipping import ClockStart
from .ports import ExecutionRecord
from .retry_policy import parts_of

if TYPE_CHECKING:
    from .updates import UpdateTicket

T = TypeVar("T")


@record
class ParentLink:
    """The execution that starts another as its child, and the command by which it does."""

    workflow_id: str
    run_id: str
    command_id: int
    close_policy: int
    root_workflow_id: str
    root_run_id: str

    @classmethod
    def of(cls, start: ev.WorkflowStarted) -> ParentLink | None:
        """The link that an execution was started with; None when it is nobody's child."""
        if not start.parent_run_id:
            return None
        return cls(
            start.parent_workflow_id,
            start.parent_run_id,
            start.parent_command_id,
            start.parent_close_policy,
            start.root_workflow_id,
            start.root_run_id,
        )


class WithUpdate:
    """An update that goes with a start, in the same activation; `ticket` is set when the run begins by this start."""

    def __init__(self, update: ev.UpdateAccepted) -> None:
        self.update = update
        self.ticket: UpdateTicket | None = None


@record(kw_only=True)
class StartRequest:
    """A workflow that shall begin."""

    workflow_id: str
    workflow_type: str
    task_queue: str
    args: tuple[Payload, ...] = ()
    signal: ev.Signaled | None = None
    """Handed over together with the start."""
    execution_timeout_s: float | None = None
    run_timeout_s: float | None = None
    task_timeout_s: float | None = None
    retry: RetryRule | None = None
    memo: Mapping[str, Payload] = field(default_factory=dict[str, Payload])
    headers: Mapping[str, Payload] = field(default_factory=dict[str, Payload])
    caused_by: str = ""
    search_attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    parent: ParentLink | None = None
    cron: str = ""
    first_delay_s: float = 0.0
    attempt: int = 1
    chain_started_us: int = 0
    last_result: Payload | None = None
    last_failure: Failure | None = None
    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0
    summary: str = ""
    details: str = ""
    schedule_id: str = ""
    original_run_id: str = ""
    update: WithUpdate | None = None
    concurrency_key: str = ""
    concurrency_limit: int = 0
    concurrency_policy: int = 0
    admitted: bool = True
    """Whether it begins at once, or waits for its concurrency key."""
    clock: ClockStart | None = None
    activity: ScheduleActivity | None = None
    """What the execution runs instead of a workflow; see `core.standalone`."""

    def under(self, concurrency: ConcurrencyKey | None) -> StartRequest:
        """The same start, counted under a concurrency key."""
        key, limit, policy = parts_of(concurrency)
        return replace(self, concurrency_key=key, concurrency_limit=limit, concurrency_policy=policy)

    def started(
        self, run_id: str, *, first_run_id: str = "", continued_run_id: str = "", durability: int = 0
    ) -> ev.WorkflowStarted:
        """The first event of the run that this asks for."""
        parent = self.parent
        return ev.WorkflowStarted(
            workflow_id=self.workflow_id,
            run_id=run_id,
            workflow_type=self.workflow_type,
            task_queue=self.task_queue,
            args=self.args,
            random_seed=0,
            first_run_id=first_run_id or run_id,
            continued_run_id=continued_run_id,
            attempt=self.attempt,
            execution_timeout_s=self.execution_timeout_s,
            run_timeout_s=self.run_timeout_s,
            task_timeout_s=self.task_timeout_s,
            retry=self.retry,
            memo=self.memo,
            headers=self.headers,
            caused_by=self.caused_by,
            search_attributes=self.search_attributes,
            parent_workflow_id=parent.workflow_id if parent else "",
            parent_run_id=parent.run_id if parent else "",
            parent_command_id=parent.command_id if parent else 0,
            parent_close_policy=parent.close_policy if parent else 0,
            root_workflow_id=parent.root_workflow_id if parent else "",
            root_run_id=parent.root_run_id if parent else "",
            cron=self.cron,
            first_delay_s=self.first_delay_s,
            last_result=self.last_result,
            last_failure=self.last_failure,
            chain_started_us=self.chain_started_us,
            original_run_id=self.original_run_id,
            priority_key=self.priority_key,
            fairness_key=self.fairness_key,
            fairness_weight=self.fairness_weight,
            summary=self.summary,
            details=self.details,
            schedule_id=self.schedule_id,
            concurrency_key=self.concurrency_key,
            concurrency_limit=self.concurrency_limit,
            concurrency_policy=self.concurrency_policy,
            admitted=self.admitted,
            clock=self.clock,
            durability=durability,
        )


def answering(answer: asyncio.Future[T], result: Callable[[], T]) -> Callable[[BaseException | None], None]:
    """What answers a request: called with None it gives the result, else the error; who has gone is not told."""

    def answer_it(error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result())
        else:
            answer.set_exception(error)

    return answer_it


@record
class Once:
    """A request that has its effect once, however often it is made: its id is committed with the effect."""

    id: bytes
    again: bool = False
    """It may have been made before, and had its effect."""


def receipt(once: Once | None) -> bytes | None:
    """What is committed with the effect of a request."""
    return None if once is None else once.id


class NoSuchExecution(LookupError):
    """No execution fits: the id is unknown, or it has closed. The message says which."""


class PausedAlready(Exception):
    """The execution is paused by itself, so that it cannot be paused again."""


class NotPaused(Exception):
    """There is no such pause to end."""


class ForwardOvertaken(Exception):
    """Another fast-forward was asked for before this one had come to its end."""

    def __init__(self, forward_id: str) -> None:
        super().__init__(
            f"fast_forward_id does not match: {forward_id!r} was overridden by a later fast-forward"
        )


class ExecutionPaused(Exception):
    """The execution is paused, so that its code cannot answer."""


class NoWorker(LookupError):
    """Nobody runs the code of this execution now, so that it cannot answer."""


class AlreadyRunning(Exception):
    """The workflow id has an open run, and the conflict policy says to fail; or it may not be used again."""

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(f"workflow {record.workflow_id!r} is running already (run {record.run_id})")
        self.record = record


class KeyTaken(Exception):
    """As many executions of the concurrency key run, or wait, as the limit allows; the one that began first is given."""

    def __init__(self, key: str, limit: int, record: ExecutionRecord) -> None:
        super().__init__(
            f"concurrency key {key!r} (limit {limit}) is taken by workflow {record.workflow_id!r} (run {record.run_id})"
        )
        self.key = key
        self.limit = limit
        self.record = record


class EngineClosed(RuntimeError):
    """The engine stops; nothing was accepted."""
