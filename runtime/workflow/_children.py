"""Child workflows, called from workflow code."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, TypedDict, TypeVar

from ..common import ConcurrencyKey, ConcurrencyPolicy, Priority, RetryPolicy, WorkflowIDReusePolicy
from ..core.children import ChildHandle, ChildWorkflowCancellationType, PendingChild
from ..core.commands import StartChild
from ..core.instance import Instance
from ..interceptors import SignalChildWorkflowInput, StartChildWorkflowInput
from ..retry_policy import inherited, parts_of, rule_of
from ..search_attributes import attributes_of
from ._arguments import UNSET, arguments, positive
from ._context import uuid4
from ._continuing import workflow_name_of, workflow_result_type
from ._current import current
from ._definition import signal_name
from ._event_groups import belonging_to
from ._intercepting import NO_HEADERS, outbound_of

S = TypeVar("S")
R = TypeVar("R")


class ParentClosePolicy(enum.IntEnum):
    """What happens to a child when its parent closes."""

    UNSPECIFIED = 0
    TERMINATE = 1
    ABANDON = 2
    REQUEST_CANCEL = 3


class ChildWorkflowConfig(TypedDict, total=False):
    """The options of a child, to be kept in one place and given as `**config`."""

    id: str | None
    task_queue: str | None
    cancellation_type: ChildWorkflowCancellationType
    parent_close_policy: ParentClosePolicy
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: Any
    versioning_intent: Any
    static_summary: str | None
    static_details: str | None
    event_groups: Sequence[Any] | None
    priority: Priority
    versioning_override: Any
    concurrency: ConcurrencyKey | None


class ChildWorkflowHandle(ChildHandle[R], Generic[S, R]):
    """A child that has started: an `asyncio.Task` that ends with its outcome; cancelling it cancels the child."""

    @property
    def id(self) -> str:
        """The child's workflow id."""
        return self._pending.command.workflow_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The child's first run."""
        return self._pending.run_id

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        event_groups: Sequence[Any] | None = None,
    ) -> None:
        """Send the child a signal; returns when the child's history has it.

        Raises:
            ApplicationError: the child has closed.
        """
        instance = current()
        instance.require_writable("signal child handle")
        await outbound_of(instance).signal_child_workflow(
            SignalChildWorkflowInput(
                signal=signal_name(signal),
                args=arguments(arg, args),
                child_workflow_id=self.id,
                headers=NO_HEADERS,
                event_groups=event_groups,
            )
        )


async def start_child_workflow(
    workflow: str | Callable[..., Awaitable[Any]],
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    id: str | None = None,
    task_queue: str | None = None,
    result_type: type | None = None,
    cancellation_type: ChildWorkflowCancellationType = ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE,
    execution_timeout: timedelta | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    retry_policy: RetryPolicy | None = None,
    cron_schedule: str = "",
    memo: Mapping[str, Any] | None = None,
    search_attributes: Any = None,
    versioning_intent: Any = None,
    static_summary: str | None = None,
    static_details: str | None = None,
    event_groups: Sequence[Any] | None = None,
    priority: Priority = Priority.default,
    versioning_override: Any = None,
    concurrency: ConcurrencyKey | None = None,
) -> ChildWorkflowHandle[Any, Any]:
    """Start another workflow as a child of this one; returns when it has started. The handle gives its result.

    Raises:
        WorkflowAlreadyStartedError: its id is in use, or may not be used again.
        ConcurrencyKeyTakenError: as many of its concurrency key run as may, and its policy is to refuse.
        ValueError: it would join an execution that is not its child.
        ChildWorkflowError: (from the handle) the child ended without a result; its cause says how.
    """
    instance = current()
    instance.require_writable("start child workflow")
    name, hint = (workflow, None) if isinstance(workflow, str) else _name_and_result(workflow)
    return await outbound_of(instance).start_child_workflow(
        StartChildWorkflowInput(
            workflow=name,
            args=arguments(arg, args),
            id=id or str(uuid4()),
            task_queue=task_queue,
            cancellation_type=cancellation_type,
            parent_close_policy=parent_close_policy,
            execution_timeout=execution_timeout,
            run_timeout=run_timeout,
            task_timeout=task_timeout,
            id_reuse_policy=id_reuse_policy,
            retry_policy=retry_policy,
            cron_schedule=cron_schedule,
            memo=memo,
            search_attributes=search_attributes,
            headers=NO_HEADERS,
            versioning_intent=versioning_intent,
            static_summary=static_summary,
            static_details=static_details,
            versioning_override=versioning_override,
            event_groups=event_groups,
            priority=priority,
            concurrency=concurrency,
            arg_types=None,
            ret_type=result_type or hint,
        )
    )


async def execute_child_workflow(
    workflow: str | Callable[..., Awaitable[Any]],
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    **options: Any,
) -> Any:
    """Start a child and wait for its result; see `start_child_workflow`."""
    return await (await start_child_workflow(workflow, arg, args=args, **options))


execute_child_workflow.__signature__ = inspect.signature(start_child_workflow).replace(  # type: ignore[attr-defined]
    return_annotation=Any
)


def _name_and_result(workflow: Any) -> tuple[str, Any]:
    return workflow_name_of(workflow), workflow_result_type(workflow)


def checked_cron(schedule: str | None) -> str:
    """The schedule as it is recorded, an empty text for none.

    Raises:
        ValueError: it is none, or of an unknown zone.
    """
    if not schedule:
        return ""
    from ..schedules.spec import CronSchedule  # made of what is in this package

    return CronSchedule(schedule).expression


async def start(instance: Instance, input: StartChildWorkflowInput) -> ChildWorkflowHandle[Any, Any]:
    """Ask the core for a child, and wait until it has started."""
    if input.concurrency is not None and input.concurrency.policy == ConcurrencyPolicy.JOIN:
        raise ValueError(
            "a child cannot join another execution, whose parent it is not: use ConcurrencyPolicy.REFUSE and "
            "get_external_workflow_handle"
        )
    values = instance.values.for_workflow(input.id)
    key, limit, policy = parts_of(input.concurrency)
    command = StartChild(
        instance.next_id(),
        input.id,
        input.workflow,
        input.task_queue or instance.start.task_queue,
        values.encode(input.args),
        positive(input.execution_timeout, "execution_timeout"),
        positive(input.run_timeout, "run_timeout"),
        positive(input.task_timeout, "task_timeout"),
        rule_of(input.retry_policy),
        int(input.parent_close_policy) or int(ParentClosePolicy.TERMINATE),
        int(input.id_reuse_policy),
        checked_cron(input.cron_schedule),
        {name: values.encode([value])[0] for name, value in (input.memo or {}).items()},
        attributes_of(input.search_attributes),
        input.headers,
        input.static_summary or "",
        input.static_details or "",
        *inherited(input.priority, instance.start),
        concurrency_key=key,
        concurrency_limit=limit,
        concurrency_policy=policy,
    )
    pending = PendingChild(
        command, instance, values, cancellation=input.cancellation_type, result_type=input.ret_type
    )
    with belonging_to(input.event_groups):
        instance.add_child(pending)
    handle: ChildWorkflowHandle[Any, Any] = ChildWorkflowHandle(pending, instance)
    await handle.until_started()
    return handle
