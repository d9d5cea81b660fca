"""Failures as Temporal's histories keep them."""

from __future__ import annotations

from typing import ClassVar

from ..common.v1 import ActivityType, Payload, Payloads, WorkflowExecution, WorkflowType
from ..enums.v1 import ApplicationErrorCategory, RetryState, TimeoutType
from ..message import Int64, Message
from ..time import Duration


class Failure(Message):
    """What went wrong, with its cause."""

    message: str
    source: str
    stack_trace: str
    encoded_attributes: Payload
    cause: Failure
    application_failure_info: ApplicationFailureInfo
    timeout_failure_info: TimeoutFailureInfo
    canceled_failure_info: CanceledFailureInfo
    terminated_failure_info: TerminatedFailureInfo
    server_failure_info: ServerFailureInfo
    reset_workflow_failure_info: ResetWorkflowFailureInfo
    activity_failure_info: ActivityFailureInfo
    child_workflow_execution_failure_info: ChildWorkflowExecutionFailureInfo
    nexus_operation_execution_failure_info: NexusOperationFailureInfo
    nexus_handler_failure_info: NexusHandlerFailureInfo

    ONEOFS: ClassVar = {
        "failure_info": (
            "application_failure_info",
            "timeout_failure_info",
            "canceled_failure_info",
            "terminated_failure_info",
            "server_failure_info",
            "reset_workflow_failure_info",
            "activity_failure_info",
            "child_workflow_execution_failure_info",
            "nexus_operation_execution_failure_info",
            "nexus_handler_failure_info",
        )
    }


class ApplicationFailureInfo(Message):
    """It was raised by code."""

    type: str
    non_retryable: bool
    details: Payloads
    next_retry_delay: Duration
    category: ApplicationErrorCategory


class TimeoutFailureInfo(Message):
    """Something took longer than it may."""

    timeout_type: TimeoutType
    last_heartbeat_details: Payloads


class CanceledFailureInfo(Message):
    """Something was cancelled."""

    details: Payloads
    identity: str


class TerminatedFailureInfo(Message):
    """Someone ended a run; `details` are more than Temporal's message has."""

    identity: str
    details: Payloads


class ServerFailureInfo(Message):
    """The engine itself failed."""

    non_retryable: bool


class ResetWorkflowFailureInfo(Message):
    """A reset took it away."""

    last_heartbeat_details: Payloads


class ActivityFailureInfo(Message):
    """An activity failed; the cause says how."""

    scheduled_event_id: Int64
    started_event_id: Int64
    identity: str
    activity_type: ActivityType
    activity_id: str
    retry_state: RetryState


class ChildWorkflowExecutionFailureInfo(Message):
    """A child failed; the cause says how."""

    namespace: str
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: Int64
    started_event_id: Int64
    retry_state: RetryState


class NexusOperationFailureInfo(Message):
    """There is no Nexus here: the name is for code that asks whether a failure is one of its."""


class NexusHandlerFailureInfo(Message):
    """There is no Nexus here: the name is for code that asks whether a failure is one of its."""
