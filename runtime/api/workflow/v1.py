"""Executions as Temporal's server describes them."""

from __future__ import annotations

from ..common.v1 import (
    ActivityType,
    Memo,
    Payloads,
    Priority,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from ..enums.v1 import ParentClosePolicy, PendingActivityState, WorkflowExecutionStatus
from ..failure.v1 import Failure
from ..message import Int64, Message
from ..time import Timestamp


class WorkflowExecutionInfo(Message):
    """One run."""

    execution: WorkflowExecution
    type: WorkflowType
    start_time: Timestamp
    close_time: Timestamp
    status: WorkflowExecutionStatus
    history_length: Int64
    parent_execution: WorkflowExecution
    execution_time: Timestamp
    memo: Memo
    search_attributes: SearchAttributes
    task_queue: str
    root_execution: WorkflowExecution
    priority: Priority


class PendingActivityInfo(Message):
    """An activity that has not ended."""

    activity_id: str
    activity_type: ActivityType
    state: PendingActivityState
    heartbeat_details: Payloads
    attempt: int
    maximum_attempts: int
    last_failure: Failure
    next_attempt_schedule_time: Timestamp
    paused: bool
    priority: Priority


class PendingChildExecutionInfo(Message):
    """A child that has not closed."""

    workflow_id: str
    run_id: str
    workflow_type_name: str
    parent_close_policy: ParentClosePolicy
