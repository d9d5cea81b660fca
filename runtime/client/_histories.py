"""Histories as a client reads them: Temporal's events, written from our records when someone looks at them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

from ..api._json import from_json_dict, to_json_dict
from ..core.events import Event, WorkflowStarted
from ..core.records import dataclass
from ..histories import FORMAT, event_from_json, from_lines
from ._errors import within
from ._execution import WorkflowHistoryEventFilterType

if TYPE_CHECKING:
    from ..api.history.v1 import HistoryEvent
    from ..frontend import Frontend
    from ..ports import Blocked
    from ._interceptors import FetchWorkflowHistoryEventsInput


class RecordedEvents(Sequence["HistoryEvent"]):
    """Our records of one run; as a sequence, Temporal's events, which are made once when the first is looked at."""

    def __init__(self, records: Sequence[Event], blocked: Blocked | None = None) -> None:
        self.records = records
        self._blocked = blocked
        self._written: list[HistoryEvent] | None = None

    def _events(self) -> list[HistoryEvent]:
        if self._written is None:
            from ..temporal.writing import HistoryWriter  # here: it costs time, and few look

            writer = HistoryWriter()
            self._written = [*writer.write(self.records), *writer.write_blocked(self._blocked)]
        return self._written

    def __len__(self) -> int:
        return len(self._events())

    @overload
    def __getitem__(self, index: int) -> HistoryEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[HistoryEvent]: ...
    def __getitem__(self, index: int | slice) -> HistoryEvent | list[HistoryEvent]:
        return self._events()[index]

    def __repr__(self) -> str:
        return repr(self._events())


@dataclass(frozen=True)
class WorkflowHistory:
    """The events of one run, in Temporal's form."""

    workflow_id: str
    events: Sequence[HistoryEvent]

    @staticmethod
    def of_records(workflow_id: str, records: Sequence[Event]) -> WorkflowHistory:
        """The history of one run from our records."""
        return WorkflowHistory(workflow_id, RecordedEvents(records))

    @property
    def records(self) -> Sequence[Event] | None:
        """Our records; None for a history that was read from Temporal's form."""
        return self.events.records if isinstance(self.events, RecordedEvents) else None

    @property
    def run_id(self) -> str:
        """The run whose history it is.

        Raises:
            RuntimeError: there is no event, or the first one is no start.
        """
        if self.records:
            started = self.records[0].body
            if isinstance(started, WorkflowStarted):
                return started.run_id
        if not self.events:
            raise RuntimeError("No events")
        if not self.events[0].HasField("workflow_execution_started_event_attributes"):
            raise RuntimeError("First event is not workflow start")
        attributes = self.events[0].workflow_execution_started_event_attributes
        return attributes.original_execution_run_id

    def to_json_dict(self) -> dict[str, Any]:
        """The history as JSON values in Temporal's form."""
        from ..api.history.v1 import History  # as above

        return to_json_dict(History(events=self.events))

    def to_json(self) -> str:
        """The history as text in Temporal's form, which its tools and `from_json` read; the workflow id is in its start."""
        return json.dumps(self.to_json_dict(), indent=2)

    @staticmethod
    def from_json(workflow_id: str, history: str | dict[str, Any]) -> WorkflowHistory:
        """The history that `to_json` wrote, or Temporal's server, command line or page, or ``overwinter export``.

        Raises:
            ValueError: it is none, or of a newer version; the message says where.
        """
        if isinstance(history, str) and _is_lines(history):
            return WorkflowHistory.of_records(workflow_id, from_lines(history.splitlines())[1])
        found = _parsed(history) if isinstance(history, str) else history
        if not isinstance(found, dict):
            raise ValueError("JSON history not a dictionary")  # noqa: TRY004 - as the SDK
        values = cast("dict[str, Any]", found)
        events = values.get("events")
        if not isinstance(events, list):
            raise ValueError("History does not have iterable 'events'")  # noqa: TRY004 - as the SDK
        if values.get("format") == FORMAT:
            records = [event_from_json(event) for event in cast("list[Any]", events)]
            return WorkflowHistory.of_records(workflow_id, records)
        return WorkflowHistory(workflow_id, _read(cast("list[Any]", events)))


