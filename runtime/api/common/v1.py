"""Messages that authors of converters and codecs know, by their names in ``temporalio.api.common.v1``."""

from __future__ import annotations

from collections.abc import Mapping

from ...core import wire
from ...core.payload import Payload
from ..message import Message, Part, Repeated, Scalar
from ..time import Duration, Timestamp

__all__ = [
    "ActivityType",
    "FastForwardConfig",
    "GrpcStatus",
    "Payload",
    "Payloads",
    "SearchAttributes",
    "TimeSkippingConfig",
    "TimeSkippingFastForwardInfo",
    "TimeSkippingInfo",
    "WorkflowExecution",
    "WorkflowType",
]


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


class PayloadMap(dict[str, Payload]):
    """Payloads by name; one that is asked for comes to be, as in a map of messages."""

    def __missing__(self, name: str) -> Payload:
        return self.setdefault(name, Payload())


class SearchAttributes:
    """Attributes by which an execution is found."""

    def __init__(self, indexed_fields: Mapping[str, Payload] | None = None) -> None:
        self.indexed_fields = PayloadMap(indexed_fields or {})


class GrpcStatus(Message):
    """Why a call was refused."""

    code = Scalar(0)
    message = Scalar("")
    details = Repeated()


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


class FastForwardConfig(Message):
    """How far an execution's own clock shall skip."""

    id = Scalar("")
    duration = Part(Duration)


class TimeSkippingConfig(Message):
    """Whether an execution's own clock skips."""

    enabled = Scalar(False)
    fast_forward_config = Part(FastForwardConfig)
    disable_propagation = Scalar(False)
    max_session_skip_count = Scalar(0)


class TimeSkippingFastForwardInfo(Message):
    """How far a fast-forward has come."""

    fast_forward_duration = Part(Duration)
    fast_forward_id = Scalar("")
    target_time = Part(Timestamp)
    has_completed = Scalar(False)


class TimeSkippingInfo(Message):
    """What an execution's own clock shows, and whether it skips on."""

    current_time = Part(Timestamp)
    effective_config = Part(TimeSkippingConfig)
    fast_forward_info = Part(TimeSkippingFastForwardInfo)
    current_session_skip_count = Scalar(0)
