"""What SDKs add to events."""

from __future__ import annotations

from typing import ClassVar

from ..common.v1 import Payload
from ..message import Message


class UserMetadata(Message):
    """Words for a reader."""

    summary: Payload
    details: Payload


class WorkflowTaskCompletedMetadata(Message):
    """What the code's SDK was, and which of its rules applied."""

    core_used_flags: list[int]
    lang_used_flags: list[int]
    sdk_name: str
    sdk_version: str


class EventGroupMarker(Message):
    """A group that a reader finds an event in."""

    class Label(Message):
        """A group that code has made."""

        id: str
        label: Payload

    label: EventGroupMarker.Label

    ONEOFS: ClassVar = {"variant": ("label",)}
