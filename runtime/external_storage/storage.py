"""Which payloads are kept outside of the journal, and the way there and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import field
from typing import Any, TypeVar

from ..core.payload import Payload
from ..core.records import dataclass
from .drivers import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
    Target,
)
from .references import is_reference, read_reference, reference_to

T = TypeVar("T")


@dataclass(frozen=True)
class ExternalStorage:
    """Which payloads are kept outside of the journal, and by which driver.

    Raises:
        ValueError: no driver, two of one name, several without a selector, or a negative threshold.
    """

    drivers: Sequence[StorageDriver]
    """The drivers that payloads are read with, by their names; a single one stores all that is large."""

    driver_selector: Callable[[StorageDriverSelectContext, Payload], StorageDriver | None] | None = None
    """Which driver stores a payload; None leaves it in the journal. Needed where there are several drivers."""

    payload_size_threshold: int = 256 * 1024
    """Bytes from which on a payload is stored outside; 0 for all of them."""

    by_name: dict[str, StorageDriver] = field(init=False, repr=False, compare=False)
    """The drivers by their names."""

    def __post_init__(self) -> None:
        if not self.drivers:
            raise ValueError("ExternalStorage.drivers must contain at least one driver.")
        if self.payload_size_threshold < 0:
            raise ValueError("ExternalStorage.payload_size_threshold must be greater than or equal to zero.")
        if len(self.drivers) > 1 and self.driver_selector is None:
            raise ValueError(
                "ExternalStorage.driver_selector must be specified if multiple drivers are registered."
            )
        by_name: dict[str, StorageDriver] = {}
        for driver in self.drivers:
            name = driver.name()
            if name in by_name:
                raise ValueError(
                    f"ExternalStorage.drivers contains multiple drivers with name '{name}'. "
                    "Each driver must have a unique name."
                )
            by_name[name] = driver
        object.__setattr__(self, "by_name", by_name)


def may_leave(storage: ExternalStorage, payload: Payload) -> bool:
    """Whether a payload is large enough to be stored outside."""
    return payload.ByteSize() >= storage.payload_size_threshold


async def stored(
    storage: ExternalStorage, payloads: Sequence[Payload], target: Target = None
) -> list[Payload]:
    """The payloads as a history keeps them: what is large has become a reference, and is durable elsewhere.

    Raises:
        ValueError: a driver is not one of the storage's, or does not answer as it must.
        Exception: whatever a driver raises; the others are cancelled.
    """
    kept = list(payloads)
    leaving: dict[str, list[int]] = {}
    for index, payload in enumerate(payloads):
        driver = _chosen(storage, payload, target)
        if driver is not None:
            leaving.setdefault(driver.name(), []).append(index)

    async def store(name: str, indexes: list[int]) -> None:
        context = StorageDriverStoreContext(target)
        claims = await storage.by_name[name].store(context, [payloads[index] for index in indexes])
        _require_as_many(name, len(claims), "claims", len(indexes))
        for index, claim in zip(indexes, claims, strict=True):
            kept[index] = reference_to(name, claim, payloads[index].ByteSize())

    await together([store(name, indexes) for name, indexes in leaving.items()])
    return kept


async def retrieved(storage: ExternalStorage, payloads: Sequence[Payload]) -> list[Payload]:
    """The payloads that were given to `stored`.

    Raises:
        ValueError: a reference is none, its driver is unknown, or does not answer as it must.
        Exception: whatever a driver raises; the others are cancelled.
    """
    found = list(payloads)
    away: dict[str, list[tuple[int, StorageDriverClaim]]] = {}
    for index, payload in enumerate(payloads):
        if is_reference(payload):
            name, claim = read_reference(payload)
            if name not in storage.by_name:
                raise ValueError(f"No driver found with name '{name}'")
            away.setdefault(name, []).append((index, claim))

    async def retrieve(name: str, claims: list[tuple[int, StorageDriverClaim]]) -> None:
        context = StorageDriverRetrieveContext()
        answers = await storage.by_name[name].retrieve(context, [claim for _, claim in claims])
        _require_as_many(name, len(answers), "payloads", len(claims))
        for (index, _), payload in zip(claims, answers, strict=True):
            found[index] = payload

    await together([retrieve(name, claims) for name, claims in away.items()])
    return found


def _chosen(storage: ExternalStorage, payload: Payload, target: Target) -> StorageDriver | None:
    if not may_leave(storage, payload):
        return None
    if storage.driver_selector is None:
        return storage.drivers[0]
    driver = storage.driver_selector(StorageDriverSelectContext(target), payload)
    if driver is not None and storage.by_name.get(driver.name()) is not driver:
        raise ValueError(
            f"Driver '{driver.name()}' returned by driver_selector is not registered in ExternalStorage.drivers"
        )
    return driver


def _require_as_many(driver: str, found: int, what: str, expected: int) -> None:
    if found != expected:
        raise ValueError(f"Driver '{driver}' returned {found} {what}, expected {expected}")


async def together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What the calls return, made at the same time; the first that fails cancels the others, and its error is raised as it is."""
    if len(calls) <= 1:
        return [await call for call in calls]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
