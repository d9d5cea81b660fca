"""A broker: devices publish to it, it delivers to the gateway at least once, and takes what the gateway sends."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from overwinter.edge.intake import Intake
from overwinter.edge.mqtt_messages import EVENT_ID, PublishOutcome, Receipts, Received
from overwinter.edge.outbox import Outbox
from overwinter.edge.triggers import Triggers, TriggerSettings
from overwinter.runtime.client import Client
from overwinter.runtime.engine import Engine
from overwinter.runtime.workflow._definition import workflow_definition

from .loop import Process
from .observer import Observer, Request
from .programs import QUEUE, Program

TRIGGERS = (
    TriggerSettings(topic="tell/{id}", id="{id}", action="signal", workflow="Program", signal="hear"),
    TriggerSettings(topic="begin/{id}", id="{id}", workflow="Program"),
)


@dataclass
class _Message:
    """What a device has published and the gateway has not acknowledged."""

    packet_id: int
    topic: str
    payload: bytes
    request: Request
    sent: bool = False


class Broker:
    """Keeps what a device has published until the gateway says that it has it."""

    def __init__(self, observer: Observer, seed: str) -> None:
        self.loss = 0.0
        """How often a packet breaks the connection."""
        self.delay_s_max = 0.01
        self.random = random.Random(seed)
        self.observer = observer
        self.unacknowledged: dict[int, _Message] = {}
        self._packet_id = 0
        self.connections = 0
        self._connection: _Connection | None = None

    async def tell(self, workflow_id: str, name: str) -> None:
        """A device tells an execution something."""
        request = self.observer.asks("message", workflow_id, name, -1)
        await self._publish(f"tell/{workflow_id}", json.dumps({"name": name}).encode(), request)

    async def begin(self, workflow_id: str, name: str, order: dict[str, Any]) -> None:
        """A device wants an execution to begin."""
        request = self.observer.asks("order", workflow_id, name, -1)
        await self._publish(f"begin/{workflow_id}", json.dumps(order).encode(), request)

    async def _publish(self, topic: str, payload: bytes, request: Request) -> None:
        self._packet_id += 1
        message = _Message(self._packet_id, topic, payload, request)
        self.unacknowledged[self._packet_id] = message
        if self._connection is not None:
            self._connection.deliver(message)

    def connect(self, process: Process, intake: Intake, outbox: Outbox) -> None:
        """The gateway connects, and does so again whenever the connection breaks, while it lives."""
        connection = self._connection = _Connection(self, process, intake, outbox)
        intake.connect(connection)
        outbox.connect(connection)
        connection.later(connection.begin)

    def reconnect(self, connection: _Connection) -> None:
        """After a break."""
        if self._connection is connection and not connection.process.killed:
            self.connect(connection.process, connection.intake, connection.outbox)

    def disconnect(self) -> None:
        """The gateway has gone."""
        if self._connection is not None:
            self._connection.connected = False
            self._connection = None


class _Connection:
    """One connection of the gateway: an `Acknowledger` and a `Publisher`. Packets keep their order in both directions."""

    def __init__(self, broker: Broker, process: Process, intake: Intake, outbox: Outbox) -> None:
        self.connected = False
        self.process = process
        self.intake = intake
        self.outbox = outbox
        self._broker = broker
        broker.connections += 1
        self._generation = broker.connections
        self._receipts = Receipts()
        self._due_s = 0.0
        self._waiting: list[Callable[[], None]] = []

    def later(self, action: Callable[[], None]) -> None:
        """Do this after what is on its way already, unless the connection breaks."""
        loop = asyncio.get_running_loop()
        self._due_s = max(self._due_s, loop.time() + self._broker.random.random() * self._broker.delay_s_max)
        self._waiting.append(action)
        loop.call_at(self._due_s, self._arrive, context=self.process.context.copy())

    def _arrive(self) -> None:
        if not self._waiting:
            return
        action = self._waiting.pop(0)
        if self._broker.loss and self._broker.random.random() < self._broker.loss:
            self._break_off()
        else:
            action()

    def _break_off(self) -> None:
        self.connected = False
        self._waiting.clear()
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, self._broker.reconnect, self, context=self.process.context.copy())

    def begin(self) -> None:
        """It stands: what was not acknowledged comes again."""
        self.connected = True
        self.intake.on_connected(True)
        self.outbox.on_connected()
        for message in list(self._broker.unacknowledged.values()):
            self.deliver(message)

    def deliver(self, message: _Message) -> None:
        """Send a message to the gateway."""
        if not self.connected:
            return
        receipt = self._receipts.add(message.packet_id)
        received = Received(
            topic=message.topic,
            payload=message.payload,
            qos=1,
            retain=False,
            duplicate=message.sent,
            packet_id=message.packet_id,
            generation=self._generation,
            receipt=receipt,
            user_properties=((EVENT_ID, message.request.name),),
        )
        message.sent = True
        self.later(lambda: self.intake.on_message(received))

    # -- what the gateway calls --------------------------------------------------------------------------

    def acknowledge(self, received: Received) -> None:
        """See `Acknowledger`; one of an earlier connection is worth nothing here."""
        if received.generation != self._generation or not self.connected:
            return
        for packet_id in self._receipts.finish(received.receipt):
            self.later(lambda number=packet_id: self._acknowledged(number))  # type: ignore[misc]

    def _acknowledged(self, packet_id: int) -> None:
        message = self._broker.unacknowledged.pop(packet_id, None)
        if message is not None:
            self._broker.observer.told(message.request, "acked")

    def publish(
        self,
        token: int,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: int | None,
        user_properties: list[tuple[str, str]],
    ) -> bool:
        """See `Publisher`."""
        if not self.connected:
            return False
        event_id = dict(user_properties)[EVENT_ID]
        self.later(lambda: self._take(token, event_id))
        return True

    def _take(self, token: int, event_id: str) -> None:
        self._broker.observer.published(event_id)
        self.later(lambda: self.outbox.on_published(token, PublishOutcome(True, 0, "success")))


def intake_of(engine: Engine, client: Client) -> Intake:
    """The intake of a gateway that has these triggers."""
    return Intake(
        engine,
        Triggers(TRIGGERS),
        {"Program": workflow_definition(Program)},
        client.values,
        answers=None,
        task_queue=QUEUE,
        flags_redelivery=True,
    )
