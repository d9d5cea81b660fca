"""Histories as Temporal has them."""

from __future__ import annotations

from ..enums.v1 import EventType
from ..message import Int64, Message
from ..sdk.v1 import EventGroupMarker, UserMetadata
from ..time import Timestamp
from ._attributes import (
    ActivityPropertiesModifiedExternallyEventAttributes,
    ActivityTaskCanceledEventAttributes,
    ActivityTaskCancelRequestedEventAttributes,
    ActivityTaskCompletedEventAttributes,
    ActivityTaskFailedEventAttributes,
    ActivityTaskScheduledEventAttributes,
    ActivityTaskStartedEventAttributes,
    ActivityTaskTimedOutEventAttributes,
    ChildWorkflowExecutionCanceledEventAttributes,
    ChildWorkflowExecutionCompletedEventAttributes,
    ChildWorkflowExecutionFailedEventAttributes,
    ChildWorkflowExecutionStartedEventAttributes,
    ChildWorkflowExecutionTerminatedEventAttributes,
    ChildWorkflowExecutionTimedOutEventAttributes,
    ExternalWorkflowExecutionCancelRequestedEventAttributes,
    ExternalWorkflowExecutionSignaledEventAttributes,
    MarkerRecordedEventAttributes,
    RequestCancelExternalWorkflowExecutionFailedEventAttributes,
    RequestCancelExternalWorkflowExecutionInitiatedEventAttributes,
    SignalExternalWorkflowExecutionFailedEventAttributes,
    SignalExternalWorkflowExecutionInitiatedEventAttributes,
    StartChildWorkflowExecutionFailedEventAttributes,
    StartChildWorkflowExecutionInitiatedEventAttributes,
    TimerCanceledEventAttributes,
    TimerFiredEventAttributes,
    TimerStartedEventAttributes,
    UpsertWorkflowSearchAttributesEventAttributes,
    WorkflowExecutionCanceledEventAttributes,
    WorkflowExecutionCancelRequestedEventAttributes,
    WorkflowExecutionCompletedEventAttributes,
    WorkflowExecutionContinuedAsNewEventAttributes,
    WorkflowExecutionFailedEventAttributes,
    WorkflowExecutionOptionsUpdatedEventAttributes,
    WorkflowExecutionPausedEventAttributes,
    WorkflowExecutionSignaledEventAttributes,
    WorkflowExecutionStartedEventAttributes,
    WorkflowExecutionTerminatedEventAttributes,
    WorkflowExecutionTimedOutEventAttributes,
    WorkflowExecutionTimeSkippingTransitionedEventAttributes,
    WorkflowExecutionUnpausedEventAttributes,
    WorkflowExecutionUpdateAcceptedEventAttributes,
    WorkflowExecutionUpdateAdmittedEventAttributes,
    WorkflowExecutionUpdateCompletedEventAttributes,
    WorkflowExecutionUpdateRejectedEventAttributes,
    WorkflowPropertiesModifiedEventAttributes,
    WorkflowPropertiesModifiedExternallyEventAttributes,
    WorkflowTaskCompletedEventAttributes,
    WorkflowTaskFailedEventAttributes,
    WorkflowTaskScheduledEventAttributes,
    WorkflowTaskStartedEventAttributes,
    WorkflowTaskTimedOutEventAttributes,
)

