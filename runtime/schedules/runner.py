"""Schedules at work: each decision is committed before what it asks for is done, and what was done is committed after.

A start that is committed as wanted and not as done is asked for again after a crash; the execution's `caused_by`
tells whether it was done before.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..core import codec, events
from ..core import commands as cmd
from ..core.events import Closing, WorkflowStarted
from ..core.payload import Attribute, Failure, Payload
from ..core.payload_groups import groups_of
from ..core.records import dataclass
from ..journal.errors import StorageFull
from ..ports import ExecutionRecord, Receipt
from ..relations import closing_failure
from ..requests import AlreadyRunning, EngineClosed, KeyTaken, NoSuchExecution, StartRequest
from ..retry_policy import rule_of
from ..search_attributes import attributes_of
from . import decide
from .codec import schedule_from_json, schedule_to_json
from .decide import Decision, Outcome, ScheduleProgress, ScheduleRules, StartAction
from .spec import validate
from .types import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleOverlapPolicy,
)

if TYPE_CHECKING:
    from ..engine import Engine
    from ..timers import Alarm

_log = logging.getLogger(__name__)

SCHEDULES_MAX: Final = 10_000
"""They are all in memory, each with its next time."""
_ROOM_WAIT_S: Final = 1.0
"""How long to wait when the journal had no room."""
_PATIENCE_S: Final = 5.0
"""How long a request waits for the starts that it led to; they are durable before."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REJECT_DUPLICATE, _ALLOW_DUPLICATE = 3, 1
_OUTCOMES: Final[Mapping[type[Closing], Outcome]] = {
    cmd.CompleteWorkflow: Outcome.COMPLETED,
    cmd.FailWorkflow: Outcome.FAILED,
    cmd.CancelWorkflow: Outcome.CANCELED,
    events.WorkflowTerminated: Outcome.TERMINATED,
    events.WorkflowTimedOut: Outcome.TIMED_OUT,
    events.WorkflowWithdrawn: Outcome.CANCELED,
}


class NoSuchSchedule(LookupError):
    """No schedule has this id."""


class ScheduleExists(ValueError):
    """A schedule of this id is there already."""


@dataclass(frozen=True)
class Kept:
    """All that the journal keeps of a schedule. Arguments and memo are payloads."""

    id: str
    schedule: Schedule
    progress: ScheduleProgress
    memo: Mapping[str, Payload] = field(default_factory=dict[str, Payload])
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    wanted: tuple[tuple[int, StartAction], ...] = ()
    """Numbered starts that were decided and not yet reported."""
    number: int = 0
    """Of the last start."""
    last_result: Payload | None = None
    last_failure: Failure | None = None

    @property
    def rules(self) -> ScheduleRules:
        """What its decisions follow."""
        return ScheduleRules.of(self.schedule, self.id)

    @property
    def action(self) -> ScheduleActionStartWorkflow:
        """What it starts."""
        action = self.schedule.action
        assert isinstance(action, ScheduleActionStartWorkflow)
        return action

    def after(self, decision: Decision) -> Kept:
        """The record after a decision: its starts are wanted."""
        starts = [action for action in decision.actions if isinstance(action, StartAction)]
        numbered = tuple(enumerate(starts, self.number + 1))
        return replace(
            self,
            progress=decision.progress,
            wanted=self.wanted + numbered,
            number=self.number + len(starts),
        )

    def reported(self, number: int) -> Kept:
        """The record without this start, which was made or refused."""
        return replace(self, wanted=tuple(each for each in self.wanted if each[0] != number))

    def payloads(self) -> Iterator[Payload]:
        """All that it keeps for the workflows that it starts, and of those."""
        action = self.action
        for named in (self.memo, action.memo, action.headers):
            yield from (named or {}).values()
        yield from action.args
        if self.last_result is not None:
            yield self.last_result
        if self.last_failure is not None:
            yield from (
                payload for group in groups_of([cmd.FailWorkflow(self.last_failure)]) for payload in group
            )

    def to_bytes(self) -> bytes:
        """The record as the journal has it."""
        value = {
            "schedule": schedule_to_json(self.schedule, _no_values),
            "progress": self.progress.to_json(),
            "memo": {name: _hex(codec.encode_payloads((value,))) for name, value in self.memo.items()},
            "attributes": {name: list(attribute) for name, attribute in self.attributes.items()},
            "wanted": [[number, _start_to_json(start)] for number, start in self.wanted],
            "number": self.number,
            "last_result": _hex(codec.encode_payloads((self.last_result,))) if self.last_result else None,
            "last_failure": _hex(codec.encode_failure(self.last_failure)) if self.last_failure else None,
        }
        return json.dumps(value, separators=(",", ":")).encode()

    @staticmethod
    def from_bytes(schedule_id: str, data: bytes) -> Kept:
        """The record that `to_bytes` wrote."""
        found = json.loads(data)
        result, failure = found["last_result"], found["last_failure"]
        return Kept(
            id=schedule_id,
            schedule=schedule_from_json(found["schedule"]),
            progress=ScheduleProgress.from_json(found["progress"]),
            memo={
                name: codec.decode_payloads(bytes.fromhex(each))[0] for name, each in found["memo"].items()
            },
            attributes={name: (kind, value) for name, (kind, value) in found["attributes"].items()},
            wanted=tuple((number, _start_from_json(start)) for number, start in found["wanted"]),
            number=found["number"],
            last_result=codec.decode_payloads(bytes.fromhex(result))[0] if result else None,
            last_failure=codec.decode_failure(bytes.fromhex(failure)) if failure else None,
        )


