"""Sets of compatible build ids, as Temporal had them before deployments. Here one process has one version.

The names are here so that programs which mention them are imported; the calls are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import NoReturn

from ..core.records import dataclass
from ..service import RPCError, RPCStatusCode
from ._interceptors import (
    NO_METADATA,
    GetWorkerBuildIdCompatibilityInput,
    GetWorkerTaskReachabilityInput,
    Metadata,
    OutboundInterceptor,
    UpdateWorkerBuildIdCompatibilityInput,
)


@dataclass(frozen=True)
class BuildIdVersionSet:
    """Build ids that may take over each other's executions; the last is the default."""

    build_ids: Sequence[str]

    def default(self) -> str:
        """The last one."""
        return self.build_ids[-1]


@dataclass(frozen=True)
class WorkerBuildIdVersionSets:
    """All sets of a task queue; the last is the default."""

    version_sets: Sequence[BuildIdVersionSet]

    def default_set(self) -> BuildIdVersionSet:
        """The last one."""
        return self.version_sets[-1]

    def default_build_id(self) -> str:
        """The default of the default set."""
        return self.default_set().default()


class BuildIdOp:
    """A change of the sets of a task queue."""


@dataclass(frozen=True)
class BuildIdOpAddNewDefault(BuildIdOp):
    """A new set with one build id, which becomes the default."""

    build_id: str


@dataclass(frozen=True)
class BuildIdOpAddNewCompatible(BuildIdOp):
    """A build id more in the set that has the existing one."""

    build_id: str
    existing_compatible_build_id: str
    promote_set: bool = False


@dataclass(frozen=True)
class BuildIdOpPromoteSetByBuildId(BuildIdOp):
    """The set that has this build id becomes the default."""

    build_id: str


@dataclass(frozen=True)
class BuildIdOpPromoteBuildIdWithinSet(BuildIdOp):
    """The build id becomes the default of its set."""

    build_id: str


@dataclass(frozen=True)
class BuildIdOpMergeSets(BuildIdOp):
    """One set out of two."""

    primary_build_id: str
    secondary_build_id: str


class TaskReachabilityType(Enum):
    """Which workflows could still need a build id."""

    NEW_WORKFLOWS = 1
    EXISTING_WORKFLOWS = 2
    OPEN_WORKFLOWS = 3
    CLOSED_WORKFLOWS = 4


@dataclass(frozen=True)
class BuildIdReachability:
    """Which task queues could still need a build id."""

    task_queue_reachability: Mapping[str, Sequence[TaskReachabilityType]]
    unretrieved_task_queues: frozenset[str]


@dataclass(frozen=True)
class WorkerTaskReachability:
    """Where build ids are still needed, by build id."""

    build_id_reachability: Mapping[str, BuildIdReachability]


class WorkerVersioning:
    """The part of a client that asks for sets of build ids. Each call is refused with UNIMPLEMENTED."""

    calls: OutboundInterceptor

    async def update_worker_build_id_compatibility(
        self,
        task_queue: str,
        operation: BuildIdOp,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Change the sets of a task queue."""
        await self.calls.update_worker_build_id_compatibility(
            UpdateWorkerBuildIdCompatibilityInput(task_queue, operation, rpc_metadata, rpc_timeout)
        )

    async def get_worker_build_id_compatibility(
        self,
        task_queue: str,
        max_sets: int | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkerBuildIdVersionSets:
        """The sets of a task queue."""
        return await self.calls.get_worker_build_id_compatibility(
            GetWorkerBuildIdCompatibilityInput(task_queue, max_sets, rpc_metadata, rpc_timeout)
        )

    async def get_worker_task_reachability(
        self,
        build_ids: Sequence[str],
        task_queues: Sequence[str] = (),
        reachability_type: TaskReachabilityType | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkerTaskReachability:
        """Where build ids are still needed."""
        return await self.calls.get_worker_task_reachability(
            GetWorkerTaskReachabilityInput(
                build_ids, task_queues, reachability_type, rpc_metadata, rpc_timeout
            )
        )


class NoWorkerVersioning:
    """The inner end of these calls."""

    async def update_worker_build_id_compatibility(
        self, input: UpdateWorkerBuildIdCompatibilityInput
    ) -> None:
        """Refused."""
        _refuse(input.task_queue)

    async def get_worker_build_id_compatibility(
        self, input: GetWorkerBuildIdCompatibilityInput
    ) -> WorkerBuildIdVersionSets:
        """Refused."""
        _refuse(input.task_queue)

    async def get_worker_task_reachability(
        self, input: GetWorkerTaskReachabilityInput
    ) -> WorkerTaskReachability:
        """Refused."""
        _refuse(", ".join(input.task_queues))


def _refuse(task_queue: str) -> NoReturn:
    raise RPCError(
        f"task queue {task_queue!r} has no sets of build ids: one process has one version of its code; use "
        "workflow.patched, or look at `overwinter replay`, when code changes under executions",
        RPCStatusCode.UNIMPLEMENTED,
    )
