"""What a workflow says of itself when it is asked by a query that every workflow answers."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ..core.definition import HandlerDefinition
from ..core.instance import Instance
from ..core.stacks import frames_of

if TYPE_CHECKING:
    from ..api.sdk.v1 import (
        EnhancedStackTrace,
        StackTraceFileLocation,
        WorkflowInteractionDefinition,
        WorkflowMetadata,
    )

_OWN = str(Path(__file__).resolve().parents[1])


def describe(instance: Instance, query: str) -> WorkflowMetadata | EnhancedStackTrace:
    """The answer to ``__temporal_workflow_metadata``, or else to ``__enhanced_stack_trace``."""
    return _metadata(instance) if query == "__temporal_workflow_metadata" else _stack_trace(instance)


def _metadata(instance: Instance) -> WorkflowMetadata:
    from ..api.sdk.v1 import WorkflowDefinition, WorkflowMetadata  # here: they cost time, and few ask

    definition = WorkflowDefinition(
        type=instance.definition.name,
        query_definitions=_handlers(instance.query_handlers),
        signal_definitions=_handlers(instance.signal_handlers),
        update_definitions=_handlers(instance.update_handlers),
    )
    return WorkflowMetadata(definition=definition, current_details=instance.details)


def _handlers(handlers: Mapping[str | None, HandlerDefinition]) -> list[WorkflowInteractionDefinition]:
    from ..api.sdk.v1 import WorkflowInteractionDefinition  # as above

    named = sorted(handlers.items(), key=lambda item: item[0] or "")
    return [
        WorkflowInteractionDefinition(name=name or "", description=handler.description or "")
        for name, handler in named
    ]


def _stack_trace(instance: Instance) -> EnhancedStackTrace:
    from ..api.sdk.v1 import (  # as above
        EnhancedStackTrace,
        StackTrace,
        StackTraceFileSlice,
        StackTraceSDKInfo,
    )
    from ..service import __version__

    stacks = [[_location(frame) for frame in frames_of(task)] for task in instance.loop.unfinished_tasks()]
    files = dict.fromkeys(each.file_path for stack in stacks for each in stack if not each.internal_code)
    return EnhancedStackTrace(
        sdk=StackTraceSDKInfo(name="overwinter", version=__version__),
        sources={file: StackTraceFileSlice(content="".join(linecache.getlines(file))) for file in files},
        stacks=[StackTrace(locations=stack) for stack in stacks],
    )


def _location(frame: FrameType) -> StackTraceFileLocation:
    from ..api.sdk.v1 import StackTraceFileLocation  # as above

    code = frame.f_code
    return StackTraceFileLocation(
        file_path=code.co_filename,
        line=frame.f_lineno,
        column=-1,
        function_name=code.co_name,
        internal_code=str(Path(code.co_filename).resolve()).startswith(_OWN),
    )
