"""The execution whose code is running now."""

from __future__ import annotations

from ..core.instance import Instance
from ..core.loop import running_workflow_loop
from ..exceptions import TemporalError


class NotInWorkflowError(TemporalError):
    """A function of `overwinter.workflow` was called from outside workflow code."""


def current() -> Instance:
    """The running execution.

    Raises:
        NotInWorkflowError: the caller is no workflow code.
    """
    loop = running_workflow_loop()
    if loop is None:
        raise NotInWorkflowError(
            "Not in workflow event loop: call this from a workflow's run method or handlers only"
        )
    owner = loop.owner
    assert isinstance(owner, Instance)
    return owner


def in_workflow() -> bool:
    """Whether the caller is workflow code."""
    return running_workflow_loop() is not None
