"""Activities that a client starts, finds, lists and counts, without a workflow."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Required, TypedDict, TypeVar, Unpack, cast, overload

from ..common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
    arg_unset,
)
from ..workflow._activities import activity_target
from ..workflow._arguments import arguments
from ._activities import AsyncActivityHandle, AsyncActivityIDReference
from ._activity_executions import ActivityExecutionAsyncIterator, ActivityExecutionCount
from ._activity_handle import ActivityHandle
from ._activity_inputs import CountActivitiesInput, ListActivitiesInput, StartActivityInput
from ._interceptors import NO_METADATA, OutboundInterceptor

if TYPE_CHECKING:
    from ._client import Client

R = TypeVar("R")
P1 = TypeVar("P1")
Metadata = Mapping[str, str | bytes]


class _Options(TypedDict, total=False):
    id: Required[str]
    task_queue: Required[str]
    result_type: type | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    id_reuse_policy: ActivityIDReusePolicy
    id_conflict_policy: ActivityIDConflictPolicy
    retry_policy: RetryPolicy | None
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    priority: Priority
    start_delay: timedelta | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


class ActivityStarts:
    """The part of a client that is about activities."""

    calls: OutboundInterceptor

    @overload
    async def start_activity(
        self, activity: Callable[[], Awaitable[R]], **options: Unpack[_Options]
    ) -> ActivityHandle[R]: ...
    @overload
    async def start_activity(
        self, activity: Callable[[P1], Awaitable[R]], arg: P1, **options: Unpack[_Options]
    ) -> ActivityHandle[R]: ...
    @overload
    async def start_activity(
        self, activity: Callable[..., Awaitable[R]], *, args: Sequence[Any], **options: Unpack[_Options]
    ) -> ActivityHandle[R]: ...
    @overload
    async def start_activity(
        self, activity: Callable[[], R], **options: Unpack[_Options]
    ) -> ActivityHandle[R]: ...
    @overload
    async def start_activity(
        self, activity: Callable[[P1], R], arg: P1, **options: Unpack[_Options]
    ) -> ActivityHandle[R]: ...
    @overload
    async def start_activity(
        self, activity: Callable[..., R], *, args: Sequence[Any], **options: Unpack[_Options]
    ) -> ActivityHandle[R]: ...
    @overload
    async def start_activity(
        self, activity: str, arg: Any = ..., *, args: Sequence[Any] = ..., **options: Unpack[_Options]
    ) -> ActivityHandle[Any]: ...
    async def start_activity(
        self,
        activity: Any,
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = (),
        id: str,
        task_queue: str,
        result_type: type | None = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        heartbeat_timeout: timedelta | None = None,
        id_reuse_policy: ActivityIDReusePolicy = ActivityIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: ActivityIDConflictPolicy = ActivityIDConflictPolicy.FAIL,
        retry_policy: RetryPolicy | None = None,
        search_attributes: TypedSearchAttributes | None = None,
        summary: str | None = None,
        priority: Priority = Priority.default,
        start_delay: timedelta | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityHandle[Any]:
        """Begin an activity that belongs to no workflow; when this returns, it survives power loss.

        It is attempted, retried and timed out as one of a workflow; timeouts count from `start_delay` on.

        Raises:
            ActivityAlreadyStartedError: the id is in use, or was and may not be used again.
            ValueError: neither a start-to-close nor a schedule-to-close timeout, a negative delay, or a retry policy that
                contradicts itself.
            PayloadLimitError: an argument is larger than may be stored.
            RPCError: the journal is full, or the engine stops; nothing was accepted.
        """
        name, hint, _ = activity_target(activity)
        return await self.calls.start_activity(
            StartActivityInput(
                activity_type=name,
                args=arguments(arg, args),
                id=id,
                task_queue=task_queue,
                result_type=result_type or hint,
                schedule_to_close_timeout=schedule_to_close_timeout,
                start_to_close_timeout=start_to_close_timeout,
                schedule_to_start_timeout=schedule_to_start_timeout,
                heartbeat_timeout=heartbeat_timeout,
                id_reuse_policy=id_reuse_policy,
                id_conflict_policy=id_conflict_policy,
                retry_policy=retry_policy,
                priority=priority,
                search_attributes=search_attributes,
                summary=summary,
                start_delay=start_delay,
                headers={},
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    @overload
    async def execute_activity(
        self, activity: Callable[[], Awaitable[R]], **options: Unpack[_Options]
    ) -> R: ...
    @overload
    async def execute_activity(
        self, activity: Callable[[P1], Awaitable[R]], arg: P1, **options: Unpack[_Options]
    ) -> R: ...
    @overload
    async def execute_activity(
        self, activity: Callable[..., Awaitable[R]], *, args: Sequence[Any], **options: Unpack[_Options]
    ) -> R: ...
    @overload
    async def execute_activity(self, activity: Callable[[], R], **options: Unpack[_Options]) -> R: ...
    @overload
    async def execute_activity(
        self, activity: Callable[[P1], R], arg: P1, **options: Unpack[_Options]
    ) -> R: ...
    @overload
    async def execute_activity(
        self, activity: Callable[..., R], *, args: Sequence[Any], **options: Unpack[_Options]
    ) -> R: ...
    @overload
    async def execute_activity(
        self, activity: str, arg: Any = ..., *, args: Sequence[Any] = ..., **options: Unpack[_Options]
    ) -> Any: ...
    async def execute_activity(
        self, activity: Any, arg: Any = arg_unset, *, args: Sequence[Any] = (), **options: Any
    ) -> Any:
        """Begin an activity that belongs to no workflow, and wait for its result; see `start_activity` and `ActivityHandle.result`."""
        return await (await self.start_activity(activity, arg, args=args, **options)).result()

    execute_activity.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # of a method, for who asks
        list(inspect.signature(start_activity).parameters.values()), return_annotation=Any
    )

    # A method or callable class is an activity like any other here; the names are those that authors know.
    start_activity_class = start_activity
    start_activity_method = start_activity
    execute_activity_class = execute_activity
    execute_activity_method = execute_activity

    def get_activity_handle(
        self, activity_id: str, *, run_id: str | None = None, result_type: type | None = None
    ) -> ActivityHandle[Any]:
        """A handle for an activity without a workflow; whether there is one shows when it is used."""
        return ActivityHandle(cast("Client", self), activity_id, run_id=run_id, result_type=result_type)

    def list_activities(
        self,
        query: str,
        *,
        limit: int | None = None,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionAsyncIterator:
        """Activities without a workflow that fit a filter, the newest first unless it says otherwise; all fit an empty one.

        Raises (when it is iterated):
            RPCError: the filter is none; the message says where and what to write.
        """
        return self.calls.list_activities(
            ListActivitiesInput(
                query=query,
                page_size=page_size,
                next_page_token=next_page_token,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                limit=limit,
            )
        )

    async def count_activities(
        self,
        query: str | None = None,
        *,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionCount:
        """How many activities without a workflow fit a filter, by groups where it has ``GROUP BY``."""
        return await self.calls.count_activities(
            CountActivitiesInput(query=query, rpc_metadata=rpc_metadata, rpc_timeout=rpc_timeout)
        )

    def get_async_activity_handle(
        self,
        *,
        workflow_id: str | None = None,
        run_id: str | None = None,
        activity_id: str | None = None,
        task_token: bytes | None = None,
    ) -> AsyncActivityHandle:
        """A handle for an activity that completes later: by its token, by its execution and id, or without a workflow by its id.

        Raises:
            ValueError: none of these, or more than one.
        """
        if task_token is not None:
            if workflow_id is not None or run_id is not None or activity_id is not None:
                raise ValueError("Task token cannot be present with other IDs")
            return AsyncActivityHandle(cast("Client", self), task_token)
        if activity_id is None:
            if workflow_id is not None:
                raise ValueError("Workflow ID, run ID, and activity ID must all be given together")
            raise ValueError(
                "Require task token, or workflow_id & run_id & activity_id, or activity_id & run_id"
            )
        return AsyncActivityHandle(
            cast("Client", self), AsyncActivityIDReference(workflow_id, run_id, activity_id)
        )
