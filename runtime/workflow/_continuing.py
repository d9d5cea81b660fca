"""Ending a run and beginning the next."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn

from ..common import RetryPolicy
from ..core.commands import ContinueAsNew
from ..core.instance import ContinueAsNewRequested, Instance
from ..interceptors import ContinueAsNewInput
from ..retry_policy import rule_of
from ..search_attributes import SearchAttributes, TypedSearchAttributes, attributes_of
from ._arguments import UNSET, arguments, positive
from ._current import current
from ._definition import workflow_definition
from ._intercepting import outbound_of

ContinueAsNewError = ContinueAsNewRequested


class ContinueAsNewVersioningBehavior(enum.Enum):
    """Accepted as the Temporal SDK has it; code is not deployed by version here."""

    UNSPECIFIED = 0
    AUTO_UPGRADE = 1
    USE_RAMPING_VERSION = 2


class VersioningIntent(enum.Enum):
    """Accepted as the Temporal SDK has it; code is not deployed by version here."""

    COMPATIBLE = 1
    DEFAULT = 2


def continue_as_new(
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    workflow: Callable[..., Any] | str | None = None,
    task_queue: str | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    backoff_start_interval: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: SearchAttributes | TypedSearchAttributes | None = None,
    versioning_intent: VersioningIntent | None = None,
    initial_versioning_behavior: ContinueAsNewVersioningBehavior | None = None,
    event_groups: Sequence[Any] | None = None,
) -> NoReturn:
    """End this run here, and begin the next of the same workflow id with these arguments and an empty history.

    What is not given stays as it is: timeouts, retry policy, memo and search attributes.

    Raises:
        ContinueAsNewError: always; it is no `Exception`, so that nothing catches it by mistake.
    """
    instance = current()
    instance.require_writable("continue as new")
    outbound_of(instance).continue_as_new(
        ContinueAsNewInput(
            workflow=_workflow_name(workflow),
            args=arguments(arg, args),
            task_queue=task_queue,
            run_timeout=run_timeout,
            task_timeout=task_timeout,
            backoff_start_interval=backoff_start_interval,
            retry_policy=retry_policy,
            memo=memo,
            search_attributes=search_attributes,
            headers=instance.start.headers,
            versioning_intent=versioning_intent,
            initial_versioning_behavior=initial_versioning_behavior,
            event_groups=event_groups,
        )
    )


def carry_out(instance: Instance, input: ContinueAsNewInput) -> NoReturn:
    """Ask the core to end the run."""
    start, encode = instance.start, instance.values.encode
    memo = start.memo
    if input.memo:
        memo = {name: encode([value])[0] for name, value in input.memo.items()}
    attributes = instance.search_attributes
    if input.search_attributes:
        attributes = attributes_of(input.search_attributes)
    raise ContinueAsNewRequested(
        ContinueAsNew(
            input.workflow or start.workflow_type,
            input.task_queue or start.task_queue,
            encode(input.args),
            input.headers,
            "",
            positive(input.run_timeout, "run_timeout") or start.run_timeout_s,
            positive(input.task_timeout, "task_timeout") or start.task_timeout_s,
            rule_of(input.retry_policy) or start.retry,
            dict(memo),
            dict(attributes),
            positive(input.backoff_start_interval, "backoff_start_interval") or 0.0,
        )
    )


def _workflow_name(workflow: Any) -> str | None:
    if workflow is None or isinstance(workflow, str):
        return workflow
    return workflow_name_of(workflow)


def workflow_name_of(workflow: Any) -> str:
    """The name of a workflow, given by its class or by its run method.

    Raises:
        ValueError: it is neither, or a dynamic workflow.
        TypeError: it cannot be called.
    """
    definition = workflow_definition(workflow)
    if definition.name is None:
        raise ValueError(
            f"Cannot invoke dynamic workflow explicitly: {definition.cls.__qualname__} has no name, give one as a string"
        )
    return definition.name


def workflow_result_type(workflow: Any) -> Any:
    """The hint of what a workflow's run method returns, given by its class or by that method."""
    return workflow_definition(workflow).return_type
