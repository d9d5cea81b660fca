"""What reached an execution, as the attributes of Temporal's events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..api.common.v1 import Priority, RetryPolicy, TimeSkippingConfig, WorkflowExecution, WorkflowType
from ..api.enums.v1 import (
    CancelExternalWorkflowExecutionFailedCause,
    ContinueAsNewInitiator,
    SignalExternalWorkflowExecutionFailedCause,
    StartChildWorkflowExecutionFailedCause,
    TaskQueueKind,
    UpdateAdmittedEventOrigin,
    WorkflowTaskFailedCause,
)
from ..api.failure.v1 import Failure
from ..api.history import v1 as api
from ..api.message import Message
from ..api.taskqueue.v1 import TaskQueue
from ..api.time import Duration, Timestamp
from ..api.update.v1 import Input, Meta, Request
from ..core import events as ev
from ..core.commands import CancelExternal, SignalWithStart
from ..core.retry import DEFAULT_RULE, RetryRule
from ..core.seed import seed_of
from ..time_skipping_messages import config_of
from .failures import outward_failure, retry_state
from .numbering import Activity, Child, Numbering
from .payloads import header, memo, payloads, search_attributes

NAMESPACE: Final = "default"
TASK_TIMEOUT_S: Final = 10.0


def queue(name: str) -> TaskQueue:
    """A task queue by its name."""
    return TaskQueue(name=name, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL)


def duration(seconds: float | None) -> Duration:
    """A timeout; none is written as zero, as Temporal's server does."""
    return Duration.of_s(seconds or 0.0)


def policy(rule: RetryRule | None) -> RetryPolicy | None:
    """A retry policy, with the longest interval that it means where it names none."""
    if rule is None:
        return None
    longest = rule.interval_s_max if rule.interval_s_max is not None else rule.initial_s * 100
    return RetryPolicy(
        initial_interval=Duration.of_s(rule.initial_s),
        backoff_coefficient=rule.coefficient,
        maximum_interval=Duration.of_s(longest),
        maximum_attempts=rule.attempts_max,
        non_retryable_error_types=rule.non_retryable_types,
    )


def activity_policy(rule: RetryRule | None) -> RetryPolicy | None:
    """As `policy`; an activity always has one."""
    return policy(rule or DEFAULT_RULE)


def execution(workflow_id: str, run_id: str = "") -> WorkflowExecution:
    """One run of a workflow id."""
    return WorkflowExecution(workflow_id=workflow_id, run_id=run_id)


def priority(key: int, fairness_key: str, weight: float) -> Priority | None:
    """What is taken first; None when nothing was said of it."""
    if not (key or fairness_key or weight):
        return None
    return Priority(priority_key=key, fairness_key=fairness_key, fairness_weight=weight)


# -- the execution -----------------------------------------------------------------------------------------


def _started(run: Numbering, body: ev.WorkflowStarted, at_us: int) -> list[Message]:
    run.start = body
    expires_us = None
    if body.execution_timeout_s is not None:
        expires_us = (body.chain_started_us or at_us) + round(body.execution_timeout_s * 1_000_000)
    attributes = api.WorkflowExecutionStartedEventAttributes(
        workflow_type=WorkflowType(name=body.workflow_type),
        parent_workflow_namespace=NAMESPACE if body.parent_workflow_id else "",
        parent_workflow_execution=_linked(body.parent_workflow_id, body.parent_run_id),
        parent_initiated_event_id=body.parent_command_id,
        task_queue=queue(body.task_queue),
        input=payloads(body.args),
        workflow_execution_timeout=duration(body.execution_timeout_s),
        workflow_run_timeout=duration(body.run_timeout_s),
        workflow_task_timeout=duration(body.task_timeout_s or TASK_TIMEOUT_S),
        continued_execution_run_id=body.continued_run_id,
        initiator=_initiator(body),
        continued_failure=None if body.last_failure is None else outward_failure(body.last_failure),
        last_completion_result=payloads([body.last_result]),
        original_execution_run_id=body.original_run_id or body.run_id,
        identity=body.caused_by,
        first_execution_run_id=body.first_run_id or body.run_id,
        retry_policy=policy(body.retry),
        attempt=body.attempt,
        workflow_execution_expiration_time=None if expires_us is None else Timestamp.of_us(expires_us),
        cron_schedule=body.cron,
        first_workflow_task_backoff=duration(body.first_delay_s),
        memo=memo(body.memo),
        search_attributes=search_attributes(body.search_attributes),
        header=header(body.headers),
        workflow_id=body.workflow_id,
        root_workflow_execution=_linked(body.root_workflow_id, body.root_run_id)
        or execution(body.workflow_id, body.run_id),
        priority=priority(body.priority_key, body.fairness_key, body.fairness_weight),
        time_skipping_config=_own_clock(body),
    )
    return [attributes]


