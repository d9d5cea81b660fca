"""What a storage driver is told and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..core.payload import Payload
from ..core.records import dataclass


class StorageWarning(RuntimeWarning):
    """Something about external storage deserves attention."""


@dataclass(frozen=True)
class StorageDriverClaim:
    """By what a driver finds a payload again. It is kept in the history."""

    claim_data: Mapping[str, str]
    """Whatever the driver needs; it is not secret."""


@dataclass(frozen=True, kw_only=True)
class StorageDriverWorkflowInfo:
    """The execution that a payload is stored for; what is not known yet is None."""

    namespace: str
    id: str | None = None
    run_id: str | None = None
    type: str | None = None


@dataclass(frozen=True, kw_only=True)
class StorageDriverActivityInfo:
    """The activity that a payload is stored for, when it is not a workflow's."""

    namespace: str
    id: str | None = None
    run_id: str | None = None
    type: str | None = None


Target: TypeAlias = StorageDriverWorkflowInfo | StorageDriverActivityInfo | None


@dataclass(frozen=True)
class StorageDriverStoreContext:
    """What `StorageDriver.store` is called for: who will read the payloads, where somebody else does."""

    target: StorageDriverActivityInfo | StorageDriverWorkflowInfo | None = None


@dataclass(frozen=True)
class StorageDriverSelectContext:
    """What `ExternalStorage.driver_selector` is called for, as in `StorageDriverStoreContext`."""

    target: StorageDriverActivityInfo | StorageDriverWorkflowInfo | None = None


@dataclass(frozen=True)
class StorageDriverRetrieveContext:
    """What `StorageDriver.retrieve` is called for; there is nothing to say yet."""


class StorageDriver(ABC):
    """Keeps payloads outside of the journal."""

    @abstractmethod
    def name(self) -> str:
        """By what its payloads' references name it: the same for ever, and no other driver's."""

    def type(self) -> str:
        """What kind of driver it is; the class's name where it does not say."""
        return type(self).__name__

    @abstractmethod
    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """A claim for each payload, which must be durable when this returns.

        A claim object lives as long as the reference to its payload is in memory.
        """

    @abstractmethod
    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """The payload of each claim, as it was stored."""
