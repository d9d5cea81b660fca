"""Where the tasks of a workflow wait."""

from __future__ import annotations

import traceback
from types import FrameType
from typing import Any

from .loop import WorkflowLoop, WorkflowTask


def text_of(loop: WorkflowLoop) -> str:
    """For a reader, one stack for each task, the innermost call last."""
    stacks: list[str] = []
    for task in loop.unfinished_tasks():
        lines = (traceback.extract_stack(frame)[-1:] for frame in frames_of(task))
        frames = "".join(traceback.format_list(line)[0] for line in lines)
        stacks.append(f"Stack for {task.get_name()}:\n{frames}")
    return "\n\n".join(stacks)


def frames_of(task: WorkflowTask[Any]) -> list[FrameType]:
    """From a task's own coroutine to the innermost that it awaits; asyncio tells the first one only."""
    frames: list[FrameType] = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return frames
