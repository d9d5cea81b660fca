"""What went wrong, as a message that user-written failure converters fill in and read.

Its fields are those of ``temporalio.api.failure.v1``. A history keeps a record instead, which does not change
(`overwinter.runtime.core.payload.Failure`).
"""

from __future__ import annotations

from ..common.v1 import ActivityType, Payload, Payloads, WorkflowExecution, WorkflowType
from ..message import Message, Part, Scalar
from ..time import Duration

__all__ = [
    "ActivityFailureInfo",
    "ApplicationFailureInfo",
    "CanceledFailureInfo",
    "ChildWorkflowExecutionFailureInfo",
    "Duration",
    "Failure",
    "NexusHandlerFailureInfo",
    "NexusOperationFailureInfo",
    "ResetWorkflowFailureInfo",
    "ServerFailureInfo",
    "TerminatedFailureInfo",
    "TimeoutFailureInfo",
]

_KIND = "failure_info"


class ApplicationFailureInfo(Message):
    """An error of the author's own."""

    type = Scalar("")
    non_retryable = Scalar(False)
    details = Part(Payloads)
    next_retry_delay = Part(Duration)
    category = Scalar(0)


class TimeoutFailureInfo(Message):
    """Something took too long."""

    timeout_type = Scalar(0)
    last_heartbeat_details = Part(Payloads)


class CanceledFailureInfo(Message):
    """Something was cancelled."""

    details = Part(Payloads)
    identity = Scalar("")


class TerminatedFailureInfo(Message):
    """An execution was ended from outside; `details` are more than Temporal's message has."""

    identity = Scalar("")
    details = Part(Payloads)


class ServerFailureInfo(Message):
    """The runtime itself could not do it."""

    non_retryable = Scalar(False)


class ResetWorkflowFailureInfo(Message):
    """An attempt that a reset of its execution cut off."""

    last_heartbeat_details = Part(Payloads)


class ActivityFailureInfo(Message):
    """An activity ended without a result; the cause says why."""

    scheduled_event_id = Scalar(0)
    started_event_id = Scalar(0)
    identity = Scalar("")
    activity_type = Part(ActivityType)
    activity_id = Scalar("")
    retry_state = Scalar(0)


class ChildWorkflowExecutionFailureInfo(Message):
    """A child ended without a result; the cause says why."""

    namespace = Scalar("")
    workflow_execution = Part(WorkflowExecution)
    workflow_type = Part(WorkflowType)
    initiated_event_id = Scalar(0)
    started_event_id = Scalar(0)
    retry_state = Scalar(0)


class NexusOperationFailureInfo(Message):
    """There is no Nexus here: the name is for code that asks whether a failure is one of its."""


class NexusHandlerFailureInfo(Message):
    """There is no Nexus here: the name is for code that asks whether a failure is one of its."""


class Failure(Message):
    """What went wrong; one of the fields that end in ``_failure_info`` says what kind it is."""

    message = Scalar("")
    source = Scalar("")
    stack_trace = Scalar("")
    encoded_attributes = Part(Payload)
    """Message and stack trace, where these are to be encrypted with the details."""
    cause: Part[Failure] = Part(lambda: Failure())
    application_failure_info = Part(ApplicationFailureInfo, choice=_KIND)
    timeout_failure_info = Part(TimeoutFailureInfo, choice=_KIND)
    canceled_failure_info = Part(CanceledFailureInfo, choice=_KIND)
    terminated_failure_info = Part(TerminatedFailureInfo, choice=_KIND)
    server_failure_info = Part(ServerFailureInfo, choice=_KIND)
    reset_workflow_failure_info = Part(ResetWorkflowFailureInfo, choice=_KIND)
    activity_failure_info = Part(ActivityFailureInfo, choice=_KIND)
    child_workflow_execution_failure_info = Part(ChildWorkflowExecutionFailureInfo, choice=_KIND)
    nexus_operation_execution_failure_info = Part(NexusOperationFailureInfo, choice=_KIND)
    nexus_handler_failure_info = Part(NexusHandlerFailureInfo, choice=_KIND)
