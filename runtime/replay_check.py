"""The dry replay of open executions when a worker has come: which of them fit its code, before anything happens to them.

Code is rebuilt from its history before it is handed anything, so what does not fit never has a new effect, checked or not.
The check only says so early. It reads one history after the other and replays it on code that is thrown away. It rests as
long as it works, also within a long history, and what happens to executions goes before it: a start does not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import field
from typing import TYPE_CHECKING, Final

from .core import replay
from .core.instance import ActivationFailed
from .core.records import dataclass
from .core.replay import HistoryDiverged
from .journal.errors import HistoryDamaged, StorageFull
from .lines import TracedInstance
from .live import LiveExecution, blocked_by
from .metrics import MetricMeter
from .misfits import NEEDS_PATCH, Misfit
from .ports import OPEN, ExecutionRecord
from .requests import EngineClosed, answering

if TYPE_CHECKING:
    from .engine import Engine
    from .task_queues import ServingWorker

_log = logging.getLogger(__name__)

_PAGE: Final = 200
_WORK_S: Final = 0.005
"""How long it works at a time, before it rests as long."""
_MISFITS_KEPT: Final = 100
"""Of those that do not fit, so many are described; all are counted, and marked in the journal."""
_MISFITS_LOGGED: Final = 5

_Error = HistoryDiverged | ActivationFailed


@dataclass(frozen=True, slots=True)
class _Due:
    last_key: int
    meter: MetricMeter


@dataclass(slots=True)
class CheckReport:
    """How the executions of one task queue fit the code of its workers."""

    task_queue: str
    began_us: int
    fits: int = 0
    needs_patch: int = 0
    blocked: int = 0
    not_checked: int = 0
    """Their payloads could not be opened, or no worker has their type."""
    misfits: list[Misfit] = field(default_factory=list[Misfit])
    """The first that do not fit."""
    took_s: float | None = None
    """None while it is under way."""

    @property
    def checked(self) -> int:
        """How many executions it has looked at."""
        return self.fits + self.needs_patch + self.blocked + self.not_checked

    @property
    def misfitting(self) -> int:
        """How many do not fit."""
        return self.needs_patch + self.blocked


_END: Final = object()


class ReplayCheck:
    """The part of an engine that replays open executions dry."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due: dict[str, _Due] = {}
        """By task queue."""
        self._task: asyncio.Task[None] | None = None
        self._pace = _Pace()
        self.reports: dict[str, CheckReport] = {}
        """The last check of each task queue."""

    def look_at(self, task_queue: str, last_key: int, meter: MetricMeter) -> None:
        """Check the open executions of a task queue, the last of which has this key, in a while."""
        after_s = self._engine.limits.replay_check_after_s
        if after_s is None:
            return
        self._due[task_queue] = _Due(last_key, meter)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(after_s))

    async def settled(self) -> None:
        """Wait until all checks that are due have ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """End without a result."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # -- one check -----------------------------------------------------------------------------------

    async def _run(self, after_s: float) -> None:
        try:
            await asyncio.sleep(after_s)  # Those that come with a start come together.
            while self._due:
                due, self._due = self._due, {}
                await self._check(due)
        except EngineClosed:
            return
        except Exception:  # It is of use, but nothing depends on it.
            _log.exception("the check of open executions has ended early")

    async def _check(self, due: dict[str, _Due]) -> None:
        began = time.monotonic()
        now_us = self._engine.now_us()
        reports = {queue: CheckReport(queue, now_us) for queue in due}
        measured = {queue for queue in due if queue in self.reports and self.reports[queue].checked}
        self.reports |= reports
        self._pace.begin()
        async for record in self._open(max(each.last_key for each in due.values())):
            report = reports.get(record.task_queue)
            if report is not None and record.key <= due[record.task_queue].last_key:
                await self._look(record, report)
                await self._pace.rest()
        for queue, report in reports.items():
            report.took_s = time.monotonic() - began
            _tell(report)
            if report.checked or queue in measured:
                _measure(report, due[queue].meter)

    async def _open(self, last_key: int) -> AsyncIterator[ExecutionRecord]:
        before = last_key + 1
        while True:
            page = await self._engine.journal.executions(status=OPEN, before_key=before, limit=_PAGE)
            for record in page:
                if not record.is_activity:
                    yield record
            if len(page) < _PAGE:
                return
            before = page[-1].key

    async def _look(self, record: ExecutionRecord, report: CheckReport) -> None:
        worker = self._engine.worker_for(record)
        live = self._engine.cache.get(record.key)
        if worker is None:
            report.not_checked += 1
            return
        if live is not None and live.instance is not None:
            report.fits += 1  # It was rebuilt for something that happened, or began with this code.
            return
        read = LiveExecution(record)
        try:
            read.load(await self._engine.journal.history(record), ())
            if not read.state.open:
                return  # It has closed since the page was read.
            await self._engine.transit.open_history(read, worker.sealing)
        except HistoryDamaged as damage:
            _count(report, record, damage)
            await self._set_aside(record, damage)
            return
        except Exception as error:  # whatever a codec or a driver raises
            _log.warning("workflow %s could not be checked: %s", record.workflow_id, error)
            report.not_checked += 1
            return
        misfit = await self._replayed(read, worker)
        _count(report, record, misfit)
        if misfit is not None or record.blocked is not None:
            await self._mark(read, misfit)

    async def _replayed(self, read: LiveExecution, worker: ServingWorker) -> _Error | None:
        """What replaying its history ends with."""
        events = read.history or ()
        done, _ = replay.activations(events)
        definition = worker.definition(read.record.workflow_type)
        if not done or definition is None:
            return None
        watch = self._engine.crash_watch
        instance = worker.make_instance(definition, read.as_opened(read.first_event()), TracedInstance)
        try:
            watch.refuse(read.record.run_id)
            steps = replay.in_steps(instance, events, done, read.as_opened)
            while True:
                with watch.running(read.record.run_id):
                    if next(steps, _END) is _END:
                        break
                await self._pace.rest()
        except HistoryDiverged as error:
            instance.explain(error)
            return error
        except ActivationFailed as error:
            return error
        finally:
            instance.evict()
        return None

    async def _set_aside(self, record: ExecutionRecord, damage: HistoryDamaged) -> None:
        found = await self._engine.journal.executions(
            workflow_id=record.workflow_id, run_id=record.run_id, limit=1
        )
        if found and found[0].status == OPEN and self._engine.cache.get(record.key) is None:
            self._engine.blocking.set_aside(LiveExecution(found[0]), damage)

    # -- what comes of it ----------------------------------------------------------------------------

    async def _mark(self, read: LiveExecution, error: _Error | None) -> None:
        """Let lists show whether it fits. What has gone on meanwhile has been replayed for that."""
        engine, record = self._engine, read.record
        live = await engine.loaded(record.workflow_id)
        if live is None or live.record.key != record.key:
            return
        marked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer = answering(marked, lambda: None)

        def mark(stopped: BaseException | None) -> None:
            if stopped is not None:
                answer(stopped)
                return
            is_same = engine.cache.get(record.key) is live and live.state.sequence == read.state.sequence
            if is_same and live.recorded and live.instance is None:
                self._mark_now(live, error)
            engine.settle_with_commit(answer)

        engine.in_next_turn(mark)
        with contextlib.suppress(StorageFull):  # Without a mark it is held all the same.
            await marked

    def _mark_now(self, live: LiveExecution, error: _Error | None) -> None:
        engine = self._engine
        if error is None and live.waiting:
            return  # It fits so far; whether it goes on is seen when it is handed what waits.
        previous = live.blocked
        live.blocked = None if error is None else blocked_by(error, previous, engine.now_us())
        if (live.blocked and live.blocked.cause) != (previous and previous.cause):
            engine.touch(live, [])
            engine.record_change(live, force=True)


