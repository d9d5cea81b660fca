"""Messages out: from the outbox, where a workflow's commit put them, to the broker's answer.

A message leaves the outbox when the broker has taken it, has refused it for good (it is parked then), or when it has
expired. Until then it is sent again on every new connection, in the order of the commits, under the same event id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from typing import Final, Protocol

from overwinter.runtime.engine import Engine
from overwinter.runtime.ports import Batch, OutgoingMessage, ParkedMessage

from .mqtt_messages import EVENT_ID, PublishOutcome

_log = logging.getLogger(__name__)

_PAGE: Final = 200


class Publisher(Protocol):
    """What the outbox needs of the MQTT session."""

    @property
    def connected(self) -> bool:
        """Whether a message could be sent now."""
        ...

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
        """Send it; False when it cannot be sent now."""
        ...


class Outbox:
    """Sends what waits, while `run` runs."""

    def __init__(self, engine: Engine, *, clock_speed: float = 1.0) -> None:
        self.counters: Counter[str] = Counter()
        """``sent``, ``refused``, ``expired``."""
        self._engine = engine
        self._clock_speed = clock_speed
        self._session: Publisher | None = None
        self._sending: dict[int, OutgoingMessage] = {}
        self._answered: set[int] = set()
        self._next: deque[OutgoingMessage] = deque()
        self._read_up_to = 0
        self._caught_up = False
        self._committed_since_read = False
        self._connections = 0
        self._wake = asyncio.Event()

    def connect(self, session: Publisher) -> None:
        """Send through this session."""
        self._session = session

    def on_connected(self) -> None:
        """A connection begins: whatever has no answer is sent again."""
        self._connections += 1
        self._sending.clear()
        self._next.clear()
        self._read_up_to = 0
        self._caught_up = False
        self._wake.set()

    def on_published(self, token: int, outcome: PublishOutcome) -> None:
        """The broker has answered for a message."""
        message = self._sending.pop(token, None)
        if message is None:
            return
        if outcome.accepted:
            self.counters["sent"] += 1
        else:
            self.counters["refused"] += 1
            detail = f"the broker refused it with reason {outcome.reason_code:#04x} ({outcome.reason})"
            self._engine.park(
                ParkedMessage(
                    0, self._engine.now_us(), message.topic, "publish_refused", detail, message.body
                )
            )
        self._finish(message)
        if self._next or not self._caught_up:
            self._wake.set()

    def on_committed(self, batch: Batch) -> None:
        """A commit was made: what it put into the outbox can be sent without reading it back."""
        self._answered.difference_update(batch.sent)
        if not batch.outgoing:
            return
        if self._caught_up:
            self._next.extend(batch.outgoing)
            self._read_up_to = batch.outgoing[-1].id
            self._send()
        else:
            self._committed_since_read = True
            self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._session is None or not self._session.connected:
                continue
            if not self._next and not self._caught_up:
                await self._read()
            self._send()

    async def _read(self) -> None:
        self._committed_since_read = False
        connection = self._connections
        page = await self._engine.journal.outbox(self._read_up_to, _PAGE)
        if connection != self._connections:
            return  # Another connection has begun meanwhile, and reads from the start.
        known = {message.id for message in self._next}
        self._next.extend(message for message in page if message.id not in self._answered | known)
        if page:
            self._read_up_to = page[-1].id
        # What was committed while the page was read may not be in it.
        self._caught_up = len(page) < _PAGE and not self._committed_since_read
        if not self._caught_up:
            self._wake.set()

    def _send(self) -> None:
        while self._next and self._session is not None:
            message = self._next[0]
            expiry_s = self._seconds_left(message)
            if expiry_s is not None and expiry_s <= 0:
                self._next.popleft()
                self.counters["expired"] += 1
                _log.warning(
                    "a message for %r waited longer than it was worth, and was dropped", message.topic
                )
                self._finish(message)
                continue
            # Before the call: a refusal may be answered from inside it.
            self._sending[message.id] = message
            sent = self._session.publish(
                message.id,
                message.topic,
                message.body,
                qos=message.qos,
                retain=message.retain,
                expiry_s=None if expiry_s is None else max(1, round(expiry_s)),
                user_properties=[(EVENT_ID, message.event_id)],
            )
            if not sent:
                self._sending.pop(message.id, None)
                return
            if self._next and self._next[0] is message:
                self._next.popleft()

    def _seconds_left(self, message: OutgoingMessage) -> float | None:
        if message.expires_at_us is None:
            return None
        return (message.expires_at_us - self._engine.now_us()) / 1_000_000 / self._clock_speed

    def _finish(self, message: OutgoingMessage) -> None:
        self._answered.add(message.id)
        self._engine.note_sent([message.id])
