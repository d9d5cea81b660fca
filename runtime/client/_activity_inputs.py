"""What the interceptors of a client are given of activities that no workflow asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
)
from ..core.payload import Payload

if TYPE_CHECKING:
    from ._activity_options import ActivityOptionsUpdate

Headers = Mapping[str, Payload]
Metadata = Mapping[str, str | bytes]


@dataclass
class StartActivityInput:
    """An activity that a client starts."""

    activity_type: str
    args: Sequence[Any]
    id: str
    task_queue: str
    result_type: type | None
    schedule_to_close_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    id_reuse_policy: ActivityIDReusePolicy
    id_conflict_policy: ActivityIDConflictPolicy
    retry_policy: RetryPolicy | None
    priority: Priority
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    start_delay: timedelta | None
    headers: Headers
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class CancelActivityInput:
    """An activity that a client asks to stop."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class TerminateActivityInput:
    """An activity that a client ends."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class PauseActivityInput:
    """An activity that a client holds."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class UnpauseActivityInput:
    """An activity that a client lets go on."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    jitter: timedelta | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class UpdateActivityOptionsInput:
    """Options of an activity that a client changes, or wants as they were at the start."""

    activity_id: str
    activity_run_id: str | None
    updates: Sequence[ActivityOptionsUpdate[Any]]
    restore_original: bool
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class DescribeActivityInput:
    """An activity that a client asks about."""

    activity_id: str
    activity_run_id: str | None
    include_input: bool
    include_outcome: bool
    include_heartbeat_details: bool
    include_last_failure: bool
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class ListActivitiesInput:
    """Activities that a client lists."""

    query: str | None
    page_size: int
    next_page_token: bytes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    limit: int | None


@dataclass
class CountActivitiesInput:
    """Activities that a client counts."""

    query: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