def _tell(report: CheckReport) -> None:
    if not report.checked:
        return
    _log.info(
        "open executions of task queue %r, replayed dry in %.1f s: %d fit the code, %d could not be checked",
        report.task_queue,
        report.took_s,
        report.fits,
        report.not_checked,
    )
    if not report.misfitting:
        return
    _log.error(
        "%d of the open executions of task queue %r do not fit the code and are held, the others go on: "
        "%d need a patch, %d are blocked",
        report.misfitting,
        report.task_queue,
        report.needs_patch,
        report.blocked,
    )
    for misfit in report.misfits[:_MISFITS_LOGGED]:
        where = misfit.where or "-"
        _log.error("%s: %s at %s: %s", misfit.workflow_id, misfit.verdict, where, misfit.problem)


def _count(report: CheckReport, record: ExecutionRecord, error: Exception | None) -> None:
    if error is None:
        report.fits += 1
        return
    misfit = Misfit(record.workflow_id, record.run_id, record.workflow_type, error)
    if misfit.verdict == NEEDS_PATCH:
        report.needs_patch += 1
    else:
        report.blocked += 1
    if len(report.misfits) < _MISFITS_KEPT:
        report.misfits.append(misfit)


def _measure(report: CheckReport, meter: MetricMeter) -> None:
    gauge = meter.create_gauge(
        "overwinter_replay_check_executions", "Open executions at the last dry replay, by how they fit"
    )
    counts = {
        "fits": report.fits,
        "needs_patch": report.needs_patch,
        "blocked": report.blocked,
        "not_checked": report.not_checked,
    }
    for verdict, count in counts.items():
        gauge.set(count, {"task_queue": report.task_queue, "verdict": verdict})


class _Pace:
    """Rests as long as it works."""

    def __init__(self) -> None:
        self._since = 0.0

    def begin(self) -> None:
        """Work begins."""
        self._since = time.monotonic()

    async def rest(self) -> None:
        """Rest, if there was enough work."""
        worked_s = time.monotonic() - self._since
        if worked_s >= _WORK_S:
            await asyncio.sleep(worked_s)
            self._since = time.monotonic()