@dataclass
class _Entry:
    kept: Kept
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One change at a time, so that the journal has them in their order."""
    alarm: Alarm | None = None
    committed: bool = True
    """Whether the journal has it."""
    deleted: bool = False


class Schedules:
    """The part of an engine that starts executions at their times."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._entries: dict[str, _Entry] = {}

    # -- requests ----------------------------------------------------------------------------------------

    async def create(
        self,
        schedule_id: str,
        schedule: Schedule,
        *,
        memo: Mapping[str, Payload],
        attributes: Mapping[str, Attribute],
        trigger: bool = False,
        backfills: tuple[ScheduleBackfill, ...] = (),
        received: Receipt | None = None,
    ) -> None:
        """A schedule is there, durably; its arguments are payloads. Times from now on are its own.

        `received`, here and below, is committed with the change.

        Raises:
            ScheduleExists: there is one of this id.
            ValueError: its spec does not say when, or there are too many schedules.
            StorageFull: nothing was accepted.
        """
        _check(schedule)
        if schedule_id in self._entries:
            raise ScheduleExists(f"schedule {schedule_id!r} exists already")
        if len(self._entries) >= SCHEDULES_MAX:
            raise ValueError(f"there are {SCHEDULES_MAX} schedules, which is the most: delete some")
        now = self._now()
        kept = Kept(schedule_id, schedule, ScheduleProgress.begun(schedule.state, now), memo, attributes)
        entry = _Entry(kept, committed=False)
        self._entries[schedule_id] = entry
        try:
            async with entry.turn:
                decided = _Decided(kept)
                if trigger:
                    decided.add(decide.trigger(kept.rules, decided.progress, now))
                if backfills:
                    decided.add(decide.backfill(kept.rules, decided.progress, *backfills))
                starts = await self._keep(entry, kept, decided, received)
        except BaseException:
            del self._entries[schedule_id]
            raise
        await _begun_soon(starts)

    async def update(
        self,
        schedule_id: str,
        schedule: Schedule,
        attributes: Mapping[str, Attribute] | None,
        *,
        received: Receipt | None = None,
    ) -> None:
        """The schedule is this one from now on; None leaves its search attributes as they are.

        Raises:
            NoSuchSchedule, ValueError, StorageFull: nothing has changed.
        """
        _check(schedule)
        entry = self._entry(schedule_id)
        async with entry.turn:
            kept, now = entry.kept, self._now()
            decided = _Decided(kept)
            decided.add(decide.due(kept.rules, decided.progress, now))
            kept = replace(
                kept, schedule=schedule, attributes=kept.attributes if attributes is None else attributes
            )
            decided.progress = decide.updated(kept.rules, decided.progress, schedule.state, now)
            decided.add(decide.due(kept.rules, decided.progress, now))
            await self._keep(entry, kept, decided, received)

    async def trigger(
        self,
        schedule_id: str,
        overlap: ScheduleOverlapPolicy | None,
        *,
        received: Receipt | None = None,
    ) -> None:
        """The schedule's action is taken once, now, as the overlap policy allows."""
        await self._change(
            schedule_id,
            lambda kept, now: [decide.trigger(kept.rules, kept.progress, now, overlap)],
            received,
        )

    async def backfill(
        self, schedule_id: str, *backfills: ScheduleBackfill, received: Receipt | None = None
    ) -> None:
        """The actions of these stretches of time are taken, as the overlap policy allows."""
        await self._change(
            schedule_id,
            lambda kept, _now: [decide.backfill(kept.rules, kept.progress, *backfills)],
            received,
        )

    async def pause(self, schedule_id: str, note: str | None, *, received: Receipt | None = None) -> None:
        """Times pass without actions from now on."""

        def pause(kept: Kept, now: datetime) -> list[Decision]:
            due = decide.due(kept.rules, kept.progress, now)
            return [due, Decision([], decide.paused(due.progress, note))]

        await self._change(schedule_id, pause, received)

    async def unpause(self, schedule_id: str, note: str | None, *, received: Receipt | None = None) -> None:
        """The schedule goes on."""
        await self._change(
            schedule_id,
            lambda kept, now: [Decision([], decide.unpaused(kept.progress, now, note))],
            received,
        )

    async def delete(self, schedule_id: str, *, received: Receipt | None = None) -> None:
        """The schedule is gone; what it started goes on."""
        entry = self._entry(schedule_id)
        async with entry.turn:
            await self._engine.keep(lambda batch: batch.schedules.__setitem__(schedule_id, None), received)
            entry.deleted = True
            if entry.alarm is not None:
                entry.alarm.cancel()
            self._entries.pop(schedule_id, None)

    def get(self, schedule_id: str) -> Kept:
        """A schedule as it is now.

        Raises:
            NoSuchSchedule: there is none.
        """
        return self._entry(schedule_id).kept

    def all(self) -> list[Kept]:
        """Every schedule, by id."""
        return [entry.kept for _, entry in sorted(self._entries.items())]

    # -- what the engine says ----------------------------------------------------------------------------

    async def recover(self) -> None:
        """Go on with the schedules of the journal, and with what they wanted when the process ended."""
        for schedule_id, data in (await self._engine.journal.schedules()).items():
            self._entries[schedule_id] = entry = _Entry(Kept.from_bytes(schedule_id, data))
            for number, start in entry.kept.wanted:
                self._engine.spawn(self._start(entry, number, start))
            for running in entry.kept.progress.running:
                if running.run_id:
                    self._engine.spawn(self._look_at(entry, running.workflow_id, running.run_id))
            self._arm(entry)

    def closed(self, start: WorkflowStarted, closing: Closing) -> None:
        """A run that a schedule started, or one that continued it, has closed."""
        entry = self._entries.get(start.schedule_id)
        if entry is not None and not getattr(closing, "new_run_id", ""):
            self._engine.spawn(
                self._ended(entry, start.workflow_id, start.first_run_id or start.run_id, closing)
            )

    # -- changes -----------------------------------------------------------------------------------------

    async def _change(
        self,
        schedule_id: str,
        change: Callable[[Kept, datetime], list[Decision]],
        received: Receipt | None,
    ) -> None:
        """Decide, commit, then act.

        Raises:
            NoSuchSchedule, StorageFull: nothing has changed.
        """
        entry = self._entry(schedule_id)
        async with entry.turn:
            self._entry(schedule_id)  # It may have been deleted meanwhile.
            decided = _Decided(entry.kept)
            for decision in change(entry.kept, self._now()):
                decided.add(decision)
            starts = await self._keep(entry, entry.kept, decided, received)
        await _begun_soon(starts)

    async def _keep(
        self, entry: _Entry, kept: Kept, decided: _Decided, received: Receipt | None = None
    ) -> list[asyncio.Task[None]]:
        """Commit, then act; the starts that were begun."""
        kept = kept.after(decided.decision)
        if kept != entry.kept or not entry.committed:
            data = kept.to_bytes()
            await self._engine.keep(lambda batch: batch.schedules.__setitem__(kept.id, data), received)
            entry.committed = True
        known, entry.kept = entry.kept.wanted, kept
        starts = [
            self._engine.spawn(self._start(entry, number, start))
            for number, start in kept.wanted
            if (number, start) not in known
        ]
        for action in decided.actions:
            match action:
                case decide.CancelRunning(workflow_id, run_id):
                    asked = self._engine.cancel(
                        workflow_id, None, "by the schedule's overlap policy", only_chain=run_id
                    )
                    asked.add_done_callback(_seen)
                case decide.TerminateRunning(workflow_id, run_id):
                    asked = self._engine.terminate(
                        workflow_id, None, "by the schedule's overlap policy", only_chain=run_id
                    )
                    asked.add_done_callback(_seen)
                case StartAction():
                    pass  # Started above.
        self._arm(entry)
        return starts

    async def _inside(self, entry: _Entry, change: Callable[[Kept, datetime], tuple[Kept, Decision]]) -> None:
        """A change that nobody asked for: when the journal has no room it is tried again."""
        while not entry.deleted:
            async with entry.turn:
                if entry.deleted:
                    return
                kept, decision = change(entry.kept, self._now())
                decided = _Decided(kept)
                decided.add(decision)
                try:
                    await self._keep(entry, kept, decided)
                    return
                except EngineClosed:
                    return
                except StorageFull as error:
                    _log.warning("schedule %s waits for room in the journal: %s", kept.id, error)
            await asyncio.sleep(_ROOM_WAIT_S)

    def _arm(self, entry: _Entry) -> None:
        if entry.alarm is not None:
            entry.alarm.cancel()
            entry.alarm = None
        at = decide.next_wakeup(entry.kept.rules, entry.kept.progress, self._now())
        if at is not None and not entry.deleted:
            entry.alarm = self._engine.alarm(_us(at), partial(self._wake, entry))

    def _wake(self, entry: _Entry) -> None:
        self._engine.spawn(
            self._inside(entry, lambda kept, now: (kept, decide.due(kept.rules, kept.progress, now)))
        )

    # -- starts and ends ---------------------------------------------------------------------------------

    async def _start(self, entry: _Entry, number: int, start: StartAction) -> None:
        try:
            record = await self._begun(entry, number, start)
        except EngineClosed:
            return
        if record is None:
            await self._inside(
                entry,
                lambda kept, _now: (
                    kept.reported(number),
                    decide.not_started(kept.rules, kept.progress, start),
                ),
            )
            return
        run_id, at = record.first_run_id or record.run_id, _instant(record.started_at_us)
        await self._inside(
            entry,
            lambda kept, _now: (
                kept.reported(number),
                Decision([], decide.started(kept.progress, start, run_id, at)),
            ),
        )
        await self._look_at(entry, record.workflow_id, run_id)

    async def _begun(self, entry: _Entry, number: int, start: StartAction) -> ExecutionRecord | None:
        """The execution of a wanted start; None when its id is in use, or its concurrency key."""
        request = self._request(entry.kept, number, start)
        while True:
            try:
                found = await self._engine.journal.executions(workflow_id=request.workflow_id, limit=1)
                if found and await self._caused(found[0], request.caused_by):
                    return found[0]
                reuse = _ALLOW_DUPLICATE if start.manual else _REJECT_DUPLICATE
                record, started = await self._engine.start_checked(request, reuse=reuse)
                if started:
                    return record
                raise KeyTaken(request.concurrency_key, request.concurrency_limit, record)
            except (AlreadyRunning, KeyTaken) as error:
                _log.info("schedule %s: %s is not started, %s", entry.kept.id, request.workflow_id, error)
                return None
            except codec.EventUnwritable:
                _log.exception("schedule %s: its workflow cannot be started", entry.kept.id)
                return None
            except StorageFull as error:
                _log.warning("schedule %s waits for room in the journal: %s", entry.kept.id, error)
            await asyncio.sleep(_ROOM_WAIT_S)

    async def _caused(self, record: ExecutionRecord, caused_by: str) -> bool:
        return (await self._engine.journal.history(record)).state.started.caused_by == caused_by

    def _request(self, kept: Kept, number: int, start: StartAction) -> StartRequest:
        action, priority = kept.action, kept.action.priority
        return StartRequest(
            workflow_id=start.workflow_id,
            workflow_type=action.workflow,
            task_queue=action.task_queue,
            args=_payloads(action.args),
            execution_timeout_s=_seconds(action.execution_timeout),
            run_timeout_s=_seconds(action.run_timeout),
            task_timeout_s=_seconds(action.task_timeout),
            retry=rule_of(action.retry_policy),
            memo=dict(action.memo or {}),
            headers=dict(action.headers or {}),
            caused_by=f"schedule {kept.id}#{number}",
            search_attributes={
                **attributes_of(action.typed_search_attributes),
                "TemporalScheduledById": ("Keyword", kept.id),
                "TemporalScheduledStartTime": ("Datetime", _us(start.nominal_at)),
            },
            priority_key=priority.priority_key or 0,
            fairness_key=priority.fairness_key or "",
            fairness_weight=priority.fairness_weight or 0.0,
            summary=_text(action.static_summary),
            details=_text(action.static_details),
            schedule_id=kept.id,
            last_result=kept.last_result,
            last_failure=kept.last_failure,
        ).under(action.concurrency)

    async def _look_at(self, entry: _Entry, workflow_id: str, first_run_id: str) -> None:
        """It may have ended before its start was reported, or before the process was started again."""
        runs = await self._engine.journal.executions(workflow_id=workflow_id, limit=1000)
        last = next((run for run in runs if (run.first_run_id or run.run_id) == first_run_id), None)
        if last is None or last.status == "running":
            return
        closing = (await self._engine.journal.history(last)).state.closing
        if closing is not None and not getattr(closing, "new_run_id", ""):
            await self._ended(entry, workflow_id, first_run_id, closing)

    async def _ended(self, entry: _Entry, workflow_id: str, first_run_id: str, closing: Closing) -> None:
        outcome = _OUTCOMES[type(closing)]
        failure = None if outcome is Outcome.COMPLETED else closing_failure(closing)[0]

        def end(kept: Kept, _now: datetime) -> tuple[Kept, Decision]:
            run = next((r for r in kept.progress.running if r.workflow_id == workflow_id), None)
            if run is None or run.run_id != first_run_id:
                return kept, Decision([], kept.progress)  # Nobody waits for it, or it was said before.
            decision = decide.ended(
                kept.rules, kept.progress, workflow_id, outcome, failure.message if failure else ""
            )
            if isinstance(closing, cmd.CompleteWorkflow):
                kept = replace(kept, last_result=closing.result, last_failure=None)
            elif outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
                kept = replace(kept, last_failure=failure)
            return kept, decision

        await self._inside(entry, end)

    # -- small things ------------------------------------------------------------------------------------

    def _entry(self, schedule_id: str) -> _Entry:
        entry = self._entries.get(schedule_id)
        if entry is None or entry.deleted:
            raise NoSuchSchedule(f"schedule not found: none has the id {schedule_id!r}")
        return entry

    def _now(self) -> datetime:
        return _instant(self._engine.now_us())


