"""Updates, as a client sends them and waits for them."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..core.commands import CompleteUpdate
from ..frontend import UpdateRejected
from ..values import ConvertedValues
from ._errors import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from ._interceptors import NO_METADATA

if TYPE_CHECKING:
    from ._client import Client

R = TypeVar("R")


class WorkflowUpdateStage(enum.IntEnum):
    """How far an update has come."""

    ADMITTED = 1
    ACCEPTED = 2
    COMPLETED = 3


class WorkflowUpdateHandle(Generic[R]):
    """An update that was sent."""

    def __init__(
        self,
        client: Client,
        id: str,
        workflow_id: str,
        *,
        workflow_run_id: str | None = None,
        result_type: Any = None,
        known_outcome: CompleteUpdate | None = None,
    ) -> None:
        self._client = client
        self._id = id
        self._workflow_id = workflow_id
        self._workflow_run_id = workflow_run_id
        self._result_type = result_type
        self._outcome = known_outcome

    @property
    def id(self) -> str:
        """The update's id."""
        return self._id

    @property
    def workflow_id(self) -> str:
        """The workflow that it was sent to."""
        return self._workflow_id

    @property
    def workflow_run_id(self) -> str | None:
        """The run that has it."""
        return self._workflow_run_id

    async def result(
        self, *, rpc_metadata: Mapping[str, str | bytes] = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> R:
        """Wait for what the handler returns.

        Raises:
            WorkflowUpdateFailedError: it was rejected, or its handler failed; the cause says how.
            WorkflowUpdateRPCTimeoutOrCancelledError: it took longer than `rpc_timeout`; the update goes on.
            RPCError: there is no such update.
        """
        del rpc_metadata
        values = self._client.values.for_workflow(self._workflow_id)
        async with patiently(rpc_timeout, values):
            if self._outcome is None:
                self._outcome = await self._client.frontend.update_outcome(
                    self._workflow_id, self._workflow_run_id, self._id
                )
        outcome = self._outcome
        if outcome.failure is not None:
            raise WorkflowUpdateFailedError(await values.read_error(outcome.failure))
        assert outcome.result is not None
        hints = None if self._result_type is None else [self._result_type]
        result: R = (await values.read([outcome.result], hints))[0]
        return result


@asynccontextmanager
async def patiently(timeout: timedelta | None, values: ConvertedValues) -> AsyncGenerator[None]:
    """Within this block an update is waited for so long, and what it comes to are errors that a client knows."""
    try:
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            yield
    except (TimeoutError, asyncio.CancelledError) as error:
        raise WorkflowUpdateRPCTimeoutOrCancelledError from error
    except UpdateRejected as error:
        cause = await values.read_error(error.failure)
        raise WorkflowUpdateFailedError(cause) from cause
