"""What a person can ask of a gateway: one implementation for the control socket, the command line and the page."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

from overwinter.runtime.batch_jobs import KINDS, BatchOperation, OperationKind
from overwinter.runtime.batch_runner import NoSuchJob, TooManyJobs
from overwinter.runtime.contrib.key_ring import KeyRing, KeyRingError
from overwinter.runtime.converter import DataConverter, PayloadLimitError
from overwinter.runtime.core.events import Signaled, WorkflowPaused, WorkflowUnpaused
from overwinter.runtime.deletions import CannotDelete
from overwinter.runtime.display import views
from overwinter.runtime.display.opened import Opened
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import HistoryDamaged, SqliteJournal, StorageFull
from overwinter.runtime.pausing import SCOPES, pause_of
from overwinter.runtime.ports import ExecutionRecord, Journal, Pause
from overwinter.runtime.requests import (
    AlreadyRunning,
    EngineClosed,
    NoSuchExecution,
    NotPaused,
    PausedAlready,
    StartRequest,
)
from overwinter.runtime.resets import ResetPoint, ResetRequest
from overwinter.runtime.values import ConvertedValues
from overwinter.runtime.visibility import InvalidFilter
from overwinter.sync.changes import follow

from .ports import RESET_TYPES, BadRequest, Json, OperationRefused, UnknownExecution

_log = logging.getLogger(__name__)

_LIMIT_MAX: Final = 1000
_OPERATOR: Final = "operator"
_LINE_SHOWN: Final = 3


class JournalReader:
    """What can be read from a journal, whether its gateway runs or not."""

    def __init__(self, journal: Journal, converter: DataConverter = DataConverter.default) -> None:
        self._journal = journal
        self._opened = Opened(converter)

    async def list(self, *, status: str | None = None, type: str | None = None, limit: int = 50) -> Json:
        """See `ports.GatewayReader`."""
        if status is not None and status not in views.STATUSES:
            raise BadRequest(f"status {status!r} is unknown, expected one of {', '.join(views.STATUSES)}")
        records = await self._journal.executions(
            **views.of_status(status),
            workflow_type=type,
            limit=max(1, min(limit, _LIMIT_MAX)),
        )
        lengths = await self._journal.history_lengths([record.key for record in records])
        pauses = await self._journal.pauses()
        rows: list[Json] = []
        for record in records:
            paused = pause_of(record, pauses)
            waiting = await self._waiting_for(record, paused)
            rows.append(views.execution(record, lengths[record.key], waiting, paused))
        counts = await self._journal.counts()
        counts["running"] -= counts["blocked"] + counts["paused"]
        return {"executions": rows, "counts": counts}

    async def show(self, *, workflow_id: str, run_id: str | None = None) -> Json:
        """See `ports.GatewayReader`."""
        found = await self._journal.executions(workflow_id=workflow_id, run_id=run_id, limit=1)
        if not found:
            raise UnknownExecution(
                f"no execution has the workflow id {workflow_id!r}"
                + (f" and run {run_id!r}" if run_id else "")
            )
        record = found[0]
        try:
            history = await self._journal.history(record)
        except HistoryDamaged as error:
            raise OperationRefused(str(error), hint=error.hint) from error
        attempts = [self._opened.attempt(attempt) for attempt in await self._journal.attempts(record.key)]
        paused = pause_of(record, await self._journal.pauses())
        waiting = await self._waiting_for(record, paused)
        history = self._opened.history(history)
        return views.shown(record, history, attempts, self._running(record), waiting, paused)

    async def quarantine(self, *, limit: int = 50) -> Json:
        """See `ports.GatewayReader`."""
        parked = await self._journal.parked(max(1, min(limit, _LIMIT_MAX)))
        return {
            "entries": [views.parked(message) for message in parked],
            "counts": await self._journal.parked_counts(),
        }

    async def status(self) -> Json:
        """See `ports.GatewayReader`."""
        counts = await self._journal.counts()
        return {
            "gateway": None,
            "pid": None,
            "journal": views.journal(self._journal),
            "outbox": {"waiting": await self._journal.outbox_count()},
            "engine": _open_counts(counts),
            "pauses": await self._pauses(),
        }

    async def _pauses(self) -> Sequence[Json]:
        return [views.pause(pause) for pause in (await self._journal.pauses()).values()]

    async def _waiting_for(self, record: ExecutionRecord, paused: Pause | None) -> str | None:
        if record.status != "running":
            return None
        if record.concurrency_rank:
            line = await self._journal.concurrency_line(record.concurrency_key, _LINE_SHOWN)
            return views.waiting_in_line(record, line, await self._journal.concurrency_ahead(record))
        try:
            history = await self._journal.history(record)
        except HistoryDamaged as error:
            return str(error)
        return views.waiting_for(record, history.state, await self._journal.attempts(record.key), paused)

    def _running(self, record: ExecutionRecord) -> Callable[[int], bool]:
        del record
        return lambda _activity: False


@asynccontextmanager
async def read_journal(
    path: Path, converter: DataConverter = DataConverter.default
) -> AsyncGenerator[JournalReader]:
    """The read operations over the journal of a gateway that is stopped (or runs: nothing is written).

    Raises:
        JournalError: there is none at this path, or it cannot be read.
    """
    journal = await SqliteJournal.open_read_only(path)
    try:
        yield JournalReader(journal, converter)
    finally:
        await journal.close()


class Operations(JournalReader):
    """What can be asked of a running gateway. When a change has returned, it is durable."""

    def __init__(
        self,
        engine: Engine,
        values: ConvertedValues,
        *,
        task_queue: str,
        status: Callable[[], Json],
        key_ring: Callable[[], KeyRing | None] = lambda: None,
    ) -> None:
        super().__init__(engine.journal, values.converter)
        self._engine = engine
        self._values = values
        self._task_queue = task_queue
        self._status = status
        self._key_ring = key_ring

    async def status(self) -> Json:
        """See `ports.GatewayReader`."""
        answer = self._status()
        counts = await self._journal.counts()
        answer["engine"] |= _open_counts(counts)
        answer["outbox"] |= {"waiting": await self._journal.outbox_count()}
        if isinstance(self._journal, SqliteJournal):
            room = await self._journal.room()
            answer["journal"] = answer.get("journal", {}) | {
                "used_bytes": room.used,
                "reusable_bytes": room.free,
            }
        answer["pauses"] = await self._pauses()
        checks = self._engine.replay_check.reports.values()
        answer["replay_checks"] = [views.replay_check(report) for report in checks]
        answer["batch_jobs"] = [views.batch_job(job) for job in self._engine.batches.under_way()]
        return answer

    async def signal(
        self, *, workflow_id: str, name: str, args: Sequence[Any] = (), run_id: str | None = None
    ) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            values = self._values.for_receiver(workflow_id, run_id=run_id)
            signal = Signaled(name, await values.stored(args), caused_by="operator")
            await self._engine.signal(workflow_id, run_id, signal)
        return {}

    async def cancel(self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            await self._engine.cancel(workflow_id, run_id, reason or "")
        return {}

    async def terminate(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None
    ) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            await self._engine.terminate(workflow_id, run_id, reason or "")
        return {}

    async def reset(
        self,
        *,
        workflow_id: str,
        run_id: str | None = None,
        event: int | None = None,
        to: str | None = None,
        activity: str | None = None,
        signals: str | None = None,
        updates: str | None = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> Json:
        """See `ports.GatewayOperations`."""
        request = ResetRequest(
            workflow_id=workflow_id,
            run_id=run_id,
            point=_reset_point(event, to, activity),
            reason=reason or "",
            identity=by or _OPERATOR,
            signals=signals != "exclude",
            updates=updates != "exclude",
        )
        with _refusals():
            record = await self._engine.resets.reset(request)
        return {"run_id": record.run_id}

    async def pause(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            body = WorkflowPaused(by or _OPERATOR, reason or "")
            await self._engine.pauses.pause_execution(workflow_id, run_id, body)
        return {}

    async def resume(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            body = WorkflowUnpaused(by or _OPERATOR, reason or "")
            await self._engine.pauses.unpause_execution(workflow_id, run_id, body)
        return {}

    async def pause_all(
        self, *, scope: str, name: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        """See `ports.GatewayOperations`."""
        _check_scope(scope, name)
        with _refusals():
            await self._engine.pauses.pause(scope, name or "", by or _OPERATOR, reason or "")
        return {}

    async def resume_all(self, *, scope: str, name: str | None = None) -> Json:
        """See `ports.GatewayOperations`."""
        _check_scope(scope, name)
        with _refusals():
            await self._engine.pauses.unpause(scope, name or "")
        return {}

    async def delete(self, *, workflow_id: str, run_id: str | None = None) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            await self._engine.deletions.delete(await self._engine.find(workflow_id, run_id))
        return {}

    async def batch_preview(self, *, operation: Json, query: str) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            found = await self._engine.batches.preview(await self._batch_operation(operation), query)
        rows = [
            {"workflow_id": each.workflow_id, "run_id": each.run_id, "type": each.workflow_type}
            for each in found.sample
        ]
        return {"count": found.count, "sample": rows}

    async def batch_start(
        self,
        *,
        operation: Json,
        query: str,
        reason: str | None = None,
        by: str | None = None,
        per_second: float | None = None,
    ) -> Json:
        """See `ports.GatewayOperations`."""
        if per_second is not None and not per_second > 0:
            raise BadRequest(f"per_second is {per_second}, expected a number above 0")
        with _refusals():
            job = await self._engine.batches.start(
                str(uuid.uuid4()),
                await self._batch_operation(operation),
                query,
                reason=reason or "",
                identity=by or _OPERATOR,
                per_second=per_second,
            )
        return views.batch_job(job)

    async def batch_show(self, *, job_id: str) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            return views.batch_job(self._engine.batches.get(job_id))

    async def batch_list(self) -> Json:
        """See `ports.GatewayOperations`."""
        return {"jobs": [views.batch_job(job) for job in self._engine.batches.all()]}

    async def batch_stop(self, *, job_id: str, reason: str | None = None, by: str | None = None) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            return views.batch_job(await self._engine.batches.stop(job_id, by or _OPERATOR, reason or ""))

    async def _batch_operation(self, found: Json) -> BatchOperation:
        kind, name, args = found.get("kind"), found.get("name", ""), found.get("args", [])
        if kind not in KINDS:
            raise BadRequest(f"operation {kind!r} is unknown, expected one of {', '.join(KINDS)}")
        if not isinstance(name, str) or not isinstance(args, list) or (kind == "signal") != bool(name):
            raise BadRequest("a signal, and nothing else, has a name, which is a string, and a list of args")
        point = _reset_point(None, found.get("to"), found.get("activity")) if kind == "reset" else None
        return BatchOperation(
            kind=cast("OperationKind", kind),
            name=name,
            args=await self._values.for_passing().stored(cast("list[Any]", args)),
            point=point,
            signals=found.get("signals") != "exclude",
            updates=found.get("updates") != "exclude",
        )

    async def start(
        self,
        *,
        type: str,
        workflow_id: str,
        args: Sequence[Any] = (),
        task_queue: str | None = None,
    ) -> Json:
        """See `ports.GatewayOperations`."""
        with _refusals():
            values = self._values.for_receiver(workflow_id, workflow_type=type)
            request = StartRequest(
                workflow_id=workflow_id,
                workflow_type=type,
                task_queue=task_queue or self._task_queue,
                args=await values.stored(args),
                caused_by="operator",
            )
            record, _ = await self._engine.start(request)
        return {"run_id": record.run_id}

    async def reload_keys(self) -> Json:
        """See `ports.GatewayOperations`."""
        codec = self._values.converter.payload_codec
        try:
            ring = self._key_ring()
        except KeyRingError as error:
            raise OperationRefused(str(error)) from error
        if ring is None or codec is None:
            raise OperationRefused("this gateway was started without keys", hint="set them, and restart it")
        from overwinter.runtime.contrib.encryption import AesGcmCodec  # an extra

        assert isinstance(codec, AesGcmCodec)
        lost = sorted(set(codec.ring.keys) - set(ring.keys))
        if lost:
            raise OperationRefused(
                f"the keys {', '.join(lost)} are gone: the gateway goes on with those that it has",
                hint="put them back, or stop the gateway and use `overwinter rotate --retire`",
            )
        codec.use(ring)
        _log.info("payloads are encrypted with the key %s from now on", ring.current.id)
        return {"current": ring.current.id}

    async def tail(self, *, after_lsn: int | None = None) -> AsyncIterator[Json]:
        """See `ports.GatewayOperations`."""
        after = (await self._journal.last_ids()).lsn if after_lsn is None else after_lsn
        async for change in follow(self._journal, after, self._engine.next_commit):
            yield views.change(self._opened.change(change))

    async def _waiting_for(self, record: ExecutionRecord, paused: Pause | None) -> str | None:
        live = self._engine.cache.get(record.key)
        if live is None or live.uncommitted or live.record.concurrency_rank:
            return await super()._waiting_for(record, paused)
        return views.waiting_for(live.record, live.state, live.attempts.values(), paused)

    def _running(self, record: ExecutionRecord) -> Callable[[int], bool]:
        live = self._engine.cache.get(record.key)
        if live is None:
            return lambda _activity: False
        return lambda activity: self._engine.attempt_of(live, activity) is not None


def _open_counts(counts: Mapping[str, int]) -> Json:
    return {"open": counts["running"], "blocked": counts["blocked"], "paused": counts["paused"]}


def _reset_point(event: int | None, to: str | None, activity: str | None) -> ResetPoint:
    """Where to begin anew: at an event, or by one of Temporal's words for a place."""
    if event is not None:
        if to is not None:
            raise BadRequest(f"reset needs an event or a place, found event {event} and {to!r}")
        return ResetPoint.at_event(event)
    match to:
        case "FirstWorkflowTask":
            return ResetPoint.first_workflow_task()
        case "LastWorkflowTask":
            return ResetPoint.last_workflow_task()
        case "LastContinuedAsNew":
            return ResetPoint.last_continued_as_new()
        case "FailedActivity":
            return ResetPoint.failed_activity(activity)
        case _:
            raise BadRequest(
                f"reset needs an event, or as `to` one of {', '.join(RESET_TYPES)}; found {to!r}"
            )


