"""Messages from workflows to devices: ``from overwinter import messages``.

A message that a workflow publishes is recorded in the commit of the step that published it, and sent until the broker
has answered for it, over restarts and weeks offline. It may arrive more than once: its MQTT user property `event-id`
is the same each time.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from .workflow._current import current

BODY_BYTES_MAX: Final = 256 * 1024


class MessageRefused(ValueError):
    """What was to be published is no message; nothing was recorded."""


def publish(
    topic: str, payload: Any = None, *, qos: int = 1, retain: bool = False, expires: timedelta | None = None
) -> None:
    """Send a message, in the same commit as this step of the workflow. Returns at once.

    `payload` is sent as it is when it is bytes or str, else as JSON. A message that waited longer than `expires`
    (on the gateway's clock) is dropped: set it on commands, since one that reaches a valve two days late is an accident.

    Raises:
        MessageRefused: the topic is no topic to publish to, the payload is no JSON or larger than 256 KiB.
    """
    _check_topic(topic)
    if qos not in (0, 1):
        raise MessageRefused(
            f"qos {qos} was given, expected 0 or 1: with 1 and the event-id a receiver gets each effect once"
        )
    expires_s = None if expires is None else expires.total_seconds()
    if expires_s is not None and expires_s <= 0:
        raise MessageRefused(f"expires is {expires}, expected a positive duration")
    current().publish(topic, _body(topic, payload), qos=qos, retain=retain, expires_s=expires_s)


def _check_topic(topic: str) -> None:
    if not topic or len(topic.encode()) > 65535:
        raise MessageRefused(f"a topic of {len(topic.encode())} bytes was given, expected 1 to 65535")
    for bad in "+#\0":
        if bad in topic:
            raise MessageRefused(
                f"topic {topic!r} has {bad!r}, which only subscriptions may have: publish to one topic"
            )


def _body(topic: str, payload: Any) -> bytes:
    if isinstance(payload, bytes):
        body = payload
    elif isinstance(payload, str):
        body = payload.encode()
    elif payload is None:
        body = b""
    else:
        try:
            body = json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise MessageRefused(
                f"the payload for {topic!r} is no JSON: {error}: give numbers, text, lists and maps, or bytes"
            ) from error
    if len(body) > BODY_BYTES_MAX:
        raise MessageRefused(
            f"the payload for {topic!r} has {len(body)} bytes, expected at most {BODY_BYTES_MAX}: send a reference to a file"
        )
    return body
