"""What each type of event tells."""

from __future__ import annotations

from ..common.v1 import (
    ActivityType,
    Header,
    Memo,
    MeteringMetadata,
    Payloads,
    Priority,
    RetryPolicy,
    SearchAttributes,
    TimeSkippingConfig,
    WorkerVersionStamp,
    WorkflowExecution,
    WorkflowType,
)
from ..enums.v1 import (
    ActivityTaskFailedCause,
    CancelExternalWorkflowExecutionFailedCause,
    ContinueAsNewInitiator,
    ParentClosePolicy,
    RetryState,
    SignalExternalWorkflowExecutionFailedCause,
    StartChildWorkflowExecutionFailedCause,
    SuggestContinueAsNewReason,
    TimeoutType,
    UpdateAdmittedEventOrigin,
    WorkflowIdReusePolicy,
    WorkflowTaskFailedCause,
)
from ..failure.v1 import Failure
from ..message import Int64, Message
from ..sdk.v1 import WorkflowTaskCompletedMetadata
from ..taskqueue.v1 import TaskQueue
from ..time import Duration, Timestamp
from ..update.v1 import Meta, Outcome, Request


class WorkflowExecutionStartedEventAttributes(Message):
    """The run began."""

    workflow_type: WorkflowType
    parent_workflow_namespace: str
    parent_workflow_namespace_id: str
    parent_workflow_execution: WorkflowExecution
    parent_initiated_event_id: Int64
    task_queue: TaskQueue
    input: Payloads
    workflow_execution_timeout: Duration
    workflow_run_timeout: Duration
    workflow_task_timeout: Duration
    continued_execution_run_id: str
    initiator: ContinueAsNewInitiator
    continued_failure: Failure
    last_completion_result: Payloads
    original_execution_run_id: str
    identity: str
    first_execution_run_id: str
    retry_policy: RetryPolicy
    attempt: int
    workflow_execution_expiration_time: Timestamp
    cron_schedule: str
    first_workflow_task_backoff: Duration
    memo: Memo
    search_attributes: SearchAttributes
    header: Header
    parent_initiated_event_version: Int64
    workflow_id: str
    source_version_stamp: WorkerVersionStamp
    root_workflow_execution: WorkflowExecution
    inherited_build_id: str
    parent_pinned_worker_deployment_version: str
    priority: Priority
    eager_execution_accepted: bool
    time_skipping_config: TimeSkippingConfig


class WorkflowExecutionCompletedEventAttributes(Message):
    """The run returned."""

    result: Payloads
    workflow_task_completed_event_id: Int64
    new_execution_run_id: str


class WorkflowExecutionFailedEventAttributes(Message):
    """The run raised a failure."""

    failure: Failure
    retry_state: RetryState
    workflow_task_completed_event_id: Int64
    new_execution_run_id: str


class WorkflowExecutionTimedOutEventAttributes(Message):
    """The run took longer than it may."""

    retry_state: RetryState
    new_execution_run_id: str


class WorkflowTaskScheduledEventAttributes(Message):
    """The code is to be told of what has happened."""

    task_queue: TaskQueue
    start_to_close_timeout: Duration
    attempt: int


class WorkflowTaskStartedEventAttributes(Message):
    """What has happened until here is handed to the code; its clock shows this instant."""

    scheduled_event_id: Int64
    identity: str
    request_id: str
    suggest_continue_as_new: bool
    suggest_continue_as_new_reasons: list[SuggestContinueAsNewReason]
    target_worker_deployment_version_changed: bool
    history_size_bytes: Int64
    worker_version: WorkerVersionStamp
    build_id_redirect_counter: Int64


class WorkflowTaskCompletedEventAttributes(Message):
    """The code has answered: the commands that follow are its own."""

    scheduled_event_id: Int64
    started_event_id: Int64
    identity: str
    binary_checksum: str
    worker_version: WorkerVersionStamp
    sdk_metadata: WorkflowTaskCompletedMetadata
    metering_metadata: MeteringMetadata
    worker_deployment_version: str
    worker_deployment_name: str


class WorkflowTaskTimedOutEventAttributes(Message):
    """The code did not answer in time."""

    scheduled_event_id: Int64
    started_event_id: Int64
    timeout_type: TimeoutType


class WorkflowTaskFailedEventAttributes(Message):
    """The code could not answer: it has a bug, or does not fit its history."""

    scheduled_event_id: Int64
    started_event_id: Int64
    cause: WorkflowTaskFailedCause
    failure: Failure
    identity: str
    base_run_id: str
    new_run_id: str
    fork_event_version: Int64
    binary_checksum: str
    worker_version: WorkerVersionStamp


class ActivityTaskScheduledEventAttributes(Message):
    """The code asked for an activity."""

    activity_id: str
    activity_type: ActivityType
    task_queue: TaskQueue
    header: Header
    input: Payloads
    schedule_to_close_timeout: Duration
    schedule_to_start_timeout: Duration
    start_to_close_timeout: Duration
    heartbeat_timeout: Duration
    workflow_task_completed_event_id: Int64
    retry_policy: RetryPolicy
    use_workflow_build_id: bool
    priority: Priority