__all__ = [
    "ActivityPropertiesModifiedExternallyEventAttributes",
    "ActivityTaskCancelRequestedEventAttributes",
    "ActivityTaskCanceledEventAttributes",
    "ActivityTaskCompletedEventAttributes",
    "ActivityTaskFailedEventAttributes",
    "ActivityTaskScheduledEventAttributes",
    "ActivityTaskStartedEventAttributes",
    "ActivityTaskTimedOutEventAttributes",
    "ChildWorkflowExecutionCanceledEventAttributes",
    "ChildWorkflowExecutionCompletedEventAttributes",
    "ChildWorkflowExecutionFailedEventAttributes",
    "ChildWorkflowExecutionStartedEventAttributes",
    "ChildWorkflowExecutionTerminatedEventAttributes",
    "ChildWorkflowExecutionTimedOutEventAttributes",
    "ExternalWorkflowExecutionCancelRequestedEventAttributes",
    "ExternalWorkflowExecutionSignaledEventAttributes",
    "History",
    "HistoryEvent",
    "MarkerRecordedEventAttributes",
    "RequestCancelExternalWorkflowExecutionFailedEventAttributes",
    "RequestCancelExternalWorkflowExecutionInitiatedEventAttributes",
    "SignalExternalWorkflowExecutionFailedEventAttributes",
    "SignalExternalWorkflowExecutionInitiatedEventAttributes",
    "StartChildWorkflowExecutionFailedEventAttributes",
    "StartChildWorkflowExecutionInitiatedEventAttributes",
    "TimerCanceledEventAttributes",
    "TimerFiredEventAttributes",
    "TimerStartedEventAttributes",
    "UpsertWorkflowSearchAttributesEventAttributes",
    "WorkflowExecutionCancelRequestedEventAttributes",
    "WorkflowExecutionCanceledEventAttributes",
    "WorkflowExecutionCompletedEventAttributes",
    "WorkflowExecutionContinuedAsNewEventAttributes",
    "WorkflowExecutionFailedEventAttributes",
    "WorkflowExecutionOptionsUpdatedEventAttributes",
    "WorkflowExecutionPausedEventAttributes",
    "WorkflowExecutionSignaledEventAttributes",
    "WorkflowExecutionStartedEventAttributes",
    "WorkflowExecutionTerminatedEventAttributes",
    "WorkflowExecutionTimeSkippingTransitionedEventAttributes",
    "WorkflowExecutionTimedOutEventAttributes",
    "WorkflowExecutionUnpausedEventAttributes",
    "WorkflowExecutionUpdateAcceptedEventAttributes",
    "WorkflowExecutionUpdateAdmittedEventAttributes",
    "WorkflowExecutionUpdateCompletedEventAttributes",
    "WorkflowExecutionUpdateRejectedEventAttributes",
    "WorkflowPropertiesModifiedEventAttributes",
    "WorkflowPropertiesModifiedExternallyEventAttributes",
    "WorkflowTaskCompletedEventAttributes",
    "WorkflowTaskFailedEventAttributes",
    "WorkflowTaskScheduledEventAttributes",
    "WorkflowTaskStartedEventAttributes",
    "WorkflowTaskTimedOutEventAttributes",
]


