"""What workflow code asks for, as the attributes of Temporal's events."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from ..api.common.v1 import ActivityType, Payloads, WorkflowType
from ..api.enums.v1 import ContinueAsNewInitiator, ParentClosePolicy, WorkflowIdReusePolicy
from ..api.history import v1 as api
from ..api.message import Message
from ..api.time import Duration
from ..api.update.v1 import Meta, Outcome
from ..core import commands as cmd
from ..core.events import ActivityCompleted, ActivityFailed, Body
from .failures import outward_failure, retry_state
from .happenings import (
    NAMESPACE,
    TASK_TIMEOUT_S,
    activity_policy,
    duration,
    execution,
    policy,
    priority,
    queue,
)
from .numbering import Activity, Child, External, Numbering
from .payloads import header, memo, of_value, payloads, search_attributes

PATCH: Final = "core_patch"
"""The marker of a patch, as Temporal's SDKs write it."""
LOCAL_ACTIVITY: Final = "core_local_activity"
"""The marker of a local activity's end."""
MESSAGE: Final = "overwinter_message"
"""The marker of a message to the broker, which Temporal does not have."""
SIGNAL_WITH_START: Final = "overwinter_signal_with_start"
"""The marker of a signal-with-start; with Temporal it is an operation of Nexus."""


def _schedule_activity(run: Numbering, command: cmd.ScheduleActivity) -> list[Message]:
    # Temporal numbers the activities of a run by themselves, and names them by it where the code gives no name.
    number = run.activity_count + 1
    if command.activity_id.isdecimal() and int(command.activity_id) > number:
        number = int(command.activity_id)
    run.activity_count = number
    activity = run.activities[command.id] = Activity(command, number)
    if command.local:
        return []
    activity.scheduled = run.next_event
    return [
        api.ActivityTaskScheduledEventAttributes(
            activity_id=command.activity_id or str(number),
            activity_type=ActivityType(name=command.activity_type),
            task_queue=queue(command.task_queue),
            header=header(command.headers),
            input=payloads(command.args),
            schedule_to_close_timeout=duration(command.schedule_to_close_s),
            schedule_to_start_timeout=duration(command.schedule_to_start_s),
            start_to_close_timeout=duration(command.start_to_close_s),
            heartbeat_timeout=duration(command.heartbeat_s),
            workflow_task_completed_event_id=run.task_completed,
            retry_policy=activity_policy(command.retry),
            priority=priority(command.priority_key, command.fairness_key, command.fairness_weight),
        )
    ]


def local_activity_ended(
    run: Numbering, body: ActivityCompleted | ActivityFailed, at_us: int
) -> tuple[cmd.ScheduleActivity, Message]:
    """The marker of a local activity's end, and the command that had asked for it."""
    activity = run.activities.pop(body.id)
    command = activity.command
    ended = _instant(at_us)
    about = {
        "seq": activity.number,
        "attempt": body.attempt,
        "activity_id": command.activity_id or str(activity.number),
        "activity_type": command.activity_type,
        "complete_time": ended,
        "backoff": None,
        "original_schedule_time": ended,
    }
    result = payloads([body.result]) if isinstance(body, ActivityCompleted) else None
    details = {"data": Payloads(payloads=[of_value(about)])}
    if result is not None:
        details["result"] = result
    marker = api.MarkerRecordedEventAttributes(
        marker_name=LOCAL_ACTIVITY,
        details=details,
        workflow_task_completed_event_id=run.task_completed,
        failure=outward_failure(body.failure) if isinstance(body, ActivityFailed) else None,
    )
    return command, marker


