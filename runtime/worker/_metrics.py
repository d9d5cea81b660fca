"""What a worker measures of its own accord, under the names that dashboards of Temporal's SDK look for.

It stands outermost among the interceptors, and only where measurements go somewhere.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, ClassVar

from .. import activity, workflow
from ..core.instance import ContinueAsNewRequested
from ..exceptions import ApplicationError, ApplicationErrorCategory, is_cancelled_exception
from ..interceptors import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)
from ..measuring import RecordingMeter
from ..metrics import MetricMeter
from ..runtime import Runtime


def own_metrics_of(runtime: Runtime) -> list[Interceptor]:
    """What measures for this runtime; nothing where it has nowhere to go."""
    return [_OwnMetrics(runtime.metric_prefix)] if isinstance(runtime.metric_meter, RecordingMeter) else []


class _OwnMetrics(Interceptor):
    """Counts how workflows and activities end, and measures how long they take."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._class = type("MeasuredWorkflow", (_Workflow,), {"prefix": prefix})

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """See `Interceptor`."""
        return _Activity(next, self._prefix)

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        """See `Interceptor`."""
        del input
        return self._class


class _Workflow(WorkflowInboundInterceptor):
    prefix: ClassVar[str]

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        try:
            result = await super().execute_workflow(input)
        except ContinueAsNewRequested:
            self._ended("workflow_continue_as_new", "Count of continued-as-new workflows")
            raise
        except BaseException as error:
            if is_cancelled_exception(error) and workflow.cancellation_reason() is not None:
                self._ended("workflow_canceled", "Count of canceled workflows")
            elif workflow.is_failure_exception(error):
                self._ended("workflow_failed", "Count of failed workflows")
            raise  # Any other error is a bug, which ends nothing.
        self._ended("workflow_completed", "Count of successfully completed workflows")
        return result

    def _ended(self, name: str, description: str) -> None:
        meter = workflow.metric_meter()
        meter.create_counter(self.prefix + name, description).add(1)
        took = meter.create_histogram_timedelta(
            f"{self.prefix}workflow_endtoend_latency", "Histogram of total workflow execution latencies"
        )
        took.record(max(timedelta(), workflow.now() - workflow.info().start_time))


class _Activity(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, prefix: str) -> None:
        super().__init__(next)
        self._prefix = prefix

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        of = "local_activity" if info.is_local else "activity"
        meter = activity.metric_meter().with_additional_attributes(
            {"workflow_type": info.workflow_type or ""}
        )
        if not info.is_local:
            waited = info.started_time - info.current_attempt_scheduled_time
            self._took(meter, f"{of}_schedule_to_start_latency", max(timedelta(), waited))
        began_s = time.monotonic()
        try:
            return await super().execute_activity(input)
        except Exception as error:
            benign = isinstance(error, ApplicationError) and error.category is ApplicationErrorCategory.BENIGN
            if not (benign or is_cancelled_exception(error)):
                name = f"{self._prefix}{of}_execution_failed"
                meter.create_counter(name, f"Count of {of.replace('_', ' ')} executions that failed").add(1)
            raise
        finally:
            self._took(meter, f"{of}_execution_latency", timedelta(seconds=time.monotonic() - began_s))

    def _took(self, meter: MetricMeter, name: str, duration: timedelta) -> None:
        text = f"Histogram of {name.removesuffix('_latency').replace('_', ' ')} latencies"
        meter.create_histogram_timedelta(self._prefix + name, text).record(duration)