def _check_scope(scope: str, name: str | None) -> None:
    if scope not in SCOPES or (scope == "everything") != (name is None):
        raise BadRequest(
            f"scope {scope!r} with name {name!r} is unknown, expected workflow_type or task_queue with a name, or everything"
        )


class _refusals:  # noqa: N801 - used as a statement
    """Engine errors as refusals that a person can act on."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        match error:
            case NoSuchExecution():
                raise UnknownExecution(str(error)) from error
            case AlreadyRunning():
                raise OperationRefused(
                    str(error), hint="Signal that run, or give another workflow id."
                ) from error
            case PausedAlready():
                raise OperationRefused(str(error), hint="Nothing needs to be done.") from error
            case NotPaused():
                raise OperationRefused(
                    str(error),
                    hint="`overwinter show ID` and `overwinter status` say what is paused; resume the same.",
                ) from error
            case InvalidFilter():
                raise BadRequest(f"the query is no filter: {error}") from error
            case NoSuchJob():
                raise OperationRefused(
                    str(error.args[0]), hint="`overwinter batch list` shows the jobs that there are."
                ) from error
            case TooManyJobs() | CannotDelete():
                raise OperationRefused(str(error)) from error
            case StorageFull():
                raise OperationRefused(str(error), hint=error.hint) from error
            case EngineClosed():
                raise OperationRefused(str(error), hint="Ask again when the gateway runs.") from error
            case HistoryDamaged():
                raise OperationRefused(str(error), hint=error.hint) from error
            case PayloadLimitError() | TypeError() | ValueError():
                raise BadRequest(str(error)) from error
            case _:
                pass
