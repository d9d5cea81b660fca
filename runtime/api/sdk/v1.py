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


class StackTraceSDKInfo(Message):
    """Who made a stack trace."""

    name: str
    version: str


class StackTraceFileSlice(Message):
    """A part of a source file."""

    line_offset: int
    content: str


class StackTraceFileLocation(Message):
    """A line of a source file; `internal_code` when it is not the author's."""

    file_path: str
    line: int
    column: int
    function_name: str
    internal_code: bool


class StackTrace(Message):
    """Where one task waits, the innermost call last."""

    locations: list[StackTraceFileLocation]


class EnhancedStackTrace(Message):
    """Where all tasks of a workflow wait, with the source."""

    sdk: StackTraceSDKInfo
    sources: dict[str, StackTraceFileSlice]
    stacks: list[StackTrace]


class WorkflowInteractionDefinition(Message):
    """A handler of a workflow; that of any name has none."""

    name: str
    description: str


class WorkflowDefinition(Message):
    """A workflow with its handlers."""

    type: str
    query_definitions: list[WorkflowInteractionDefinition]
    signal_definitions: list[WorkflowInteractionDefinition]
    update_definitions: list[WorkflowInteractionDefinition]


class WorkflowMetadata(Message):
    """What a workflow says of itself."""

    definition: WorkflowDefinition
    current_details: str
