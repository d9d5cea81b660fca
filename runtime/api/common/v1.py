"""Messages that authors of converters and codecs know, and what others are made of."""

from __future__ import annotations

from ...core import wire
from ...core.payload import Payload
from ..message import Message
from ..time import Duration, Timestamp

__all__ = [
    "ActivityType",
    "FastForwardConfig",
    "GrpcStatus",
    "Header",
    "Memo",
    "MeteringMetadata",
    "Payload",
    "Payloads",
    "Priority",
    "RetryPolicy",
    "SearchAttributes",
    "TimeSkippingConfig",
    "TimeSkippingFastForwardInfo",
    "TimeSkippingInfo",
    "WorkerVersionStamp",
    "WorkflowExecution",
    "WorkflowType",
]


class WorkflowType(Message):
    """The name of a workflow."""

    name: str


class WorkflowExecution(Message):
    """One run of a workflow id."""

    workflow_id: str
    run_id: str


class Payloads(Message):
    """Encoded values, in order."""

    payloads: list[Payload]

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


class GrpcStatus(Message):
    """Why a call was refused; there are no details."""

    code: int
    message: str
    details: list[Payload]


class ActivityType(Message):
    """The name of an activity."""

    name: str


class RetryPolicy(Message):
    """How what fails is tried again."""

    initial_interval: Duration
    backoff_coefficient: float
    maximum_interval: Duration
    maximum_attempts: int
    non_retryable_error_types: list[str]


class Memo(Message):
    """What a run says of itself."""

    fields: dict[str, Payload]


class SearchAttributes(Message):
    """What a run is found by."""

    indexed_fields: dict[str, Payload]


class Header(Message):
    """What interceptors hand on."""

    fields: dict[str, Payload]


class WorkerVersionStamp(Message):
    """The build of a worker."""

    build_id: str
    use_versioning: bool


class Priority(Message):
    """What is taken first."""

    priority_key: int
    fairness_key: str
    fairness_weight: float


class MeteringMetadata(Message):
    """What a server counts."""

    nonfirst_local_activity_execution_attempts: int


class FastForwardConfig(Message):
    """How far an execution's own clock shall skip."""

    id: str
    duration: Duration


class TimeSkippingConfig(Message):
    """Whether an execution's own clock skips."""

    enabled: bool
    fast_forward_config: FastForwardConfig
    disable_propagation: bool
    max_session_skip_count: int


class TimeSkippingFastForwardInfo(Message):
    """How far a fast-forward has come."""

    fast_forward_duration: Duration
    fast_forward_id: str
    target_time: Timestamp
    has_completed: bool


class TimeSkippingInfo(Message):
    """What an execution's own clock shows, and whether it skips on."""

    current_time: Timestamp
    effective_config: TimeSkippingConfig
    fast_forward_info: TimeSkippingFastForwardInfo
    current_session_skip_count: int