def _instant(at_us: int) -> dict[str, int]:
    return {"seconds": at_us // 1_000_000, "nanos": at_us % 1_000_000 * 1000}


def _cancel_activity(run: Numbering, command: cmd.CancelActivity) -> list[Message]:
    activity = run.activities[command.id]
    if activity.command.local:
        return []
    activity.cancel_requested = run.next_event
    return [
        api.ActivityTaskCancelRequestedEventAttributes(
            scheduled_event_id=activity.scheduled, workflow_task_completed_event_id=run.task_completed
        )
    ]


def _start_timer(run: Numbering, command: cmd.StartTimer) -> list[Message]:
    run.timer_count = command.number or run.timer_count + 1
    timer_id = str(run.timer_count)
    run.timers[command.id] = (run.next_event, timer_id)
    return [
        api.TimerStartedEventAttributes(
            timer_id=timer_id,
            start_to_fire_timeout=Duration.of_s(command.delay_us / 1_000_000),
            workflow_task_completed_event_id=run.task_completed,
        )
    ]


def _cancel_timer(run: Numbering, command: cmd.CancelTimer) -> list[Message]:
    started, timer_id = run.timers.pop(command.id)
    return [
        api.TimerCanceledEventAttributes(
            timer_id=timer_id,
            started_event_id=started,
            workflow_task_completed_event_id=run.task_completed,
        )
    ]


def _publish(run: Numbering, command: cmd.PublishMessage) -> list[Message]:
    about = {
        "topic": command.topic,
        "body": base64.b64encode(command.body).decode(),
        "qos": command.qos,
        "retain": command.retain,
        "expires_s": command.expires_s,
    }
    return [_marker(run, MESSAGE, about)]


def _marker(run: Numbering, name: str, about: dict[str, Any], **more: Payloads | None) -> Message:
    """A marker, for what Temporal has no event for."""
    details = {"data": Payloads(payloads=[of_value(about)]), **more}
    return api.MarkerRecordedEventAttributes(
        marker_name=name,
        details={key: value for key, value in details.items() if value is not None},
        workflow_task_completed_event_id=run.task_completed,
    )


# -- children and other executions -------------------------------------------------------------------------


def _start_child(run: Numbering, command: cmd.StartChild) -> list[Message]:
    run.children[command.id] = Child(command, run.next_event)
    return [
        api.StartChildWorkflowExecutionInitiatedEventAttributes(
            namespace=NAMESPACE,
            workflow_id=command.workflow_id,
            workflow_type=WorkflowType(name=command.workflow_type),
            task_queue=queue(command.task_queue),
            input=payloads(command.args),
            workflow_execution_timeout=duration(command.execution_timeout_s),
            workflow_run_timeout=duration(command.run_timeout_s),
            workflow_task_timeout=duration(command.task_timeout_s or TASK_TIMEOUT_S),
            parent_close_policy=ParentClosePolicy.of(command.parent_close_policy),
            workflow_task_completed_event_id=run.task_completed,
            workflow_id_reuse_policy=WorkflowIdReusePolicy.of(command.id_reuse_policy),
            retry_policy=policy(command.retry),
            cron_schedule=command.cron,
            header=header(command.headers),
            memo=memo(command.memo),
            search_attributes=search_attributes(command.search_attributes),
            priority=priority(command.priority_key, command.fairness_key, command.fairness_weight),
        )
    ]


def _cancel_child(run: Numbering, command: cmd.CancelChild) -> list[Message]:
    return [
        api.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(
            workflow_task_completed_event_id=run.task_completed,
            namespace=NAMESPACE,
            workflow_execution=execution(run.children[command.id].command.workflow_id),
            child_workflow_only=True,
            reason=command.reason,
        )
    ]


def _signal_external(run: Numbering, command: cmd.SignalExternal) -> list[Message]:
    run.externals[command.id] = External(command, run.next_event)
    return [
        api.SignalExternalWorkflowExecutionInitiatedEventAttributes(
            workflow_task_completed_event_id=run.task_completed,
            namespace=NAMESPACE,
            workflow_execution=execution(command.workflow_id, command.run_id),
            signal_name=command.name,
            input=payloads(command.args),
            child_workflow_only=command.child,
            header=header(command.headers),
        )
    ]


def _signal_with_start(run: Numbering, command: cmd.SignalWithStart) -> list[Message]:
    run.externals[command.id] = External(command, run.next_event)
    about = {
        "workflow_id": command.workflow_id,
        "workflow_type": command.workflow_type,
        "task_queue": command.task_queue,
        "name": command.name,
    }
    arguments = {"input": payloads(command.args), "signal_input": payloads(command.signal_args)}
    return [_marker(run, SIGNAL_WITH_START, about, **arguments)]


def _cancel_external(run: Numbering, command: cmd.CancelExternal) -> list[Message]:
    run.externals[command.id] = External(command, run.next_event)
    return [
        api.RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(
            workflow_task_completed_event_id=run.task_completed,
            namespace=NAMESPACE,
            workflow_execution=execution(command.workflow_id, command.run_id),
            reason=command.reason,
        )
    ]


# -- the execution itself ----------------------------------------------------------------------------------


def _upsert_search_attributes(run: Numbering, command: cmd.UpsertSearchAttributes) -> list[Message]:
    return [
        api.UpsertWorkflowSearchAttributesEventAttributes(
            workflow_task_completed_event_id=run.task_completed,
            search_attributes=search_attributes(command.attributes),
        )
    ]


def _upsert_memo(run: Numbering, command: cmd.UpsertMemo) -> list[Message]:
    return [
        api.WorkflowPropertiesModifiedEventAttributes(
            workflow_task_completed_event_id=run.task_completed, upserted_memo=memo(command.memo)
        )
    ]


def _record_patch(run: Numbering, command: cmd.RecordPatch) -> list[Message]:
    about = of_value({"id": command.patch_id, "deprecated": command.deprecated})
    return [
        api.MarkerRecordedEventAttributes(
            marker_name=PATCH,
            details={"patch-data": Payloads(payloads=[about])},
            workflow_task_completed_event_id=run.task_completed,
        )
    ]


def _complete_update(run: Numbering, command: cmd.CompleteUpdate) -> list[Message]:
    failure = command.failure
    outcome = (
        Outcome(success=payloads([command.result]))
        if failure is None
        else Outcome(failure=outward_failure(failure))
    )
    return [
        api.WorkflowExecutionUpdateCompletedEventAttributes(
            meta=Meta(update_id=command.update_id),
            accepted_event_id=run.updates.pop(command.update_id),
            outcome=outcome,
        )
    ]


def _complete(run: Numbering, command: cmd.CompleteWorkflow) -> list[Message]:
    return [
        api.WorkflowExecutionCompletedEventAttributes(
            result=payloads([command.result]),
            workflow_task_completed_event_id=run.task_completed,
            new_execution_run_id=command.new_run_id,
        )
    ]


def _fail(run: Numbering, command: cmd.FailWorkflow) -> list[Message]:
    return [
        api.WorkflowExecutionFailedEventAttributes(
            failure=outward_failure(command.failure),
            retry_state=retry_state(command.retry_state),
            workflow_task_completed_event_id=run.task_completed,
            new_execution_run_id=command.new_run_id,
        )
    ]


def _cancel(run: Numbering, command: cmd.CancelWorkflow) -> list[Message]:
    return [
        api.WorkflowExecutionCanceledEventAttributes(
            workflow_task_completed_event_id=run.task_completed, details=payloads(command.details)
        )
    ]


def _continue_as_new(run: Numbering, command: cmd.ContinueAsNew) -> list[Message]:
    return [
        api.WorkflowExecutionContinuedAsNewEventAttributes(
            new_execution_run_id=command.new_run_id,
            workflow_type=WorkflowType(name=command.workflow_type),
            task_queue=queue(command.task_queue),
            input=payloads(command.args),
            workflow_run_timeout=duration(command.run_timeout_s),
            workflow_task_timeout=duration(command.task_timeout_s or TASK_TIMEOUT_S),
            workflow_task_completed_event_id=run.task_completed,
            backoff_start_interval=duration(command.backoff_s),
            initiator=ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW,
            header=header(command.headers),
            memo=memo(command.memo),
            search_attributes=search_attributes(command.search_attributes),
        )
    ]


COMMANDS: Final[dict[type[Body], Callable[[Numbering, Any], list[Message]]]] = {
    cmd.ScheduleActivity: _schedule_activity,
    cmd.CancelActivity: _cancel_activity,
    cmd.StartTimer: _start_timer,
    cmd.CancelTimer: _cancel_timer,
    cmd.PublishMessage: _publish,
    cmd.StartChild: _start_child,
    cmd.CancelChild: _cancel_child,
    cmd.SignalExternal: _signal_external,
    cmd.SignalWithStart: _signal_with_start,
    cmd.CancelExternal: _cancel_external,
    cmd.UpsertSearchAttributes: _upsert_search_attributes,
    cmd.UpsertMemo: _upsert_memo,
    cmd.RecordPatch: _record_patch,
    cmd.CompleteUpdate: _complete_update,
    cmd.CompleteWorkflow: _complete,
    cmd.FailWorkflow: _fail,
    cmd.CancelWorkflow: _cancel,
    cmd.ContinueAsNew: _continue_as_new,
}
"""The attributes of the events that say it, at most one; it has the number `next_event`."""
