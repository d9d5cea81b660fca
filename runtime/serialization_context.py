"""What a value belongs to, for converters and codecs that treat values by their owner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self, TypeVar, cast

T = TypeVar("T")


class SerializationContext(ABC):  # noqa: B024 - a common base; its kinds have nothing in common
    """What a value belongs to; the same when it is written and when it is read."""


@dataclass(frozen=True)
class WorkflowSerializationContext(SerializationContext):
    """The value belongs to an execution: its input, its result, its memo, a message to it or an answer of it.

    What a schedule gives to its workflows is written for the workflow id of its action, which is the beginning of theirs.
    """

    namespace: str
    workflow_id: str


@dataclass(frozen=True)
class ActivitySerializationContext(SerializationContext):
    """The value belongs to an activity: its arguments, its result, the details of its heartbeats."""

    namespace: str
    activity_id: str | None
    activity_type: str | None
    activity_task_queue: str | None
    workflow_id: str | None
    """The execution that called it; None when none did."""
    workflow_type: str | None
    is_local: bool


class WithSerializationContext(ABC):
    """A converter or codec that wants to know what it works for."""

    @abstractmethod
    def with_context(self, context: SerializationContext) -> Self:
        """A copy that works for this context, or itself if that changes nothing."""


def for_context(part: T, context: SerializationContext) -> T:
    """The part of a converter for this context, or itself if it does not ask."""
    return cast("T", part.with_context(context)) if isinstance(part, WithSerializationContext) else part
