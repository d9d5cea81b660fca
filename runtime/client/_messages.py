"""Executions as messages of Temporal's service, made when someone looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api.common.v1 import ActivityType, Memo, SearchAttributes, WorkflowType
from ..api.common.v1 import WorkflowExecution as Execution
from ..api.enums.v1 import PendingActivityState
from ..api.enums.v1 import WorkflowExecutionStatus as Status
from ..api.time import Timestamp
from ..api.workflow.v1 import PendingActivityInfo, PendingChildExecutionInfo, WorkflowExecutionInfo
from ..api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from ..search_attribute_payloads import encode_search_attributes

if TYPE_CHECKING:
    from datetime import datetime

    from ._execution import WorkflowExecution, WorkflowExecutionDescription


def info_of(execution: WorkflowExecution) -> WorkflowExecutionInfo:
    """What a list says of an execution."""
    info = WorkflowExecutionInfo(
        execution=Execution(workflow_id=execution.id, run_id=execution.run_id),
        type=WorkflowType(name=execution.workflow_type),
        start_time=_timestamp(execution.start_time),
        history_length=execution.history_length,
        task_queue=execution.task_queue,
        root_execution=Execution(
            workflow_id=execution.root_id or execution.id, run_id=execution.root_run_id or execution.run_id
        ),
        memo=Memo(fields=dict(execution._memo)),  # noqa: SLF001 - of this package
        search_attributes=SearchAttributes(),
    )
    encode_search_attributes(execution.typed_search_attributes, info.search_attributes)
    if execution.status is not None:
        info.status = Status(int(execution.status))
    if execution.close_time is not None:
        info.close_time.CopyFrom(_timestamp(execution.close_time))
    if execution.execution_time is not None:
        info.execution_time.CopyFrom(_timestamp(execution.execution_time))
    if execution.parent_id is not None:
        info.parent_execution.CopyFrom(
            Execution(workflow_id=execution.parent_id, run_id=execution.parent_run_id or "")
        )
    return info


def description_of(execution: WorkflowExecutionDescription) -> DescribeWorkflowExecutionResponse:
    """What a description says of an execution."""
    return DescribeWorkflowExecutionResponse(
        workflow_execution_info=info_of(execution),
        pending_activities=[
            PendingActivityInfo(
                activity_id=each.activity_id,
                activity_type=ActivityType(name=each.activity_type),
                state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
                attempt=each.attempt,
            )
            for each in execution.pending_activities
        ],
        pending_children=[
            PendingChildExecutionInfo(
                workflow_id=each.workflow_id, run_id=each.run_id, workflow_type_name=each.workflow_type
            )
            for each in execution.pending_children
        ],
    )


def _timestamp(instant: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(instant)
    return made
