"""What comes in and what became of what went out: the values that an MQTT session hands over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

EVENT_ID = "event-id"
"""The user property that names a message's effect; a receiver drops a repeat of it."""


@dataclass(slots=True)
class Received:
    """One message as it arrived. Read-only by convention; thousands come per second and freezing costs."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    """The broker says that it may have sent this before. Some brokers never say so: do not rely on it."""
    packet_id: int
    """The broker's number for the delivery, unique only among unacknowledged ones of one connection."""
    generation: int
    """The connection it came on. An acknowledgement is worth something on that connection only."""
    receipt: int
    """Position in the order of receipt among this connection's QoS 1 messages, from 0; -1 at QoS 0."""
    user_properties: tuple[tuple[str, str], ...] = ()
    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = None

    @property
    def event_id(self) -> str | None:
        """The value of the first user property `event-id`, or None."""
        return next((value for name, value in self.user_properties if name == EVENT_ID), None)


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """The final answer to a publication: the broker has it, or will never take it as it is.

    `reason_code` is that of the PUBACK (MQTT 5.0, 3.4.2.1), or the one that the broker would have
    given when the message was refused before it was sent.
    """

    accepted: bool
    reason_code: int
    reason: str


class Receipts:
    """Unacknowledged QoS 1 messages of one connection; releases them in order of receipt only.

    MQTT 5.0, 4.6: PUBACKs are sent in the order in which the PUBLISH packets came. Handlers finish in
    any order, so a finished message waits until all before it are finished. Bounded by the Receive Maximum
    that the broker keeps to.
    """

    __slots__ = ("_done", "_first", "_packet_ids")

    def __init__(self) -> None:
        self._packet_ids: deque[int] = deque()
        self._done: deque[bool] = deque()
        self._first = 0

    def __len__(self) -> int:
        return len(self._packet_ids)

    def add(self, packet_id: int) -> int:
        """Record a message and return its position in the order of receipt."""
        self._packet_ids.append(packet_id)
        self._done.append(False)
        return self._first + len(self._packet_ids) - 1

    def finish(self, receipt: int) -> Iterator[int]:
        """Mark one message as done and yield the packet ids that may be acknowledged now, in order.

        Marking a message again changes nothing.
        """
        index = receipt - self._first
        if 0 <= index < len(self._done):
            self._done[index] = True
        while self._done and self._done[0]:
            self._done.popleft()
            self._first += 1
            yield self._packet_ids.popleft()
