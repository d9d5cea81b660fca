"""Histories as JSON: an object for each event, and files of JSON lines with a header in front."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast

from .core import codec
from .core.events import Event, WorkflowStarted, event_name

FORMAT: Final = "overwinter-history-1"
"""Readers know the versions before theirs too."""


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as JSON values; `type` is for people, `data` holds the event."""
    return {
        "sequence": event.sequence,
        "activation": event.activation,
        "at_us": event.at_us,
        "type": event_name(event.body),
        "kind": codec.kind_of(event.body),
        "data": base64.b64encode(codec.encode_body(event.body)).decode(),
    }


def event_from_json(found: Any) -> Event:
    """The event that `event_to_json` wrote.

    Raises:
        ValueError: it is none; the message says what is wrong with it.
    """
    if not isinstance(found, dict):
        raise ValueError(f"expected an event, a JSON object, found {type(found).__name__}")  # noqa: TRY004 - as documented
    values = cast("dict[str, Any]", found)
    numbers: list[int] = []
    for name in ("sequence", "activation", "at_us", "kind"):
        value = values.get(name)
        if not isinstance(value, int):
            raise ValueError(f"expected a whole number as {name!r}, found {value!r}")  # noqa: TRY004 - as documented
        numbers.append(value)
    sequence, activation, at_us, kind = numbers
    try:
        data = base64.b64decode(str(values.get("data")), validate=True)
        return Event(sequence, activation, at_us, codec.decode_body(kind, data))
    except (binascii.Error, codec.EventUnreadable) as error:
        raise ValueError(f"event {sequence} cannot be read: {error}") from error


def to_lines(workflow_id: str, events: Sequence[Event]) -> Iterator[str]:
    """A history as JSON lines: a header, then an event in each."""
    started = events[0].body if events else None
    header = {"format": FORMAT, "workflow_id": workflow_id}
    if isinstance(started, WorkflowStarted):
        header |= {"run_id": started.run_id, "type": started.workflow_type}
    yield json.dumps(header) + "\n"
    for event in events:
        yield json.dumps(event_to_json(event), separators=(",", ":")) + "\n"


def from_lines(lines: Iterable[str]) -> tuple[str, list[Event]]:
    """The workflow id and the events that `to_lines` wrote.

    Raises:
        ValueError: it is no such history, or not whole; the message names the line.
    """
    events: list[Event] = []
    workflow_id: str | None = None
    for number, line in enumerate(lines, 1):
        try:
            found: Any = json.loads(line)
            if workflow_id is None:
                workflow_id = _workflow_id(found)
                continue
            event = event_from_json(found)
            if event.sequence != len(events) + 1:
                raise ValueError(f"expected event {len(events) + 1}, found event {event.sequence}")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from None
        events.append(event)
    if workflow_id is None or not events:
        raise ValueError("no history: there is no event")
    return workflow_id, events


def _workflow_id(header: Any) -> str:
    found = cast("dict[str, Any]", header) if isinstance(header, dict) else {}
    if found.get("format") != FORMAT or not isinstance(found.get("workflow_id"), str):
        raise ValueError(f'no history: expected a header with "format": "{FORMAT}" and a "workflow_id"')
    return str(found["workflow_id"])
