"""One durable MQTT 5 session on the running asyncio loop.

The session is the broker's memory of us (subscriptions, and QoS 1 messages that we have not acknowledged).
It outlives connections and processes; `MqttSession` keeps one connection at a time to it, each a *generation*
with nothing left over from the one before.

Rules that callers rely on:

* A message is acknowledged when `acknowledge` has been called for it *and for all that came before it*.
  What is not acknowledged when the connection ends comes again on the next one, in order.
* An acknowledgement counts on the generation that brought the message. After a reconnect packet ids are
  given anew: the late acknowledgement of an old message would destroy a new one. It is dropped and counted.
* A publication is answered by `on_published` or not at all. After `on_disconnected` no answer comes any
  more: publish again what is unanswered on the next `on_connected`, with the same event id.
* A callback that raises ends the connection, since nobody can say how much it has done. The message comes
  again after the backoff. Catch inside the callback what is expected, and acknowledge what can never be
  handled.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from .mqtt_connection import ConnectFailed, Connection, Lost
from .mqtt_messages import PublishOutcome, Received
from .mqtt_settings import MqttSettings, MqttSettingsError, check_subscription

__all__ = [
    "Backoff",
    "MqttCounters",
    "MqttSession",
    "MqttSettings",
    "MqttSettingsError",
    "PublishOutcome",
    "Received",
    "check_subscription",
]

logger = logging.getLogger(__name__)

UNSTABLE_IN_A_ROW = 5
"""So many short connections are reported once: Mosquitto 2.0 does not say when another client takes over."""


@dataclass(slots=True)
class MqttCounters:
    """What has happened since the session object was made; each only grows."""

    received: int = 0
    acknowledged: int = 0
    stale_acknowledgements: int = 0
    published: int = 0
    """Publications that the broker accepted."""
    refused: int = 0
    """Publications that the broker, or a bound, refused for good."""
    connections: int = 0
    reconnects: int = 0
    failed_connects: int = 0
    takeovers: int = 0
    """Connections that the broker ended because another client uses our client id, when it said so."""
    unstable: int = 0
    """Accepted connections that ended before `stable_after_s`."""
    refused_subscriptions: int = 0
    callback_errors: int = 0


class Backoff:
    """Waiting times between attempts: exponential, with full jitter: a fleet does not return as one."""

    def __init__(self, s_first: float, s_max: float, source: random.Random) -> None:
        self._s_first = s_first
        self._s_max = s_max
        self._random = source
        self._attempt = 0

    def next_s(self) -> float:
        """Seconds to wait now: 0 up to `s_first`, then up to twice as much each time, at most `s_max`."""
        limit = min(self._s_max, self._s_first * 2.0 ** min(self._attempt, 64))
        self._attempt += 1
        return self._random.uniform(0, limit)

    def longest_s(self) -> float:
        """Seconds to wait when hurrying does harm: between half of `s_max` and `s_max`."""
        self._attempt += 1
        return self._random.uniform(self._s_max / 2, self._s_max)

    def reset(self) -> None:
        """Begin with `s_first` again."""
        self._attempt = 0


class MqttSession:
    """Keeps one durable session connected while `run` runs, and hands over what happens.

    All callbacks are plain functions, called on the loop one after another:

    * `on_connected(session_present, generation)`: before the first message of a connection. False although
      there was a session means that the broker lost it, with every message that it kept for us: a gap.
    * `on_message(received)`: in order of receipt.
    * `on_published(token, outcome)`: the broker's final answer to `publish`.
    * `on_disconnected(reason)`: after a connection that had been reported.

    Raises:
        MqttSettingsError: a subscription is malformed.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        subscriptions: Sequence[str],
        on_message: Callable[[Received], None],
        on_connected: Callable[[bool, int], None],
        on_disconnected: Callable[[str], None],
        on_published: Callable[[int, PublishOutcome], None],
        source: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.counters = MqttCounters()
        self.session_present: bool | None = None
        """What the broker said at the last connect; None before the first."""
        self.subscriptions = tuple(check_subscription(topic_filter) for topic_filter in subscriptions)
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_published = on_published
        self._backoff = Backoff(settings.backoff_s_first, settings.backoff_s_max, source or random.Random())
        self._connection: Connection | None = None
        self._generation = 0
        self._last_reason = ""
        self._unstable_in_a_row = 0

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the current connection and it has not ended."""
        return self._connection is not None and self._connection.live

    @property
    def subscribed(self) -> bool:
        """Whether the broker has answered the subscriptions of this connection; some may be refused."""
        return self._connection is not None and self._connection.subscribed

    @property
    def generation(self) -> int:
        """Number of the latest connection attempt, from 1."""
        return self._generation

    @property
    def in_flight(self) -> int:
        """Publications that wait for the broker's answer."""
        return self._connection.in_flight if self._connection is not None else 0

    @property
    def unacknowledged(self) -> int:
        """Messages received on this connection and not yet acknowledged; at most `receive_maximum`."""
        return self._connection.unacknowledged if self._connection is not None else 0

    @property
    def refused_subscriptions(self) -> Mapping[str, str]:
        """Filters that the broker refused on this connection, and why."""
        return self._connection.refused_subscriptions if self._connection is not None else {}

    async def run(self) -> None:
        """Keep the session connected until cancelled; then say goodbye, leaving the session at the broker."""
        while True:
            lost = await self._connection_lifetime()
            wait_s = self._backoff.longest_s() if lost.takeover else self._backoff.next_s()
            self._log_loss(lost, wait_s)
            await anyio.sleep(wait_s)

    def acknowledge(self, received: Received) -> None:
        """Mark a message as done; its PUBACK goes out when all that came before it are done too."""
        connection = self._connection
        if connection is None or not connection.live or received.generation != connection.generation:
            self.counters.stale_acknowledgements += 1
            return
        self.counters.acknowledged += connection.acknowledge(received.receipt)

    def publish(
        self,
        token: int,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        user_properties: Sequence[tuple[str, str]] = (),
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
    ) -> bool:
        """Send a message; True when it is on its way and `on_published(token, ...)` will follow.

        False when not connected, or when `in_flight_max` messages wait for an answer: try again after the
        next `on_published` or `on_connected`. `expiry_s`: seconds after which the broker no longer delivers
        it. At QoS 0 "published" means written to the socket. What no broker could take (a wildcard in the
        topic, a packet above `packet_bytes_max`) is refused through `on_published` as well.
        """
        if self._connection is None:
            return False
        return self._connection.publish(
            token,
            topic,
            payload,
            qos=qos,
            retain=retain,
            expiry_s=expiry_s,
            user_properties=user_properties,
            response_topic=response_topic,
            correlation_data=correlation_data,
        )

    async def _connection_lifetime(self) -> Lost:
        """One generation from dialling to the end; answers why it ended."""
        self._generation += 1
        connection = Connection(
            self.settings,
            self._generation,
            self.subscriptions,
            on_connected=self._connected,
            on_message=self._received,
            on_published=self._published,
        )
        self._connection = connection
        lost = Lost("this side stops")
        try:
            await connection.open()
            lost = await self._settled_lifetime(connection)
        except ConnectFailed as error:
            lost = error.lost
            self.counters.failed_connects += 1
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()
            self._connection = None
            if connection.accepted:
                self._disconnected(lost.reason)
        return lost

    async def _settled_lifetime(self, connection: Connection) -> Lost:
        self.counters.refused_subscriptions += len(connection.refused_subscriptions)
        opened_at = anyio.current_time()
        lost = await connection.ended()
        if anyio.current_time() - opened_at >= self.settings.stable_after_s:
            self._backoff.reset()
            self._unstable_in_a_row = 0
            self._last_reason = ""
        else:
            self.counters.unstable += 1
            self._unstable_in_a_row += 1
        return lost

    def _log_loss(self, lost: Lost, wait_s: float) -> None:
        """One line for each new cause; a broker that is away for weeks does not fill the log."""
        if lost.takeover:
            self.counters.takeovers += 1
        if lost.takeover or self._unstable_in_a_row == UNSTABLE_IN_A_ROW:
            logger.error(
                "MQTT: %s another client uses the client id %r and the two disconnect each other; "
                "give each its own",
                "" if lost.takeover else f"{UNSTABLE_IN_A_ROW} short connections, perhaps",
                self.settings.client_id,
            )
        level = logging.DEBUG if lost.reason == self._last_reason else logging.WARNING
        logger.log(level, "MQTT: %s; next attempt in %.1f s", lost.reason, wait_s)
        self._last_reason = lost.reason

    # What the connection reports. An error of a callback is counted and ends the connection.

    def _connected(self, session_present: bool) -> None:
        self.counters.connections += 1
        self.counters.reconnects = self.counters.connections - 1
        self.session_present = session_present
        logger.info(
            "MQTT: connected to %s as %r, session %s",
            self.settings.address,
            self.settings.client_id,
            "resumed" if session_present else "new",
        )
        with self._counting_errors():
            self._on_connected(session_present, self._generation)

    def _received(self, received: Received) -> None:
        self.counters.received += 1
        with self._counting_errors():
            self._on_message(received)

    def _published(self, token: int, outcome: PublishOutcome) -> None:
        if outcome.accepted:
            self.counters.published += 1
        else:
            self.counters.refused += 1
        with self._counting_errors():
            self._on_published(token, outcome)

    def _disconnected(self, reason: str) -> None:
        try:
            with self._counting_errors():
                self._on_disconnected(reason)
        except Exception:  # there is no connection left to end
            logger.exception("MQTT: on_disconnected raised")

    @contextmanager
    def _counting_errors(self) -> Generator[None, None, None]:
        try:
            yield
        except Exception:
            self.counters.callback_errors += 1
            raise
