"""The attributes of Temporal's events as our records; what refers to another event keeps its number as id."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..api.common.v1 import Payloads, RetryPolicy
from ..api.enums.v1 import WorkflowTaskFailedCause
from ..api.history import v1 as api
from ..api.message import Message
from ..api.sdk.v1 import UserMetadata
from ..api.time import Duration
from ..api.update.v1 import Request
from ..core import commands as cmd
from ..core import events as ev
from ..core.payload import Failure, Payload
from ..core.retry import RetryRule
from ..core.seed import seed_of
from ..core.skipping import ClockStart
from ..failure_messages import record_of
from ..outcomes import ENDED_CHILD, not_found
from ..time_skipping_messages import skipping_of
from .commands import MESSAGE, PATCH, SIGNAL_WITH_START
from .failures import short
from .payloads import attributes_of, text_of

_CHANGE_VERSION: Final = "TemporalChangeVersion"
"""The search attribute that Temporal's SDKs set with a patch; here nothing asks for it."""


@dataclass(slots=True)
class Referred:
    """What later events of a history refer to otherwise than by an event's number."""

    workflow_id: str
    children: dict[str, int] = field(default_factory=dict[str, int])
    """The event that asked for a child, by the child's workflow id."""
    child_cancels: set[int] = field(default_factory=set[int])
    admitted: dict[str, Request] = field(default_factory=dict[str, Request])


def _s(duration: Duration) -> float | None:
    """Seconds; None for no timeout."""
    return duration.ToNanoseconds() / 1e9 or None


def _args(found: Payloads) -> tuple[Payload, ...]:
    return tuple(found.payloads)


def _one(found: Payloads) -> Payload:
    return found.payloads[0] if found.payloads else Payload()


def _rule(found: RetryPolicy) -> RetryRule:
    return RetryRule(
        _s(found.initial_interval) or 0.0,
        found.backoff_coefficient,
        _s(found.maximum_interval),
        found.maximum_attempts,
        tuple(found.non_retryable_error_types),
    )


def _policy(found: Any) -> RetryRule | None:
    return _rule(found.retry_policy) if found.HasField("retry_policy") else None


def _failure(found: Any, name: str = "failure") -> Failure | None:
    return record_of(getattr(found, name)) if found.HasField(name) else None


def _some_failure(found: Any) -> Failure:
    return _failure(found) or Failure(kind="application", message="")


def _priority(found: Any) -> dict[str, Any]:
    given = found.priority
    return {
        "priority_key": given.priority_key,
        "fairness_key": given.fairness_key,
        "fairness_weight": given.fairness_weight,
    }


# -- the execution -----------------------------------------------------------------------------------------


def started_of(
    found: api.WorkflowExecutionStartedEventAttributes, words: UserMetadata, workflow_id: str
) -> ev.WorkflowStarted:
    """The first event of a history."""
    parent, root = found.parent_workflow_execution, found.root_workflow_execution
    last = found.last_completion_result.payloads
    return ev.WorkflowStarted(
        workflow_id=found.workflow_id or workflow_id,
        run_id=found.original_execution_run_id,
        workflow_type=found.workflow_type.name,
        task_queue=found.task_queue.name,
        args=_args(found.input),
        random_seed=0,
        first_run_id=found.first_execution_run_id,
        continued_run_id=found.continued_execution_run_id,
        attempt=max(found.attempt, 1),
        execution_timeout_s=_s(found.workflow_execution_timeout),
        run_timeout_s=_s(found.workflow_run_timeout),
        task_timeout_s=_s(found.workflow_task_timeout),
        retry=_policy(found),
        memo=dict(found.memo.fields),
        headers=dict(found.header.fields),
        caused_by=found.identity,
        search_attributes=attributes_of(found.search_attributes),
        parent_workflow_id=parent.workflow_id,
        parent_run_id=parent.run_id,
        parent_command_id=found.parent_initiated_event_id,
        root_workflow_id=root.workflow_id if parent.workflow_id else "",
        root_run_id=root.run_id if parent.workflow_id else "",
        cron=found.cron_schedule,
        first_delay_s=_s(found.first_workflow_task_backoff) or 0.0,
        last_result=last[0] if last else None,
        last_failure=_failure(found, "continued_failure"),
        summary=text_of(words.summary),
        details=text_of(words.details),
        clock=ClockStart(skipping_of(found.time_skipping_config))
        if found.HasField("time_skipping_config")
        else None,
        **_priority(found),
    )


def _started(
    run: Referred, event: api.HistoryEvent, found: api.WorkflowExecutionStartedEventAttributes
) -> ev.Body:
    return started_of(found, event.user_metadata, run.workflow_id)