class _Decided:
    """Several decisions, one after the other, as one."""

    def __init__(self, kept: Kept) -> None:
        self.actions: list[decide.Action] = []
        self.progress = kept.progress

    def add(self, decision: Decision) -> None:
        """What this decision adds."""
        self.actions += decision.actions
        self.progress = decision.progress

    @property
    def decision(self) -> Decision:
        """All of it."""
        return Decision(self.actions, self.progress)


async def _begun_soon(starts: list[asyncio.Task[None]]) -> None:
    """Who asked for an action sees it when the answer comes, unless the journal has no room for long."""
    if starts:
        await asyncio.wait(starts, timeout=_PATIENCE_S)


def _no_values(values: Any) -> tuple[Payload, ...]:
    raise TypeError(f"a kept schedule has payloads, found {values!r}")


def _start_to_json(start: StartAction) -> dict[str, Any]:
    return {
        "workflow_id": start.workflow_id,
        "nominal_at": start.nominal_at.isoformat(),
        "scheduled_at": start.scheduled_at.isoformat(),
        "overlap": int(start.overlap),
        "manual": start.manual,
    }


def _check(schedule: Schedule) -> None:
    """Refuse now what could not be started when its time comes.

    Raises:
        ValueError: the spec does not say when, or the retry policy contradicts itself.
    """
    validate(schedule.spec)
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    rule_of(schedule.action.retry_policy)


def _start_from_json(found: Mapping[str, Any]) -> StartAction:
    return StartAction(
        found["workflow_id"],
        datetime.fromisoformat(found["nominal_at"]),
        datetime.fromisoformat(found["scheduled_at"]),
        ScheduleOverlapPolicy(found["overlap"]),
        found["manual"],
    )


def _payloads(values: Any) -> tuple[Payload, ...]:
    return tuple(values)


def _text(text: str | Payload | None) -> str:
    return text if isinstance(text, str) else ""


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _us(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _instant(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _hex(data: bytes) -> str:
    return data.hex()


def _seen(done: asyncio.Future[Any]) -> None:
    """What is asked to end may have ended."""
    error = None if done.cancelled() else done.exception()
    if error is not None and not isinstance(error, NoSuchExecution | EngineClosed | StorageFull):
        _log.error("a schedule's overlap policy could not be carried out: %s", error)