class ActivityTaskStartedEventAttributes(Message):
    """The last attempt of an activity began; written together with its end."""

    scheduled_event_id: Int64
    identity: str
    request_id: str
    attempt: int
    last_failure: Failure
    worker_version: WorkerVersionStamp
    build_id_redirect_counter: Int64


class ActivityTaskCompletedEventAttributes(Message):
    """An activity returned."""

    result: Payloads
    scheduled_event_id: Int64
    started_event_id: Int64
    identity: str
    worker_version: WorkerVersionStamp


class ActivityTaskFailedEventAttributes(Message):
    """An activity ended without a result, and is not tried again."""

    failure: Failure
    scheduled_event_id: Int64
    started_event_id: Int64
    identity: str
    retry_state: RetryState
    worker_version: WorkerVersionStamp
    cause: ActivityTaskFailedCause


class ActivityTaskTimedOutEventAttributes(Message):
    """An activity took longer than it may, and is not tried again."""

    failure: Failure
    scheduled_event_id: Int64
    started_event_id: Int64
    retry_state: RetryState


class TimerStartedEventAttributes(Message):
    """The code asked for a timer."""

    timer_id: str
    start_to_fire_timeout: Duration
    workflow_task_completed_event_id: Int64


class TimerFiredEventAttributes(Message):
    """A timer's instant had come."""

    timer_id: str
    started_event_id: Int64


class ActivityTaskCancelRequestedEventAttributes(Message):
    """The code asked an activity to stop."""

    scheduled_event_id: Int64
    workflow_task_completed_event_id: Int64


class ActivityTaskCanceledEventAttributes(Message):
    """An activity ended because it was asked to."""

    details: Payloads
    latest_cancel_requested_event_id: Int64
    scheduled_event_id: Int64
    started_event_id: Int64
    identity: str
    worker_version: WorkerVersionStamp


class TimerCanceledEventAttributes(Message):
    """The code took a timer back."""

    timer_id: str
    started_event_id: Int64
    workflow_task_completed_event_id: Int64
    identity: str


class MarkerRecordedEventAttributes(Message):
    """The code recorded something: a local activity's end, or a patch."""

    marker_name: str
    details: dict[str, Payloads]
    workflow_task_completed_event_id: Int64
    header: Header
    failure: Failure


class WorkflowExecutionSignaledEventAttributes(Message):
    """A signal was accepted."""

    signal_name: str
    input: Payloads
    identity: str
    header: Header
    skip_generate_workflow_task: bool
    external_workflow_execution: WorkflowExecution
    request_id: str


class WorkflowExecutionTerminatedEventAttributes(Message):
    """Someone ended the run without asking its code."""

    reason: str
    details: Payloads
    identity: str


class WorkflowExecutionCancelRequestedEventAttributes(Message):
    """Someone asked the code to end by itself."""

    cause: str
    external_initiated_event_id: Int64
    external_workflow_execution: WorkflowExecution
    identity: str


class WorkflowExecutionCanceledEventAttributes(Message):
    """The run ended by the cancellation that was asked of it."""

    workflow_task_completed_event_id: Int64
    details: Payloads


class RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(Message):
    """The code asked another execution to end by itself."""

    workflow_task_completed_event_id: Int64
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    control: str
    child_workflow_only: bool
    reason: str


class RequestCancelExternalWorkflowExecutionFailedEventAttributes(Message):
    """There is no such execution to cancel."""

    cause: CancelExternalWorkflowExecutionFailedCause
    workflow_task_completed_event_id: Int64
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    initiated_event_id: Int64
    control: str


class ExternalWorkflowExecutionCancelRequestedEventAttributes(Message):
    """The other execution has the request to end."""

    initiated_event_id: Int64
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution


class WorkflowExecutionContinuedAsNewEventAttributes(Message):
    """The run ended, and another one goes on."""

    new_execution_run_id: str
    workflow_type: WorkflowType
    task_queue: TaskQueue
    input: Payloads
    workflow_run_timeout: Duration
    workflow_task_timeout: Duration
    workflow_task_completed_event_id: Int64
    backoff_start_interval: Duration
    initiator: ContinueAsNewInitiator
    failure: Failure
    last_completion_result: Payloads
    header: Header
    memo: Memo
    search_attributes: SearchAttributes
    inherit_build_id: bool


class StartChildWorkflowExecutionInitiatedEventAttributes(Message):
    """The code asked for a child."""

    namespace: str
    namespace_id: str
    workflow_id: str
    workflow_type: WorkflowType
    task_queue: TaskQueue
    input: Payloads
    workflow_execution_timeout: Duration
    workflow_run_timeout: Duration
    workflow_task_timeout: Duration
    parent_close_policy: ParentClosePolicy
    control: str
    workflow_task_completed_event_id: Int64
    workflow_id_reuse_policy: WorkflowIdReusePolicy
    retry_policy: RetryPolicy
    cron_schedule: str
    header: Header
    memo: Memo
    search_attributes: SearchAttributes
    inherit_build_id: bool
    priority: Priority


