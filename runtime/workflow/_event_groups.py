"""Groups of what a workflow asks for, for whoever reads its history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ..core.event_groups import within
from ._current import current


class EventGroup(ABC):
    """Some of a workflow's activities, timers, children and messages, which belong together for a reader.

    Made by `create_event_group`. Give it as `event_groups=[...]`, or use `scope`.
    """

    @contextmanager
    def scope(self) -> Generator[None]:
        """What is asked for in this block, and by tasks that begin in it, belongs to the group; blocks add up."""
        current()
        with self._applied():
            yield

    @abstractmethod
    def _applied(self) -> AbstractContextManager[None]: ...


class _Labelled(EventGroup):
    def __init__(self, id: str, label: str) -> None:
        self.id = id
        self.label = label

    def _applied(self) -> AbstractContextManager[None]:
        return within({self.id: self.label})


def create_event_group(id: str, *, label: str | None = None) -> EventGroup:
    """A group with this id, which stands in the history as it is; `label` is what a reader is shown instead.

    Raises:
        ValueError: the id or the label is empty.
    """
    current()
    if not id:
        raise ValueError("Event group id cannot be empty")
    if label is not None and not label:
        raise ValueError("Event group label cannot be empty")
    return _Labelled(id, label or "")


def belonging_to(groups: Sequence[EventGroup] | None) -> AbstractContextManager[None]:
    """Within this block what is asked for belongs to these groups too.

    Raises:
        TypeError: one of them was not made by `create_event_group`.
    """
    if not groups:
        return nullcontext()
    labels: dict[str, str] = {}
    for group in groups:
        if not isinstance(group, _Labelled):
            raise TypeError("Event groups must be created with workflow.create_event_group()")
        labels[group.id] = group.label
    return within(labels)