def _own_clock(body: ev.WorkflowStarted) -> TimeSkippingConfig | None:
    skipping = None if body.clock is None else body.clock.skipping
    return None if skipping is None else config_of(skipping)


def _linked(workflow_id: str, run_id: str) -> WorkflowExecution | None:
    return execution(workflow_id, run_id) if workflow_id else None


def _initiator(body: ev.WorkflowStarted) -> ContinueAsNewInitiator:
    if not body.continued_run_id:
        return ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED
    if body.attempt > 1:
        return ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_RETRY
    if body.cron:
        return ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    return ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW


def _cancel_requested(_run: Numbering, body: ev.CancelRequested, _at_us: int) -> list[Message]:
    return [api.WorkflowExecutionCancelRequestedEventAttributes(cause=body.reason)]


def _withdrawn(_run: Numbering, body: ev.WorkflowWithdrawn, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionCancelRequestedEventAttributes(cause=body.reason),
        api.WorkflowExecutionCanceledEventAttributes(),
    ]


def _terminated(_run: Numbering, body: ev.WorkflowTerminated, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionTerminatedEventAttributes(reason=body.reason, details=payloads(body.details))
    ]


def _timed_out(_run: Numbering, body: ev.WorkflowTimedOut, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionTimedOutEventAttributes(
            retry_state=retry_state(body.retry_state), new_execution_run_id=body.new_run_id
        )
    ]


def _paused(_run: Numbering, body: ev.WorkflowPaused, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionPausedEventAttributes(
            identity=body.identity, reason=body.reason, request_id=body.request_id
        )
    ]


def _unpaused(_run: Numbering, body: ev.WorkflowUnpaused, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionUnpausedEventAttributes(
            identity=body.identity, reason=body.reason, request_id=body.request_id
        )
    ]


def _reset(run: Numbering, body: ev.WorkflowReset, _at_us: int) -> list[Message]:
    """A reset is a workflow task that has failed for it; random numbers follow from the id of the run that it made."""
    scheduled = run.next_event
    made = [run_id for run_id in (*run.reset_runs, run.started.run_id) if seed_of(run_id) == body.seed]
    return [
        api.WorkflowTaskScheduledEventAttributes(task_queue=queue(run.started.task_queue), attempt=1),
        api.WorkflowTaskStartedEventAttributes(scheduled_event_id=scheduled),
        api.WorkflowTaskFailedEventAttributes(
            scheduled_event_id=scheduled,
            started_event_id=scheduled + 1,
            cause=WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
            failure=Failure(message=body.reason),
            identity=body.identity,
            base_run_id=body.base_run_id,
            new_run_id=made[0] if made else run.started.run_id,
        ),
    ]


def _signaled(_run: Numbering, body: ev.Signaled, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionSignaledEventAttributes(
            signal_name=body.name,
            input=payloads(body.args),
            identity=body.caused_by,
            header=header(body.headers),
        )
    ]


def _time_skipped(_run: Numbering, body: ev.TimeSkipped, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionTimeSkippingTransitionedEventAttributes(
            target_time=Timestamp.of_us(body.to_us),
            disabled_after_fast_forward=body.forward_reached,
            wall_clock_time=Timestamp.of_us(body.wall_us),
        )
    ]


def _time_skipping_changed(_run: Numbering, body: ev.TimeSkippingChanged, _at_us: int) -> list[Message]:
    return [
        api.WorkflowExecutionOptionsUpdatedEventAttributes(
            time_skipping_config=config_of(body.skipping), time_skipping_config_updated=True
        )
    ]


