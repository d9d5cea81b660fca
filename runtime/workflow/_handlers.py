"""Handlers that are set while a workflow runs."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..core.definition import HandlerDefinition
from ..core.instance import RunningHandler, current_update
from ..core.records import dataclass
from ._current import current
from ._definition import HandlerUnfinishedPolicy, handler_of

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


def get_update_handler(name: str) -> Handler | None:
    """The function that takes this update."""
    return _bound(current().update_handlers.get(name))


def set_update_handler(name: str, handler: Handler | None, *, validator: Handler | None = None) -> None:
    """Take an update from here on; None takes it no more."""
    _set_update(name, handler, validator)


def get_dynamic_update_handler() -> Handler | None:
    """The function that takes updates without a handler of their own."""
    return _bound(current().update_handlers.get(None))


def set_dynamic_update_handler(handler: Handler | None, *, validator: Handler | None = None) -> None:
    """Take every update that has no handler of its own, as (name, arguments)."""
    _set_update(None, handler, validator)


def _set_update(name: str | None, handler: Handler | None, validator: Handler | None) -> None:
    definition = None
    if handler is not None:
        definition = replace(handler_of(name, handler, is_method=False), validator=validator)
    current().set_update_handler(name, definition)


@dataclass(frozen=True)
class UpdateInfo:
    """The update whose handler or validator runs."""

    id: str
    name: str

    @property
    def _logger_details(self) -> dict[str, str]:
        return {"update_id": self.id, "update_name": self.name}


def current_update_info() -> UpdateInfo | None:
    """The update that this code runs for, also in tasks that its handler made; None elsewhere."""
    found = current_update.get()
    return None if found is None else UpdateInfo(*found)


def all_handlers_finished() -> bool:
    """Whether no signal or update handler is still running. Wait for it before a workflow returns."""
    return not current().running_handlers


class UnfinishedUpdateHandlersWarning(RuntimeWarning):
    """The workflow closed while update handlers were running."""


class UnfinishedSignalHandlersWarning(RuntimeWarning):
    """The workflow closed while signal handlers were running."""


_UNFINISHED = (
    "[TMPRL1102] Workflow finished while {kind} handlers are still running: what they were doing is cut off{more}. Wait for "
    "them with `await workflow.wait_condition(workflow.all_handlers_finished)`, or say that it does not matter with "
    "`@workflow.{kind}(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)`. The following {kind}s were unfinished "
    "(and warnings were not disabled for their handler): {names}"
)


def warn_of_unfinished(handlers: Sequence[RunningHandler]) -> None:
    """One warning for updates and one for signals that were running when their workflow closed."""
    loud = [h for h in handlers if h.unfinished_policy == HandlerUnfinishedPolicy.WARN_AND_ABANDON.value]
    updates = [{"name": h.name, "id": h.update_id} for h in loud if h.update_id is not None]
    signals = Counter(h.name for h in loud if h.update_id is None)
    if updates:
        more = ", and the client that sent the update gets an error instead of its result"
        text = _UNFINISHED.format(kind="update", more=more, names=json.dumps(updates))
        warnings.warn(UnfinishedUpdateHandlersWarning(text), stacklevel=2)
    if signals:
        names = json.dumps([{"name": name, "count": count} for name, count in signals.most_common()])
        text = _UNFINISHED.format(kind="signal", more="", names=names)
        warnings.warn(UnfinishedSignalHandlersWarning(text), stacklevel=2)


def _set_query(name: str | None, handler: Handler | None) -> None:
    instance = current()
    instance.require_writable("set query handler")
    if handler is None:
        instance.query_handlers.pop(name, None)
    else:
        instance.query_handlers[name] = handler_of(name, handler, is_method=False)


def _bound(handler: HandlerDefinition | None) -> Handler | None:
    if handler is None:
        return None
    return handler.fn.__get__(current().workflow_object) if handler.is_method else handler.fn
