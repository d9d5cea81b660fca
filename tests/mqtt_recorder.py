"""A session that writes down what happens to it, for tests, and waits for it with a deadline."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from overwinter.edge.mqtt import MqttSession, MqttSettings, PublishOutcome, Received

DEADLINE_S = 12.0


async def eventually(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until `condition()` is true; fail with `what` when it does not become true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"still not: {what}"
        await asyncio.sleep(0.01)


async def quiet(condition: Callable[[], object], what: str, for_s: float = 0.4) -> None:
    """Check that `condition()` stays false for a while; fail with `what` when it becomes true."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        assert not condition(), what
        await asyncio.sleep(0.01)


def settings_for(broker: Any, client_id: str, **changes: Any) -> MqttSettings:
    """Settings for a test broker, with short waits."""
    values: dict[str, Any] = {
        "host": broker.host,
        "port": broker.port,
        "client_id": client_id,
        "backoff_s_first": 0.02,
        "backoff_s_max": 0.2,
        "connect_timeout_s": 5.0,
    }
    return MqttSettings(**{**values, **changes})


class Recorder:
    """Everything that one session reported. `handle` may be replaced to act on a message."""

    def __init__(self, settings: MqttSettings, subscriptions: Sequence[str] = ()) -> None:
        self.messages: list[Received] = []
        self.connections: list[tuple[bool, int]] = []
        self.losses: list[str] = []
        self.outcomes: dict[int, PublishOutcome] = {}
        self.handle: Callable[[Received], None] = lambda _received: None
        self.connected: Callable[[], None] = lambda: None
        self.session = MqttSession(
            settings,
            subscriptions=subscriptions,
            on_message=self._message,
            on_connected=self._connected,
            on_disconnected=self.losses.append,
            on_published=self._published,
            source=random.Random(20261124),
        )

    @property
    def payloads(self) -> list[str]:
        """Payloads in order of receipt, over all connections."""
        return [received.payload.decode() for received in self.messages]

    def _message(self, received: Received) -> None:
        self.messages.append(received)
        self.handle(received)

    def _connected(self, session_present: bool, generation: int) -> None:
        self.connections.append((session_present, generation))
        self.connected()

    def _published(self, token: int, outcome: PublishOutcome) -> None:
        self.outcomes[token] = outcome


@asynccontextmanager
async def running(settings: MqttSettings, *subscriptions: str) -> AsyncIterator[Recorder]:
    """A recorder whose session runs, connected and subscribed, until the block ends."""
    recorder = Recorder(settings, subscriptions)
    task = asyncio.create_task(recorder.session.run())
    try:
        await eventually(lambda: recorder.session.connected or task.done(), "connected")
        if not task.done():
            await eventually(lambda: recorder.session.subscribed, "subscribed")
        yield recorder
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()


async def publish(settings: MqttSettings, topic: str, payloads: Sequence[str], **options: Any) -> None:
    """Publish at QoS 1 with a client of its own and wait until the broker has all of them."""
    async with running(settings) as sender:
        for token, payload in enumerate(payloads):
            await eventually(
                lambda token=token, payload=payload: sender.session.publish(
                    token, topic, payload.encode(), **options
                ),
                "room in the window",
            )
        await eventually(lambda: len(sender.outcomes) == len(payloads), "every publication answered")
        assert all(outcome.accepted for outcome in sender.outcomes.values())
