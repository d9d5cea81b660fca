"""Pauses: of one execution, of a workflow type, of a task queue, of everything.

Of an execution that is paused no code runs and no activity begins an attempt. What happens to it is recorded all the same
(signals, timers that are due, cancellations, ends of attempts that ran already), and reaches its code when it goes on. What
it had asked for before goes on too: children start, messages are sent. So being paused is like having no worker, and the
engine treats it so.

The pause of one execution is an event in its history. The others are rows of the journal and touch no history: they hold
whatever fits, also what starts later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from .core import events as ev
from .core.codec import EventUnwritable
from .core.events import Event
from .core.state import ExecutionState, PendingActivity
from .live import Incoming, LiveExecution
from .ports import OPEN, ExecutionRecord, Pause, PauseKey, Receipt
from .requests import NoSuchExecution, NotPaused, PausedAlready, answering

if TYPE_CHECKING:
    from .engine import Engine

SCOPES: Final = ("workflow_type", "task_queue", "everything")
_LATE_MAX: Final = 100_000
_ENDED: Final = "the activity has ended"
EVERYTHING: Final[PauseKey] = ("everything", "")


def pause_of(record: ExecutionRecord, pauses: Mapping[PauseKey, Pause]) -> Pause | None:
    """What keeps an open execution from going on; None when nothing does."""
    if record.paused is not None or not pauses:
        return record.paused if record.status == OPEN else None
    if record.status != OPEN:
        return None
    return (
        pauses.get(EVERYTHING)
        or pauses.get(("workflow_type", record.workflow_type))
        or pauses.get(("task_queue", record.task_queue))
    )


class Pauses:
    """The part of an engine that holds executions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pauses: dict[PauseKey, Pause] = {}

    async def recover(self) -> None:
        """What was paused is paused."""
        self._pauses = await self._engine.journal.pauses()

    def of(self, record: ExecutionRecord) -> Pause | None:
        """See `pause_of`."""
        if record.paused is None and not self._pauses:
            return None
        return pause_of(record, self._pauses)

    def holds_activity(self, record: ExecutionRecord, task_queue: str) -> bool:
        """Whether an activity of this execution must not begin an attempt on this task queue."""
        return self.of(record) is not None or ("task_queue", task_queue) in self._pauses

    def all(self) -> list[Pause]:
        """The pauses of types, task queues and everything, the oldest first."""
        return sorted(self._pauses.values(), key=lambda pause: pause.since_us)

    # -- one execution -------------------------------------------------------------------------------

    def pause_execution(
        self,
        workflow_id: str,
        run_id: str | None,
        body: ev.WorkflowPaused,
        received: Receipt | None = None,
    ) -> asyncio.Future[None]:
        """Hold one execution; when the future is done, none of its code runs.

        Raises (through the future):
            NoSuchExecution: no open run has this id.
            PausedAlready: it is paused by itself; a request with the id of the one that paused it is no second one.
            StorageFull: nothing has changed.
        """
        return self._engine.tell(workflow_id, run_id, body, received)

    def unpause_execution(
        self,
        workflow_id: str,
        run_id: str | None,
        body: ev.WorkflowUnpaused,
        received: Receipt | None = None,
    ) -> asyncio.Future[None]:
        """Let one execution go on, unless its type, its task queue or everything is paused.

        Raises (through the future):
            NoSuchExecution: no open run has this id.
            NotPaused: it is not paused by itself.
            StorageFull: nothing has changed.
        """
        return self._engine.tell(workflow_id, run_id, body, received)

    def record(self, live: LiveExecution) -> None:
        """Record the requests that have come for an execution, before it is handed anything else."""
        requests = [
            item for item in live.incoming if isinstance(item.body, (*ev.PAUSES, ev.ActivityOptionsUpdated))
        ]
        live.incoming = [item for item in live.incoming if item not in requests]
        what = "activity" if live.is_activity else "workflow"
        for item in requests:
            by = live.state.paused_by
            if isinstance(item.body, ev.ActivityOptionsUpdated):
                known = item.body.id in live.state.activities
                self._record(live, item) if known else self._refuse(item, NoSuchExecution(_ENDED))
            elif by is None and isinstance(item.body, ev.WorkflowUnpaused):
                self._refuse(item, NotPaused(f"{what} is not paused."))
            elif by is not None and isinstance(item.body, ev.WorkflowPaused):
                self._refuse(
                    item, None if _repeats(item.body, by) else PausedAlready(f"{what} is already paused.")
                )
            else:
                self._record(live, item)

    def _refuse(self, item: Incoming, error: Exception | None) -> None:
        # With the commit, since what makes it needless may be in the batch and not yet durable.
        if item.settle is not None:
            settle = item.settle
            self._engine.settle_with_commit(lambda commit_error: settle(commit_error or error))

    def _record(self, live: LiveExecution, item: Incoming) -> None:
        engine = self._engine
        engine.touch(live, [item])
        live.accept(engine.batch, live.instant_us(engine.now_us()), [item.body])
        engine.record_change(live, force=True)
        if isinstance(item.body, ev.WorkflowPaused):
            engine.activities.hold(live)
        elif isinstance(item.body, ev.ActivityOptionsUpdated):
            engine.after_commit(partial(engine.activities.renew, live, item.body.id))
        else:
            # Not with what is asked for in the same commit: that begins by itself.
            engine.after_commit(partial(self._go_on, live, list(live.state.activities.values())))

    # -- types, task queues, everything ----------------------------------------------------------------

    def pause(
        self, scope: str, name: str, identity: str, reason: str, received: Receipt | None = None
    ) -> asyncio.Future[None]:
        """Hold whatever fits, from now on; the future is done when that survives a restart.

        Pausing again replaces who did it and why.

        Raises (through the future):
            StorageFull: nothing has changed.
            EventUnwritable: the texts cannot be kept.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        key = (scope, name)
        try:
            for text in (name, identity, reason):
                text.encode()
        except UnicodeEncodeError as error:
            answer.set_exception(EventUnwritable(f"a pause cannot be recorded: {error}"))
            return answer
        if self._engine.refuse_when_closing(answer):
            return answer
        before = self._pauses.get(key)
        tell = answering(answer, lambda: None)
        pause = Pause(
            scope=scope, name=name, identity=identity, reason=reason, since_us=self._engine.now_us()
        )
        # From here on, not from the commit on: nothing begins any more when the answer comes.
        self._put(key, pause)
        for live in self._engine.cache:
            self._engine.activities.hold(live)
        self._commit(key, pause, received)

        def settle(error: BaseException | None) -> None:
            if error is not None and self._pauses.get(key) is pause:
                self._put(key, before)
                self._engine.spawn(self._go_on_all())
            tell(error)

        self._engine.settle_with_commit(settle)
        return answer

    def unpause(self, scope: str, name: str, received: Receipt | None = None) -> asyncio.Future[None]:
        """Let go on what this pause held, and no other does.

        Raises (through the future):
            NotPaused: there is no such pause.
            StorageFull: nothing has changed.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        key = (scope, name)
        if self._engine.refuse_when_closing(answer):
            return answer
        pause = self._pauses.get(key)
        if pause is None:
            answer.set_exception(NotPaused(f"{described(scope, name)} is not paused."))
            return answer
        self._commit(key, None, received)
        tell = answering(answer, lambda: None)

        def settle(error: BaseException | None) -> None:
            if error is None and self._pauses.get(key) is pause:
                self._put(key, None)
                self._engine.spawn(self._go_on_all())
            tell(error)

        self._engine.settle_with_commit(settle)
        return answer

    def _commit(self, key: PauseKey, pause: Pause | None, received: Receipt | None) -> None:
        self._engine.batch.pauses[key] = pause
        if received is not None:
            self._engine.batch.receive(received, 0, begins=False)

    def _put(self, key: PauseKey, pause: Pause | None) -> None:
        if pause is None:
            self._pauses.pop(key, None)
        else:
            self._pauses[key] = pause

    # -- going on ------------------------------------------------------------------------------------

    def _go_on(self, live: LiveExecution, activities: Sequence[PendingActivity]) -> None:
        if (
            self._engine.cache.get(live.record.key) is live
            and not live.uncommitted
            and self.of(live.record) is None
        ):
            self._engine.activities.go_on(live, activities)
            self._engine.own_clocks.consider(live)
            self._engine.make_ready(live)

    async def _go_on_all(self) -> None:
        """Those in memory at once; then, one by one, those that left it while they were paused."""
        for live in self._engine.cache:
            self._go_on(live, list(live.state.activities.values()))
        journal = self._engine.journal
        # What was due and is not hot: starts that were delayed until some time of the pause.
        late = [record for _, record in await journal.due(0, self._engine.now_us(), _LATE_MAX)]
        for record in [*await journal.hot(), *late]:
            if self._engine.cache.get(record.key) is None and not self._engine.closing:
                await self._engine.loaded(record.workflow_id)


def _repeats(body: ev.WorkflowPaused, by: Event) -> bool:
    assert isinstance(by.body, ev.WorkflowPaused)
    return body.request_id != "" and by.body.request_id == body.request_id


def described(scope: str, name: str) -> str:
    """What is paused, in words."""
    return scope if scope == "everything" else f"{scope.replace('_', ' ')} {name!r}"


def own_pause(state: ExecutionState) -> Pause | None:
    """The pause of this execution by itself."""
    event = state.paused_by
    if event is None:
        return None
    assert isinstance(event.body, ev.WorkflowPaused)
    return Pause(
        scope="execution", identity=event.body.identity, reason=event.body.reason, since_us=event.at_us
    )
