"""A workflow's definition: its class and handlers as the decorators found them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from .records import record


@record(kw_only=True)
class HandlerDefinition:
    """A signal, query or update handler. `name` None means that it takes every name without a handler of its own."""

    name: str | None
    fn: Callable[..., Any]
    is_method: bool
    arg_types: Sequence[Any] | None = None
    return_type: Any = None
    description: str | None = None
    unfinished_policy: int = 1
    """1 warns of a handler that has not finished when the workflow closes, 2 does not."""
    validator: Callable[..., None] | None = None
    takes_varargs: bool = False
    """A dynamic one in the old form: the name, then decoded arguments."""


@record(kw_only=True)
class WorkflowDefinition:
    """A workflow class that an engine can run. `name` None means that it takes every type without one of its own."""

    name: str | None
    cls: type
    run_fn: Callable[..., Awaitable[Any]]
    arg_types: Sequence[Any] | None
    return_type: Any
    init_takes_args: bool = False
    signals: Mapping[str | None, HandlerDefinition] = field(
        default_factory=dict[str | None, HandlerDefinition]
    )
    queries: Mapping[str | None, HandlerDefinition] = field(
        default_factory=dict[str | None, HandlerDefinition]
    )
    updates: Mapping[str | None, HandlerDefinition] = field(
        default_factory=dict[str | None, HandlerDefinition]
    )
    failure_exception_types: Sequence[type[BaseException]] = ()
    dynamic_config: Callable[[Any], Any] | None = None
    versioning_behavior: int = 0
    durability: int = 0
    """The number of a `common.Durability`; 0 when the author has said nothing."""
