"""Activities that someone else completes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..common import arg_unset
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


class AsyncActivityHandle:
    """An activity whose function has ended by `activity.raise_complete_async`."""

    def __init__(
        self,
        client: Client,
        id_or_token: AsyncActivityIDReference | bytes,
        data_converter_override: Any = None,
    ) -> None:
        del data_converter_override
        self._client = client
        self._id_or_token = id_or_token

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
            )
        )
