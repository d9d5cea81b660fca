"""Values and failures as the core sees them: opaque bytes, and records of what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ENCODING: Final = "encoding"
"""The metadata key that names how a payload's bytes are to be read."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One encoded value; the core carries it and never looks inside."""

    metadata: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    data: bytes = b""

    @property
    def encoding(self) -> str:
        """The name of the encoding, or an empty string when none was given."""
        return self.metadata.get(ENCODING, b"").decode("ascii", "replace")


Attribute = tuple[str, object]
"""A search attribute: the name of its type (``Keyword``, ``Int`` ...) and its plain value; None removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong, as it is kept in a history: no Python object, only what a reader needs.

    ``kind`` decides which exception it becomes again (see `overwinter.runtime.converter`):
    ``application``, ``canceled``, ``timeout``, ``terminated``, ``server``, ``activity``,
    ``child_workflow``.
    """

    kind: str
    message: str
    stack_trace: str = ""
    cause: Failure | None = None
    details: tuple[Payload, ...] = ()
    attributes: Mapping[str, str | int | float | bool | None] = field(
        default_factory=dict[str, str | int | float | bool | None]
    )
    """What belongs to the kind: ``type``, ``non_retryable``, ``next_retry_delay_s``, ``timeout_type``,
    ``activity_id``, ``activity_type``, ``retry_state``, ``identity`` ..."""

    def root(self) -> Failure:
        """The innermost cause, where a person begins to look."""
        failure = self
        while failure.cause is not None:
            failure = failure.cause
        return failure
