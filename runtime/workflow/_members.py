"""What the class of a workflow consists of, and everything that is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any, cast

from ..core.definition import HandlerDefinition
from ..core.records import dataclass

RUN = "__overwinter_run__"
INIT = "__overwinter_init__"
DYNAMIC_CONFIG = "__overwinter_dynamic_config__"
HANDLERS = {
    "signal": "__overwinter_signal__",
    "query": "__overwinter_query__",
    "update": "__overwinter_update__",
}
VALIDATOR = "__overwinter_validator__"

Handlers = dict[str | None, HandlerDefinition]


@dataclass(slots=True)
class Members:
    """The decorated methods of a workflow's class."""

    cls: type
    run_fn: Callable[..., Any] | None = None
    init_fn: Callable[..., Any] | None = None
    dynamic_config: Callable[[Any], Any] | None = None
    handlers: dict[str, Handlers] = field(default_factory=lambda: {kind: {} for kind in HANDLERS})
    issues: list[str] = field(default_factory=list[str])
    """What is wrong with the class, in the words of Temporal's SDK: they are searched for."""


def members_of(cls: type, name: str | None) -> Members:
    """Look through a class, and the classes it is derived from; `name` None makes it a dynamic workflow.

    Raises:
        ValueError: the class is no workflow; the message names every reason.
    """
    found = Members(cls)
    for attribute, fn in inspect.getmembers(cls, inspect.isfunction):
        _take(found, attribute, fn, name)
    for base in cls.__mro__[1:]:
        _compare_with_base(found, base)
    if not any(hasattr(fn, RUN) for owner in cls.__mro__ for fn in vars(owner).values()):
        found.issues.append("Missing @workflow.run method")
    if found.init_fn and found.run_fn and not same_parameters(found.init_fn, found.run_fn):
        found.issues.append("@workflow.init and @workflow.run method parameters do not match")
    if found.issues:
        count = len(found.issues)
        several = f" for {count} reasons" if count > 1 else ""
        raise ValueError(f"Invalid workflow class{several}: {', '.join(found.issues)} ({cls.__qualname__})")
    return found


def _take(found: Members, attribute: str, fn: Callable[..., Any], name: str | None) -> None:
    if hasattr(fn, RUN):
        if vars(found.cls).get(attribute) is not fn:
            found.issues.append(
                f"@workflow.run method {attribute} must be defined on {found.cls.__qualname__}"
            )
        elif found.run_fn is not None:
            found.issues.append(
                f"Multiple @workflow.run methods found (at least on {attribute} and {found.run_fn.__name__})"
            )
        else:
            found.run_fn = fn
    elif attribute == "__init__" and hasattr(fn, INIT):
        found.init_fn = fn
    elif hasattr(fn, DYNAMIC_CONFIG):
        _take_dynamic_config(found, fn, name)
    for kind, handler in _handlers_on(fn):
        _take_handler(found, kind, attribute, handler)


def _take_dynamic_config(found: Members, fn: Callable[..., Any], name: str | None) -> None:
    if name is not None:
        found.issues.append(
            "@workflow.dynamic_config can only be used in dynamic workflows, but "
            f"workflow class {name} ({found.cls.__name__}) is not dynamic"
        )
    if found.dynamic_config is not None:
        found.issues.append("@workflow.dynamic_config can only be defined once per workflow")
    found.dynamic_config = fn


def _take_handler(found: Members, kind: str, attribute: str, handler: HandlerDefinition) -> None:
    known = found.handlers[kind]
    other = known.get(handler.name)
    validator = cast("Callable[..., Any] | None", getattr(handler.fn, VALIDATOR, None))
    if other is not None:
        found.issues.append(
            f"Multiple {kind} methods found for {handler.name or '<dynamic>'} "
            f"(at least on {attribute} and {other.fn.__name__})"
        )
    elif kind == "update" and validator is not None and not same_parameters(handler.fn, validator):
        found.issues.append(
            f"Update validator method {validator.__name__} parameters "
            f"do not match update method {handler.fn.__name__} parameters"
        )
    else:
        known[handler.name] = handler


def _compare_with_base(found: Members, base: type) -> None:
    for attribute in sorted(vars(base)):
        fn = vars(base)[attribute]
        if not inspect.isfunction(fn):
            continue
        if hasattr(fn, RUN) and (found.run_fn is None or fn.__name__ != found.run_fn.__name__):
            found.issues.append(f"@workflow.run defined on {fn.__qualname__} but not on the override")
        found.issues.extend(
            f"@workflow.{kind} defined on {fn.__qualname__} but not on the override"
            for kind, handler in _handlers_on(fn)
            if handler.name not in found.handlers[kind]
        )


def _handlers_on(fn: Callable[..., Any]) -> Iterator[tuple[str, HandlerDefinition]]:
    for kind, mark in HANDLERS.items():
        handler = getattr(fn, mark, None)
        if handler is not None:
            yield kind, handler


def same_parameters(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether two functions take the same, whatever they call it."""
    ours, theirs = (
        [parameter.replace(name="_") for parameter in inspect.signature(fn).parameters.values()]
        for fn in (one, other)
    )
    return ours == theirs
