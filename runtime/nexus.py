"""Names of Nexus, which joins namespaces and clusters of Temporal and is not offered: there is one process.

Programs that only mention them (in the handling of errors, in interceptors) run; what would call an operation raises
`NexusNotOffered`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .serialization_context import SerializationContext

S = TypeVar("S")
R = TypeVar("R")

NOT_OFFERED: Final = (
    "Nexus is not offered, there is one process: start the other workflow as a child, or signal it by a handle from "
    "workflow.get_external_workflow_handle"
)


class NexusNotOffered(NotImplementedError):
    """An operation of Nexus was to be called or served."""

    def __init__(self) -> None:
        super().__init__(NOT_OFFERED)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise AttributeError(f"{name}: {NOT_OFFERED}")


# -- for workflows ---------------------------------------------------------------------------------------------


class NexusOperationCancellationType(IntEnum):
    """How a caller would wait for a cancelled operation."""

    ABANDON = 1
    TRY_CANCEL = 2
    WAIT_REQUESTED = 3
    WAIT_COMPLETED = 0


class NexusOperationHandle(Generic[R]):
    """An operation that was started; there is none."""

    @property
    def operation_token(self) -> str | None:
        """What its handler knows it by."""
        raise NexusNotOffered

    def cancel(self) -> bool:
        """Ask the operation to end."""
        raise NexusNotOffered


class NexusClient(Generic[S]):
    """What workflows call operations by; there is none."""

    async def start_operation(self, *_args: Any, **_options: Any) -> NexusOperationHandle[Any]:
        """Start an operation."""
        raise NexusNotOffered

    async def execute_operation(self, *_args: Any, **_options: Any) -> Any:
        """Start an operation and wait for it."""
        raise NexusNotOffered


def create_nexus_client(*, service: type[S] | str, endpoint: str) -> NexusClient[S]:
    """Never returns.

    Raises:
        NexusNotOffered: always; it says what to do instead.
    """
    del service, endpoint
    raise NexusNotOffered


# -- for workers -----------------------------------------------------------------------------------------------


@dataclass
class ExecuteNexusOperationStartInput:
    """An operation that a handler would begin."""

    ctx: Any
    input: Any


@dataclass
class ExecuteNexusOperationCancelInput:
    """An operation that a handler would cancel."""

    ctx: Any
    token: str


@dataclass
class StartNexusOperationInput:
    """An operation that a workflow would start."""

    endpoint: str
    service: str
    operation: Any
    input: Any
    schedule_to_close_timeout: Any
    schedule_to_start_timeout: Any
    start_to_close_timeout: Any
    cancellation_type: NexusOperationCancellationType
    headers: Any
    summary: str | None
    event_groups: Any = None
    output_type: type | None = None


class NexusOperationInboundInterceptor:
    """Would stand before handlers; it is never called."""

    def __init__(self, next: NexusOperationInboundInterceptor) -> None:
        self.next = next

    async def execute_nexus_operation_start(self, input: ExecuteNexusOperationStartInput) -> Any:
        """Begin an operation."""
        return await self.next.execute_nexus_operation_start(input)

    async def execute_nexus_operation_cancel(self, input: ExecuteNexusOperationCancelInput) -> None:
        """Cancel an operation."""
        await self.next.execute_nexus_operation_cancel(input)


# -- for converters and clients ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NexusSerializationContext(SerializationContext):
    """The value would belong to an operation; no value does."""

    endpoint: str
    service: str
    operation: str


class NexusOperationIDReusePolicy(IntEnum):
    """Whether an operation's id would be used again."""

    UNSPECIFIED = 0
    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3


class NexusOperationIDConflictPolicy(IntEnum):
    """What would be done while an operation's id is in use."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2


class NexusOperationExecutionStatus(IntEnum):
    """How far an operation would have come."""

    UNSPECIFIED = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    TIMED_OUT = 6


class PendingNexusOperationExecutionState(IntEnum):
    """What an operation would wait for."""

    UNSPECIFIED = 0
    SCHEDULED = 1
    BACKING_OFF = 2
    STARTED = 3
    BLOCKED = 4


class NexusOperationCancellationState(IntEnum):
    """How far the cancellation of an operation would have come."""

    UNSPECIFIED = 0
    SCHEDULED = 1
    BACKING_OFF = 2
    SUCCEEDED = 3
    FAILED = 4
    TIMED_OUT = 5
    BLOCKED = 6
