"""Workflows and activities by their names, as a worker is given them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..activity import ActivityDefinition, activity_definition
from ..core.definition import WorkflowDefinition
from ..workflow._definition import workflow_definition

Workflows = dict[str | None, WorkflowDefinition]
Activities = dict[str | None, ActivityDefinition]


def workflows_by_name(workflows: Sequence[type]) -> Workflows:
    """The workflows by their names, the dynamic one under None.

    Raises:
        ValueError, TypeError: a class without its decorator, or two for one name.
    """
    found: Workflows = {}
    for definition in map(workflow_definition, workflows):
        _check_new("workflow", definition.name, found)
        found[definition.name] = definition
    return found


def activities_by_name(activities: Sequence[Callable[..., Any]]) -> Activities:
    """The activities by their names, the dynamic one under None.

    Raises:
        ValueError, TypeError: a function without its decorator, a class instead of an object, or two for one name.
    """
    found: Activities = {}
    for activity in activities:
        definition = activity_definition(activity)
        if isinstance(activity, type):
            raise TypeError(
                f"Activity named {definition.name} is a class instead of an instance: register an instance"
            )
        _check_new("activity", definition.name, found)
        _warn_of_unbound(definition.name, activity)
        found[definition.name] = ActivityDefinition(
            name=definition.name,
            fn=activity,  # a method is bound here, the definition was made from its function
            is_async=definition.is_async,
            arg_types=definition.arg_types,
            return_type=definition.return_type,
            no_thread_cancel_exception=definition.no_thread_cancel_exception,
        )
    return found


def _check_new(kind: str, name: str | None, found: Mapping[str | None, object]) -> None:
    if name not in found:
        return
    if name is None:
        raise TypeError(f"More than one dynamic {kind}: there is one that takes what no other does")
    raise ValueError(f"More than one {kind} named {name}: give each a name of its own")


def _warn_of_unbound(name: str | None, activity: Callable[..., Any]) -> None:
    if inspect.isfunction(activity) and next(iter(inspect.signature(activity).parameters), "") == "self":
        warnings.warn(
            f"Activity named {name} has a first parameter named self but is not bound to an instance, did you mean to "
            "register it from an instance of the class?",
            stacklevel=6,
        )
