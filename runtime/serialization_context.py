"""What a value belongs to, for converters and codecs that treat values by their owner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self, TypeVar, cast

from .core.events import WorkflowStarted
from .core.records import dataclass
from .core.standalone import is_activity

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


def activity_context(
    namespace: str,
    start: WorkflowStarted | None,
    activity_id: str | None,
    activity_type: str | None,
    task_queue: str | None,
    *,
    local: bool = False,
) -> ActivitySerializationContext:
    """The context of an activity of the execution that began with `start`; without, no workflow asked for it."""
    of = None if start is None or is_activity(start.workflow_id) else start
    return ActivitySerializationContext(
        namespace=namespace,
        activity_id=activity_id,
        activity_type=activity_type,
        activity_task_queue=task_queue,
        workflow_id=of.workflow_id if of else None,
        workflow_type=of.workflow_type if of else None,
        is_local=local,
    )


class WithSerializationContext(ABC):
    """A converter or codec that wants to know what it works for."""

    @abstractmethod
    def with_context(self, context: SerializationContext) -> Self:
        """A copy that works for this context, or itself if that changes nothing."""


def for_context(part: T, context: SerializationContext) -> T:
    """The part of a converter for this context, or itself if it does not ask."""
    return cast("T", part.with_context(context)) if isinstance(part, WithSerializationContext) else part
