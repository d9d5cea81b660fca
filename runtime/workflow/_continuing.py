"""Ending a run and beginning the next."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..core.commands import ContinueAsNew
from ..core.instance import ContinueAsNewRequested
from ._current import current
from ._definition import workflow_definition

ContinueAsNewError = ContinueAsNewRequested
_UNSET: Any = object()


def continue_as_new(
    arg: Any = _UNSET,
    *,
    args: Sequence[Any] = (),
    workflow: str | Callable[..., Any] | None = None,
    task_queue: str | None = None,
) -> NoReturn:
    """End this run here, and begin the next of the same workflow id with these arguments and an empty history.

    Raises:
        ContinueAsNewError: always; it is no `Exception`, so that nothing catches it by mistake.
    """
    instance = current()
    instance.require_writable("continue as new")
    if arg is not _UNSET and args:
        raise ValueError("Cannot have arg and args: give one argument as arg, or all of them as args")
    start = instance.start
    values = args if arg is _UNSET else (arg,)
    raise ContinueAsNewRequested(
        ContinueAsNew(
            _workflow_name(workflow) or start.workflow_type,
            task_queue or start.task_queue,
            instance.values.encode(values),
            start.headers,
        )
    )


def _workflow_name(workflow: Any) -> str | None:
    if workflow is None or isinstance(workflow, str):
        return workflow
    return workflow_name_of(workflow)


def workflow_name_of(workflow: Any) -> str:
    """The name of a workflow, given by its class or by its run method.

    Raises:
        ValueError: it is neither.
    """
    cls = workflow if isinstance(workflow, type) else _class_of(workflow)
    definition = workflow_definition(cls)
    if definition.name is None:
        raise ValueError(
            f"{cls.__qualname__} is a dynamic workflow, it has no name: give the name as a string"
        )
    return definition.name


def workflow_result_type(workflow: Any) -> Any:
    """The hint of what a workflow's run method returns, given by its class or by that method."""
    return workflow_definition(workflow if isinstance(workflow, type) else _class_of(workflow)).return_type


def _class_of(method: Any) -> type:
    """The class of a method that is not bound, found by its qualified name."""
    module = sys.modules.get(getattr(method, "__module__", ""))
    found: Any = module
    for part in getattr(method, "__qualname__", "").split(".")[:-1]:
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise ValueError(  # noqa: TRY004 - as for a class that is no workflow
            f"{method!r} is no workflow: give a class decorated with @workflow.defn, or its @workflow.run method"
        )
    return found