class StartChildWorkflowExecutionFailedEventAttributes(Message):
    """There is no child; the cause says why."""

    namespace: str
    namespace_id: str
    workflow_id: str
    workflow_type: WorkflowType
    cause: StartChildWorkflowExecutionFailedCause
    control: str
    initiated_event_id: Int64
    workflow_task_completed_event_id: Int64


class ChildWorkflowExecutionStartedEventAttributes(Message):
    """The child exists."""

    namespace: str
    namespace_id: str
    initiated_event_id: Int64
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    header: Header


class ChildWorkflowExecutionCompletedEventAttributes(Message):
    """The child returned."""

    result: Payloads
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: Int64
    started_event_id: Int64


class ChildWorkflowExecutionFailedEventAttributes(Message):
    """The child raised a failure."""

    failure: Failure
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: Int64
    started_event_id: Int64
    retry_state: RetryState


class ChildWorkflowExecutionCanceledEventAttributes(Message):
    """The child ended by a cancellation."""

    details: Payloads
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: Int64
    started_event_id: Int64


class ChildWorkflowExecutionTimedOutEventAttributes(Message):
    """The child took longer than it may."""

    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: Int64
    started_event_id: Int64
    retry_state: RetryState


class ChildWorkflowExecutionTerminatedEventAttributes(Message):
    """Someone ended the child."""

    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    workflow_type: WorkflowType
    initiated_event_id: Int64
    started_event_id: Int64


class SignalExternalWorkflowExecutionInitiatedEventAttributes(Message):
    """The code sent a signal to another execution."""

    workflow_task_completed_event_id: Int64
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    signal_name: str
    input: Payloads
    control: str
    child_workflow_only: bool
    header: Header


class SignalExternalWorkflowExecutionFailedEventAttributes(Message):
    """There is no such execution to signal."""

    cause: SignalExternalWorkflowExecutionFailedCause
    workflow_task_completed_event_id: Int64
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    initiated_event_id: Int64
    control: str


class ExternalWorkflowExecutionSignaledEventAttributes(Message):
    """The other execution has the signal."""

    initiated_event_id: Int64
    namespace: str
    namespace_id: str
    workflow_execution: WorkflowExecution
    control: str


class UpsertWorkflowSearchAttributesEventAttributes(Message):
    """The run is found by these from here on."""

    workflow_task_completed_event_id: Int64
    search_attributes: SearchAttributes


class WorkflowExecutionUpdateAcceptedEventAttributes(Message):
    """An update passed its validator."""

    protocol_instance_id: str
    accepted_request_message_id: str
    accepted_request_sequencing_event_id: Int64
    accepted_request: Request


class WorkflowExecutionUpdateRejectedEventAttributes(Message):
    """An update was refused by its validator."""

    protocol_instance_id: str
    rejected_request_message_id: str
    rejected_request_sequencing_event_id: Int64
    rejected_request: Request
    failure: Failure


class WorkflowExecutionUpdateCompletedEventAttributes(Message):
    """The handler of an update has ended."""

    meta: Meta
    accepted_event_id: Int64
    outcome: Outcome


class WorkflowPropertiesModifiedExternallyEventAttributes(Message):
    """Someone changed what the run may take."""

    new_task_queue: str
    new_workflow_task_timeout: Duration
    new_workflow_run_timeout: Duration
    new_workflow_execution_timeout: Duration
    upserted_memo: Memo


class ActivityPropertiesModifiedExternallyEventAttributes(Message):
    """Someone changed how an activity is tried again."""

    scheduled_event_id: Int64
    new_retry_policy: RetryPolicy


class WorkflowPropertiesModifiedEventAttributes(Message):
    """The memo has these from here on."""

    workflow_task_completed_event_id: Int64
    upserted_memo: Memo


class WorkflowExecutionUpdateAdmittedEventAttributes(Message):
    """An update waits for its validator, after a reset."""

    request: Request
    origin: UpdateAdmittedEventOrigin


class WorkflowExecutionPausedEventAttributes(Message):
    """Someone holds the run."""

    identity: str
    reason: str
    request_id: str


class WorkflowExecutionUnpausedEventAttributes(Message):
    """The run goes on."""

    identity: str
    reason: str
    request_id: str


class WorkflowExecutionOptionsUpdatedEventAttributes(Message):
    """Someone changed what the run goes on with."""

    attached_request_id: str
    identity: str
    priority: Priority
    time_skipping_config: TimeSkippingConfig
    time_skipping_config_updated: bool


class WorkflowExecutionTimeSkippingTransitionedEventAttributes(Message):
    """The run's own clock shows another instant from here on."""

    target_time: Timestamp
    disabled_after_fast_forward: bool
    wall_clock_time: Timestamp
