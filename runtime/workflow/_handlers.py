"""Handlers that are set while a workflow runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.definition import HandlerDefinition
from ._current import current
from ._definition import handler_of

Handler = Callable[..., Any]


def get_signal_handler(name: str) -> Handler | None:
    """The function that takes this signal."""
    return _bound(current().signal_handlers.get(name))


def set_signal_handler(name: str, handler: Handler | None) -> None:
    """Take a signal from here on, also those that came while there was no handler; None takes it no more."""
    current().set_signal_handler(
        name, None if handler is None else handler_of(name, handler, is_method=False)
    )


def get_dynamic_signal_handler() -> Handler | None:
    """The function that takes signals without a handler of their own."""
    return _bound(current().signal_handlers.get(None))


def set_dynamic_signal_handler(handler: Handler | None) -> None:
    """Take every signal that has no handler of its own, as (name, arguments)."""
    current().set_signal_handler(
        None, None if handler is None else handler_of(None, handler, is_method=False)
    )


def get_query_handler(name: str) -> Handler | None:
    """The function that answers this query."""
    return _bound(current().query_handlers.get(name))


def set_query_handler(name: str, handler: Handler | None) -> None:
    """Answer a query from here on; None answers it no more."""
    _set_query(name, handler)


def get_dynamic_query_handler() -> Handler | None:
    """The function that answers queries without a handler of their own."""
    return _bound(current().query_handlers.get(None))


def set_dynamic_query_handler(handler: Handler | None) -> None:
    """Answer every query that has no handler of its own, as (name, arguments)."""
    _set_query(None, handler)


def _set_query(name: str | None, handler: Handler | None) -> None:
    instance = current()
    instance.require_writable("set a query handler")
    if handler is None:
        instance.query_handlers.pop(name, None)
    else:
        instance.query_handlers[name] = handler_of(name, handler, is_method=False)


def _bound(handler: HandlerDefinition | None) -> Handler | None:
    if handler is None:
        return None
    return handler.fn.__get__(current().workflow_object) if handler.is_method else handler.fn
