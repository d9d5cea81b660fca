"""What workflow code hears of other executions that did not do what it wanted."""

from __future__ import annotations

from typing import Final

from .core.commands import CancelExternal, Command, SignalExternal
from .core.payload import Failure

ENDED_CHILD: Final = {
    "canceled": Failure(kind="canceled", message="Cancelled"),
    "terminated": Failure(kind="terminated", message="Terminated"),
    "timeout": Failure(kind="timeout", message="Timed out", attributes={"timeout_type": "START_TO_CLOSE"}),
}
"""The cause of a child's error that did not fail by itself; the reasons are in the child's own history."""

_MESSAGES: Final[dict[type[Command], str]] = {
    SignalExternal: "Unable to signal external workflow because it was not found",
    CancelExternal: "Unable to cancel external workflow because not found",
}


def not_found(request: type[Command]) -> Failure:
    """There is no execution to signal, or to cancel."""
    return Failure(
        kind="application",
        message=_MESSAGES[request],
        attributes={"type": "ExternalWorkflowExecutionNotFound", "non_retryable": False},
    )
