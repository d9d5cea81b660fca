"""Signalling another execution from workflow code, and starting it when there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from ..common import (
    Priority,
    RetryPolicy,
    VersioningOverride,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from ..core.commands import SignalWithStart
from ..core.instance import Instance
from ..interceptors import SignalWithStartWorkflowInput
from ..retry_policy import rule_of
from ..search_attributes import TypedSearchAttributes, attributes_of
from ._arguments import positive
from ._children import checked_cron
from ._continuing import workflow_name_of
from ._current import current
from ._definition import signal_name
from ._external import ExternalWorkflowHandle, get_external_workflow_handle
from ._intercepting import outbound_of


async def signal_with_start_workflow(
    workflow: str | Callable[..., Awaitable[Any]],
    *positional_args: Any,
    args: Sequence[Any] | None = None,
    id: str,
    task_queue: str,
    signal: str | Callable[..., Awaitable[None] | None],
    signal_args: Any = None,
    execution_timeout: timedelta | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    id_conflict_policy: WorkflowIDConflictPolicy | None = None,
    retry_policy: RetryPolicy | None = None,
    cron_schedule: str | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: TypedSearchAttributes | None = None,
    priority: Priority | None = None,
    versioning_override: VersioningOverride | None = None,
    start_delay: timedelta | None = None,
    static_summary: str | None = None,
    static_details: str | None = None,
) -> ExternalWorkflowHandle[Any]:
    """Signal the open run of a workflow id, or start a workflow with the signal in one step; it is no child of this one.

    Returns when the other's history has the signal. Several `signal_args` are a list; one that is a list itself is put
    into another.

    Raises:
        WorkflowAlreadyStartedError: no run is open, and the id may not be used again.
        TypeError: arguments both by position and as `args`.
        ValueError: a policy by which an open run is not signalled, or options that contradict each other.
    """
    if positional_args and args is not None:
        raise TypeError("cannot specify both positional arguments and args")
    instance = current()
    instance.require_writable("signal with start workflow")
    signals = cast("list[Any]", signal_args) if isinstance(signal_args, list) else [signal_args]
    return await outbound_of(instance).start_signal_with_start_workflow(
        SignalWithStartWorkflowInput(
            workflow=workflow if isinstance(workflow, str) else workflow_name_of(workflow),
            args=args or positional_args,
            id=id,
            task_queue=task_queue,
            signal=signal_name(signal),
            signal_args=() if signal_args is None else signals,
            execution_timeout=execution_timeout,
            run_timeout=run_timeout,
            task_timeout=task_timeout,
            id_reuse_policy=id_reuse_policy,
            id_conflict_policy=id_conflict_policy,
            retry_policy=retry_policy,
            cron_schedule=cron_schedule,
            memo=memo,
            search_attributes=search_attributes,
            priority=priority,
            versioning_override=versioning_override,
            start_delay=start_delay,
            static_summary=static_summary,
            static_details=static_details,
        )
    )


async def signal_with_start(
    instance: Instance, input: SignalWithStartWorkflowInput
) -> ExternalWorkflowHandle[Any]:
    """Ask the core for it, and wait until the other has the signal."""
    _check(input)
    values = instance.values.for_workflow(input.id)
    priority = input.priority or Priority.default
    command = SignalWithStart(
        instance.next_id(),
        input.id,
        input.workflow,
        input.task_queue,
        values.encode(input.args),
        input.signal,
        values.encode(input.signal_args),
        positive(input.execution_timeout, "execution_timeout"),
        positive(input.run_timeout, "run_timeout"),
        positive(input.task_timeout, "task_timeout"),
        positive(input.start_delay, "start_delay") or 0.0,
        rule_of(input.retry_policy),
        int(input.id_reuse_policy),
        input.id_conflict_policy == WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        checked_cron(input.cron_schedule),
        {name: values.encode([value])[0] for name, value in (input.memo or {}).items()},
        attributes_of(input.search_attributes),
        input.static_summary or "",
        input.static_details or "",
        priority.priority_key or 0,
        priority.fairness_key or "",
        priority.fairness_weight or 0.0,
    )
    run_id = await instance.reach(command, values)
    return get_external_workflow_handle(input.id, run_id=run_id)


def _check(input: SignalWithStartWorkflowInput) -> None:
    if input.id_conflict_policy == WorkflowIDConflictPolicy.FAIL:
        raise ValueError(
            "id_conflict_policy is FAIL, by which an open run gets no signal: leave it out, or start a child"
        )
    if input.id_conflict_policy and input.id_reuse_policy == WorkflowIDReusePolicy.TERMINATE_IF_RUNNING:
        raise ValueError("TERMINATE_IF_RUNNING cannot be used together with an id_conflict_policy")
    if input.cron_schedule and input.start_delay:
        raise ValueError("start_delay and cron_schedule cannot be used together")