class HistoryEvent(Message):
    """One event: its number, instant and type, and the attributes of that type."""

    event_id: Int64
    event_time: Timestamp
    event_type: EventType
    version: Int64
    task_id: Int64
    worker_may_ignore: bool
    user_metadata: UserMetadata
    event_group_markers: list[EventGroupMarker]
    workflow_execution_started_event_attributes: WorkflowExecutionStartedEventAttributes
    workflow_execution_completed_event_attributes: WorkflowExecutionCompletedEventAttributes
    workflow_execution_failed_event_attributes: WorkflowExecutionFailedEventAttributes
    workflow_execution_timed_out_event_attributes: WorkflowExecutionTimedOutEventAttributes
    workflow_task_scheduled_event_attributes: WorkflowTaskScheduledEventAttributes
    workflow_task_started_event_attributes: WorkflowTaskStartedEventAttributes
    workflow_task_completed_event_attributes: WorkflowTaskCompletedEventAttributes
    workflow_task_timed_out_event_attributes: WorkflowTaskTimedOutEventAttributes
    workflow_task_failed_event_attributes: WorkflowTaskFailedEventAttributes
    activity_task_scheduled_event_attributes: ActivityTaskScheduledEventAttributes
    activity_task_started_event_attributes: ActivityTaskStartedEventAttributes
    activity_task_completed_event_attributes: ActivityTaskCompletedEventAttributes
    activity_task_failed_event_attributes: ActivityTaskFailedEventAttributes
    activity_task_timed_out_event_attributes: ActivityTaskTimedOutEventAttributes
    timer_started_event_attributes: TimerStartedEventAttributes
    timer_fired_event_attributes: TimerFiredEventAttributes
    activity_task_cancel_requested_event_attributes: ActivityTaskCancelRequestedEventAttributes
    activity_task_canceled_event_attributes: ActivityTaskCanceledEventAttributes
    timer_canceled_event_attributes: TimerCanceledEventAttributes
    marker_recorded_event_attributes: MarkerRecordedEventAttributes
    workflow_execution_signaled_event_attributes: WorkflowExecutionSignaledEventAttributes
    workflow_execution_terminated_event_attributes: WorkflowExecutionTerminatedEventAttributes
    workflow_execution_cancel_requested_event_attributes: WorkflowExecutionCancelRequestedEventAttributes
    workflow_execution_canceled_event_attributes: WorkflowExecutionCanceledEventAttributes
    request_cancel_external_workflow_execution_initiated_event_attributes: (
        RequestCancelExternalWorkflowExecutionInitiatedEventAttributes
    )
    request_cancel_external_workflow_execution_failed_event_attributes: (
        RequestCancelExternalWorkflowExecutionFailedEventAttributes
    )
    external_workflow_execution_cancel_requested_event_attributes: (
        ExternalWorkflowExecutionCancelRequestedEventAttributes
    )
    workflow_execution_continued_as_new_event_attributes: WorkflowExecutionContinuedAsNewEventAttributes
    start_child_workflow_execution_initiated_event_attributes: (
        StartChildWorkflowExecutionInitiatedEventAttributes
    )
    start_child_workflow_execution_failed_event_attributes: StartChildWorkflowExecutionFailedEventAttributes
    child_workflow_execution_started_event_attributes: ChildWorkflowExecutionStartedEventAttributes
    child_workflow_execution_completed_event_attributes: ChildWorkflowExecutionCompletedEventAttributes
    child_workflow_execution_failed_event_attributes: ChildWorkflowExecutionFailedEventAttributes
    child_workflow_execution_canceled_event_attributes: ChildWorkflowExecutionCanceledEventAttributes
    child_workflow_execution_timed_out_event_attributes: ChildWorkflowExecutionTimedOutEventAttributes
    child_workflow_execution_terminated_event_attributes: ChildWorkflowExecutionTerminatedEventAttributes
    signal_external_workflow_execution_initiated_event_attributes: (
        SignalExternalWorkflowExecutionInitiatedEventAttributes
    )
    signal_external_workflow_execution_failed_event_attributes: (
        SignalExternalWorkflowExecutionFailedEventAttributes
    )
    external_workflow_execution_signaled_event_attributes: ExternalWorkflowExecutionSignaledEventAttributes
    upsert_workflow_search_attributes_event_attributes: UpsertWorkflowSearchAttributesEventAttributes
    workflow_execution_update_accepted_event_attributes: WorkflowExecutionUpdateAcceptedEventAttributes
    workflow_execution_update_rejected_event_attributes: WorkflowExecutionUpdateRejectedEventAttributes
    workflow_execution_update_completed_event_attributes: WorkflowExecutionUpdateCompletedEventAttributes
    workflow_properties_modified_externally_event_attributes: (
        WorkflowPropertiesModifiedExternallyEventAttributes
    )
    activity_properties_modified_externally_event_attributes: (
        ActivityPropertiesModifiedExternallyEventAttributes
    )
    workflow_properties_modified_event_attributes: WorkflowPropertiesModifiedEventAttributes
    workflow_execution_update_admitted_event_attributes: WorkflowExecutionUpdateAdmittedEventAttributes
    workflow_execution_options_updated_event_attributes: WorkflowExecutionOptionsUpdatedEventAttributes
    workflow_execution_paused_event_attributes: WorkflowExecutionPausedEventAttributes
    workflow_execution_unpaused_event_attributes: WorkflowExecutionUnpausedEventAttributes
    workflow_execution_time_skipping_transitioned_event_attributes: (
        WorkflowExecutionTimeSkippingTransitionedEventAttributes
    )


HistoryEvent.ONEOFS = {
    "attributes": tuple(name for name in HistoryEvent.__annotations__ if name.endswith("_event_attributes"))
}


class History(Message):
    """The events of one run."""

    events: list[HistoryEvent]
