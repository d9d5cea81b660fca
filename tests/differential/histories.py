"""Names of history events that mean the same on both engines."""

from __future__ import annotations

from typing import Any

_THEIRS = {
    "WorkflowExecutionStarted": "WorkflowStarted",
    "WorkflowExecutionCompleted": "WorkflowCompleted",
    "WorkflowExecutionFailed": "WorkflowFailed",
    "WorkflowExecutionCanceled": "WorkflowCanceled",
    "WorkflowExecutionTerminated": "WorkflowTerminated",
    "WorkflowExecutionTimedOut": "WorkflowTimedOut",
    "WorkflowExecutionContinuedAsNew": "WorkflowContinuedAsNew",
    "WorkflowExecutionCancelRequested": "CancelRequested",
    "WorkflowExecutionSignaled": "Signaled",
    "WorkflowExecutionUpdateAccepted": "UpdateAccepted",
    "WorkflowExecutionUpdateCompleted": "UpdateCompleted",
    "ActivityTaskScheduled": "ActivityScheduled",
    "ActivityTaskCompleted": "ActivityCompleted",
    "ActivityTaskFailed": "ActivityFailed",
    "ActivityTaskTimedOut": "ActivityTimedOut",
    "ActivityTaskCanceled": "ActivityCanceled",
    "ActivityTaskCancelRequested": "ActivityCancelRequested",
    "StartChildWorkflowExecutionInitiated": "ChildScheduled",
    "StartChildWorkflowExecutionFailed": "ChildStartFailed",
    "ChildWorkflowExecutionStarted": "ChildStarted",
    "ChildWorkflowExecutionCompleted": "ChildCompleted",
    "ChildWorkflowExecutionFailed": "ChildFailed",
    "ChildWorkflowExecutionCanceled": "ChildCanceled",
    "ChildWorkflowExecutionTimedOut": "ChildTimedOut",
    "ChildWorkflowExecutionTerminated": "ChildTerminated",
    "SignalExternalWorkflowExecutionInitiated": "ExternalSignalSent",
    "SignalExternalWorkflowExecutionFailed": "ExternalResolved",
    "ExternalWorkflowExecutionSignaled": "ExternalResolved",
    "RequestCancelExternalWorkflowExecutionInitiated": "ExternalCancelSent",
    "RequestCancelExternalWorkflowExecutionFailed": "ExternalResolved",
    "ExternalWorkflowExecutionCancelRequested": "ExternalResolved",
    "WorkflowPropertiesModified": "MemoUpserted",
    "UpsertWorkflowSearchAttributes": "SearchAttributesUpserted",
    "WorkflowExecutionTimeSkippingTransitioned": "TimeSkipped",
    "WorkflowExecutionOptionsUpdated": "TimeSkippingChanged",
}
"""Temporal's names, without the prefix of their enumeration, to Overwinter's."""

_ALONE = {
    # Workflow tasks are the server's way of calling a worker; activations are Overwinter's.
    "WorkflowTaskScheduled",
    "WorkflowTaskStarted",
    "WorkflowTaskCompleted",
    "WorkflowTaskFailed",
    "WorkflowTaskTimedOut",
    "ActivationStarted",
    # Temporal writes it together with the end of the last attempt; Overwinter does not keep it.
    "ActivityTaskStarted",
}
"""Events that one engine writes and the other has no need of."""


def names_of(history: Any) -> list[str]:
    """The names of the main events of a `WorkflowHistory` of either engine, in their order."""
    records = getattr(history, "records", None)
    if records is not None:
        names = _our_names([event.body for event in records])
    else:
        names = _their_names(history.events)
    return [name for name in names if name not in _ALONE]


def _our_names(bodies: list[Any]) -> list[str]:
    from overwinter.runtime.core.commands import ScheduleActivity
    from overwinter.runtime.core.events import ActivityCompleted, ActivityFailed, event_name

    # Temporal writes one marker where a local activity has ended.
    local = {body.id for body in bodies if isinstance(body, ScheduleActivity) and body.local}
    names = []
    for body in bodies:
        of_local = getattr(body, "id", None) in local
        if of_local and isinstance(body, ActivityCompleted | ActivityFailed):
            names.append("LocalActivityCompleted")
        elif not (of_local and isinstance(body, ScheduleActivity)):
            names.append(event_name(body))
    return names


def _their_names(events: Any) -> list[str]:
    """A child is cancelled like any other execution there; Overwinter has an event for it, and none for the answer."""
    asked = "request_cancel_external_workflow_execution_initiated_event_attributes"
    answered = "external_workflow_execution_cancel_requested_event_attributes"
    children = {
        event.event_id
        for event in events
        if event.HasField(asked) and getattr(event, asked).child_workflow_only
    }
    return [
        "ChildCancelRequested" if event.event_id in children else _their_name(event)
        for event in events
        if not (event.HasField(answered) and getattr(event, answered).initiated_event_id in children)
    ]


def _their_name(event: Any) -> str:
    from temporalio.api.enums.v1 import EventType

    words = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").split("_")
    name = "".join(word.capitalize() for word in words)
    if name == "MarkerRecorded":
        return {"core_local_activity": "LocalActivityCompleted", "core_patch": "PatchRecorded"}[
            _marker(event)
        ]
    return _THEIRS.get(name, name)


def _marker(event: Any) -> str:
    name: str = event.marker_recorded_event_attributes.marker_name
    return name