def _is_lines(text: str) -> bool:
    """Whether it is several JSON values, the first of which is a header of ours."""
    first, _, more = text.partition("\n")
    return FORMAT in first and first.rstrip().endswith("}") and bool(more.strip())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON of a history is nested too deeply") from None


def _read(events: Iterable[Any]) -> list[HistoryEvent]:
    from ..api.history.v1 import HistoryEvent  # as above

    found: list[HistoryEvent] = []
    for number, event in enumerate(events, 1):
        if not isinstance(event, dict):
            raise ValueError("Event not a dictionary")  # noqa: TRY004 - as the SDK
        found.append(from_json_dict(HistoryEvent, event, f"event {number}"))
    return found


class WorkflowHistoryEventAsyncIterator:
    """The events of a run, a page at a time."""

    def __init__(self, frontend: Frontend, input: FetchWorkflowHistoryEventsInput) -> None:
        from ..temporal.writing import HistoryWriter  # as above

        self._frontend = frontend
        self._input = input
        self._run_id = input.run_id
        self._writer = HistoryWriter()
        self._records: list[Event] = []
        self._blocked: Blocked | None = None
        self._more = True
        self._skip = int(input.next_page_token) if input.next_page_token else 0
        self._ready: list[HistoryEvent] = []
        """Read, but on no page yet."""
        self._page: list[HistoryEvent] | None = None
        self._index = 0

    @property
    def current_page_index(self) -> int:
        """The place of the next event in the page."""
        return self._index

    @property
    def current_page(self) -> Sequence[HistoryEvent] | None:
        """The page that was fetched last."""
        return self._page

    @property
    def next_page_token(self) -> bytes | None:
        """Where the next page begins; None when there is none."""
        if not self._more and not self._ready:
            return None
        return str(self._page[-1].event_id if self._page else self._skip).encode() or None

    async def fetch_next_page(self, *, page_size: int | None = None) -> None:
        """Fetch the next page, whatever is left of this one."""
        while self._more and not self._ready:
            written = [*self._writer.write(await self._fetch())]
            if not self._more:
                written += self._writer.write_blocked(self._blocked)
            last_only = self._input.event_filter_type == WorkflowHistoryEventFilterType.CLOSE_EVENT
            self._ready = [event for event in written if event.event_id > self._skip]
            if last_only:
                self._ready = [] if self._more else self._ready[-1:]
        size = page_size or self._input.page_size or len(self._ready)
        self._page, self._ready = self._ready[:size], self._ready[size:]
        self._index = 0

    async def _fetch(self) -> Sequence[Event]:
        after = self._records[-1].sequence if self._records else 0
        async with within(self._input.rpc_timeout):
            page = await self._frontend.workflow_events(
                self._input.id, self._run_id, after, self._input.wait_new_event, False
            )
        self._run_id, self._more, self._blocked = page.run_id, page.more, page.blocked
        self._records += page.events
        return page.events

    async def rest(self) -> Sequence[HistoryEvent]:
        """All that are left; without a wish for some of them, as records that become events when they are looked at."""
        chosen = self._input.event_filter_type == WorkflowHistoryEventFilterType.CLOSE_EVENT or self._skip
        if chosen or self._page is not None:
            return [event async for event in self]
        while self._more:
            await self._fetch()
        return RecordedEvents(self._records, self._blocked)

    def __aiter__(self) -> WorkflowHistoryEventAsyncIterator:
        return self

    async def __anext__(self) -> HistoryEvent:
        while self._page is None or self._index >= len(self._page):
            if not self._more and not self._ready:
                raise StopAsyncIteration
            await self.fetch_next_page()
        self._index += 1
        return self._page[self._index - 1]


async def history_of(workflow_id: str, events: AsyncIterator[HistoryEvent]) -> WorkflowHistory:
    """The history that these events are."""
    if isinstance(events, WorkflowHistoryEventAsyncIterator):
        return WorkflowHistory(workflow_id, await events.rest())
    return WorkflowHistory(workflow_id, [event async for event in events])
