"""An engine's side of the port: calls to executions and their updates, and lists of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ..common import QueryRejectCondition
from ..core import codec
from ..core.commands import CompleteUpdate
from ..core.events import Closing, Event, Signaled, UpdateAccepted
from ..core.instance import ActivationFailed
from ..core.payload import Payload
from ..core.state import ExecutionState
from ..engine import Engine
from ..exceptions import FailureError
from ..follow_ups import cron_wait_s
from ..journal.errors import JournalError
from ..ports import OPEN, ExecutionRecord, History, Journal
from ..requests import EngineClosed, NoSuchExecution, NoWorker, Once, StartRequest, WithUpdate, receipt
from ..service import RPCError, RPCStatusCode
from ..updates import UpdateRejected, UpdateTicket
from ..visibility import Filter, Scope, parse
from .activities import ActivityCalls, command_of
from .control import ControlCalls
from .errors import translated
from .records import (
    Begun,
    BegunWithUpdate,
    ConcurrencyStanding,
    CountedGroup,
    EventPage,
    ExecutionDetails,
    ExecutionPage,
    ExecutionSummary,
    PendingActivity,
    PendingChild,
    QueryFailed,
    QueryRejected,
    UpdateProgress,
)
from .schedules import ScheduleCalls

_ORDERED_MAX = 10_000
"""Executions that a filter with an order of its own lists, in one page."""
_PAGE_ENTRIES_MAX = 1000
"""Executions in a page whose bytes are bounded."""
_WORKER_LOOK_S = 0.01
_RUNNING_SHOWN = 10
_SUMMARY_BYTES = 500
"""About what an execution takes in a page, without its memo."""

T = TypeVar("T")


class EngineFrontend(ActivityCalls, ScheduleCalls, ControlCalls):
    """A `Frontend` in the process of its engine. A page has so many bytes of events or memos, but always one entry."""

    def __init__(self, engine: Engine, *, page_bytes_max: int | None = None) -> None:
        super().__init__(engine)
        self._page_bytes_max = page_bytes_max

    @property
    def _journal(self) -> Journal:
        return self._engine.journal

    # -- starts ----------------------------------------------------------------------------------------

    async def start_workflow(
        self, request: StartRequest, reuse: int, on_conflict: str, once: Once | None = None
    ) -> Begun:
        """See `Frontend`."""
        with translated():
            effect = await self._effect(once)
            if effect is not None:
                return Begun(await self._execution(effect), True)
            record, started = await self._engine.start_checked(
                self._timed(request), reuse=reuse, on_conflict=on_conflict, received=receipt(once)
            )
            return Begun(record, started)

    def _timed(self, request: StartRequest) -> StartRequest:
        if not request.cron:
            return request
        wait_s = cron_wait_s(request.cron, self._engine.now_us())
        return replace(request, first_delay_s=request.first_delay_s or wait_s)

    async def start_workflow_with_update(
        self,
        request: StartRequest,
        update: UpdateAccepted,
        reuse: int,
        on_conflict: str,
        once: Once | None = None,
    ) -> BegunWithUpdate:
        """See `Frontend`."""
        attached = WithUpdate(update)
        with translated():
            effect = await self._effect(once)
            if effect is None:
                record = await self._run_that_had(request.workflow_id, update.update_id)
            else:
                record = await self._execution(effect)
            if record is None:
                record, started = await self._engine.start_checked(
                    replace(self._timed(request), update=attached),
                    reuse=reuse,
                    on_conflict=on_conflict,
                    received=receipt(once),
                )
                if not started:
                    attached.ticket = None
            ticket = attached.ticket
            try:
                if ticket is None:
                    ticket = await self._engine.update(
                        record.workflow_id, record.run_id, update, received=receipt(once)
                    )
                return BegunWithUpdate(record, await _accepted(ticket), None)
            except UpdateRejected as error:
                return BegunWithUpdate(record, None, error.failure)

    async def _run_that_had(self, workflow_id: str, update_id: str) -> ExecutionRecord | None:
        """The latest run, when it has had this update already: it is open, or the update has completed."""
        runs = await self._journal.executions(workflow_id=workflow_id, limit=1)
        if not runs:
            return None
        known = (await self._journal.history(runs[0])).state.updates.get(update_id)
        if known is not None and (runs[0].status == OPEN or known.completed is not None):
            return runs[0]
        return None

    # -- messages --------------------------------------------------------------------------------------

    async def signal_workflow(
        self, workflow_id: str, run_id: str | None, signal: Signaled, once: Once | None = None
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                await self._engine.signal(workflow_id, run_id, signal, received=receipt(once))

    async def query_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        query: str,
        args: tuple[Payload, ...],
        headers: Mapping[str, Payload],
        reject_condition: int | None,
        patience_s: float,
    ) -> Payload:
        """See `Frontend`."""
        with translated():
            if reject_condition not in (None, QueryRejectCondition.NONE):
                await self._check_status(workflow_id, run_id, reject_condition)
            loop = asyncio.get_running_loop()
            deadline = loop.time() + patience_s
            while True:
                try:
                    return await self._engine.queries.answer(workflow_id, run_id, query, args, headers)
                except NoWorker as error:
                    if loop.time() >= deadline:
                        raise RPCError(
                            f"Timeout expired: {error}", RPCStatusCode.DEADLINE_EXCEEDED
                        ) from error
                    await asyncio.sleep(_WORKER_LOOK_S)
                except (NoSuchExecution, EngineClosed, JournalError):
                    raise
                except Exception as error:  # whatever the handler raised
                    raise _query_failed(error) from None

    async def _check_status(self, workflow_id: str, run_id: str | None, condition: int) -> None:
        status = (await self._engine.find(workflow_id, run_id)).status
        if status != OPEN and (condition == QueryRejectCondition.NOT_OPEN or status != "completed"):
            raise QueryRejected(status)

    async def update_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        update: UpdateAccepted,
        first_run_id: str | None,
        once: Once | None = None,
    ) -> UpdateProgress:
        """See `Frontend`."""
        with translated():
            effect = await self._effect(once)
            if effect is None:
                ticket = await self._engine.updates.send(
                    workflow_id, run_id, update, only_chain=first_run_id, received=receipt(once)
                )
            else:
                record = await self._execution(effect)
                ticket = await self._engine.updates.find(workflow_id, record.run_id, update.update_id)
            return await _accepted(ticket)

    async def update_outcome(self, workflow_id: str, run_id: str | None, update_id: str) -> CompleteUpdate:
        """See `Frontend`."""
        with translated():
            ticket = await self._engine.updates.find(workflow_id, run_id, update_id)
            return await asyncio.shield(ticket.completed)

    # -- ends ------------------------------------------------------------------------------------------

    async def cancel_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        reason: str,
        first_run_id: str | None,
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is not None:
                return
            try:
                await self._engine.cancel(
                    workflow_id, run_id, reason, only_chain=first_run_id, received=receipt(once)
                )
            except NoSuchExecution:
                await self._engine.find(workflow_id, run_id)  # One that has ended needs no cancelling.

    async def terminate_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        reason: str,
        details: tuple[Payload, ...],
        first_run_id: str | None,
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                await self._engine.terminate(
                    workflow_id, run_id, reason, details, only_chain=first_run_id, received=receipt(once)
                )

    # -- reading ---------------------------------------------------------------------------------------

    async def find_workflow(self, workflow_id: str, run_id: str | None) -> ExecutionRecord:
        """See `Frontend`."""
        with translated():
            return await self._engine.find(workflow_id, run_id)

    async def workflow_closed(self, workflow_id: str, run_id: str | None) -> Closing:
        """See `Frontend`."""
        with translated():
            return await self._engine.closing_event(await self._engine.find(workflow_id, run_id))

    async def describe_workflow(self, workflow_id: str, run_id: str | None) -> ExecutionDetails:
        """See `Frontend`."""
        with translated():
            record = await self._engine.find(workflow_id, run_id)
            history = await self._journal.history(record)
            attempts = await self._journal.attempts(record.key)
            standing = await self._standing(record)
        failures = {attempt.activity: attempt.failures for attempt in attempts}
        return _details_of(self._summary_of(record, history), history.state, failures, standing)

    async def _standing(self, record: ExecutionRecord) -> ConcurrencyStanding | None:
        if not record.concurrency_key or record.status != OPEN:
            return None
        line = await self._journal.concurrency_line(record.concurrency_key, _RUNNING_SHOWN)
        position = 0
        if record.concurrency_rank:
            position = 1 + await self._journal.concurrency_ahead(record)
        return ConcurrencyStanding(
            record.concurrency_key, record.concurrency_limit, position, tuple(line.oldest)
        )

    async def workflow_events(
        self, workflow_id: str, run_id: str | None, after: int, wait: bool, last_only: bool
    ) -> EventPage:
        """See `Frontend`."""
        with translated():
            record = await self._engine.find(workflow_id, run_id)
            while True:
                committed = self._engine.next_commit()  # Asked for before the look, or one between is missed.
                history = await self._journal.history(record)
                closed = history.state.closing is not None
                if last_only:
                    events: Sequence[Event] = history.events[-1:] if closed or not wait else ()
                else:
                    events = history.events[after:]
                if events or closed or not wait:
                    page = self._fitting_page(events, lambda event: len(codec.encode_body(event.body)))
                    more = len(page) < len(events) or (wait and not closed)
                    return EventPage(record.run_id, tuple(page), more, record.blocked)
                await committed

    def _fitting_page(self, entries: Sequence[T], size_of: Callable[[T], int]) -> Sequence[T]:
        """The first of the entries, as many as fit into a page."""
        if self._page_bytes_max is not None:
            size = 0
            for index, entry in enumerate(entries):
                size += size_of(entry)
                if size > self._page_bytes_max and index:
                    return entries[:index]
        return entries

    async def list_workflows(self, query: str, before_key: int | None, limit: int) -> ExecutionPage:
        """See `Frontend`."""
        return await self._list(await self._filter(query, Scope.WORKFLOWS), before_key, limit)

    async def list_activities(self, query: str, before_key: int | None, limit: int) -> ExecutionPage:
        """See `Frontend`."""
        return await self._list(await self._filter(query, Scope.ACTIVITIES), before_key, limit)

    async def _list(self, wanted: Filter, before_key: int | None, limit: int) -> ExecutionPage:
        if self._page_bytes_max is not None:
            limit = min(max(limit, 1), _PAGE_ENTRIES_MAX)
        with translated():
            ordered = bool(wanted.sql().order_by)
            if ordered:  # There is no key to go on from.
                records = await self._journal.select(wanted, limit=_ORDERED_MAX)
            else:
                records = await self._journal.select(wanted, before_key=before_key, limit=limit)
            more = not ordered and len(records) == limit
            found = [self._summary_of(record, await self._journal.history(record)) for record in records]
        page = found if ordered else self._fitting_page(found, _summary_bytes)
        more = more or len(page) < len(found)
        return ExecutionPage(tuple(page), page[-1].record.key if more else None)

    async def count_workflows(self, query: str) -> tuple[CountedGroup, ...]:
        """See `Frontend`."""
        return await self._count(await self._filter(query, Scope.WORKFLOWS))

    async def count_activities(self, query: str) -> tuple[CountedGroup, ...]:
        """See `Frontend`."""
        return await self._count(await self._filter(query, Scope.ACTIVITIES))

    async def _count(self, wanted: Filter) -> tuple[CountedGroup, ...]:
        with translated():
            rows = await self._journal.count(wanted)
        return tuple(CountedGroup(values, count) for values, count in rows)

    def _summary_of(self, record: ExecutionRecord, history: History) -> ExecutionSummary:
        state = history.state
        delay_s = command_of(history.events).delay_s if record.is_activity else state.started.first_delay_s
        return ExecutionSummary(
            record=record,
            history_length=state.sequence,
            first_delay_s=delay_s,
            search_attributes=dict(state.search_attributes),
            memo=dict(state.memo),
            pause=self._engine.pauses.of(record),
        )

    async def _filter(self, query: str, scope: Scope) -> Filter:
        with translated():
            return parse(query, await self._journal.attribute_types(), scope)


async def _accepted(ticket: UpdateTicket) -> UpdateProgress:
    await asyncio.shield(ticket.accepted)
    done = ticket.completed
    return UpdateProgress(
        ticket.update_id, ticket.workflow_id, ticket.run_id, done.result() if done.done() else None
    )


def _query_failed(error: Exception) -> QueryFailed:
    found = error.__cause__ if isinstance(error, ActivationFailed) else error
    return QueryFailed(found.message if isinstance(found, FailureError) else str(found))


def _summary_bytes(summary: ExecutionSummary) -> int:
    return _SUMMARY_BYTES + sum(len(payload.data) for payload in summary.memo.values())


def _details_of(
    summary: ExecutionSummary,
    state: ExecutionState,
    failures: Mapping[int, int],
    standing: ConcurrencyStanding | None,
) -> ExecutionDetails:
    running = summary.record.status == OPEN
    activities = state.activities.items() if running else ()
    children = state.children.values() if running else ()
    return ExecutionDetails(
        summary=summary,
        pending_activities=tuple(
            PendingActivity(
                pending.command.activity_id, pending.command.activity_type, failures.get(number, 0) + 1
            )
            for number, pending in activities
        ),
        pending_children=tuple(
            PendingChild(child.command.workflow_id, child.run_id, child.command.workflow_type)
            for child in children
        ),
        next_due_us=state.next_due_us() if running else None,
        cancel_requested=state.cancel_requested,
        static_summary=state.started.summary,
        static_details=state.started.details,
        concurrency=standing,
    )
