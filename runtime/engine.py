"""The engine: what happens goes to executions, what they ask for is committed, and only then leaves the process.

One loop turns. Each turn hands everything that is ready to the executions it is for (`LiveExecution.activate`),
collects their events and what must be durable with them in one `Batch`, commits it with one fsync, and then lets the
effects go: activities start, timers are armed, callers get their answers. While a commit is under way more becomes
ready; the next turn takes it all. That is the whole of group commit.

Everything in memory can be rebuilt from the journal. When a commit fails for want of room, the executions it touched
are dropped and read again; what came from inside (ended activities, fired timers) waits and is handed over again, what
came from outside is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from .activity_slots import ActivitySlots
from .admission import Admission
from .attempts import ActivityRunner, Attempt, Timeouts
from .batch_runner import Batches
from .blocking import Blocking
from .cache import Cache
from .core import codec
from .core import commands as cmd
from .core import events as ev
from .core.code import Code
from .core.commands import Command
from .core.definition import WorkflowDefinition
from .core.events import Closing, Happening
from .core.instance import ActivationFailed, RejectedUpdate, RunningHandler
from .core.payload import Payload
from .core.payload_groups import groups_of
from .core.records import dataclass
from .core.replay import HistoryDiverged
from .crash_watch import CrashWatch
from .deletions import Deletions
from .durability import NOW, Flushing
from .follow_ups import Ending, next_request, with_next_run
from .handover import first_handover, only_outcomes, still_awaited, updates_last, waits_to_begin, withdrawn
from .journal.errors import HistoryDamaged, StorageFull
from .limits import DEFAULT_INTAKE, Intake, IntakeLimits
from .live import Incoming, LiveExecution
from .metrics import MetricMeter
from .own_clocks import OwnClocks
from .pausing import Pauses, own_pause
from .pending_activities import PendingActivities
from .ports import (
    OPEN,
    Batch,
    Clock,
    Entropy,
    ExecutionChange,
    ExecutionRecord,
    Journal,
    OutgoingMessage,
    ParkedMessage,
    Receipt,
    status_of,
)
from .queries import Queries
from .relations import Relations
from .replay_check import ReplayCheck
from .requests import (
    AlreadyRunning,
    EngineClosed,
    KeyTaken,
    NoSuchExecution,
    StartRequest,
    answering,
)
from .resets import Resets
from .schedules.runner import Schedules
from .sealing import Sealing
from .starts import Starts
from .task_queues import OF_ACTIVITIES, CodeSource, MakeInstance, ServingWorker, TaskQueues
from .timekeeping import Timekeeper
from .timers import Alarm
from .transit import Transit
from .updates import Updates, UpdateTicket
from .watchdog import YIELD_WITHIN_S

_log = logging.getLogger(__name__)

_FULL_WAIT_S = 1.0
"""How long nothing is written after a commit found no room."""
_TURN_MAX = 500
"""Executions handed over in one turn; more wait for the next, so that no commit grows without bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Bounds of what an engine holds in memory."""

    cached_executions_max: int = 10_000
    """Executions whose code stays loaded; more are rebuilt from the journal when something happens to them."""
    cached_bytes_max: int = 128 << 20
    """What the code of executions may take, by estimate; see `cache`."""
    activities_max: int = 100
    """Activities that run at a time, for each worker."""
    heartbeat_interval_s: float = 5.0
    """The details of heartbeats reach the journal at most this often."""
    batch_per_second: float = 50.0
    """Executions that a batch job is carried out on in a second; it may ask for less."""
    look_ahead_s: float = 600.0
    """Timers that are due within this time are in memory; the journal knows of later ones."""
    commit_delay_s: float = 0.0
    """How long a commit waits for more to come, unless something of the class `NOW` is in it."""
    lazy_window_s: float = 1.0
    """How long what is of the class `LAZY` may be written and not flushed."""
    yield_within_s: float | None = YIELD_WITHIN_S
    """Workflow code that does not yield within this time is interrupted, and its execution blocked; None for never."""
    intake: IntakeLimits = DEFAULT_INTAKE
    """What is taken from outside."""
    replay_check_after_s: float | None = 1.0
    """How long after a worker came the open executions of its task queue are replayed dry; None for not at all."""


@dataclass(slots=True)
class EngineCounters:
    """What an engine has done since it began."""

    activations: int = 0
    steps: int = 0
    commits: int = 0
    commit_failures: int = 0
    events: int = 0
    replays: int = 0
    evictions: int = 0
    interruptions: int = 0
    """Workflow code that did not yield."""


class Engine:
    """Runs the executions of one journal. Use it as an asynchronous context manager.

    It runs on the event loop that entered it, and its methods are called there.
    """

    def __init__(
        self, journal: Journal, clock: Clock, entropy: Entropy, limits: EngineLimits | None = None
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.entropy = entropy
        self.limits = limits or EngineLimits()
        self.failure: BaseException | None = None
        """Why the engine stopped by itself; the process should end."""
        self.failed = asyncio.Event()
        self.unfinished_handlers: Callable[[list[RunningHandler]], None] = lambda _handlers: None
        """Called with handlers that were running when their workflow closed."""
        self.timeouts: Timeouts | None = None
        """What the timeouts of attempts are measured by; None for this machine's time."""
        self.crash_watch = CrashWatch()
        self.committed: Callable[[Batch], None] = _nothing_of
        """Called after each commit."""
        self.when_idle: Callable[[], Awaitable[None]] | None = None
        """Awaited after each turn that leaves nothing to do; a test environment then skips time."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        """What an engine has in memory is as in a new process."""
        self.counters = EngineCounters()
        self.cache = Cache(self.limits.cached_executions_max, self.limits.cached_bytes_max)
        self.loading: dict[str, list[Callable[[LiveExecution | None], None]]] = {}
        self._ready: list[LiveExecution] = []
        self._urgent: list[LiveExecution] = []
        """Of the class `NOW`, or with an activity of it: a turn and a commit of their own."""
        self._urgent_were_next = False
        self._no_delay = asyncio.Event()
        self._first: list[Callable[[BaseException | None], None]] = []
        self.batch = Batch()
        self._effects: list[Callable[[], None]] = []
        self._settlers: list[Callable[[BaseException | None], None]] = []
        self._touched: dict[int, tuple[LiveExecution, list[Incoming]]] = {}
        self._written: dict[int, tuple[LiveExecution, list[Incoming]]] = {}
        self._settling: list[Callable[[BaseException | None], None]] = []
        """As `_touched` and `_settlers`, of the commit that is under way."""
        self._workers = TaskQueues()
        self.unread: dict[int, list[Incoming]] = {}
        """What came from inside for executions that are read again because a commit found no room."""
        self._results: dict[int, list[asyncio.Future[Closing]]] = {}
        self._commit_waiters: list[asyncio.Future[None]] = []
        self._flush_waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self.closing = False
        self._committing = False
        self.timekeeper = Timekeeper(self, self.journal, self.clock, self.limits.look_ahead_s)
        self.starts = Starts(self)
        self.activities = PendingActivities(self, self._workers)
        self.updates = Updates(self)
        self.own_clocks = OwnClocks(self)
        self.blocking = Blocking(self)
        self.transit = Transit(self)
        self.queries = Queries(self)
        self.relations = Relations(self)
        self.admission = Admission(self)
        self.schedules = Schedules(self)
        self.pauses = Pauses(self)
        self.resets = Resets(self)
        self.deletions = Deletions(self)
        self.batches = Batches(self)
        self.flushing = Flushing(self, self.limits.lazy_window_s)
        self.intake = Intake(self, self.limits.intake)
        self.replay_check = ReplayCheck(self)
        self._outbox_id = self._parked_id = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Engine:
        last = await self.journal.last_ids()
        self._outbox_id, self._parked_id = last.outbox, last.parked
        self.starts.number_after(last.execution)
        await self._recover()
        # Not a task group of anyio's: it may only be left by the task that entered it, and test fixtures (among others)
        # enter and leave an engine in different tasks.
        self.spawn(self._turn_forever())
        self.spawn(self.timekeeper.watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.closing = True
        await self.replay_check.close()
        for worker in self._workers:
            worker.activities.closing = True
        for worker in list(self._workers):
            await worker.activities.close(0, 1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.flushing.close()
        for live in self.cache:
            live.drop_instance()
        self._abandon(EngineClosed("the engine stopped; executions go on at the next start"))

    async def _recover(self) -> None:
        await self.pauses.recover()
        await self.intake.recover()
        for record in await self.journal.hot():
            await self._load(record)
            live = self.cache.get(record.key)
            if live is not None and self.cache.full:
                self.cache.unload(live)  # It is read again in its turn.
        await self.relations.recover()
        await self.admission.recover()
        await self.schedules.recover()
        await self.batches.recover()
        await self.timekeeper.look_ahead()

    def now_us(self) -> int:
        """The gateway's time, in microseconds since the epoch."""
        return self.clock.now_us()

    # -- workers -------------------------------------------------------------------------------------

    def attach(
        self,
        task_queue: str,
        workflows: Mapping[str | None, WorkflowDefinition],
        runner: ActivityRunner,
        make_instance: MakeInstance,
        *,
        activities_max: int | None = None,
        local_activities_max: int | None = None,
        activities_per_second: float | None = None,
        queue_activities_per_second: float | None = None,
        sealing: Sealing | None = None,
        local_only: bool = False,
        meter: MetricMeter = MetricMeter.noop,
        cached_executions_max: int | None = None,
    ) -> ServingWorker:
        """Serve a task queue, beside the workers that do already: what waits for it goes on.

        `sealing` is for workflows; the runner seals what activities say. `queue_activities_per_second` is for all workers of the
        queue together; of several, the lowest holds. With `local_only` it runs no activities but local ones. Of its executions,
        the code of `cached_executions_max` stays in memory at most.
        """
        slots = ActivitySlots(
            runner,
            self.activities,
            slots=activities_max or self.limits.activities_max,
            local_slots=local_activities_max or self.limits.activities_max,
            beat_interval_s=self.limits.heartbeat_interval_s,
            now_us=self.now_us,
            timeouts=self.timeouts,
            per_second=activities_per_second,
        )
        worker = ServingWorker(
            workflows, slots, runner, make_instance, queue_activities_per_second, sealing, local_only
        )
        if cached_executions_max is not None:
            worker.loaded_max = cached_executions_max
        self._serve(task_queue, worker)
        if workflows:
            self.replay_check.look_at(task_queue, self.starts.last_key, meter)
        return worker

    def _serve(self, task_queue: str, worker: ServingWorker) -> None:
        worker.loaded.clear()
        self._workers.add(task_queue, worker)
        self.activities.serve(task_queue)
        for live in self.cache:
            if live.record.task_queue != task_queue:
                continue
            if live.blocked is not None:
                self.spawn(self.blocking.reload(live))  # Perhaps this worker brings the mended code.
            elif live.waiting or live.incoming or live.held:
                self.make_ready(live)

    def detach(self, task_queue: str, worker: ServingWorker) -> None:
        """Stop serving a task queue; executions and unfinished activities wait for another worker of it."""
        self._workers.remove(task_queue, worker)
        self.activities.hand_on(task_queue, worker.activities)
        for live in self.cache:
            if live.record.task_queue == task_queue:
                live.drop_instance()
                self.cache.used(live)
                if live.incoming or live.waiting:
                    self.make_ready(live)  # Another worker may serve it.

    @property
    def task_queues(self) -> list[str]:
        """The queues that are served."""
        return self._workers.names

    # -- requests from outside -----------------------------------------------------------------------

    def start(
        self,
        request: StartRequest,
        *,
        on_conflict: str = "fail",
        received: Receipt | None = None,
    ) -> asyncio.Future[tuple[ExecutionRecord, bool]]:
        """Begin a workflow; see `Starts.start`."""
        return self.starts.start(request, on_conflict=on_conflict, received=received)

    async def start_checked(
        self,
        request: StartRequest,
        *,
        reuse: int = 1,
        on_conflict: str = "fail",
        received: Receipt | None = None,
    ) -> tuple[ExecutionRecord, bool]:
        """Begin a workflow, unless its id was used before and `reuse` forbids it; see `Starts.start_checked`."""
        return await self.starts.start_checked(
            request, reuse=reuse, on_conflict=on_conflict, received=received
        )

    def signal(
        self,
        workflow_id: str,
        run_id: str | None,
        signal: ev.Signaled,
        *,
        received: Receipt | None = None,
    ) -> asyncio.Future[None]:
        """Hand a signal to an open execution; the future is done when it is durable.

        Raises (through the future):
            NoSuchExecution: no open run has this id.
            StorageFull: nothing was accepted.
        """
        return self.tell(workflow_id, run_id, signal, received)

    def cancel(
        self,
        workflow_id: str,
        run_id: str | None,
        reason: str = "",
        *,
        only_chain: str | None = None,
        received: Receipt | None = None,
    ) -> asyncio.Future[None]:
        """Ask an open execution to end by itself; raises as `signal` does.

        With `only_chain`, only a run of the chain that began with that run.
        """
        return self.tell(workflow_id, run_id, ev.CancelRequested(reason), received, only_chain=only_chain)

    def update(
        self,
        workflow_id: str,
        run_id: str | None,
        update: ev.UpdateAccepted,
        *,
        received: Receipt | None = None,
    ) -> asyncio.Future[UpdateTicket]:
        """Hand an update to an open execution; see `Updates.send`."""
        return self.updates.send(workflow_id, run_id, update, received=received)

    def tell_run(self, workflow_id: str, run_id: str, incoming: Incoming) -> None:
        """Hand something to this very run, if it is still open; who waits for that to be recorded is told if it is not."""

        def tell(live: LiveExecution | None) -> None:
            if live is not None and live.record.run_id == run_id:
                self.give(live, incoming)
            elif incoming.settle is not None:
                incoming.settle(_no_open_run(workflow_id, run_id))

        self.with_live(workflow_id, tell)

    def terminate(
        self,
        workflow_id: str,
        run_id: str | None,
        reason: str = "",
        details: tuple[Payload, ...] = (),
        *,
        only_chain: str | None = None,
        received: Receipt | None = None,
    ) -> asyncio.Future[None]:
        """End an open execution without asking its code; raises as `signal` does. `only_chain` as for `cancel`."""
        body = ev.WorkflowTerminated(reason, details)
        return self.tell(workflow_id, run_id, body, received, only_chain=only_chain)

    async def find_attempt(self, token: bytes) -> Attempt | None:
        """The running attempt with this idempotency key."""
        run_id, _, number = token.decode("utf-8", "replace").rpartition(":")
        if not number.isdigit():
            return None
        for live in self.cache:
            pending = live.state.activities.get(int(number))
            if pending is not None and live.state.run_that_asked(int(number)) == run_id:
                return self.attempt_of(live, int(number))
        return None

    async def find_attempt_by_id(
        self, workflow_id: str, run_id: str | None, activity_id: str
    ) -> Attempt | None:
        """The running attempt of the activity with this id in an open execution."""
        live = self.cache.open_run(workflow_id)
        if live is None or (run_id and live.record.run_id != run_id):
            return None
        pending = (a.command for a in live.state.activities.values() if a.command.activity_id == activity_id)
        return next((self.attempt_of(live, command.id) for command in pending), None)

    def tell(
        self,
        workflow_id: str,
        run_id: str | None,
        body: Happening,
        received: Receipt | None = None,
        *,
        only_chain: str | None = None,
        alongside: Callable[[Batch], None] | None = None,
    ) -> asyncio.Future[None]:
        """Hand this to an open execution; the future is done when it is durable, and raises as that of `signal` does.

        `alongside` adds to the commit that records it.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.refuse_when_closing(answer):
            return answer
        try:
            codec.encode_body(body)
        except codec.EventUnwritable as error:
            answer.set_exception(error)
            return answer

        settle = answering(answer, lambda: None)

        def tell(live: LiveExecution | None) -> None:
            if self.refuse_when_closing(answer):
                return
            if live is None or (run_id is not None and live.record.run_id != run_id):
                settle(_no_open_run(workflow_id, run_id))
            elif only_chain is not None and live.state.started.first_run_id != only_chain:
                settle(_no_open_run(workflow_id, only_chain))
            elif isinstance(body, ev.CancelRequested) and live.state.cancel_requested:
                self.when_written(live, settle)  # It was asked before, and is asked once.
            elif (refusal := self.intake.refusal_of_message(live, body)) is not None:
                settle(refusal)
            else:
                live.notes_came |= isinstance(body, ev.NOTES)
                self.give(live, Incoming(body, settle, received, alongside=alongside))

        self.with_live(workflow_id, tell)
        return answer

    def park(self, message: ParkedMessage) -> asyncio.Future[None]:
        """Put a refused message into quarantine; the future is done when that is durable."""
        self._parked_id += 1
        numbered = replace(message, id=self._parked_id)
        return self.keep(lambda batch: batch.parked.append(numbered))

    def keep(self, write: Callable[[Batch], None], received: Receipt | None = None) -> asyncio.Future[None]:
        """Record what `write` puts into the batch, and a receipt with it; the future is done when that is durable.

        Raises (through the future):
            EngineClosed, StorageFull: nothing was accepted.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.refuse_when_closing(answer):
            write(self.batch)
            if received is not None:
                self.batch.receive(received, 0, begins=False)
            self.settle_with_commit(answering(answer, lambda: None))
        return answer

    def settle_with_commit(self, settle: Callable[[BaseException | None], None]) -> None:
        """Call this with None once what the batch holds now is durable, else with why it is not."""
        self._settlers.append(settle)
        self._wake.set()

    def when_written(self, live: LiveExecution, settle: Callable[[BaseException | None], None]) -> None:
        """Call this with None once all that has happened to an execution is durable, else with why it is not."""
        if live.record.key in self._touched:
            self.settle_with_commit(settle)
        elif live.record.key in self._written:
            self._settling.append(settle)
        else:
            self.flushing.answer(settle)

    def note_sent(self, outbox_ids: Sequence[int]) -> None:
        """Messages were answered: they leave the outbox with the next commit."""
        self.batch.sent.extend(outbox_ids)
        self._wake.set()

    async def find(self, workflow_id: str, run_id: str | None = None) -> ExecutionRecord:
        """The record of a run, of the latest one without a run id.

        Raises:
            NoSuchExecution: there is none.
        """
        live = self.cache.open_run(workflow_id)
        if live is not None and not live.uncommitted and run_id in (None, live.record.run_id):
            is_shown = live.record.status == OPEN or self.is_written(live)
            if is_shown:
                return live.record
        found = await self.journal.executions(workflow_id=workflow_id, run_id=run_id, limit=1)
        if not found:
            raise _no_open_run(workflow_id, run_id, any_run=True)
        return found[0]

    async def closing_event(self, record: ExecutionRecord) -> Closing:
        """How a run ended, once it has."""
        if self.closing:
            raise EngineClosed("the engine stops")
        waiter: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()
        # Before the read, so that nothing is missed that happens meanwhile.
        self._results.setdefault(record.key, []).append(waiter)
        try:
            if self.cache.get(record.key) is None:
                closing = (await self.journal.history(record)).state.closing
                if closing is not None:
                    await self.flushing.wait()
                    return closing
            return await waiter
        finally:
            self._wait_no_more(record.key, waiter)

    def _wait_no_more(self, key: int, waiter: asyncio.Future[Closing]) -> None:
        waiter.cancel()
        waiters = self._results.get(key, [])
        if waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._results[key]

    async def flushed(self) -> None:
        """What was on its way into the journal as bytes is there, or was not written and is in memory again."""
        for _ in range(2):  # The commit that is under way, and the one that takes what waits now.
            if not (self.batch or self._committing):
                return
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._flush_waiters.append(waiter)
            await waiter

    def is_written(self, live: LiveExecution) -> bool:
        """Whether all that has happened to it is in the journal."""
        key = live.record.key
        return not live.uncommitted and key not in self._touched and key not in self._written

    def payloads_in_memory(self) -> Iterator[Payload]:
        """Payloads of what executions have not recorded yet."""
        waiting = [item for unread in self.unread.values() for item in unread]
        waiting += [item for live in self.cache for item in self.transit.unrecorded(live)]
        return (payload for group in groups_of(item.body for item in waiting) for payload in group)

    def next_commit(self) -> asyncio.Future[None]:
        """A future that is done when the next commit has ended, written or not: look again.

        Raises (through the future):
            EngineClosed: there will be none.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.refuse_when_closing(waiter):
            self._commit_waiters.append(waiter)
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        return waiter

    def _commit_ended(self, error: BaseException | None = None) -> None:
        waiters, self._commit_waiters = self._commit_waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    async def loaded(self, workflow_id: str) -> LiveExecution | None:
        """The open run of this workflow id, read from the journal if need be."""
        answer: asyncio.Future[LiveExecution | None] = asyncio.get_running_loop().create_future()
        self.with_live(workflow_id, lambda live: None if answer.done() else answer.set_result(live))
        return await answer

    def attempt_of(self, live: LiveExecution, activity: int) -> Attempt | None:
        """The attempt of an activity that runs now, or None."""
        return self._workers.attempt((live.record.key, activity))

    def worker_for(self, record: ExecutionRecord) -> ServingWorker | None:
        """The worker that runs executions of this type on this task queue; None when there is none."""
        return self._workers.for_workflow(record.task_queue, record.workflow_type)

    def activities_running(self) -> int:
        """How many activities run, over all workers."""
        return sum(worker.activities.running for worker in self._workers)

    def activities_waiting(self) -> int:
        """How many activities wait for a slot, a rate or a worker."""
        return self._workers.waiting

    @property
    def working(self) -> bool:
        """Whether activities run, are to be completed by someone, or would run if a rate allowed."""
        return any(worker.activities.pending for worker in self._workers) or self._workers.held_up

    def refuse_when_closing(self, answer: asyncio.Future[Any]) -> bool:
        """Whether the engine stops, so that the answer is that it does."""
        if self.failure is None and not self.closing:
            return False
        if not answer.done():
            why = "the engine stops" if self.failure is None else f"the engine has stopped: {self.failure}"
            answer.set_exception(EngineClosed(why))
        return True

    # -- executions in memory ------------------------------------------------------------------------

    def with_live(self, workflow_id: str, action: Callable[[LiveExecution | None], None]) -> None:
        """Act on the open run of a workflow id, read from the journal if need be; in the order of the calls.

        A run that no commit holds yet may come to nothing, with another one in its way: which one it is, is known then.
        """
        if workflow_id in self.loading:
            self.loading[workflow_id].append(action)
            return
        live = self.cache.open_run(workflow_id)
        if live is not None and not live.uncommitted:
            action(live)
            return
        self.loading[workflow_id] = [action]
        if live is None:
            self.spawn(self._load_open_run(workflow_id))

    async def _load_open_run(self, workflow_id: str) -> None:
        try:
            found = await self.journal.executions(workflow_id=workflow_id, status=OPEN, limit=1)
            if found and self.cache.open_run(workflow_id) is None:
                await self._load(found[0])
        finally:
            self._answer_loading(workflow_id)

    async def _load(self, record: ExecutionRecord, inside: Sequence[Incoming] = ()) -> None:
        """Read an open execution, and go on with what it waits for; `inside` has happened to it already."""
        live = LiveExecution(record)
        try:
            history = await self.journal.history(record)
            attempts = await self.journal.attempts(record.key)
        except HistoryDamaged as error:
            self.blocking.set_aside(live, error)
            return
        if self.cache.get(record.key) is not None or history.state.closing is not None:
            return
        live.load(history, attempts)
        self.cache.hold(live)
        ended = {i.body.id for i in inside if isinstance(i.body, ev.ActivityCompleted | ev.ActivityFailed)}
        self.activities.resume(live, ended)
        self.relations.resume(live)
        self.timekeeper.arm(live)
        for item in inside:
            self.give(live, item)
        if live.waiting:
            self.make_ready(live)

    def _evict_some(self) -> None:
        if self._committing:
            return  # What is being written cannot be read again yet; the end of the commit looks here too.
        self.counters.evictions += self.cache.evict(self._needs_memory, self._may_leave)

    def _needs_memory(self, live: LiveExecution) -> bool:
        key = live.record.key
        return key in self._touched or key in self.batch.changes or not live.recorded

    def _may_leave(self, live: LiveExecution) -> bool:
        """Whether nothing of it runs on: it is idle, or paused."""
        if live.idle:
            return True
        if not live.recorded or self.pauses.of(live.record) is None:
            return False
        return all(self.attempt_of(live, activity) is None for activity in live.state.activities)

    def spawn(self, coro: Any) -> asyncio.Task[None]:
        """Run this beside the turns; when it raises, the engine stops."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)
        return task

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            _log.critical("the engine stops: %s", error, exc_info=error)
            self._abandon(EngineClosed(f"the engine has stopped: {error}"))
            self.failed.set()

    def _abandon(self, error: EngineClosed) -> None:
        """Nobody waits for an answer that will not come."""
        for workflow_id in list(self.loading):
            for action in self.loading.pop(workflow_id):
                action(None)
        settlers, self._settlers = self._settlers, []
        waiting = [item for live in self.cache for item in live.incoming]
        waiting += [item for live in self.cache for item in self.transit.abandon(live)]
        waiting += [item for _, incoming in self._touched.values() for item in incoming]
        waiting += [item for incoming in self.unread.values() for item in incoming]
        settlers += [item.settle for item in waiting if item.settle is not None]
        first, self._first = self._first, []
        for settle in [*settlers, *first]:
            settle(error)
        self.flushing.abandon(error)
        self.updates.abandon(error)
        self.batches.abandon(error)
        self.own_clocks.abandon(error)
        self._commit_ended(error)
        waiting_for: list[asyncio.Future[Any]] = list(self._flush_waiters)
        waiting_for += [waiter for waiters in self._results.values() for waiter in waiters]
        for waiter in waiting_for:
            if not waiter.done():
                waiter.set_exception(error)

    # -- the turn ------------------------------------------------------------------------------------

    def give(self, live: LiveExecution, incoming: Incoming) -> None:
        """Hand this to an execution in its next turn."""
        live.incoming.append(incoming)
        self.make_ready(live)
        if incoming.durability == NOW:
            self._hurry(live)

    def wake(self) -> None:
        """There is something to write: a turn follows."""
        self._wake.set()

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Do this when what the batch holds now is durable, and not at all if it does not become so."""
        self._effects.append(effect)

    def make_ready(self, live: LiveExecution) -> None:
        """Look at an execution in the next turn."""
        if not live.queued:
            live.queued = True
            if live.durability == NOW:
                self._hurry(live)
            else:
                self._ready.append(live)
            self._wake.set()

    def _hurry(self, live: LiveExecution) -> None:
        self._urgent.append(live)
        self._no_delay.set()

    async def _turn_forever(self) -> None:
        try:
            while True:
                await self._wake.wait()
                if self.limits.commit_delay_s:
                    await self._let_more_come()
                self._wake.clear()
                self._turn()
                if self.batch or self._settlers or self._effects or self._touched:
                    await self._commit()
                elif self.flushing.due:
                    await self._flush()
                else:
                    # Nothing to write, but others must get their turn.
                    await asyncio.sleep(0)
                if self._ready or self._urgent or self.flushing.due:
                    self._wake.set()
                elif self.when_idle is not None:
                    if self.flushing.behind:
                        await self._flush()  # The window is not of the time that is skipped.
                    await self.when_idle()
        except Exception as error:
            self._fail(error)

    async def _let_more_come(self) -> None:
        """So that what comes within a moment shares a commit; what is urgent ends the wait."""
        if not self._urgent:
            self._no_delay.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._no_delay.wait(), self.limits.commit_delay_s)

    def in_next_turn(self, action: Callable[[BaseException | None], None]) -> None:
        """Call this with None before the next turn hands anything over, when no commit is under way.

        With an error instead, when the engine stops before that.
        """
        self._first.append(action)
        self._wake.set()

    def _turn(self) -> None:
        first, self._first = self._first, []
        for action in first:
            action(None)
        for live in self._next_ready():
            if live.queued:
                live.queued = False
                if self.crash_watch.careful:
                    with self.crash_watch.running(live.record.run_id):
                        self._hand_over(live)
                else:
                    self._hand_over(live)

    def _next_ready(self) -> list[LiveExecution]:
        """Whose turn it is: that of the urgent ones alone, and every other time that of the rest."""
        queue = self._ready
        if self._urgent and not (self._urgent_were_next and self._ready):
            queue = self._urgent
        self._urgent_were_next = queue is self._urgent
        ready = queue[:_TURN_MAX]
        del queue[:_TURN_MAX]
        return ready

    def _hand_over(self, live: LiveExecution) -> None:
        if not live.state.open and not live.uncommitted:
            self._turn_away(live)
            return
        if live.suspended or self.cache.get(live.record.key) is not live:
            # Whoever suspended it makes it ready again; or it was dropped while it was queued, and who waits was told.
            return
        if live.transit is not None and self.transit.holds(live):
            return
        entry = self._runs_now(live)
        served = entry is not None
        if served and not live.rebuildable and not live.failures:
            self.spawn(self.blocking.reload(live))
            return
        now_us = self.now_us()
        runs = served and live.rebuildable and not waits_to_begin(live, live.clock_us(now_us))
        if entry is not None and entry.sealing is not None:
            runs = runs and self.transit.openable(live, entry.sealing)
        incoming, live.incoming = live.incoming, []
        simple = only_outcomes(live, incoming)
        if not simple:
            if runs:
                incoming, live.held = updates_last(incoming, live.held), []
            else:
                live.held += [item for item in incoming if isinstance(item.body, ev.UpdateAccepted)]
                incoming = [item for item in incoming if not isinstance(item.body, ev.UpdateAccepted)]
            if live.uncommitted and live.state.start is None and len(incoming) > 1:
                incoming, live.incoming = first_handover(incoming)
            incoming = withdrawn(live, incoming)
        at_us = live.instant_us(now_us)
        incoming = self._fresh(live, incoming)
        if not incoming and not (live.waiting and runs):
            return
        end = None if simple else next(filter(_ends_run, incoming), None)
        if runs and end is None and entry is not None and entry.sealing is not None:
            self.transit.activate(live, entry, incoming, at_us)
            return
        if end is not None:
            self.touch(live, incoming)
            self._end_from_outside(live, incoming, end, at_us)
            return
        inputs: list[Happening] = [item.body for item in incoming]
        if entry is None or not runs:
            # Nobody runs its code, it is paused, or it is blocked and will be tried again: what came is kept for then.
            self.touch(live, incoming)
            live.accept(self.batch, at_us, inputs)
            self.record_change(live)
            self._effects.append(partial(self.timekeeper.arm, live))
            return
        try:
            instance = self.instance_of(live, entry)
            commands = live.hand_over(at_us, inputs, instance, self.finisher(live, at_us))
            self.note_asides(live, instance)
            live.record_activation(self.batch, at_us, inputs, commands, instance.rejected)
        except (ActivationFailed, HistoryDiverged) as error:
            self.blocking.block(live, error, incoming, at_us)
            return
        self.activated(live, incoming, commands, at_us, instance.rejected)

    def finisher(self, live: LiveExecution, at_us: int) -> Callable[[Command], Command]:
        """What an execution's commands go through last: one that ends its run names the run that follows."""
        return lambda command: self._with_next_run(live, at_us, command)

    def _with_next_run(self, live: LiveExecution, at_us: int, ending: Any) -> Any:
        return with_next_run(ending, live.first_event(), at_us, self.entropy.run_id, live.chain_due_us)

    def activated(
        self,
        live: LiveExecution,
        incoming: list[Incoming],
        commands: Sequence[Command],
        at_us: int,
        rejected: Sequence[RejectedUpdate],
    ) -> None:
        """An activation is in the batch: what follows from it is too, or is queued for after the commit."""
        if rejected or live.state.resets:
            self._effects += self.updates.decided(live, rejected, incoming)
        self.touch(live, incoming)
        self.flushing.weigh(live, incoming, commands)
        for item in incoming:
            if isinstance(item.body, ev.ChildStarted):
                self._effects.append(partial(self.relations.child_started, live, item.body.id))
        self.counters.activations += 1
        live.failures = 0
        self._carry_out(live, commands, at_us)

    def note_asides(self, live: LiveExecution, instance: Code) -> None:
        """Pass on what an activation left for others than its history.

        Raises:
            ActivationFailed: somebody has made errors of the warnings about handlers that were cut off.
        """
        if instance.unfinished:
            unfinished, instance.unfinished = instance.unfinished, []
            try:
                self.unfinished_handlers(unfinished)
            except Warning as warning:
                raise ActivationFailed(str(warning)) from warning
        if instance.dropped_signals:
            self._note_dropped_signals(live.record, instance)

    def _runs_now(self, live: LiveExecution) -> CodeSource | None:
        """The worker that runs its code; None when there is none, or while it is paused."""
        if live.notes_came and not live.uncommitted:
            live.notes_came = False
            self.pauses.record(live)
            self.own_clocks.record(live)
        if self.pauses.of(live.record) is not None and not live.is_activity:
            return None  # A single activity has nothing that could be held but its attempts.
        return OF_ACTIVITIES if live.is_activity else self.worker_for(live.record)

    def _fresh(self, live: LiveExecution, incoming: list[Incoming]) -> list[Incoming]:
        """What still has a counterpart; who reported something else from outside is told."""
        fresh = still_awaited(live, incoming)
        if len(fresh) < len(incoming):
            for item in incoming:
                if item.settle is None or any(item is each for each in fresh):
                    continue
                if isinstance(item.body, ev.CancelRequested):  # It was asked before, and is asked once.
                    if item.received is not None:
                        self.batch.receive(item.received, live.record.key, begins=False)
                    self.settle_with_commit(item.settle)
                    continue
                error = _no_open_run(live.record.workflow_id, live.record.run_id)
                self.settle_with_commit(_settle_with(item.settle, error))
        return fresh

    def touch(self, live: LiveExecution, incoming: list[Incoming]) -> None:
        """Remember what this batch took from an execution, in case it is not written."""
        self.flushing.touched()
        key = live.record.key
        if key in self._touched:
            self._touched[key][1].extend(incoming)
        else:
            self._touched[key] = (live, incoming)
        for item in incoming:
            if item.received is not None:
                self.batch.receive(item.received, key, begins=live.uncommitted)
            if item.alongside is not None:
                item.alongside(self.batch)

    def _turn_away(self, live: LiveExecution) -> None:
        incoming, live.incoming = live.incoming, []
        incoming, live.held = incoming + live.held, []
        for item in incoming:
            if item.turned_away is not None:
                item.turned_away()
                continue
            if isinstance(
                item.received, tuple
            ):  # A message is acknowledged, a request is answered with an error.
                self.batch.receive(item.received, 0, begins=False)
            if item.settle is not None:
                error = _no_open_run(live.record.workflow_id, live.record.run_id)
                self.settle_with_commit(_settle_with(item.settle, error))

    def instance_of(self, live: LiveExecution, entry: CodeSource) -> Code:
        """The code of an execution, rebuilt if need be.

        Raises as `LiveExecution.ensure_instance`, and `CrashWatch.refuse`.
        """
        if live.instance is not None and live.worker is entry:
            return live.instance
        self.crash_watch.refuse(live.record.run_id)
        if live.instance is None and live.history:
            self.counters.replays += 1
        if isinstance(entry, ServingWorker):
            self.cache.runs(live, entry)
        try:
            return live.ensure_instance(entry.code_of(live.record.workflow_type))
        except HistoryDiverged as error:
            raise entry.explained(error, live) from None

    def _note_dropped_signals(self, record: ExecutionRecord, instance: Code) -> None:
        for name, error in instance.dropped_signals:
            _log.warning(
                "Failed deserializing signal input for %s on workflow %s with ID %s and run ID %s, dropping the signal: %s",
                name,
                record.workflow_type,
                record.workflow_id,
                record.run_id,
                error,
                extra=record.log_details,
            )
        instance.dropped_signals.clear()

    # -- outcomes of an activation -------------------------------------------------------------------

    def _carry_out(self, live: LiveExecution, commands: Sequence[Command], at_us: int) -> None:
        """Put what the commands need into the batch, and queue what follows the commit."""
        effects = self._effects
        self.counters.steps += len(commands)
        for command in commands:
            match command:
                case cmd.ScheduleActivity():
                    effects.append(partial(self.activities.begin, live, command.id))
                case cmd.CancelActivity():
                    effects.append(partial(self.activities.cancel, live, command.id))
                case cmd.PublishMessage():
                    self._post(live, command, at_us - live.state.skipped_us)
                case cmd.StartChild():
                    effects.append(partial(self.relations.start_child, live, command))
                case cmd.CancelChild():
                    effects.append(partial(self.relations.cancel_child, live, command.id, command.reason))
                case cmd.SignalExternal() | cmd.SignalWithStart() | cmd.CancelExternal():
                    effects.append(partial(self.relations.reach, live, command))
                case cmd.UpsertSearchAttributes():
                    self.batch.attributes[live.record.key] = dict(live.state.search_attributes)
                case cmd.CompleteUpdate():
                    effects.append(partial(self.updates.completed, live, command))
                case cmd.ContinueAsNew() | cmd.CompleteWorkflow() | cmd.FailWorkflow():
                    if command.new_run_id:
                        self._follow(live, command)
                case _:
                    pass  # Timers are armed from the state; what closes the workflow is seen there too.
        was_blocked = live.blocked is not None
        live.blocked = None
        if live.state.closing is not None:
            self.close_run(live, live.state.closing, at_us)
            return
        self.record_change(live, force=was_blocked)
        if live.state.timed:
            effects.append(partial(self.timekeeper.arm, live))

    def _post(self, live: LiveExecution, command: cmd.PublishMessage, at_us: int) -> None:
        self._outbox_id += 1
        expires_at_us = None if command.expires_s is None else at_us + round(command.expires_s * 1_000_000)
        self.batch.outgoing.append(
            OutgoingMessage(
                self._outbox_id,
                live.record.key,
                f"{live.record.run_id}:{command.id}",
                command.topic,
                command.body,
                command.qos,
                command.retain,
                at_us,
                expires_at_us,
            )
        )

    def _follow(self, live: LiveExecution, ending: Ending) -> None:
        """Begin the run that an ending names, in the commit that holds the ending."""
        at_us = live.state.at_us  # Of the ending: a cron schedule was asked for its next time as it was then.
        start = live.state.started
        request = next_request(ending, live.state, at_us, live.record.started_at_us)
        if request.parent is not None:
            # The one that it has now: it may have been reset since it started this child.
            parent = replace(request.parent, run_id=live.record.parent_run_id)
            request = replace(request, parent=parent)
        follower = self.starts.new_execution(
            request,
            ending.new_run_id,
            first_run_id=start.first_run_id,
            continued_run_id=start.run_id,
        )
        incoming, follower.incoming = follower.incoming, []
        if live.uncommitted:
            # Starts are written in this order: the run that ends must not find its follower in its way.
            self.batch.starts.setdefault(live.record.key, live.record)
        self.batch.starts[follower.record.key] = follower.record
        self.batch.continues[follower.record.key] = live.record.key
        self.touch(follower, incoming)
        follower.accept(self.batch, at_us, [item.body for item in incoming])
        follower.record = replace(follower.record, wake_at_us=follower.wake_at_us())
        self.batch.starts[follower.record.key] = follower.record
        # Signals that nobody handled yet belong to whoever runs now.
        follower.incoming, live.incoming = live.incoming, []
        follower.notes_came = live.notes_came
        self.updates.hand_on(live, follower)
        self._effects.append(lambda: self.timekeeper.arm(follower))
        self._effects.append(lambda: self.make_ready(follower))

    def close_run(self, live: LiveExecution, closing: Closing, at_us: int) -> None:
        """Put into the batch that an execution has closed, by the event that was appended last."""
        record = replace(
            live.record,
            status=status_of(closing, activity=live.is_activity),
            closed_at_us=at_us,
            wake_at_us=None,
            blocked=None,
            paused=None,
        )
        self._write_record(live, record)
        self.activities.closed(live)
        self._effects.append(lambda: self._closed(live))

    def _closed(self, live: LiveExecution) -> None:
        key = live.record.key
        for activity in list(live.state.activities):
            self._workers.forget((key, activity), "the workflow has closed")
        self._turn_away(live)
        self.cache.drop(live)
        self.intake.open_executions -= 1
        self.updates.closed(live)
        closing = live.state.closing
        assert closing is not None
        self.relations.closed(live, closing)
        self.own_clocks.closed(live, getattr(closing, "new_run_id", ""))
        self.admission.look(live.record.concurrency_key)
        if live.state.started.schedule_id:
            self.schedules.closed(live.state.started, closing)
        if self._settlers or self.batch:
            self._wake.set()
        for waiter in self._results.pop(key, []):
            self.flushing.answer(answering(waiter, lambda: closing))

    def _end_from_outside(
        self, live: LiveExecution, incoming: list[Incoming], end: Incoming, at_us: int
    ) -> None:
        others = [item.body for item in incoming if item is not end and not _ends(item.body)]
        if others:
            live.accept(self.batch, at_us, others)
        body = self._with_next_run(live, at_us, end.body)
        live.append(self.batch, 0, at_us, [body])
        live.drop_instance()
        assert live.state.closing is not None
        if isinstance(body, ev.WorkflowTimedOut) and body.new_run_id:
            self._follow(live, body)
        self.close_run(live, live.state.closing, at_us)

    def record_change(self, live: LiveExecution, *, force: bool = False) -> None:
        """Put into the batch what lists and restarts must know of an execution, where it has changed."""
        wake_at_us = live.wake_at_us()
        record = live.record
        rank = 0 if live.state.admitted else record.concurrency_rank
        same = wake_at_us == record.wake_at_us and rank == record.concurrency_rank
        if not force and same and not live.uncommitted:
            return
        changed = replace(
            record,
            wake_at_us=wake_at_us,
            blocked=live.blocked,
            concurrency_rank=rank,
            paused=own_pause(live.state),
        )
        self._write_record(live, changed)

    def _write_record(self, live: LiveExecution, record: ExecutionRecord) -> None:
        live.record = record
        if live.uncommitted:
            self.batch.starts[record.key] = record
        else:
            self.batch.changes[record.key] = ExecutionChange(
                record.key,
                record.status,
                record.closed_at_us,
                record.wake_at_us,
                record.blocked,
                record.concurrency_rank,
                record.paused,
            )

    # -- the commit ----------------------------------------------------------------------------------

    async def _commit(self) -> None:
        batch, self.batch = self.batch, Batch()
        effects, self._effects = self._effects, []
        settlers, self._settlers = self._settlers, []
        touched, self._touched = self._touched, {}
        self._written, self._settling = touched, settlers
        self._committing = True
        self.flushing.decide(batch)
        try:
            refused = await self.journal.commit(batch) if batch else {}
        except StorageFull as error:
            await self._not_written(batch, touched, settlers, error)
            return
        except BaseException:
            self._touched, self._settlers = touched, settlers  # for `_abandon`
            raise
        finally:
            self._committing = False
            self._written = {}
            _release(self._flush_waiters)
        self.counters.commits += 1
        self.counters.events += len(batch.events)
        if batch:
            self.intake.open_executions += len(batch.starts) - len(refused)
            self.flushing.written(batch)
        awaited: list[str] = []
        """Workflow ids of those that began, or were not to, for which somebody waits."""
        for key, (live, incoming) in touched.items():
            if live.uncommitted and live.record.workflow_id in self.loading:
                awaited.append(live.record.workflow_id)
            live.uncommitted = False
            if key in refused:
                self._start_refused(live, incoming, refused[key])
                continue
            self.cache.used(live)
            for item in incoming:
                if item.settle is not None:
                    self.flushing.answer(item.settle)
            if (
                live.incoming or live.waiting
            ):  # It came before it was known that this run exists, or may begin.
                self.make_ready(live)
        for effect in effects:
            effect()
        for settle in settlers:
            self.flushing.answer(settle)
        if refused:
            batch.outgoing = [message for message in batch.outgoing if message.execution not in refused]
        self.committed(batch)
        for workflow_id in awaited:
            self._is_known(workflow_id)
        self._commit_ended()
        self._evict_some()

    async def _flush(self) -> None:
        try:
            await self.journal.flush()
        except StorageFull as error:
            _log.error("%s", error)
            self.flushing.not_flushed(_FULL_WAIT_S)
        else:
            self.flushing.flushed()

    def _is_known(self, workflow_id: str) -> None:
        """Who waited for an execution that began goes on with it, or with what is to be read: the one in its place, or itself."""
        if self.cache.open_run(workflow_id) is None:
            self.spawn(self._load_open_run(workflow_id))
        else:
            self._answer_loading(workflow_id)

    def _start_refused(
        self, live: LiveExecution, incoming: list[Incoming], existing: ExecutionRecord
    ) -> None:
        live.state.activities.clear()
        live.state.timers.clear()
        waiting, live.incoming = live.incoming, []
        self.cache.drop(live)
        error: Exception = AlreadyRunning(existing)
        if existing.workflow_id != live.record.workflow_id:
            error = KeyTaken(live.record.concurrency_key, live.record.concurrency_limit, existing)
        for item in incoming:
            if item.settle is not None:
                item.settle(error)
        for item in waiting:  # they were meant for the workflow id, and another run has it
            self.with_live(live.record.workflow_id, partial(self._give_or_refuse, live.record, item))

    def _give_or_refuse(self, record: ExecutionRecord, item: Incoming, live: LiveExecution | None) -> None:
        if live is not None:
            self.give(live, item)
        elif item.turned_away is not None:
            item.turned_away()
        elif item.settle is not None:
            item.settle(_no_open_run(record.workflow_id, None))

    async def _not_written(
        self,
        batch: Batch,
        touched: dict[int, tuple[LiveExecution, list[Incoming]]],
        settlers: list[Callable[[BaseException | None], None]],
        error: StorageFull,
    ) -> None:
        """There was no room: refuse what came from outside, keep what came from inside, read everything again."""
        self.counters.commit_failures += 1
        _log.error("%s", error)
        for settle in settlers:
            settle(error)
        # Parked messages and answered ones are asked for again by those who are told of the error, or sent again.
        self.batch.sent = batch.sent + self.batch.sent
        kept: list[tuple[ExecutionRecord, list[Incoming]]] = []
        for live, incoming in touched.values():
            came = incoming + live.incoming
            inside = [item for item in came if item.settle is None or item.kept]
            for item in came + live.held:
                if item.settle is not None and not item.kept:
                    item.settle(error)
            live.incoming = []
            self.cache.drop(live)
            if not live.uncommitted:
                kept.append((live.record, inside))
                # Who asks for it meanwhile waits until it was read again.
                self.loading.setdefault(live.record.workflow_id, [])
                self.unread[live.record.key] = inside
        self.activities.not_written(batch.attempts)
        read_again = {record.workflow_id for record, _ in kept}
        for live, _ in touched.values():
            workflow_id = live.record.workflow_id
            if live.uncommitted and workflow_id in self.loading and workflow_id not in read_again:
                self._is_known(workflow_id)
        self._commit_ended()
        await asyncio.sleep(_FULL_WAIT_S)
        for record, inside in kept:
            self.spawn(self._read_again(record, inside))

    async def _read_again(self, record: ExecutionRecord, inside: list[Incoming]) -> None:
        try:
            (current,) = await self.journal.executions(
                workflow_id=record.workflow_id, run_id=record.run_id, limit=1
            )
            if current.status == OPEN:
                await self._load(current, inside)
        finally:
            self.unread.pop(record.key, None)
            self._answer_loading(record.workflow_id)

    def _answer_loading(self, workflow_id: str) -> None:
        """Let those go on who asked for an execution while it was read, or until it was known that it exists."""
        actions = self.loading.pop(workflow_id, [])
        for index, action in enumerate(actions):
            live = self.cache.open_run(workflow_id)
            if live is not None and live.uncommitted:
                self.loading[workflow_id] = actions[index:]
                return
            action(live)
        self._evict_some()  # Not before: it was read because something is about to happen to it.

    # -- time ----------------------------------------------------------------------------------------

    def alarm(self, at_us: int, action: Callable[[], None]) -> Alarm:
        """Do this when the engine's clock shows `at_us`, unless it is cancelled."""
        return self.timekeeper.alarm(at_us, action)

    def look_at_clock(self) -> None:
        """The clock was set: see what is due now."""
        self.timekeeper.look_at_clock()

    @property
    def busy(self) -> bool:
        """Whether something goes on that needs no timer: a turn, a commit, a read."""
        working = (
            self._ready or self._urgent or self.batch or self._effects or self._settlers or self._committing
        )
        return bool(working or self.loading or len(self._tasks) > 2)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


def _nothing_of(_batch: Batch) -> None:
    pass


_ENDS: Final = (ev.WorkflowTerminated, ev.WorkflowTimedOut, ev.WorkflowWithdrawn)


def _ends(body: Happening) -> bool:
    return isinstance(body, _ENDS)


def _ends_run(item: Incoming) -> bool:
    return _ends(item.body)


def _settle_with(
    settle: Callable[[BaseException | None], None], error: BaseException
) -> Callable[[BaseException | None], None]:
    return lambda commit_error: settle(commit_error or error)


def _no_open_run(workflow_id: str, run_id: str | None, *, any_run: bool = False) -> NoSuchExecution:
    run = "" if run_id is None else f" (run {run_id})"
    if any_run:
        return NoSuchExecution(
            f"workflow not found for ID: no execution has the workflow id {workflow_id!r}{run}"
        )
    return NoSuchExecution(
        f"workflow execution already completed or not found: no open execution has the workflow id {workflow_id!r}{run}"
    )
