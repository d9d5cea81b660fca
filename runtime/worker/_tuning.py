"""Slots of a worker, as Temporal's SDK has them said: what they come to here is how many activities run at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from ..common import WorkerDeploymentVersion
from ..core.records import dataclass

_SLOTS = 100
_RESOURCE_SLOTS_MAX = 500


@dataclass(frozen=True)
class FixedSizeSlotSupplier:
    """At most `num_slots` at a time."""

    num_slots: int


@dataclass(frozen=True)
class ResourceBasedTunerConfig:
    """Accepted: what the machine has left is not measured here."""

    target_memory_usage: float
    target_cpu_usage: float


@dataclass(frozen=True)
class ResourceBasedSlotConfig:
    """`maximum_slots` is how many run at a time (500 when it is not given); the rest is accepted and has no effect."""

    minimum_slots: int | None = None
    maximum_slots: int | None = None
    ramp_throttle: timedelta | None = None


@dataclass(frozen=True)
class ResourceBasedSlotSupplier:
    """As many at a time as its configuration allows at most."""

    slot_config: ResourceBasedSlotConfig
    tuner_config: ResourceBasedTunerConfig


class SlotPermit:
    """What a custom slot supplier would hand out."""


class SlotReserveContext(Protocol):
    """What a custom slot supplier would be asked with."""

    slot_type: Literal["workflow", "activity", "local-activity"]
    task_queue: str
    worker_identity: str
    worker_build_id: str
    worker_deployment_version: WorkerDeploymentVersion | None
    is_sticky: bool


@runtime_checkable
class WorkflowSlotInfo(Protocol):
    """A slot for a workflow."""

    workflow_type: str
    is_sticky: bool


@runtime_checkable
class ActivitySlotInfo(Protocol):
    """A slot for an activity."""

    activity_type: str


@runtime_checkable
class LocalActivitySlotInfo(Protocol):
    """A slot for a local activity."""

    activity_type: str


@runtime_checkable
class NexusSlotInfo(Protocol):
    """A slot for a Nexus operation."""

    service: str
    operation: str


SlotInfo: TypeAlias = WorkflowSlotInfo | ActivitySlotInfo | LocalActivitySlotInfo | NexusSlotInfo


@dataclass(frozen=True)
class SlotMarkUsedContext(Protocol):
    """What a custom slot supplier would be told when a slot is used."""

    slot_info: SlotInfo
    permit: SlotPermit


@dataclass(frozen=True)
class SlotReleaseContext:
    """What a custom slot supplier would be told when a slot is free."""

    slot_info: SlotInfo | None
    permit: SlotPermit


class CustomSlotSupplier(ABC):
    """There is no poller that would ask it: a `Worker` refuses it, and says what to use instead."""

    @abstractmethod
    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """Wait for a slot."""

    @abstractmethod
    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """A slot, if there is one."""

    @abstractmethod
    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """A slot is used."""

    @abstractmethod
    def release_slot(self, ctx: SlotReleaseContext) -> None:
        """A slot is free."""


SlotSupplier: TypeAlias = FixedSizeSlotSupplier | ResourceBasedSlotSupplier | CustomSlotSupplier


class WorkerTuner(ABC):
    """How many of each kind run at a time. Workflows take no slots here: they take turns on one loop."""

    @classmethod
    def create_resource_based(
        cls,
        *,
        target_memory_usage: float,
        target_cpu_usage: float,
        workflow_config: ResourceBasedSlotConfig | None = None,
        activity_config: ResourceBasedSlotConfig | None = None,
        local_activity_config: ResourceBasedSlotConfig | None = None,
        nexus_config: ResourceBasedSlotConfig | None = None,
    ) -> WorkerTuner:
        """As many as each `maximum_slots` says; what the machine has left is not measured."""
        target = ResourceBasedTunerConfig(target_memory_usage, target_cpu_usage)
        configs = (workflow_config, activity_config, local_activity_config, nexus_config)
        return _Composite(
            *(ResourceBasedSlotSupplier(config or ResourceBasedSlotConfig(), target) for config in configs)
        )

    @classmethod
    def create_fixed(
        cls,
        *,
        workflow_slots: int | None = None,
        activity_slots: int | None = None,
        local_activity_slots: int | None = None,
        nexus_slots: int | None = None,
    ) -> WorkerTuner:
        """So many of each kind; 100 of what is not given."""
        slots = (workflow_slots, activity_slots, local_activity_slots, nexus_slots)
        return _Composite(*(FixedSizeSlotSupplier(number or _SLOTS) for number in slots))

    @classmethod
    def create_composite(
        cls,
        *,
        workflow_supplier: SlotSupplier,
        activity_supplier: SlotSupplier,
        local_activity_supplier: SlotSupplier,
        nexus_supplier: SlotSupplier,
    ) -> WorkerTuner:
        """Of each kind as many as its supplier says."""
        return _Composite(workflow_supplier, activity_supplier, local_activity_supplier, nexus_supplier)

    @abstractmethod
    def _get_workflow_task_slot_supplier(self) -> SlotSupplier: ...

    @abstractmethod
    def _get_activity_task_slot_supplier(self) -> SlotSupplier: ...

    @abstractmethod
    def _get_local_activity_task_slot_supplier(self) -> SlotSupplier: ...

    @abstractmethod
    def _get_nexus_slot_supplier(self) -> SlotSupplier: ...


@dataclass(frozen=True)
class _Composite(WorkerTuner):
    workflow: SlotSupplier
    activity: SlotSupplier
    local_activity: SlotSupplier
    nexus: SlotSupplier

    def _get_workflow_task_slot_supplier(self) -> SlotSupplier:
        return self.workflow

    def _get_activity_task_slot_supplier(self) -> SlotSupplier:
        return self.activity

    def _get_local_activity_task_slot_supplier(self) -> SlotSupplier:
        return self.local_activity

    def _get_nexus_slot_supplier(self) -> SlotSupplier:
        return self.nexus


def slots_of(tuner: WorkerTuner) -> tuple[int, int]:
    """How many activities, and how many local ones, a tuner lets run at a time.

    Raises:
        NotImplementedError: it has a custom slot supplier.
        TypeError: it has something else.
    """
    suppliers = (
        tuner._get_activity_task_slot_supplier(),  # noqa: SLF001 - the SDK's names, which a subclass has to have
        tuner._get_local_activity_task_slot_supplier(),  # noqa: SLF001 - as above
    )
    activities, local_activities = (_slots(supplier) for supplier in suppliers)
    return activities, local_activities


def _slots(supplier: SlotSupplier) -> int:
    match supplier:
        case FixedSizeSlotSupplier():
            return supplier.num_slots
        case ResourceBasedSlotSupplier():
            return supplier.slot_config.maximum_slots or _RESOURCE_SLOTS_MAX
        case CustomSlotSupplier():
            raise NotImplementedError(
                f"{type(supplier).__name__} is a custom slot supplier, which is not offered: nothing polls for work here. Use "
                "max_concurrent_activities, a rate, or concurrency= of an activity"
            )
        case _:
            raise TypeError(f"Unknown slot supplier type: {supplier}")
