"""Groups that workflow code puts its commands into, for whoever reads its history."""

from __future__ import annotations

import contextvars
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from .commands import (
    CancelExternal,
    Command,
    ScheduleActivity,
    SignalExternal,
    SignalWithStart,
    StartChild,
    StartTimer,
)

Groups = Mapping[str, str]
"""Ids of groups, with their labels, which may be empty."""

_NONE: Groups = {}
_active: contextvars.ContextVar[Groups] = contextvars.ContextVar("overwinter_event_groups", default=_NONE)


@contextmanager
def within(groups: Groups) -> Generator[None]:
    """What is asked for in this block, and in tasks that begin in it, belongs to these groups too."""
    token = _active.set({**_active.get(), **groups})
    try:
        yield
    finally:
        with suppress(ValueError):  # The coroutine is dropped with its execution, from another context.
            _active.reset(token)


@contextmanager
def outside() -> Generator[None]:
    """Tasks that begin in this block belong to no group."""
    token = _active.set(_NONE)
    try:
        yield
    finally:
        _active.reset(token)


def grouped(command: Command) -> Command:
    """The command with the groups that it was given in."""
    groups = _active.get()
    if groups and isinstance(
        command,
        ScheduleActivity | StartTimer | StartChild | SignalExternal | SignalWithStart | CancelExternal,
    ):
        return replace(command, groups=groups)
    return command
