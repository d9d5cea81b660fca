"""Resets: a run ends, and a new one of the same workflow id begins from a point of its history.

The new run's history is a copy of the old one up to that point, in a chain of checksums of its own, and an event that says
where it came from; the old run's history stays as it was. The end of the one and the beginning of the other are one commit.

An activity that was recorded before the point and has no outcome there is attempted again, under the key that it had: its
effect is one, whoever asks for it. What the code asks for after the point is new, and has keys of the new run. Children that
were started before the point go on as children of the new run; later ones are treated as their parent's close policy says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from .core import codec, replay, resetting
from .core import events as ev
from .core.events import Event
from .core.records import dataclass
from .core.seed import seed_of
from .live import Incoming, LiveExecution
from .ports import HOT, OPEN, Batch, ExecutionRecord, History
from .requests import AlreadyRunning, KeyTaken, answering

if TYPE_CHECKING:
    from .engine import Engine

_RUNS_LOOKED_AT: Final = 10
"""The runs among which a request that was carried out before is looked for, the newest."""
_MESSAGES: Final = (ev.Signaled, ev.UpdateAccepted, ev.CancelRequested, ev.WorkflowTerminated, *ev.NOTES)
"""What came for the old run and was not handed over is for the new one."""


@dataclass(frozen=True, slots=True)
class ResetPoint:
    """Where to begin anew: with the activation that an event belongs to, with the first or the last one, with the last one
    of the run before (which continued as new), or with the one that asked for an activity that fails.
    """

    kind: Literal["event", "first", "last", "continued", "failed_activity"]
    event: int = 0
    activity: str | None = None
    """A type or an id; None for the first activity that fails."""

    @staticmethod
    def at_event(event_id: int) -> ResetPoint:
        """What the code asked for in the activation of this event, and all that came later, is done anew."""
        return ResetPoint("event", event=event_id)

    @staticmethod
    def first_workflow_task() -> ResetPoint:
        """All is done anew, with the same arguments."""
        return ResetPoint("first")

    @staticmethod
    def last_workflow_task() -> ResetPoint:
        """What the code asked for last is done anew."""
        return ResetPoint("last")

    @staticmethod
    def last_continued_as_new() -> ResetPoint:
        """The last activation of the run before this one, which continued as this one, is done anew."""
        return ResetPoint("continued")

    @staticmethod
    def failed_activity(activity: str | None = None) -> ResetPoint:
        """The first activity that has failed or is failing, of this type or id if it is given, is asked for anew."""
        return ResetPoint("failed_activity", activity=activity)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRequest:
    """An execution that shall begin anew. Without a run id, from the history of its latest run."""

    workflow_id: str
    run_id: str | None = None
    point: ResetPoint
    reason: str = ""
    identity: str = ""
    request_id: str = ""
    """The same request again has no second effect."""
    signals: bool = True
    updates: bool = True
    """Whether those that came after the point are handed to the new run."""


class _Changed(Exception):
    """The open run is another one than was looked at: look again."""


class Resets:
    """The part of an engine that begins runs anew."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way: dict[str, asyncio.Event] = {}

    async def reset(
        self, request: ResetRequest, *, alongside: Callable[[Batch], None] | None = None
    ) -> ExecutionRecord:
        """The record of the new run, once it is durable. `alongside` adds to the commit in which it begins.

        Raises:
            NoSuchExecution: there is no such run.
            NoSuchPoint: its history has no such place.
            HistoryDamaged: its history cannot be copied.
            EventUnwritable: the texts cannot be kept.
            KeyTaken: the run has closed, and others run under its concurrency key.
            StorageFull, EngineClosed: nothing has changed.
        """
        for text in (request.reason, request.identity, request.request_id):
            codec.encode_body(ev.CancelRequested(text))  # Refused here, before anything is done.
        while (other := self._under_way.get(request.workflow_id)) is not None:
            await other.wait()
        done = self._under_way[request.workflow_id] = asyncio.Event()
        try:
            made = await self._made_before(request)
            while made is None:
                made = await self._try(request, alongside)
            return made
        finally:
            del self._under_way[request.workflow_id]
            done.set()

    async def _made_before(self, request: ResetRequest) -> ExecutionRecord | None:
        if not request.request_id:
            return None
        journal = self._engine.journal
        for record in await journal.executions(workflow_id=request.workflow_id, limit=_RUNS_LOOKED_AT):
            for event in (await journal.history(record)).state.resets:
                if isinstance(event.body, ev.WorkflowReset) and event.body.request_id == request.request_id:
                    return record
        return None

    async def _try(
        self, request: ResetRequest, alongside: Callable[[Batch], None] | None
    ) -> ExecutionRecord | None:
        """The new run; None when the open run has changed meanwhile."""
        engine = self._engine
        found: asyncio.Future[LiveExecution | None] = asyncio.get_running_loop().create_future()
        engine.with_live(request.workflow_id, partial(_take, found))
        try:
            current = await found
            if current is None:
                await self._require_no_open_run(request.workflow_id)
            plan = await self._plan(request, current)
            await self._require_place(plan.base, current)
            answer: asyncio.Future[ExecutionRecord] = asyncio.get_running_loop().create_future()
            if not engine.refuse_when_closing(answer):
                engine.in_next_turn(partial(self._carry_out, request, plan, current, answer, alongside))
            return await answer
        except (_Changed, AlreadyRunning):
            return None
        finally:
            taken = found.result() if found.done() and not found.cancelled() else None
            if taken is not None:
                taken.suspended = False
                if engine.cache.get(taken.record.key) is taken:
                    engine.make_ready(taken)

    async def _require_place(self, base: ExecutionRecord, current: LiveExecution | None) -> None:
        """An open run of another concurrency key has no place that the new run could take."""
        key, limit = base.concurrency_key, base.concurrency_limit
        if current is None or not key or key == current.record.concurrency_key:
            return
        line = await self._engine.journal.concurrency_line(key, 1)
        if line.running >= limit or line.waiting:
            raise KeyTaken(key, limit, (line.oldest + line.waiting)[0])

    async def _require_no_open_run(self, workflow_id: str) -> None:
        journal = self._engine.journal
        found = await journal.executions(workflow_id=workflow_id, status=OPEN, limit=1)
        if found and self._engine.cache.open_run(workflow_id) is None:
            await journal.history(found[0])  # It is damaged, which is why it is not in memory; this says so.

    # -- what the new run has ------------------------------------------------------------------------

    async def _plan(self, request: ResetRequest, current: LiveExecution | None) -> _Plan:
        base = await self._base(request)
        history = await self._whole(base, current)
        activation = await self._activation(request.point, base, history.events)
        kept, later = resetting.cut(history.events, activation)
        base_event = later[0].sequence if later else history.state.sequence + 1
        while (follower := await self._follower(base.workflow_id, history)) is not None:
            history = await self._whole(follower, current)
            later += history.events
        return _Plan(base, kept, base_event, later, await self._engine.journal.children(base.run_id))

    async def _base(self, request: ResetRequest) -> ExecutionRecord:
        record = await self._engine.find(request.workflow_id, request.run_id)
        if request.point.kind != "continued":
            return record
        start = (await self._engine.journal.history(record)).state.started
        if not start.continued_run_id:
            raise resetting.NoSuchPoint(
                f"run {record.run_id} of {record.workflow_id} has not continued another one: reset it to its first activation"
            )
        return await self._engine.find(request.workflow_id, start.continued_run_id)

    async def _whole(self, record: ExecutionRecord, current: LiveExecution | None) -> History:
        """The history of a run with all that has happened to it; of the open one nothing more can happen now."""
        while True:
            committed = self._engine.next_commit()  # Asked for before the look, or one between is missed.
            history = await self._engine.journal.history(record)
            if current is None or current.record.key != record.key:
                return history
            if self._engine.cache.get(record.key) is not current:
                raise _Changed
            if history.state.sequence == current.state.sequence:
                return history
            await committed

    async def _follower(self, workflow_id: str, history: History) -> ExecutionRecord | None:
        """The run that went on with what this one had; one that was made by a reset has messages of its own."""
        closing = history.state.closing
        run_id = "" if isinstance(closing, ev.WorkflowTerminated) else getattr(closing, "new_run_id", "")
        if not run_id:
            return None
        found = await self._engine.journal.executions(workflow_id=workflow_id, run_id=run_id, limit=1)
        return found[0] if found else None

    async def _activation(self, point: ResetPoint, base: ExecutionRecord, events: Sequence[Event]) -> int:
        match point.kind:
            case "event":
                return resetting.activation_of(events, point.event)
            case "first":
                return 1
            case "last" | "continued":
                return resetting.last_activation(events)
            case "failed_activity":
                attempts = await self._engine.journal.attempts(base.key)
                failing = {attempt.activity for attempt in attempts if attempt.failures}
                return resetting.activation_that_scheduled(events, point.activity, failing)

    # -- the end of one run and the beginning of another ----------------------------------------------

    def _carry_out(
        self,
        request: ResetRequest,
        plan: _Plan,
        current: LiveExecution | None,
        answer: asyncio.Future[ExecutionRecord],
        alongside: Callable[[Batch], None] | None,
        stopped: BaseException | None,
    ) -> None:
        engine = self._engine
        if answer.done():
            return
        if stopped is not None:
            answer.set_exception(stopped)
            return
        if engine.cache.open_run(request.workflow_id) is not current or (current and not current.state.open):
            answer.set_exception(_Changed())
            return
        batch = Batch()
        run_id = engine.entropy.run_id()
        reset = ev.WorkflowReset(
            seed_of(run_id),
            plan.base.run_id,
            plan.base_event,
            request.reason,
            request.identity,
            request.request_id,
        )
        new = self._new_run(plan, run_id, [reset, *_messages(request, plan)], batch)

        at_us = new.state.at_us
        if current is not None:
            came = [*engine.transit.abandon(current), *current.incoming, *current.held]
            new.incoming = [item for item in came if isinstance(item.body, _MESSAGES)]
            current.incoming = [item for item in came if not isinstance(item.body, _MESSAGES)]
            current.held = []
            new.notes_came = current.notes_came
            engine.updates.hand_on(current, new)
            engine.touch(current, [])
            engine.after_commit(partial(engine.updates.reset, current, new))
            end = ev.WorkflowTerminated(request.reason, (), new.record.run_id)
            current.append(engine.batch, 0, max(at_us, current.state.at_us), [end])
            current.drop_instance()
            engine.close_run(current, end, at_us)
        engine.batch.events += batch.events
        engine.batch.starts[new.record.key] = new.record
        if current is not None:
            # It takes the place of the open run under its concurrency key. Without one, the commit says whether there is a place.
            engine.batch.continues[new.record.key] = current.record.key
        if new.state.search_attributes:
            engine.batch.attributes[new.record.key] = dict(new.state.search_attributes)
        children = self._adopted(plan, new)
        engine.batch.adopted.update(dict.fromkeys(children, new.record.key))
        engine.cache.hold(new)
        engine.touch(new, [Incoming(reset, answering(answer, lambda: new.record), alongside=alongside)])
        engine.after_commit(partial(self._begun, new, children))

    def _new_run(self, plan: _Plan, run_id: str, more: Sequence[ev.Happening], batch: Batch) -> LiveExecution:
        engine = self._engine
        record = replace(
            plan.base,
            key=engine.starts.next_key(),
            run_id=run_id,
            started_at_us=engine.now_us(),
            status=OPEN,
            closed_at_us=None,
            wake_at_us=HOT,
            blocked=None,
            paused=None,
        )
        new = LiveExecution(record)
        new.uncommitted = True
        events: list[Event] = []
        for event in plan.kept:
            body = event.body
            if isinstance(body, ev.WorkflowStarted):
                original = body.original_run_id or body.run_id
                body = replace(body, run_id=record.run_id, original_run_id=original)
            events += new.append(batch, event.activation, event.at_us, [body])
        events += new.append(batch, 0, new.instant_us(engine.now_us()), more)
        new.record = record = replace(record, started_at_us=new.clock_us(engine.now_us()))
        new.history = events
        new.durability = new.state.started.durability
        if new.state.admitted:
            new.record = replace(record, concurrency_rank=0)
        _, new.waiting = replay.activations(events)
        return new

    def _adopted(self, plan: _Plan, new: LiveExecution) -> list[int]:
        """The open children that the new run has, by key: of those in the journal, and of those that begin just now."""
        had = {child.command.workflow_id: child.run_id for child in new.state.children.values()}
        known = {record.key: record for record in plan.children}
        for live in self._engine.cache:
            if live.record.parent_run_id == plan.base.run_id:
                known[live.record.key] = live.record
        return [
            record.key
            for record in known.values()
            if record.workflow_id in had and had[record.workflow_id] in ("", record.first_run_id)
        ]

    def _begun(self, new: LiveExecution, children: Sequence[int]) -> None:
        engine = self._engine
        if engine.cache.get(new.record.key) is not new:
            return  # Another run was in its way.
        for key in children:
            child = engine.cache.get(key)
            if child is not None:
                child.record = replace(child.record, parent_run_id=new.record.run_id)
        engine.activities.resume(new, set())
        engine.relations.resume(new)
        engine.timekeeper.arm(new)
        engine.make_ready(new)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a new run is made of."""

    base: ExecutionRecord
    kept: list[resetting.Kept]
    base_event: int
    later: list[Event]
    """Of the base run after the point, and of those that followed it."""
    children: list[ExecutionRecord]


def _take(found: asyncio.Future[LiveExecution | None], live: LiveExecution | None) -> None:
    """Suspend it at once: it must not leave memory, and what is read must not lack what happens while it is read."""
    if not found.done():
        if live is not None:
            live.suspended = True
        found.set_result(live)


def _messages(request: ResetRequest, plan: _Plan) -> list[ev.Happening]:
    """The signals and updates that came after the point, for the new run."""
    found: list[ev.Happening] = []
    kept = (event.body for event in plan.kept)
    known = {body.update_id for body in kept if isinstance(body, ev.UpdateAccepted | ev.UpdateAdmitted)}
    for event in plan.later:
        body = event.body
        if isinstance(body, ev.Signaled) and request.signals:
            found.append(body)
        if not (isinstance(body, ev.UpdateAccepted | ev.UpdateAdmitted) and request.updates):
            continue
        if body.update_id not in known:
            known.add(body.update_id)
            found.append(
                ev.UpdateAdmitted(body.update_id, body.name, body.args, body.headers, body.caused_by)
            )
    return found
