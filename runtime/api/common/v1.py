"""Messages that authors of converters and codecs know, by their names in ``temporalio.api.common.v1``."""

from __future__ import annotations

from ...core import wire
from ...core.payload import Payload
from ..message import Message, Repeated, Scalar

__all__ = ["ActivityType", "Payload", "Payloads", "WorkflowExecution", "WorkflowType"]


class Payloads(Message):
    """Several payloads."""

    payloads = Repeated()

    def SerializeToString(self) -> bytes:  # noqa: N802 - the name that authors know
        """All payloads as bytes, in the wire form of Temporal's message."""
        return b"".join(wire.field(1, payload.SerializeToString()) for payload in self.payloads)

    def ParseFromString(self, data: bytes) -> int:  # noqa: N802 - as above
        """Become what `SerializeToString` wrote; returns how many bytes were read.

        Raises:
            ValueError: the bytes are no payloads.
        """
        found = [Payload.FromString(value) for _, value in wire.fields(data) if isinstance(value, bytes)]
        self.Clear()
        self.payloads.extend(found)
        return len(data)

    @classmethod
    def FromString(cls, data: bytes) -> Payloads:  # noqa: N802 - as above
        """What `SerializeToString` wrote; raises as `ParseFromString`."""
        made = cls()
        made.ParseFromString(data)
        return made


class WorkflowExecution(Message):
    """A run of a workflow."""

    workflow_id = Scalar("")
    run_id = Scalar("")


class WorkflowType(Message):
    """The name of a workflow's type."""

    name = Scalar("")


class ActivityType(Message):
    """The name of an activity's type."""

    name = Scalar("")
