"""Histories opened for a person to read."""

from __future__ import annotations

import dataclasses

from ..converter import DataConverter
from ..core import codec
from ..core.events import Event
from ..core.payload_groups import Group, changed, changed_failure
from ..ports import AttemptRecord, Change, History


class Opened:
    """Histories as a person reads them: opened as far as that needs no waiting; the rest stays as it is stored."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter

    def history(self, history: History) -> History:
        """The same with its payloads opened."""
        if not self._converter.seals:
            return history
        return dataclasses.replace(history, events=[self.event(event) for event in history.events])

    def event(self, event: Event) -> Event:
        """The same with its payloads opened."""
        body = changed(event.body, self._group)
        return event if body is event.body else event._replace(body=body)

    def change(self, change: Change) -> Change:
        """The same with its payloads opened."""
        return dataclasses.replace(change, event=self.event(change.event))

    def attempt(self, record: AttemptRecord) -> AttemptRecord:
        """The same with its payloads opened."""
        if not self._converter.seals:
            return record
        beat, failed = record.heartbeat, record.failure
        if beat is not None:
            beat = codec.encode_payloads(self._group(codec.decode_payloads(beat)))
        if failed is not None:
            failed = codec.encode_failure(changed_failure(codec.decode_failure(failed), self._group))
        return dataclasses.replace(record, heartbeat=beat, failure=failed)

    def _group(self, payloads: Group) -> Group:
        try:
            opened = self._converter.open_now(payloads)
        except Exception:  # whatever a codec raises: what cannot be read here is described
            return payloads
        return payloads if opened is None else tuple(opened)
