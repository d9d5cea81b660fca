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
    "StartChildWorkflowExecutionInitiated": "ChildWorkflowScheduled",
    "StartChildWorkflowExecutionFailed": "ChildWorkflowStartFailed",
    "ChildWorkflowExecutionStarted": "ChildWorkflowStarted",
    "ChildWorkflowExecutionCompleted": "ChildWorkflowCompleted",
    "ChildWorkflowExecutionFailed": "ChildWorkflowFailed",
    "ChildWorkflowExecutionCanceled": "ChildWorkflowCanceled",
    "ChildWorkflowExecutionTimedOut": "ChildWorkflowTimedOut",
    "ChildWorkflowExecutionTerminated": "ChildWorkflowTerminated",
    "SignalExternalWorkflowExecutionInitiated": "ExternalSignalScheduled",
    "SignalExternalWorkflowExecutionFailed": "ExternalSignalFailed",
    "ExternalWorkflowExecutionSignaled": "ExternalSignaled",
    "RequestCancelExternalWorkflowExecutionInitiated": "ExternalCancelScheduled",
    "RequestCancelExternalWorkflowExecutionFailed": "ExternalCancelFailed",
    "ExternalWorkflowExecutionCancelRequested": "ExternalCancelRequested",
    "WorkflowPropertiesModified": "MemoUpserted",
    "UpsertWorkflowSearchAttributes": "SearchAttributesUpserted",
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
    return [name for event in history.events if (name := _name(event)) not in _ALONE]


def _name(event: Any) -> str:
    if hasattr(event, "body"):
        from overwinter.runtime.core.events import event_name

        return event_name(event.body)
    from temporalio.api.enums.v1 import EventType

    words = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").split("_")
    name = "".join(word.capitalize() for word in words)
    if name == "MarkerRecorded":
        return {"core_local_activity": "LocalActivityCompleted", "core_patch": "Patched"}[_marker(event)]
    return _THEIRS.get(name, name)


def _marker(event: Any) -> str:
    name: str = event.marker_recorded_event_attributes.marker_name
    return name
