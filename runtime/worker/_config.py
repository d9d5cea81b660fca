"""The options of a worker, and which of them go together."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent import futures
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any, TypeAlias, TypedDict

from ..client import Client
from ..common import VersioningBehavior, WorkerDeploymentVersion
from ..core.records import dataclass
from ..interceptors import Interceptor
from ..nexus import NexusNotOffered
from ..processes import ProcessPool
from ..workflow._versions import PatchActivationInput
from ._plugin import Plugin
from ._shared_state import SharedStateManager
from ._tuning import WorkerTuner, slots_of
from .workflow_sandbox import WorkflowRunner


@dataclass(frozen=True)
class PollerBehaviorSimpleMaximum:
    """Accepted: nothing is polled here."""

    maximum: int = 5


@dataclass(frozen=True)
class PollerBehaviorAutoscaling:
    """Accepted: nothing is polled here."""

    minimum: int = 1
    maximum: int = 100
    initial: int = 5


PollerBehavior: TypeAlias = PollerBehaviorSimpleMaximum | PollerBehaviorAutoscaling


@dataclass
class WorkerDeploymentConfig:
    """The version of a worker. Workflows read it from `workflow.info()`; it does not decide which of them run where."""

    version: WorkerDeploymentVersion
    use_worker_versioning: bool
    default_versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED


class WorkerConfig(TypedDict, total=False):
    """The options of a worker, as plugins see and change them."""

    client: Client
    task_queue: str
    activities: Sequence[Callable[..., Any]]
    nexus_service_handlers: Sequence[Any]
    workflows: Sequence[type]
    activity_executor: Executor | ProcessPool | None
    workflow_task_executor: Executor | None
    nexus_task_executor: Executor | None
    workflow_runner: WorkflowRunner
    unsandboxed_workflow_runner: WorkflowRunner
    plugins: Sequence[Plugin]
    interceptors: Sequence[Interceptor]
    build_id: str | None
    identity: str | None
    max_cached_workflows: int
    max_concurrent_workflow_tasks: int | None
    max_concurrent_activities: int | None
    max_concurrent_local_activities: int | None
    max_concurrent_nexus_tasks: int | None
    tuner: WorkerTuner | None
    max_concurrent_workflow_task_polls: int | None
    nonsticky_to_sticky_poll_ratio: float
    max_concurrent_activity_task_polls: int | None
    no_remote_activities: bool
    sticky_queue_schedule_to_start_timeout: timedelta
    max_heartbeat_throttle_interval: timedelta
    default_heartbeat_throttle_interval: timedelta
    max_activities_per_second: float | None
    max_task_queue_activities_per_second: float | None
    max_eager_activity_reservations_per_workflow_task: int
    graceful_shutdown_timeout: timedelta
    plugin_shutdown_timeout: timedelta | None
    workflow_failure_exception_types: Sequence[type[BaseException]]
    shared_state_manager: SharedStateManager | None
    debug_mode: bool
    disable_eager_activity_execution: bool
    on_fatal_error: Callable[[BaseException], Awaitable[None]] | None
    use_worker_versioning: bool
    disable_safe_workflow_eviction: bool
    deployment_config: WorkerDeploymentConfig | None
    patch_activation_callback: Callable[[PatchActivationInput], bool] | None
    workflow_task_poller_behavior: PollerBehavior
    activity_task_poller_behavior: PollerBehavior
    nexus_task_poller_behavior: PollerBehavior
    disable_payload_error_limit: bool
    max_workflow_task_external_storage_concurrency: int


_SLOTS = ("workflow_tasks", "activities", "local_activities", "nexus_tasks")
_LIMITS = (
    "max_concurrent_activities",
    "max_concurrent_local_activities",
    "max_activities_per_second",
    "max_task_queue_activities_per_second",
)


def check(config: WorkerConfig) -> None:
    """Return if a worker can be made with these options.

    Raises:
        ValueError: they contradict one another, or one makes no sense.
        NotImplementedError: they ask for what is not offered.
    """
    _check_registered(config)
    _check_versioning(config)
    _check_numbers(config)
    _check_executor(config)


def _check_registered(config: WorkerConfig) -> None:
    if config.get("nexus_service_handlers"):
        raise NexusNotOffered
    if not (config.get("activities") or config.get("workflows")):
        raise ValueError("At least one activity, Nexus service, or workflow must be specified")


def _check_versioning(config: WorkerConfig) -> None:
    build_id, deployment = config.get("build_id"), config.get("deployment_config")
    versioned = config.get("use_worker_versioning")
    if versioned and not build_id:
        raise ValueError("build_id must be specified when use_worker_versioning is True")
    if deployment is None:
        return
    if build_id or versioned:
        raise ValueError("deployment_config cannot be used with build_id or use_worker_versioning")
    if not deployment.use_worker_versioning and deployment.default_versioning_behavior:
        raise ValueError(
            "default_versioning_behavior must be UNSPECIFIED when use_worker_versioning is False"
        )


def _check_numbers(config: WorkerConfig) -> None:
    options: dict[str, Any] = dict(config)
    if options.get("max_workflow_task_external_storage_concurrency", 1) < 1:
        raise ValueError("max_workflow_task_external_storage_concurrency must be positive")
    if options.get("max_eager_activity_reservations_per_workflow_task", 1) < 1:
        raise ValueError(
            "max_eager_activity_reservations_per_workflow_task must be positive; "
            "use disable_eager_activity_execution=True to disable eager activity execution"
        )
    for option in _LIMITS:
        value = options.get(option)
        if value is not None and value <= 0:
            raise ValueError(f"{option} is {value}, expected more than 0")
    if options.get("max_cached_workflows", 0) < 0:
        raise ValueError(
            f"max_cached_workflows is {options['max_cached_workflows']}, expected 0 (none) or more"
        )
    if options.get("tuner") is not None and any(options.get(f"max_concurrent_{kind}") for kind in _SLOTS):
        raise ValueError(
            "Cannot specify max_concurrent_workflow_tasks, max_concurrent_activities, "
            "max_concurrent_local_activities, or max_concurrent_nexus_tasks when also specifying tuner"
        )


def _check_executor(config: WorkerConfig) -> None:
    executor: Any = config.get("activity_executor")
    if sys.version_info >= (3, 14) and isinstance(executor, futures.InterpreterPoolExecutor):  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        raise ValueError(
            "InterpreterPoolExecutor is not supported as an activity_executor. "
            "Use ThreadPoolExecutor or ProcessPoolExecutor instead."
        )
    workers: Any = getattr(executor, "_max_workers", None)
    wanted = slots(config)[0]
    if config.get("activities") and isinstance(workers, int) and workers < (wanted or 0):
        warnings.warn(
            f"Worker max_concurrent_activities is {wanted} but activity_executor's max_workers is only {workers}",
            stacklevel=5,
        )


def slots(config: WorkerConfig) -> tuple[int | None, int | None]:
    """How many activities, and how many local ones, run at a time; None for as many as the engine says."""
    tuner = config.get("tuner")
    if tuner is not None:
        return slots_of(tuner)
    return config.get("max_concurrent_activities"), config.get("max_concurrent_local_activities")
