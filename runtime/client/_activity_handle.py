"""One activity that no workflow asked for, to wait for and to steer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..core.commands import CompleteWorkflow
from ..core.events import Closing
from ._activity_executions import ActivityExecutionDescription, ending_of
from ._activity_inputs import (
    CancelActivityInput,
    DescribeActivityInput,
    PauseActivityInput,
    TerminateActivityInput,
    UnpauseActivityInput,
    UpdateActivityOptionsInput,
)
from ._activity_options import ActivityExecutionOptions, ActivityOptionsUpdate, check_updates
from ._errors import ActivityFailureError
from ._interceptors import NO_METADATA

if TYPE_CHECKING:
    from ._client import Client

R = TypeVar("R")
Metadata = Mapping[str, str | bytes]


class ActivityHandle(Generic[R]):
    """One activity, to wait for and to steer. Without a run id it is whichever run is the latest.

    What all calls raise, besides what each names: `RPCError`, of status NOT_FOUND when there is no such activity, and
    FAILED_PRECONDITION for a change of one that has closed.
    """

    def __init__(
        self, client: Client, id: str, *, run_id: str | None = None, result_type: type | None = None
    ) -> None:
        self._client = client
        self._id = id
        self._run_id = run_id
        self._result_type = result_type
        self._known_outcome: Closing | None = None

    @property
    def id(self) -> str:
        """The activity id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run; None for whichever is the latest."""
        return self._run_id

    async def result(
        self, *, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> R:
        """Wait until the activity has ended. Time limits are those of single looks: it is waited for as long as it takes.

        Raises:
            ActivityFailureError: it ended without a result; the cause says how.
            RPCError: there is no such activity, or the engine stops.
        """
        del rpc_metadata, rpc_timeout
        closing = self._known_outcome
        if closing is None:
            closing = await self._client.frontend.activity_closed(self._id, self._run_id)
            self._known_outcome = closing
        values = self._client.values.for_alone(self._id)
        if isinstance(closing, CompleteWorkflow):
            hints = None if self._result_type is None else [self._result_type]
            return cast("R", (await values.read([closing.result], hints))[0])
        raise ActivityFailureError(cause=await values.read_error(ending_of(closing)))

    async def cancel(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Ask the activity to stop. An attempt that runs is told at once; while none does, the activity has ended by this."""
        await self._client.calls.cancel_activity(
            CancelActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def terminate(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """End the activity. An attempt that runs is told to stop, and whatever it comes to has no effect."""
        await self._client.calls.terminate_activity(
            TerminateActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def pause(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """No attempt begins until `unpause`. One that runs is asked to stop when it beats, and is not if it does not beat."""
        await self._client.calls.pause_activity(
            PauseActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def unpause(
        self,
        *,
        reason: str | None = None,
        jitter: timedelta | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Attempts are made again, the next one at a random time within `jitter`, or as soon as it is due."""
        await self._client.calls.unpause_activity(
            UnpauseActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                jitter=jitter,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def update_options(
        self,
        updates: Sequence[ActivityOptionsUpdate[Any]],
        *,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionOptions:
        """Change options, made with `ActivityOptionsKeys`; returns all as they are then.

        Timeouts hold for an attempt that runs too, and a retry policy for when the next attempt is due.

        Raises:
            ValueError: there are none, or two for the same option.
        """
        if not updates:
            raise ValueError(
                "update_options requires at least one update; use restore_original_options() to revert options"
            )
        check_updates(updates, "update_options")
        return await self._update(updates, False, rpc_metadata, rpc_timeout)

    async def restore_original_options(
        self, *, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> ActivityExecutionOptions:
        """Give the activity the options that it was started with; returns them."""
        return await self._update((), True, rpc_metadata, rpc_timeout)

    async def _update(
        self,
        updates: Sequence[ActivityOptionsUpdate[Any]],
        restore_original: bool,
        rpc_metadata: Metadata,
        rpc_timeout: timedelta | None,
    ) -> ActivityExecutionOptions:
        return await self._client.calls.update_activity_options(
            UpdateActivityOptionsInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                updates=updates,
                restore_original=restore_original,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def describe(
        self,
        *,
        include_input: bool = False,
        include_outcome: bool = False,
        include_heartbeat_details: bool = False,
        include_last_failure: bool = False,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionDescription:
        """The activity as it is now, with as many of its values as are asked for."""
        return await self._client.calls.describe_activity(
            DescribeActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                include_input=include_input,
                include_outcome=include_outcome,
                include_heartbeat_details=include_heartbeat_details,
                include_last_failure=include_last_failure,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )
