"""Batch jobs at work: one execution after the other, at a bounded rate, the newest first.

How far a job has come is in the commit that holds what it did last. After a crash it goes on with the next execution:
none is left out, and none is done twice.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .batch_jobs import BatchFailure, BatchJob, BatchOperation, selection
from .core import events as ev
from .core.events import Happening
from .core.records import dataclass
from .journal.errors import StorageFull
from .pace import Pace
from .ports import OPEN, Batch, ExecutionRecord, Receipt
from .requests import EngineClosed, NoSuchExecution, NotPaused, PausedAlready
from .resets import ResetRequest
from .visibility import InvalidFilter

if TYPE_CHECKING:
    from .engine import Engine
    from .visibility import Filter

_log = logging.getLogger(__name__)

RUNNING_MAX: Final = 10
"""Jobs that are under way at a time; another one is refused."""
CLOSED_KEPT: Final = 100
"""Jobs that have ended and can be looked at; the oldest go."""
SAMPLE: Final = 20
_PAGE: Final = 200
_ROOM_WAIT_S: Final = 1.0


class NoSuchJob(LookupError):
    """No batch job has this id."""


class JobExists(ValueError):
    """A batch job of this id is there already."""


class TooManyJobs(RuntimeError):
    """As many batch jobs are under way as may be."""


@dataclass(frozen=True, slots=True)
class BatchPreview:
    """How many executions an operation would be carried out on, and the newest of them."""

    count: int
    sample: tuple[ExecutionRecord, ...]


class _Entry:
    """A job, and what is known of it in memory."""

    def __init__(self, job: BatchJob) -> None:
        self.job = job
        self.closed: asyncio.Future[BatchJob] = asyncio.get_running_loop().create_future()
        self.stopping: tuple[str, str] | None = None
        """Who wants it to stop, and why."""
        self.unwritten = False
        """Whether the journal lacks something of `job`."""
        self.closed.add_done_callback(lambda done: done.cancelled() or done.exception())
        if job.state != "running":
            self.closed.set_result(job)


class Batches:
    """The batch jobs of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._entries: dict[str, _Entry] = {}

    async def recover(self) -> None:
        """Go on with the jobs that were under way."""
        for job_id, data in (await self._engine.journal.jobs()).items():
            self._begin(_Entry(BatchJob.from_bytes(job_id, data)))

    def _begin(self, entry: _Entry) -> None:
        self._entries[entry.job.id] = entry
        if entry.job.state == "running":
            self._engine.spawn(self._run(entry))

    # -- requests ------------------------------------------------------------------------------------

    async def preview(self, operation: BatchOperation, query: str) -> BatchPreview:
        """What a job would be carried out on, if it began now.

        Raises:
            InvalidFilter: the query is none.
        """
        wanted = await self._selection(operation, query)
        ((_, count),) = await self._engine.journal.count(wanted)
        return BatchPreview(count, tuple(await self._engine.journal.select(wanted, limit=SAMPLE)))

    async def start(
        self,
        job_id: str,
        operation: BatchOperation,
        query: str,
        *,
        reason: str = "",
        identity: str = "",
        per_second: float | None = None,
        received: Receipt | None = None,
    ) -> BatchJob:
        """The job, once it is durable. It is carried out on what fits now; what starts later is none of it.

        A rate above the engine's limit is that limit.

        Raises:
            InvalidFilter: the query is none.
            JobExists, TooManyJobs: see there.
            StorageFull, EngineClosed: nothing has begun.
        """
        limit = self._engine.limits.batch_per_second
        last_key = self._engine.starts.last_key
        ((_, total),) = await self._engine.journal.count(await self._selection(operation, query))
        if job_id in self._entries:
            raise JobExists(f"a batch job has the id {job_id!r} already")
        if len(self.under_way()) >= RUNNING_MAX:
            raise TooManyJobs(
                f"{RUNNING_MAX} batch jobs are under way, which is the most: wait for one, or stop it"
            )
        job = BatchJob(
            id=job_id,
            operation=operation,
            query=query,
            reason=reason,
            identity=identity,
            per_second=min(per_second or limit, limit),
            started_at_us=self._engine.now_us(),
            total=total,
            before_key=last_key + 1,
        )
        entry = self._entries[job_id] = _Entry(job)
        try:
            await self._keep(entry, received)
        except BaseException:
            del self._entries[job_id]
            raise
        self._forget_old_ones()
        self._begin(entry)
        return job

    def _forget_old_ones(self) -> None:
        closed = [entry.job for entry in self._entries.values() if entry.job.state != "running"]
        closed.sort(key=lambda job: job.closed_at_us or 0)
        for job in closed[:-CLOSED_KEPT]:
            del self._entries[job.id]
            self._engine.batch.jobs[job.id] = None

    async def stop(self, job_id: str, identity: str, reason: str) -> BatchJob:
        """The job, once it has stopped; what it has done stays done. One that has ended is as it is.

        Raises:
            NoSuchJob: there is none.
        """
        entry = self._entry(job_id)
        entry.stopping = identity, reason
        return await self.closed(job_id)

    async def closed(self, job_id: str) -> BatchJob:
        """The job, once it has ended.

        Raises:
            NoSuchJob: there is none.
            EngineClosed: the engine stops; the job goes on at the next start.
        """
        return await asyncio.shield(self._entry(job_id).closed)

    def abandon(self, error: EngineClosed) -> None:
        """The engine stops: the jobs go on at the next start, and nobody waits for them here."""
        for entry in self._entries.values():
            if not entry.closed.done():
                entry.closed.set_exception(error)

    def get(self, job_id: str) -> BatchJob:
        """A job as it is now.

        Raises:
            NoSuchJob: there is none.
        """
        return self._entry(job_id).job

    def all(self) -> list[BatchJob]:
        """Every job, the newest first."""
        return sorted(
            (e.job for e in self._entries.values()), key=lambda job: job.started_at_us, reverse=True
        )

    def under_way(self) -> list[BatchJob]:
        """The jobs that have not ended."""
        return [job for job in self.all() if job.state == "running"]

    def _entry(self, job_id: str) -> _Entry:
        entry = self._entries.get(job_id)
        if entry is None:
            raise NoSuchJob(f"batch job not found: none has the id {job_id!r}")
        return entry

    async def _selection(self, operation: BatchOperation, query: str) -> Filter:
        return selection(operation.kind, query, await self._engine.journal.attribute_types())

    # -- the work ------------------------------------------------------------------------------------

    async def _run(self, entry: _Entry) -> None:
        try:
            await self._carry_out(entry)
        except EngineClosed:
            pass  # It goes on at the next start.

    async def _carry_out(self, entry: _Entry) -> None:
        pace = Pace(entry.job.per_second)
        try:
            wanted = await self._selection(entry.job.operation, entry.job.query)
        except (
            InvalidFilter
        ):  # It was one: the last execution with an attribute that it names has gone meanwhile.
            await self._close(entry)
            return
        while entry.stopping is None:
            page = await self._engine.journal.select(wanted, before_key=entry.job.before_key, limit=_PAGE)
            for record in page:
                if entry.stopping is not None:
                    break
                await asyncio.sleep(max(pace.wait_s(), 0.0))
                pace.took_one()
                await self._do(entry, record)
            if len(page) < _PAGE:
                break
            await self._keep_soon(entry)
        await self._close(entry)

    async def _do(self, entry: _Entry, record: ExecutionRecord) -> None:
        """Carry the operation out on one execution, as often as there is no room for it."""
        done = entry.job.after(record.key)
        while True:
            try:
                written = await self._operate(entry.job, record, done)
            except EngineClosed:
                raise
            except StorageFull as error:
                _log.warning("batch job %s waits for room in the journal: %s", entry.job.id, error)
                await asyncio.sleep(_ROOM_WAIT_S)
                continue
            except Exception as error:  # whatever is wrong with this one, the others are not held up
                failure = BatchFailure(record.workflow_id, record.run_id, str(error) or type(error).__name__)
                entry.job, entry.unwritten = entry.job.after(record.key, failure), True
            else:
                entry.job, entry.unwritten = done, not written
            return

    async def _operate(self, job: BatchJob, record: ExecutionRecord, done: BatchJob) -> bool:
        """Do it to one execution, in a commit that also says so; False when there was nothing to do and nothing to commit."""
        written = False

        def alongside(batch: Batch) -> None:
            nonlocal written
            written = True
            batch.jobs[job.id] = done.to_bytes()

        operation = job.operation
        try:
            match operation.kind:
                case "reset":
                    assert operation.point is not None, (
                        "a reset without a point is refused where it is asked for"
                    )
                    await self._engine.resets.reset(_reset(job, record), alongside=alongside)
                case "delete":
                    await self._engine.deletions.delete(record, alongside=alongside)
                case _:
                    await self._engine.tell(
                        record.workflow_id, record.run_id, _message(job), alongside=alongside
                    )
        except NoSuchExecution:
            if operation.kind == "signal" or await self._is_open(record):
                raise
            return False  # It has closed meanwhile.
        except (PausedAlready, NotPaused):
            return False
        return written

    async def _is_open(self, record: ExecutionRecord) -> bool:
        found = await self._engine.journal.executions(
            workflow_id=record.workflow_id, run_id=record.run_id, limit=1
        )
        return bool(found) and found[0].status == OPEN

    # -- what is kept --------------------------------------------------------------------------------

    async def _close(self, entry: _Entry) -> None:
        by, reason = entry.stopping or ("", "")
        entry.job = replace(
            entry.job,
            state="completed" if entry.stopping is None else "stopped",
            closed_at_us=self._engine.now_us(),
            stopped_by=by,
            stop_reason=reason,
        )
        entry.unwritten = True
        await self._keep_soon(entry)
        entry.closed.set_result(entry.job)

    async def _keep_soon(self, entry: _Entry) -> None:
        while entry.unwritten:
            try:
                await self._keep(entry)
            except StorageFull as error:
                _log.warning("batch job %s waits for room in the journal: %s", entry.job.id, error)
                await asyncio.sleep(_ROOM_WAIT_S)

    async def _keep(self, entry: _Entry, received: Receipt | None = None) -> None:
        data = entry.job.to_bytes()
        await self._engine.keep(lambda batch: batch.jobs.__setitem__(entry.job.id, data), received)
        entry.unwritten = False


def _message(job: BatchJob) -> Happening:
    operation = job.operation
    match operation.kind:
        case "signal":
            return ev.Signaled(operation.name, operation.args, operation.headers, f"batch job {job.id}")
        case "cancel":
            return ev.CancelRequested(job.reason)
        case "terminate":
            return ev.WorkflowTerminated(job.reason, operation.args)
        case "pause":
            return ev.WorkflowPaused(job.identity, job.reason, f"batch job {job.id}")
        case "unpause":
            return ev.WorkflowUnpaused(job.identity, job.reason, f"batch job {job.id}")
        case _:
            raise AssertionError(f"{operation.kind} is no message")


def _reset(job: BatchJob, record: ExecutionRecord) -> ResetRequest:
    operation = job.operation
    assert operation.point is not None, "checked by whoever calls"
    return ResetRequest(
        workflow_id=record.workflow_id,
        run_id=record.run_id,
        point=operation.point,
        reason=job.reason,
        identity=job.identity,
        request_id=f"batch job {job.id}, run {record.run_id}",
        signals=operation.signals,
        updates=operation.updates,
    )
