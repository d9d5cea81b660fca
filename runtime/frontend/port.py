"""The port between clients and engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from ..batch_jobs import BatchJob, BatchOperation
from ..batch_runner import BatchPreview
from ..core.commands import CompleteUpdate, ScheduleActivity
from ..core.events import ActivityOptionsUpdated, Closing, Signaled, UpdateAccepted
from ..core.payload import Attribute, Failure, Payload
from ..ports import ExecutionRecord, Pause
from ..requests import Once, StartRequest
from ..resets import ResetRequest
from ..schedules import Schedule, ScheduleBackfill, ScheduleOverlapPolicy
from .records import (
    ActivityById,
    ActivityDetails,
    Begun,
    BegunWithUpdate,
    CountedGroup,
    EventPage,
    ExecutionDetails,
    ExecutionPage,
    SchedulePage,
    ScheduleSnapshot,
    UpdateProgress,
)

C = TypeVar("C", bound=Callable[..., Any])


def takes_time(call: C) -> C:
    """Mark a call that may wait for what is yet to happen, such as a worker that comes."""
    call.takes_time = True  # type: ignore[attr-defined]  # a mark on a function
    return call


def waits(call: C) -> C:
    """Mark a call that does nothing but wait: a client goes on with it when its gateway was away."""
    call.waits = True  # type: ignore[attr-defined]  # as above
    return takes_time(call)


class Frontend(Protocol):
    """What a client asks of an engine.

    A call that changes state takes `once`, by which one that may have been made before has no second effect. When such a
    call returns, the change survives power loss. Parameters and results are records and plain values: `remote.records`
    says which, and a client in another process calls whatever is here.

    Without a run id a call is for the open run, or where it only reads for the latest one. Besides what each call names,
    all of them raise `RPCError`: NOT_FOUND when there is no such execution (update, activity, schedule),
    RESOURCE_EXHAUSTED when the journal is full and nothing was accepted, UNAVAILABLE when the engine stops,
    INVALID_ARGUMENT for a filter or a schedule that is none, FAILED_PRECONDITION for an update of what is paused; and
    `ValueError` for what cannot be recorded.
    """

    # -- executions ------------------------------------------------------------------------------------

    async def start_workflow(
        self, request: StartRequest, reuse: int, on_conflict: str, once: Once | None = None
    ) -> Begun:
        """Begin a workflow. `reuse` is Temporal's number of the reuse policy, `on_conflict` as for `Engine.start`.

        A request with a cron schedule and no delay waits for the schedule's next time.

        Raises:
            WorkflowAlreadyStartedError: the id is in use, or may not be used again.
        """
        ...

    @takes_time
    async def start_workflow_with_update(
        self,
        request: StartRequest,
        update: UpdateAccepted,
        reuse: int,
        on_conflict: str,
        once: Once | None = None,
    ) -> BegunWithUpdate:
        """Hand an update to the open run, or to one that begins with it; returns when it is accepted or rejected.

        Raises:
            WorkflowAlreadyStartedError: as `start_workflow`; the update was sent to nobody.
        """
        ...

    async def signal_workflow(
        self, workflow_id: str, run_id: str | None, signal: Signaled, once: Once | None = None
    ) -> None:
        """The signal is in the history of an open run."""
        ...

    @takes_time
    async def query_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        query: str,
        args: tuple[Payload, ...],
        headers: Mapping[str, Payload],
        reject_condition: int | None,
        patience_s: float,
    ) -> Payload:
        """What a query's handler answers, in a run that may have closed; waits so long for a worker.

        Raises:
            QueryFailed: it did not answer.
            QueryRejected: the status is one that the condition (Temporal's number) names.
            RPCError: DEADLINE_EXCEEDED when no worker came.
        """
        ...

    async def cancel_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        reason: str,
        first_run_id: str | None,
        once: Once | None = None,
    ) -> None:
        """The open run was asked to end; one that has ended needs no asking. With `first_run_id`, one of that chain."""
        ...

    async def terminate_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        reason: str,
        details: tuple[Payload, ...],
        first_run_id: str | None,
        once: Once | None = None,
    ) -> None:
        """The open run has ended. With `first_run_id`, only one of that chain."""
        ...

    async def find_workflow(self, workflow_id: str, run_id: str | None) -> ExecutionRecord:
        """The record of a run."""
        ...

    @waits
    async def workflow_closed(self, workflow_id: str, run_id: str | None) -> Closing:
        """How a run ended, once it has."""
        ...

    async def describe_workflow(self, workflow_id: str, run_id: str | None) -> ExecutionDetails:
        """A run, with what it waits for."""
        ...

    @waits
    async def workflow_events(
        self, workflow_id: str, run_id: str | None, after: int, wait: bool, last_only: bool
    ) -> EventPage:
        """Events of a run after this sequence, as many as fit into a page; `last_only` the last one of all.

        With `wait` it returns when there is one, with both when there is the one that closes the run.
        """
        ...

    async def list_workflows(self, query: str, before_key: int | None, limit: int) -> ExecutionPage:
        """Executions that fit a filter, the newest first; a filter with an order of its own gives one page."""
        ...

    async def count_workflows(self, query: str) -> tuple[CountedGroup, ...]:
        """How many executions fit a filter, by its groups."""
        ...

    async def reset_workflow(self, request: ResetRequest, once: Once | None = None) -> ExecutionRecord:
        """A new run of this workflow id has begun from a point of the history of a run; an open run has ended.

        The same request id again gives the same run.

        Raises:
            RPCError: INVALID_ARGUMENT when the history has no such point, DATA_LOSS when it is damaged.
        """
        ...

    async def delete_workflow(self, workflow_id: str, run_id: str | None, once: Once | None = None) -> None:
        """A closed run is gone with its history.

        Raises:
            RPCError: FAILED_PRECONDITION when it is open, or is still to be replicated.
        """
        ...

    # -- batch jobs ------------------------------------------------------------------------------------

    async def preview_batch(self, operation: BatchOperation, query: str) -> BatchPreview:
        """What a job would be carried out on, if it began now."""
        ...

    async def start_batch(
        self,
        job_id: str,
        operation: BatchOperation,
        query: str,
        reason: str,
        identity: str,
        per_second: float | None,
        once: Once | None = None,
    ) -> BatchJob:
        """A job has begun on what fits the query now; a rate above the engine's limit is that limit.

        Raises:
            RPCError: ALREADY_EXISTS when there is a job of this id, RESOURCE_EXHAUSTED when too many are under way.
        """
        ...

    async def describe_batch(self, job_id: str) -> BatchJob:
        """A job as it is now."""
        ...

    @waits
    async def batch_closed(self, job_id: str) -> BatchJob:
        """A job, once it has ended."""
        ...

    @takes_time
    async def stop_batch(self, job_id: str, identity: str, reason: str) -> BatchJob:
        """A job, once it has stopped; one that has ended is as it is."""
        ...

    async def list_batches(self) -> tuple[BatchJob, ...]:
        """The jobs that are under way, and the last ones that have ended, the newest first."""
        ...

    # -- pauses ----------------------------------------------------------------------------------------

    async def pause_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        identity: str,
        reason: str,
        request_id: str,
        once: Once | None = None,
    ) -> None:
        """None of the open run's code runs, and no attempt of its activities begins, until it goes on.

        Raises:
            RPCError: FAILED_PRECONDITION when it is paused already, by a request with another id.
        """
        ...

    async def unpause_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        identity: str,
        reason: str,
        request_id: str,
        once: Once | None = None,
    ) -> None:
        """The open run goes on, unless more than itself is paused.

        Raises:
            RPCError: FAILED_PRECONDITION when it is not paused by itself.
        """
        ...

    async def pause_workflows(
        self, scope: str, name: str, identity: str, reason: str, once: Once | None = None
    ) -> None:
        """What fits does not go on, also what starts later. Scopes are workflow_type, task_queue and everything."""
        ...

    async def unpause_workflows(self, scope: str, name: str, once: Once | None = None) -> None:
        """The pause has ended.

        Raises:
            RPCError: FAILED_PRECONDITION when there is no such pause.
        """
        ...

    async def list_pauses(self) -> tuple[Pause, ...]:
        """The pauses of types, task queues and everything, the oldest first."""
        ...

    # -- updates ---------------------------------------------------------------------------------------

    @takes_time
    async def update_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        update: UpdateAccepted,
        first_run_id: str | None,
        once: Once | None = None,
    ) -> UpdateProgress:
        """Hand an update to an open run, with `first_run_id` only to one of that chain; returns when it is accepted. One that the run has had is not handed over again.

        Raises:
            UpdateRejected: its validator refused it.
        """
        ...

    @waits
    async def update_outcome(self, workflow_id: str, run_id: str | None, update_id: str) -> CompleteUpdate:
        """How an update ended that was sent before, once it has.

        Raises:
            UpdateRejected: its validator refused it.
        """
        ...

    # -- activities without a workflow -------------------------------------------------------------------

    async def start_activity(
        self,
        activity: ScheduleActivity,
        attributes: Mapping[str, Attribute],
        reuse: int,
        on_conflict: str,
        once: Once | None = None,
    ) -> Begun:
        """Begin an activity that no workflow asks for, with these search attributes; policies as for `start_workflow`.

        Raises:
            ActivityAlreadyStartedError: the id is in use, or may not be used again.
            RPCError: INVALID_ARGUMENT when it lacks an id, a type, a task queue or a timeout.
        """
        ...

    async def cancel_activity(
        self, activity_id: str, run_id: str | None, reason: str, once: Once | None = None
    ) -> None:
        """The activity was asked to stop; one of which no attempt runs has ended.

        Raises (as the calls that follow):
            RPCError: FAILED_PRECONDITION when it has closed, or was asked before.
        """
        ...

    async def terminate_activity(
        self, activity_id: str, run_id: str | None, reason: str, once: Once | None = None
    ) -> None:
        """The activity has ended; what its attempt comes to has no effect."""
        ...

    async def pause_activity(
        self, activity_id: str, run_id: str | None, identity: str, reason: str, once: Once | None = None
    ) -> None:
        """No attempt begins until it goes on. One that runs is asked to stop when it beats."""
        ...

    async def unpause_activity(
        self,
        activity_id: str,
        run_id: str | None,
        identity: str,
        reason: str,
        delay_s: float,
        once: Once | None = None,
    ) -> None:
        """Attempts are made again, after this delay; a schedule-to-start timeout counts anew."""
        ...

    async def update_activity_options(
        self,
        activity_id: str,
        run_id: str | None,
        options: ActivityOptionsUpdated,
        names: tuple[str, ...],
        once: Once | None = None,
    ) -> ActivityOptionsUpdated:
        """Those of the options that are named are as in `options`; without names all are as at the start. Returns them all.

        Raises:
            RPCError: FAILED_PRECONDITION when it has closed, or the delay is to change of one that has begun.
        """
        ...

    @waits
    async def activity_closed(self, activity_id: str, run_id: str | None) -> Closing:
        """How the activity ended, once it has."""
        ...

    async def describe_activity(
        self,
        activity_id: str,
        run_id: str | None,
        include_input: bool,
        include_outcome: bool,
        include_heartbeat_details: bool,
        include_last_failure: bool,
    ) -> ActivityDetails:
        """The activity, with as much as is asked for."""
        ...

    async def list_activities(self, query: str, before_key: int | None, limit: int) -> ExecutionPage:
        """As `list_workflows`, of activities without a workflow."""
        ...

    async def count_activities(self, query: str) -> tuple[CountedGroup, ...]:
        """As `count_workflows`, of activities without a workflow."""
        ...

    # -- activities that someone else completes ----------------------------------------------------------

    async def heartbeat_activity(self, place: ActivityById | bytes, details: tuple[Payload, ...]) -> None:
        """The activity, by its id or its token, is alive.

        Raises:
            ActivityCancelled: it was asked to stop.
        """
        ...

    async def end_activity(
        self,
        place: ActivityById | bytes,
        outcome: Payload | Failure,
        heartbeat: tuple[Payload, ...],
        once: Once | None = None,
    ) -> None:
        """An attempt of an activity ended; a failure is retried as the policy says, with this last heartbeat if any."""
        ...

    # -- schedules -------------------------------------------------------------------------------------

    async def create_schedule(
        self,
        schedule_id: str,
        schedule: Schedule,
        memo: Mapping[str, Payload],
        attributes: Mapping[str, Attribute],
        trigger: bool,
        backfills: tuple[ScheduleBackfill, ...],
        once: Once | None = None,
    ) -> None:
        """Times from now on are the schedule's own. Arguments, memo and headers of its action are payloads.

        Raises:
            ScheduleAlreadyRunningError: there is one of this id.
        """
        ...

    async def update_schedule(
        self,
        schedule_id: str,
        schedule: Schedule,
        attributes: Mapping[str, Attribute] | None,
        once: Once | None = None,
    ) -> None:
        """The schedule is this one; None leaves its search attributes."""
        ...

    async def trigger_schedule(
        self, schedule_id: str, overlap: ScheduleOverlapPolicy | None, once: Once | None = None
    ) -> None:
        """Its action is taken once, now."""
        ...

    async def backfill_schedule(
        self, schedule_id: str, backfills: tuple[ScheduleBackfill, ...], once: Once | None = None
    ) -> None:
        """The actions of these stretches of time are taken."""
        ...

    async def pause_schedule(self, schedule_id: str, note: str, once: Once | None = None) -> None:
        """Times pass without actions."""
        ...

    async def unpause_schedule(self, schedule_id: str, note: str, once: Once | None = None) -> None:
        """The schedule goes on."""
        ...

    async def delete_schedule(self, schedule_id: str, once: Once | None = None) -> None:
        """The schedule is gone."""
        ...

    async def describe_schedule(self, schedule_id: str) -> ScheduleSnapshot:
        """The schedule as it is."""
        ...

    async def list_schedules(self, query: str, after_id: str, limit: int) -> SchedulePage:
        """Schedules that fit a filter of ScheduleId, TemporalSchedulePaused and search attributes, by their ids."""
        ...
