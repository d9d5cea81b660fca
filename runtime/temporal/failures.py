"""Failures as Temporal's histories keep them, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..api._enum import ProtocolEnum
from ..api.enums.v1 import RetryState
from ..api.failure.v1 import Failure as Message
from ..core.payload import Failure
from ..failure_messages import message_of
from .payloads import outward

SOURCE: Final = "PythonSDK"
"""What failures of Python code say that they come from."""


def outward_failure(failure: Failure) -> Message:
    """A failure with its causes, as Temporal keeps it."""
    message = message_of(_readable(failure))
    link: Message | None = message
    while link is not None:
        link.source = SOURCE
        if link.HasField("terminated_failure_info"):
            link.terminated_failure_info.ClearField("details")  # Temporal's message has none.
        link = link.cause if link.HasField("cause") else None
    return message


def _readable(failure: Failure) -> Failure:
    cause = None if failure.cause is None else _readable(failure.cause)
    return replace(failure, cause=cause, details=tuple(outward(payload) for payload in failure.details))


def retry_state(name: str) -> int | None:
    """Why nothing was tried again, from our short name; None when there is none."""
    return RetryState.of(name) if name else None


def short(member: int) -> str:
    """A member's name as our records have it; empty when it is unspecified, or a newer version's."""
    return member.short_name if isinstance(member, ProtocolEnum) else ""
