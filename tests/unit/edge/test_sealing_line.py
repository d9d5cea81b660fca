"""Messages whose values have to be stored elsewhere: their order, and their acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from overwinter.edge import intake as intake_module
from overwinter.edge.intake import Intake
from overwinter.edge.mqtt_messages import Received
from overwinter.edge.triggers import Triggers
from overwinter.runtime.converter import DataConverter, ExternalStorage, StorageDriver, StorageDriverClaim
from overwinter.runtime.core.events import Signaled
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.external_storage.references import is_reference
from overwinter.runtime.journal import StorageFull
from overwinter.runtime.values import ConvertedValues
from tests.unit.edge.test_intake import FLOW, FakeEngine, FakeSession, message, settled
from tests.unit.gateways import QUEUE

LARGE = b'{"field": "north", "moisture": 0.1, "note": "' + b"x" * 500 + b'"}'
SMALL = b'{"field": "north", "moisture": 0.2}'


class Slow(StorageDriver):
    """Stores when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    def name(self) -> str:
        return "slow"

    async def store(self, context: Any, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future
        return [StorageDriverClaim({"n": str(len(self.waiting))}) for _ in payloads]

    async def retrieve(self, context: Any, claims: Sequence[StorageDriverClaim]) -> list[Payload]:
        raise NotImplementedError


class World:
    def __init__(self) -> None:
        self.driver, self.engine, self.session = Slow(), FakeEngine(), FakeSession()
        storage = ExternalStorage(drivers=[self.driver], payload_size_threshold=200)
        self.intake = Intake(
            self.engine,  # type: ignore[arg-type] - as much of one as intake needs
            Triggers([FLOW]),
            {},
            ConvertedValues(DataConverter(external_storage=storage)),
            answers=None,
            task_queue=QUEUE,
            flags_redelivery=True,
        )
        self.intake.connect(self.session)

    async def receives(self, packet_id: int, payload: bytes) -> Received:
        received = message(topic="farm/north/flow", payload=payload, packet_id=packet_id)
        self.intake.on_message(received)
        await settled()
        return received

    def signals(self) -> list[Signaled]:
        return [asked.what[2] for asked in self.engine.asked]


async def test_what_comes_later_waits_for_what_is_stored_first() -> None:
    world = World()
    large = await world.receives(1, LARGE)
    small = await world.receives(2, SMALL)
    assert world.signals() == []
    world.driver.waiting[0].set_result(None)
    await settled()
    first, second = world.signals()
    assert is_reference(first.args[0])
    assert not is_reference(second.args[0])
    assert world.session.acknowledged == []
    await world.engine.commit_all()
    assert world.session.acknowledged == [large, small]
    await world.receives(3, SMALL)
    assert len(world.signals()) == 3  # At once: nothing is in line any more.


async def test_large_values_are_stored_side_by_side_and_act_in_their_order() -> None:
    world = World()
    await world.receives(1, LARGE)
    await world.receives(2, LARGE.replace(b"0.1", b"0.3"))
    assert len(world.driver.waiting) == 2
    world.driver.waiting[1].set_result(None)
    await settled()
    assert world.signals() == []
    world.driver.waiting[0].set_result(None)
    await settled()
    assert len(world.signals()) == 2


@pytest.mark.parametrize("error", [StorageFull("no room"), PermissionError(13, "Permission denied")])
async def test_nothing_is_acknowledged_while_a_value_cannot_be_stored(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "_FULL_RETRY_S", 0.0)
    world = World()
    large = await world.receives(1, LARGE)
    world.driver.waiting[0].set_exception(error)
    while len(world.driver.waiting) < 2:
        await asyncio.sleep(0)
    assert (world.signals(), world.session.acknowledged, dict(world.intake.refused)) == ([], [], {})
    world.driver.waiting[1].set_result(None)
    await settled()
    await world.engine.commit_all()
    assert world.session.acknowledged == [large]


async def test_what_is_not_stored_when_the_gateway_ends_is_not_acknowledged() -> None:
    world = World()
    await world.receives(1, LARGE)
    await world.receives(2, SMALL)
    await world.intake.close()
    await settled()
    assert (world.signals(), world.session.acknowledged) == ([], [])