def _request(body: ev.UpdateAdmitted | ev.UpdateAccepted) -> Request:
    return Request(
        meta=Meta(update_id=body.update_id, identity=body.caused_by),
        input=Input(header=header(body.headers), name=body.name, args=payloads(body.args)),
    )


def _update_admitted(_run: Numbering, body: ev.UpdateAdmitted, _at_us: int) -> list[Message]:
    origin = UpdateAdmittedEventOrigin.UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY
    return [api.WorkflowExecutionUpdateAdmittedEventAttributes(request=_request(body), origin=origin)]


def _update_accepted(run: Numbering, body: ev.UpdateAccepted, _at_us: int) -> list[Message]:
    run.updates[body.update_id] = run.next_event
    return [
        api.WorkflowExecutionUpdateAcceptedEventAttributes(
            protocol_instance_id=body.update_id,
            accepted_request_message_id=f"{body.update_id}/request",
            accepted_request_sequencing_event_id=run.updates_after.pop(body.update_id),
            accepted_request=_request(body),
        )
    ]


# -- activities and timers ---------------------------------------------------------------------------------


def _activity_completed(run: Numbering, body: ev.ActivityCompleted, _at_us: int) -> list[Message]:
    activity = run.activities.pop(body.id)
    return [
        _activity_started(activity, body.attempt),
        api.ActivityTaskCompletedEventAttributes(
            result=payloads([body.result]),
            scheduled_event_id=activity.scheduled,
            started_event_id=run.next_event,
        ),
    ]


def _activity_started(activity: Activity, attempt: int) -> Message:
    return api.ActivityTaskStartedEventAttributes(scheduled_event_id=activity.scheduled, attempt=attempt)


def _activity_failed(run: Numbering, body: ev.ActivityFailed, _at_us: int) -> list[Message]:
    activity = run.activities.pop(body.id)
    ids = {"scheduled_event_id": activity.scheduled, "started_event_id": run.next_event}
    started = [_activity_started(activity, body.attempt)]
    if body.failure.kind == "canceled" and activity.cancel_requested:
        return [
            *started,
            api.ActivityTaskCanceledEventAttributes(
                details=payloads(body.failure.details),
                latest_cancel_requested_event_id=activity.cancel_requested,
                **ids,
            ),
        ]
    failed = {"failure": outward_failure(body.failure), "retry_state": retry_state(body.retry_state)}
    if body.failure.kind != "timeout":
        return [*started, api.ActivityTaskFailedEventAttributes(**failed, **ids)]
    if body.failure.attributes.get("timeout_type") == "SCHEDULE_TO_START":
        return [api.ActivityTaskTimedOutEventAttributes(**failed, scheduled_event_id=activity.scheduled)]
    return [*started, api.ActivityTaskTimedOutEventAttributes(**failed, **ids)]


def _timer_fired(run: Numbering, body: ev.TimerFired, _at_us: int) -> list[Message]:
    started, timer_id = run.timers.pop(body.id)
    return [api.TimerFiredEventAttributes(timer_id=timer_id, started_event_id=started)]


# -- children and other executions -------------------------------------------------------------------------


def _child_ids(child: Child, run_id: str) -> dict[str, Any]:
    return {
        "namespace": NAMESPACE,
        "workflow_execution": execution(child.command.workflow_id, run_id),
        "workflow_type": WorkflowType(name=child.command.workflow_type),
        "initiated_event_id": child.initiated,
    }


def _child_started(run: Numbering, body: ev.ChildStarted, _at_us: int) -> list[Message]:
    child = run.children[body.id]
    child.started = run.next_event
    return [api.ChildWorkflowExecutionStartedEventAttributes(**_child_ids(child, body.run_id))]


def _child_start_failed(run: Numbering, body: ev.ChildStartFailed, _at_us: int) -> list[Message]:
    child = run.children.pop(body.id)
    cause = StartChildWorkflowExecutionFailedCause
    return [
        api.StartChildWorkflowExecutionFailedEventAttributes(
            namespace=NAMESPACE,
            workflow_id=child.command.workflow_id,
            workflow_type=WorkflowType(name=child.command.workflow_type),
            cause=cause.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS,
            initiated_event_id=child.initiated,
        )
    ]


