"""Activities that someone else completes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from ..common import arg_unset
from ..converter import DataConverter, SerializationContext, WithSerializationContext
from ..core.records import dataclass
from ._interceptors import (
    NO_METADATA,
    CompleteAsyncActivityInput,
    FailAsyncActivityInput,
    HeartbeatAsyncActivityInput,
    ReportCancellationAsyncActivityInput,
)

if TYPE_CHECKING:
    from ._client import Client

Metadata = Mapping[str, str | bytes]


@dataclass(frozen=True)
class AsyncActivityIDReference:
    """An activity by its id within its execution."""

    workflow_id: str | None
    run_id: str | None
    activity_id: str


class AsyncActivityHandle(WithSerializationContext):
    """An activity whose function has ended by `activity.raise_complete_async`."""

    def __init__(
        self,
        client: Client,
        id_or_token: AsyncActivityIDReference | bytes,
        data_converter_override: DataConverter | None = None,
    ) -> None:
        self._client = client
        self._id_or_token = id_or_token
        self._data_converter_override = data_converter_override

    def with_context(self, context: SerializationContext) -> Self:
        """A handle whose values are written for this activity, for a converter that asks; itself for any other.

        Raises:
            TypeError: of a subclass with a constructor of its own, which must override this.
        """
        free = self._client.data_converter
        converter = free.with_context(context)
        if converter is free:
            return self
        if type(self).__init__ is not AsyncActivityHandle.__init__:
            raise TypeError(
                f"{type(self).__name__} overrides __init__ of AsyncActivityHandle, so that no handle with a context can "
                "be made: you must override with_context to return an instance of your class."
            )
        return type(self)(self._client, self._id_or_token, converter)

    async def heartbeat(
        self, *details: Any, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> None:
        """Say that it is alive.

        Raises:
            AsyncActivityCancelledError: it was asked to stop.
            RPCError: no such attempt runs.
        """
        await self._client.calls.heartbeat_async_activity(
            HeartbeatAsyncActivityInput(
                id_or_token=self._id_or_token,
                details=details,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
            )
        )

    async def complete(
        self,
        result: Any = arg_unset,
        *,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """It ended with this result; when this returns, the result survives power loss."""
        await self._client.calls.complete_async_activity(
            CompleteAsyncActivityInput(
                id_or_token=self._id_or_token,
                result=result,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
            )
        )

    async def fail(
        self,
        error: Exception,
        *,
        last_heartbeat_details: Sequence[Any] = (),
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """The attempt failed; the retry policy says what follows."""
        await self._client.calls.fail_async_activity(
            FailAsyncActivityInput(
                id_or_token=self._id_or_token,
                error=error,
                last_heartbeat_details=last_heartbeat_details,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
            )
        )

    async def report_cancellation(
        self, *details: Any, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> None:
        """It stopped because it was asked to."""
        await self._client.calls.report_cancellation_async_activity(
            ReportCancellationAsyncActivityInput(
                id_or_token=self._id_or_token,
                details=details,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
            )
        )
