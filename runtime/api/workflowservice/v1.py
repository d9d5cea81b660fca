"""The calls of Temporal's workflow service that are answered here; see `service.WorkflowService`."""

from __future__ import annotations

from ..common.v1 import Payload, WorkflowExecution
from ..enums.v1 import (
    HistoryEventFilterType,
    ResetReapplyExcludeType,
    ResetReapplyType,
    UpdateWorkflowExecutionLifecycleStage,
)
from ..history.v1 import History
from ..message import Int64, Message
from ..update.v1 import Outcome, UpdateRef, WaitPolicy
from ..workflow.v1 import PendingActivityInfo, PendingChildExecutionInfo, WorkflowExecutionInfo


class GetSystemInfoRequest(Message):
    """Which version answers."""


class GetSystemInfoResponse(Message):
    """The version of this package."""

    server_version: str


class DescribeWorkflowExecutionRequest(Message):
    """What is known of a run."""

    namespace: str
    execution: WorkflowExecution


class DescribeWorkflowExecutionResponse(Message):
    """A run with what it waits for."""

    workflow_execution_info: WorkflowExecutionInfo
    pending_activities: list[PendingActivityInfo]
    pending_children: list[PendingChildExecutionInfo]


class GetWorkflowExecutionHistoryRequest(Message):
    """A page of a history."""

    namespace: str
    execution: WorkflowExecution
    maximum_page_size: int
    next_page_token: bytes
    wait_new_event: bool
    history_event_filter_type: HistoryEventFilterType
    skip_archival: bool


class GetWorkflowExecutionHistoryResponse(Message):
    """Events, and where the next page begins; empty when there is none."""

    history: History
    next_page_token: bytes


class PollWorkflowExecutionUpdateRequest(Message):
    """How far an update has come."""

    namespace: str
    update_ref: UpdateRef
    identity: str
    wait_policy: WaitPolicy


class PollWorkflowExecutionUpdateResponse(Message):
    """The stage of an update, and how it ended."""

    outcome: Outcome
    stage: UpdateWorkflowExecutionLifecycleStage
    update_ref: UpdateRef


class ResetStickyTaskQueueRequest(Message):
    """That the code of a run be taken out of memory."""

    namespace: str
    execution: WorkflowExecution


class ResetStickyTaskQueueResponse(Message):
    """It is."""


class ResetWorkflowExecutionRequest(Message):
    """That a run begin anew with the workflow task that has this event."""

    namespace: str
    workflow_execution: WorkflowExecution
    reason: str
    workflow_task_finish_event_id: Int64
    request_id: str
    reset_reapply_type: ResetReapplyType
    reset_reapply_exclude_types: list[ResetReapplyExcludeType]
    identity: str


class ResetWorkflowExecutionResponse(Message):
    """The run that has begun."""

    run_id: str


class ListWorkflowExecutionsRequest(Message):
    """Executions that fit a filter."""

    namespace: str
    page_size: int
    next_page_token: bytes
    query: str


class ListWorkflowExecutionsResponse(Message):
    """A page of them, and where the next one begins; empty when there is none."""

    executions: list[WorkflowExecutionInfo]
    next_page_token: bytes


class CountWorkflowExecutionsRequest(Message):
    """How many executions fit a filter."""

    namespace: str
    query: str


class CountWorkflowExecutionsResponse(Message):
    """How many, by groups where the filter asks for them."""

    count: Int64
    groups: list[AggregationGroup]

    class AggregationGroup(Message):
        """Those that share these values."""

        group_values: list[Payload]
        count: Int64


class DeleteWorkflowExecutionRequest(Message):
    """That a run that has closed be gone."""

    namespace: str
    workflow_execution: WorkflowExecution


class DeleteWorkflowExecutionResponse(Message):
    """It is."""