def _options_updated(_run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body | None:
    if not found.HasField("time_skipping_config"):
        return None  # What else may be changed is the server's.
    return ev.TimeSkippingChanged(skipping_of(found.time_skipping_config))


def _signaled(_run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body:
    return ev.Signaled(
        found.signal_name, _args(found.input), dict(found.header.fields), caused_by=found.identity
    )


def _update_admitted(run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body:
    run.admitted[found.request.meta.update_id] = found.request
    return ev.UpdateAdmitted(found.request.meta.update_id, *_asked(found.request))


def _update_accepted(run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body:
    update_id = found.protocol_instance_id or found.accepted_request.meta.update_id
    request: Request = found.accepted_request
    if not found.HasField("accepted_request"):
        request = run.admitted.get(update_id, request)
    return ev.UpdateAccepted(update_id, *_asked(request))


def _asked(request: Request) -> tuple[Any, ...]:
    """The name of an update, its arguments and headers, and who asked."""
    given = request.input
    return given.name, _args(given.args), dict(given.header.fields), request.meta.identity


def _task_failed(_run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body | None:
    if found.cause != WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
        return None
    return ev.WorkflowReset(
        seed_of(found.new_run_id),
        found.base_run_id,
        reason=found.failure.message,
        identity=found.identity,
    )


# -- activities and timers ---------------------------------------------------------------------------------


def _activity_scheduled(_run: Referred, event: api.HistoryEvent, found: Any) -> ev.Body:
    return cmd.ScheduleActivity(
        event.event_id,
        found.activity_type.name,
        found.task_queue.name,
        _args(found.input),
        _s(found.schedule_to_close_timeout),
        _s(found.schedule_to_start_timeout),
        _s(found.start_to_close_timeout),
        _s(found.heartbeat_timeout),
        _policy(found),
        found.activity_id,
        dict(found.header.fields),
        text_of(event.user_metadata.summary),
        **_priority(found),
    )


def _activity_canceled(_run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body:
    failure = Failure(kind="canceled", message="Activity cancelled", details=_args(found.details))
    return ev.ActivityFailed(found.scheduled_event_id, failure)


def _timer_started(_run: Referred, event: api.HistoryEvent, found: Any) -> ev.Body:
    delay_us = found.start_to_fire_timeout.ToMicroseconds()
    return cmd.StartTimer(event.event_id, delay_us, text_of(event.user_metadata.summary))


# -- children and other executions -------------------------------------------------------------------------


def _child_initiated(run: Referred, event: api.HistoryEvent, found: Any) -> ev.Body:
    run.children[found.workflow_id] = event.event_id
    return cmd.StartChild(
        event.event_id,
        found.workflow_id,
        found.workflow_type.name,
        found.task_queue.name,
        _args(found.input),
        _s(found.workflow_execution_timeout),
        _s(found.workflow_run_timeout),
        _s(found.workflow_task_timeout),
        _policy(found),
        int(found.parent_close_policy),
        int(found.workflow_id_reuse_policy),
        found.cron_schedule,
        dict(found.memo.fields),
        attributes_of(found.search_attributes),
        dict(found.header.fields),
        text_of(event.user_metadata.summary),
        text_of(event.user_metadata.details),
        **_priority(found),
    )


def _child_closed(kind: str) -> Callable[[Referred, api.HistoryEvent, Any], ev.Body]:
    """Of a child that ended without a result, and without a failure of its own."""

    def closed(_run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body:
        state = short(found.retry_state) if kind == "timeout" else ""
        run_id = found.workflow_execution.run_id
        return ev.ChildClosed(found.initiated_event_id, run_id, failure=ENDED_CHILD[kind], retry_state=state)

    return closed


def _cancel_initiated(run: Referred, event: api.HistoryEvent, found: Any) -> ev.Body | None:
    target = found.workflow_execution
    if not found.child_workflow_only:
        return cmd.CancelExternal(event.event_id, target.workflow_id, target.run_id, found.reason)
    run.child_cancels.add(event.event_id)
    return cmd.CancelChild(run.children.get(target.workflow_id, 0), found.reason)


def _external(
    failed: type[cmd.Command] | None,
) -> Callable[[Referred, api.HistoryEvent, Any], ev.Body | None]:
    """How a request to another execution ended: it was delivered, or there is no such execution."""

    def resolved(run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body | None:
        if found.initiated_event_id in run.child_cancels:
            return None  # Nothing waits for it here.
        failure = None if failed is None else not_found(failed)
        return ev.ExternalResolved(found.initiated_event_id, failure, found.workflow_execution.run_id)

    return resolved


# -- the execution itself ----------------------------------------------------------------------------------


def _upserted(_run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body | None:
    attributes = attributes_of(found.search_attributes)
    if list(attributes) == [_CHANGE_VERSION]:
        return None
    return cmd.UpsertSearchAttributes(attributes)


def _marker(_run: Referred, event: api.HistoryEvent, found: Any) -> ev.Body:
    if found.marker_name == PATCH:
        about = json.loads(_one(found.details.get("patch-data") or Payloads()).data)
        return cmd.RecordPatch(about["id"], about["deprecated"])
    if found.marker_name == MESSAGE:
        about = json.loads(_one(found.details.get("data") or Payloads()).data)
        body = base64.b64decode(about.pop("body"))
        return cmd.PublishMessage(event.event_id, body=body, **about)
    if found.marker_name == SIGNAL_WITH_START:
        about = json.loads(_one(found.details.get("data") or Payloads()).data)
        args = [_args(found.details.get(name) or Payloads()) for name in ("input", "signal_input")]
        return cmd.SignalWithStart(event.event_id, args=args[0], signal_args=args[1], **about)
    raise ValueError(f"a marker {found.marker_name!r}, which is none of the Python SDK's")


def _continued(_run: Referred, _event: api.HistoryEvent, found: Any) -> ev.Body:
    return cmd.ContinueAsNew(
        found.workflow_type.name,
        found.task_queue.name,
        _args(found.input),
        dict(found.header.fields),
        found.new_execution_run_id,
        _s(found.workflow_run_timeout),
        _s(found.workflow_task_timeout),
        memo=dict(found.memo.fields),
        search_attributes=attributes_of(found.search_attributes),
        backoff_s=_s(found.backoff_start_interval) or 0.0,
    )


COMMANDS: Final = frozenset(
    f"{name}_event_attributes"
    for name in (
        "activity_task_scheduled",
        "activity_task_cancel_requested",
        "timer_started",
        "timer_canceled",
        "marker_recorded",
        "start_child_workflow_execution_initiated",
        "signal_external_workflow_execution_initiated",
        "request_cancel_external_workflow_execution_initiated",
        "upsert_workflow_search_attributes",
        "workflow_properties_modified",
        "workflow_execution_update_accepted",
        "workflow_execution_update_completed",
        "workflow_execution_completed",
        "workflow_execution_failed",
        "workflow_execution_canceled",
        "workflow_execution_continued_as_new",
    )
)
"""The attributes of events that are answers of code."""

Reader = Callable[[Referred, api.HistoryEvent, Any], "ev.Body | None"]


def _ended(found: Any) -> dict[str, Any]:
    """Which child an event is of."""
    return {"id": found.initiated_event_id, "run_id": found.workflow_execution.run_id}


READERS: Final[dict[type[Message], Reader]] = {
    api.WorkflowExecutionStartedEventAttributes: _started,
    api.WorkflowExecutionSignaledEventAttributes: _signaled,
    api.WorkflowExecutionUpdateAdmittedEventAttributes: _update_admitted,
    api.WorkflowExecutionUpdateAcceptedEventAttributes: _update_accepted,
    api.WorkflowExecutionCancelRequestedEventAttributes: lambda _r, _e, a: ev.CancelRequested(a.cause),
    api.WorkflowExecutionTerminatedEventAttributes: lambda _r, _e, a: ev.WorkflowTerminated(
        a.reason, _args(a.details)
    ),
    api.WorkflowExecutionTimedOutEventAttributes: lambda _r, _e, a: ev.WorkflowTimedOut(
        new_run_id=a.new_execution_run_id, retry_state=short(a.retry_state)
    ),
    api.WorkflowTaskFailedEventAttributes: _task_failed,
    api.WorkflowExecutionTimeSkippingTransitionedEventAttributes: lambda _r, _e, a: ev.TimeSkipped(
        a.target_time.ToMicroseconds(),
        a.disabled_after_fast_forward,
        a.wall_clock_time.ToMicroseconds(),
    ),
    api.WorkflowExecutionOptionsUpdatedEventAttributes: _options_updated,
    api.WorkflowExecutionPausedEventAttributes: lambda _r, _e, a: ev.WorkflowPaused(
        a.identity, a.reason, a.request_id
    ),
    api.WorkflowExecutionUnpausedEventAttributes: lambda _r, _e, a: ev.WorkflowUnpaused(
        a.identity, a.reason, a.request_id
    ),
    api.ActivityTaskScheduledEventAttributes: _activity_scheduled,
    api.ActivityTaskCancelRequestedEventAttributes: lambda _r, _e, a: cmd.CancelActivity(
        a.scheduled_event_id
    ),
    api.ActivityTaskCompletedEventAttributes: lambda _r, _e, a: ev.ActivityCompleted(
        a.scheduled_event_id, _one(a.result)
    ),
    api.ActivityTaskFailedEventAttributes: lambda _r, _e, a: ev.ActivityFailed(
        a.scheduled_event_id, _some_failure(a), short(a.retry_state)
    ),
    api.ActivityTaskTimedOutEventAttributes: lambda _r, _e, a: ev.ActivityFailed(
        a.scheduled_event_id, _some_failure(a), short(a.retry_state)
    ),
    api.ActivityTaskCanceledEventAttributes: _activity_canceled,
    api.TimerStartedEventAttributes: _timer_started,
    api.TimerFiredEventAttributes: lambda _r, _e, a: ev.TimerFired(a.started_event_id),
    api.TimerCanceledEventAttributes: lambda _r, _e, a: cmd.CancelTimer(a.started_event_id),
    api.StartChildWorkflowExecutionInitiatedEventAttributes: _child_initiated,
    api.StartChildWorkflowExecutionFailedEventAttributes: lambda _r, _e, a: ev.ChildStartFailed(
        a.initiated_event_id, "already started"
    ),
    api.ChildWorkflowExecutionStartedEventAttributes: lambda _r, _e, a: ev.ChildStarted(**_ended(a)),
    api.ChildWorkflowExecutionCompletedEventAttributes: lambda _r, _e, a: ev.ChildClosed(
        **_ended(a), result=_one(a.result)
    ),
    api.ChildWorkflowExecutionFailedEventAttributes: lambda _r, _e, a: ev.ChildClosed(
        **_ended(a), failure=_some_failure(a), retry_state=short(a.retry_state)
    ),
    api.ChildWorkflowExecutionCanceledEventAttributes: _child_closed("canceled"),
    api.ChildWorkflowExecutionTerminatedEventAttributes: _child_closed("terminated"),
    api.ChildWorkflowExecutionTimedOutEventAttributes: _child_closed("timeout"),
    api.SignalExternalWorkflowExecutionInitiatedEventAttributes: lambda _r, e, a: cmd.SignalExternal(
        e.event_id,
        a.workflow_execution.workflow_id,
        a.workflow_execution.run_id,
        a.signal_name,
        _args(a.input),
        dict(a.header.fields),
        a.child_workflow_only,
    ),
    api.SignalExternalWorkflowExecutionFailedEventAttributes: _external(cmd.SignalExternal),
    api.ExternalWorkflowExecutionSignaledEventAttributes: _external(None),
    api.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes: _cancel_initiated,
    api.RequestCancelExternalWorkflowExecutionFailedEventAttributes: _external(cmd.CancelExternal),
    api.ExternalWorkflowExecutionCancelRequestedEventAttributes: _external(None),
    api.UpsertWorkflowSearchAttributesEventAttributes: _upserted,
    api.WorkflowPropertiesModifiedEventAttributes: lambda _r, _e, a: cmd.UpsertMemo(
        dict(a.upserted_memo.fields)
    ),
    api.MarkerRecordedEventAttributes: _marker,
    api.WorkflowExecutionUpdateCompletedEventAttributes: lambda _r, _e, a: cmd.CompleteUpdate(
        a.meta.update_id,
        _one(a.outcome.success) if a.outcome.HasField("success") else None,
        _failure(a.outcome),
    ),
    api.WorkflowExecutionCompletedEventAttributes: lambda _r, _e, a: cmd.CompleteWorkflow(
        _one(a.result), a.new_execution_run_id
    ),
    api.WorkflowExecutionFailedEventAttributes: lambda _r, _e, a: cmd.FailWorkflow(
        _some_failure(a), a.new_execution_run_id, short(a.retry_state)
    ),
    api.WorkflowExecutionCanceledEventAttributes: lambda _r, _e, a: cmd.CancelWorkflow(_args(a.details)),
    api.WorkflowExecutionContinuedAsNewEventAttributes: _continued,
}
"""Our record of an event with these attributes; None when it says nothing to code here."""

SILENT: Final = {
    api.WorkflowTaskScheduledEventAttributes,
    api.WorkflowTaskStartedEventAttributes,
    api.WorkflowTaskCompletedEventAttributes,
    api.WorkflowTaskTimedOutEventAttributes,
    api.ActivityTaskStartedEventAttributes,
    api.WorkflowPropertiesModifiedExternallyEventAttributes,
    api.ActivityPropertiesModifiedExternallyEventAttributes,
}
"""Events that are not handed to code."""