_CHILD_CLOSED: Final[dict[str, type[Message]]] = {
    "canceled": api.ChildWorkflowExecutionCanceledEventAttributes,
    "terminated": api.ChildWorkflowExecutionTerminatedEventAttributes,
    "timeout": api.ChildWorkflowExecutionTimedOutEventAttributes,
}


def _child_closed(run: Numbering, body: ev.ChildClosed, at_us: int) -> list[Message]:
    child = run.children[body.id]
    # A child that was quick has ended before the news of its start.
    begun = [] if child.started else _child_started(run, ev.ChildStarted(body.id, body.run_id), at_us)
    del run.children[body.id]
    ids = {**_child_ids(child, body.run_id), "started_event_id": child.started}
    failure = body.failure
    if failure is None:
        return [
            *begun,
            api.ChildWorkflowExecutionCompletedEventAttributes(result=payloads([body.result]), **ids),
        ]
    match failure.kind:
        case "canceled":
            closed: Message = api.ChildWorkflowExecutionCanceledEventAttributes(
                details=payloads(failure.details), **ids
            )
        case "terminated":
            closed = api.ChildWorkflowExecutionTerminatedEventAttributes(**ids)
        case "timeout":
            closed = api.ChildWorkflowExecutionTimedOutEventAttributes(
                retry_state=retry_state(body.retry_state), **ids
            )
        case _:
            closed = api.ChildWorkflowExecutionFailedEventAttributes(
                failure=outward_failure(failure), retry_state=retry_state(body.retry_state), **ids
            )
    return [*begun, closed]


def _external_resolved(run: Numbering, body: ev.ExternalResolved, _at_us: int) -> list[Message]:
    external = run.externals.pop(body.id)
    command = external.command
    run_id = body.run_id if isinstance(command, SignalWithStart) else command.run_id
    ids = {
        "namespace": NAMESPACE,
        "workflow_execution": execution(command.workflow_id, run_id),
        "initiated_event_id": external.initiated,
    }
    cancels = isinstance(command, CancelExternal)
    if body.failure is None and cancels:
        return [api.ExternalWorkflowExecutionCancelRequestedEventAttributes(**ids)]
    if body.failure is None:
        return [api.ExternalWorkflowExecutionSignaledEventAttributes(**ids)]
    if not cancels:
        cause: Any = SignalExternalWorkflowExecutionFailedCause.of("ExternalWorkflowExecutionNotFound")
        failed: type[Message] = api.SignalExternalWorkflowExecutionFailedEventAttributes
    else:
        cause = CancelExternalWorkflowExecutionFailedCause.of("ExternalWorkflowExecutionNotFound")
        failed = api.RequestCancelExternalWorkflowExecutionFailedEventAttributes
    return [failed(cause=cause, workflow_task_completed_event_id=run.task_completed, **ids)]


HAPPENINGS: Final[dict[type[ev.Body], Callable[[Numbering, Any, int], list[Message]]]] = {
    ev.WorkflowStarted: _started,
    ev.ActivityCompleted: _activity_completed,
    ev.ActivityFailed: _activity_failed,
    ev.TimerFired: _timer_fired,
    ev.Signaled: _signaled,
    ev.UpdateAdmitted: _update_admitted,
    ev.UpdateAccepted: _update_accepted,
    ev.ChildStarted: _child_started,
    ev.ChildStartFailed: _child_start_failed,
    ev.ChildClosed: _child_closed,
    ev.ExternalResolved: _external_resolved,
    ev.CancelRequested: _cancel_requested,
    ev.WorkflowTerminated: _terminated,
    ev.WorkflowTimedOut: _timed_out,
    ev.WorkflowPaused: _paused,
    ev.WorkflowUnpaused: _unpaused,
    ev.WorkflowReset: _reset,
    ev.ActivationStarted: lambda _run, _body, _at_us: [],
    ev.TimeSkipped: _time_skipped,
    ev.TimeSkippingChanged: _time_skipping_changed,
    ev.WorkflowAdmitted: lambda _run, _body, _at_us: [],
    ev.ActivityOptionsUpdated: lambda _run, _body, _at_us: [],  # of activities without a workflow
    ev.WorkflowWithdrawn: _withdrawn,
}
"""The attributes of the events that say it, in order; the first event has the number `next_event`."""
