"""Task queues."""

from __future__ import annotations

from ..enums.v1 import TaskQueueKind
from ..message import Message


class TaskQueue(Message):
    """A queue that workers serve."""

    name: str
    kind: TaskQueueKind
    normal_name: str
