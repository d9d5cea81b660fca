"""The user's modules: which workflows and activities they bring."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from overwinter.runtime.activity import activity_definition
from overwinter.runtime.core.definition import WorkflowDefinition
from overwinter.runtime.workflow._definition import workflow_definition

EXTRA_ACTIVITIES = "ACTIVITIES"
"""A module may list more activities under this name, or a function that makes the list: methods of objects."""


class CatalogError(Exception):
    """A module cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a gateway can run."""

    workflows: Sequence[type]
    activities: Sequence[Callable[..., Any]]

    def definitions(self) -> dict[str | None, WorkflowDefinition]:
        """The workflows by name."""
        found = [workflow_definition(cls) for cls in self.workflows]
        return {definition.name: definition for definition in found}


def load(modules: Iterable[str], python_path: Sequence[Path] = ()) -> Catalog:
    """Import the modules and collect what their decorators marked.

    Raises:
        CatalogError: a module is not there, fails when it is imported, or brings nothing.
    """
    for folder in reversed(python_path):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    workflows: list[type] = []
    activities: list[Callable[..., Any]] = []
    for name in modules:
        module = _import(name)
        found = _workflows_of(module), _activities_of(module)
        if not any(found):
            raise CatalogError(
                f"module {name} has neither a @workflow.defn class nor an @activity.defn function: "
                "leave it out of [gateway] modules, or decorate them"
            )
        workflows += found[0]
        activities += found[1]
    return Catalog(workflows, activities)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise CatalogError(
                f"module {name} was not found: check [gateway] modules, and add its folder to python_path"
            ) from error
        raise CatalogError(f"module {name} needs {error.name}, which is not installed") from error
    except Exception as error:
        raise CatalogError(f"module {name} cannot be imported: {type(error).__name__}: {error}") from error


def _workflows_of(module: ModuleType) -> list[type]:
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type) and found.__module__ == module.__name__ and _is(workflow_definition, found)
    ]


def _activities_of(module: ModuleType) -> list[Callable[..., Any]]:
    own = [
        found
        for found in vars(module).values()
        if callable(found)
        and not isinstance(found, type)
        and getattr(found, "__module__", None) == module.__name__
        and _is(activity_definition, found)
    ]
    more: Any = getattr(module, EXTRA_ACTIVITIES, ())
    listed: Any = more() if callable(more) else more
    return [*own, *listed]


def _is(definition_of: Callable[[Any], object], found: Any) -> bool:
    try:
        definition_of(found)
    except (TypeError, ValueError):
        return False
    return True
