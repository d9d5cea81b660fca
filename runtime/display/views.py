"""Executions, events and messages as plain JSON, for people to look at."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from .. import archive
from ..batch_jobs import BatchJob
from ..converter import PayloadConverter
from ..core import codec
from ..core import commands as cmd
from ..core import events as ev
from ..core.events import Event, event_name
from ..core.payload import Failure, Payload
from ..core.payload_groups import ENCODED_ATTRIBUTES
from ..core.replay import HistoryDiverged
from ..core.retry import RetryRule
from ..core.skipping import ClockStart, TimeSkipping
from ..core.state import ExecutionState, PendingActivity
from ..external_storage.references import is_reference
from ..journal import SqliteJournal
from ..misfits import Misfit
from ..pausing import described
from ..ports import (
    PAUSED,
    SHOWN_STATUSES,
    AttemptRecord,
    Change,
    ConcurrencyLine,
    ExecutionRecord,
    History,
    Journal,
    ParkedMessage,
    Pause,
)
from ..replay_check import CheckReport
from ..retention import Retention
from ..wear import Wear
from . import Json

__all__ = [
    "STATUSES",
    "batch_job",
    "change",
    "execution",
    "journal",
    "misfit",
    "parked",
    "pause",
    "replay_check",
    "shown",
    "waiting_for",
    "waiting_in_line",
]

STATUSES: Final = (*SHOWN_STATUSES, "blocked")
"""The statuses of lists: of what is open, ``paused`` goes before ``blocked``, and that before ``running``."""


def of_status(status: str | None) -> dict[str, Any]:
    """What `Journal.executions` is asked for the executions of this status, of all without one."""
    match status:
        case "paused":
            return {"paused": True}
        case "running" | "blocked":
            return {"status": "running", "blocked": status == "blocked", "paused": False}
        case _:
            return {"status": status}


_BODY_PREVIEW_BYTES: Final = 2000


def instant(at_us: int) -> str:
    """Microseconds since the epoch as ISO 8601, UTC."""
    return (
        datetime.fromtimestamp(at_us / 1_000_000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _instant_or_none(at_us: int | None) -> str | None:
    return None if at_us is None else instant(at_us)


# -- executions --------------------------------------------------------------------------------------


def execution(
    record: ExecutionRecord, history_length: int, waiting: str | None, paused: Pause | None = None
) -> Json:
    """One execution, as lists show it; `paused` is what keeps it from going on."""
    blocked = record.blocked
    open_status = PAUSED if paused else "blocked" if blocked else record.status
    return {
        "workflow_id": record.workflow_id,
        "run_id": record.run_id,
        "type": record.workflow_type,
        "status": open_status if record.status == "running" else record.status,
        "task_queue": record.task_queue,
        "started_at": instant(record.started_at_us),
        "closed_at": _instant_or_none(record.closed_at_us),
        "history_length": history_length,
        "waiting_for": waiting,
        "concurrency_key": record.concurrency_key or None,
        "blocked": None
        if blocked is None
        else {
            "cause": blocked.cause,
            "where": blocked.where,
            "since": instant(blocked.since_us),
            "attempts": blocked.attempts,
        },
        "paused": None if paused is None else pause(paused),
    }


def pause(found: Pause) -> Json:
    """Who paused what, when and why."""
    return {
        "scope": found.scope,
        "name": found.name,
        "by": found.identity,
        "reason": found.reason,
        "since": instant(found.since_us),
    }


def waiting_for(
    record: ExecutionRecord,
    state: ExecutionState,
    attempts: Iterable[AttemptRecord],
    paused: Pause | None = None,
) -> str | None:
    """What an open execution waits for, in words."""
    if record.status != "running":
        return None
    if paused is not None:
        return _waiting_for_resume(paused)
    if record.blocked is not None:
        return f"its code to be mended: {record.blocked.cause}"
    if state.first_due_us is not None:
        return f"its delayed start, at {instant(state.first_due_us)}"
    if state.unconsumed:
        return f"a worker of task queue {record.task_queue!r} that has {record.workflow_type}"
    known = {attempt.activity: attempt for attempt in attempts}
    reasons = [
        _waiting_for_activity(activity, known.get(number)) for number, activity in state.activities.items()
    ]
    reasons += [f"child {child.command.workflow_id}" for child in state.children.values()]
    reasons += [f"execution {request.workflow_id} to be reached" for request in state.externals.values()]
    timer = min(state.timers.values(), key=lambda timer: timer.due_us, default=None)
    if timer is not None:
        what = f" ({timer.command.summary})" if timer.command.summary else ""
        reasons.append(f"timer {timer.command.id}{what} until {instant(timer.due_us)}")
    if not reasons:
        return "a signal"
    shown_reasons = reasons[:3] + ([f"{len(reasons) - 3} more"] if len(reasons) > 3 else [])
    return ", ".join(shown_reasons)


def _waiting_for_resume(found: Pause) -> str:
    """Which pause must end, and why it was made."""
    what = "it" if found.scope == "execution" else described(found.scope, found.name)
    why = f": {found.reason}" if found.reason else ""
    return f"{what} to be resumed{why}, paused by {found.identity} at {instant(found.since_us)}"


def waiting_in_line(record: ExecutionRecord, line: ConcurrencyLine, ahead: int) -> str:
    """What an execution waits for that has not begun because of its concurrency key."""
    running = ", ".join(other.workflow_id for other in line.oldest) or "nobody"
    if line.running > len(line.oldest):
        running += f" and {line.running - len(line.oldest)} more"
    return f"concurrency key {record.concurrency_key!r}, number {ahead + 1} in line behind {running}"


def _waiting_for_activity(activity: PendingActivity, attempt: AttemptRecord | None) -> str:
    name = activity.command.activity_type
    if attempt is None or attempt.failures == 0:
        return f"activity {name}"
    return f"activity {name} (attempt {attempt.failures + 1}, at {instant(attempt.next_at_us)})"


def shown(
    record: ExecutionRecord,
    history: History,
    attempts: Sequence[AttemptRecord],
    running: Callable[[int], bool],
    waiting: str | None,
    paused: Pause | None = None,
) -> Json:
    """One execution with everything that is known about it."""
    state = history.state
    # The state has it as it is stored, the events may have been opened.
    closing = next((e.body for e in reversed(history.events) if type(e.body) is type(state.closing)), None)
    known = {attempt.activity: attempt for attempt in attempts}
    opened = record.status == "running"
    return {
        "execution": execution(record, state.sequence, waiting, paused)
        | {"durability": _DURABILITY[state.started.durability] or None},
        "events": [event(entry) for entry in history.events],
        "pending_activities": [
            _pending_activity(number, activity, known.get(number), running(number))
            for number, activity in state.activities.items()
        ]
        if opened
        else [],
        "pending_timers": _pending_timers(state) if opened else [],
        "result": value(closing.result) if isinstance(closing, cmd.CompleteWorkflow) else None,
        "failure": failure(closing.failure) if isinstance(closing, cmd.FailWorkflow) else None,
    }


def _pending_activity(
    number: int, activity: PendingActivity, attempt: AttemptRecord | None, running: bool
) -> Json:
    backing_off = attempt is not None and attempt.failures > 0 and not running
    last = None if attempt is None or attempt.failure is None else codec.decode_failure(attempt.failure)
    beat = None if attempt is None or attempt.heartbeat is None else codec.decode_payloads(attempt.heartbeat)
    return {
        "id": number,
        "name": activity.command.activity_type,
        "attempt": 1 if attempt is None else attempt.failures + 1,
        "state": "started" if running else "backing_off" if backing_off else "queued",
        "next_attempt_at": instant(attempt.next_at_us) if attempt is not None and backing_off else None,
        "last_failure": None if last is None else failure(last),
        "heartbeat": None if beat is None else [value(payload) for payload in beat],
    }


def _pending_timers(state: ExecutionState) -> list[Json]:
    return [
        {"id": number, "due_at": instant(timer.due_us), "summary": timer.command.summary or None}
        for number, timer in state.timers.items()
    ]


# -- events ------------------------------------------------------------------------------------------


def event(entry: Event) -> Json:
    """One event, as histories show it."""
    return {
        "sequence": entry.sequence,
        "activation": entry.activation,
        "at": instant(entry.at_us),
        "type": event_name(entry.body),
        "attributes": _attributes(entry),
    }


def change(entry: Change) -> Json:
    """One event in the order of commits, with the execution that it belongs to."""
    return {
        "lsn": entry.lsn,
        "workflow_id": entry.execution.workflow_id,
        "run_id": entry.execution.run_id,
        "workflow_type": entry.execution.workflow_type,
        **event(entry.event),
    }


# How fields are called where a reader sees them; what is not listed keeps its name.
_RENAMED: Final[Mapping[str, str]] = {"activity_type": "name", "args": "input", "caused_by": "by"}


_DURABILITY: Final = ("", "now", "grouped", "lazy")
"""By the numbers in histories."""


def _attributes(entry: Event) -> Json:
    body = entry.body
    shown_fields: Json = {}
    for field in dataclasses.fields(body):
        plain_value = _plain(getattr(body, field.name))
        if plain_value not in (None, "", [], {}):
            shown_fields[_RENAMED.get(field.name, field.name)] = plain_value
    if "durability" in shown_fields:
        shown_fields["durability"] = _DURABILITY[shown_fields["durability"]]
        if not shown_fields["durability"]:
            del shown_fields["durability"]
    match body:
        case cmd.PublishMessage():
            shown_fields["body"] = text_of(body.body)
        case cmd.StartTimer():
            shown_fields["due_at"] = instant(entry.at_us + body.delay_us)
            shown_fields["seconds"] = body.delay_us / 1_000_000
            shown_fields.pop("delay_us", None)
        case ev.TimerFired():
            shown_fields.pop("due_us", None)
            shown_fields["due_at"] = instant(body.due_us)
            shown_fields["late_s"] = max(0, entry.at_us - body.due_us) / 1_000_000
        case ev.TimeSkipped():
            shown_fields = {
                "to": instant(body.to_us),
                "seconds": (body.to_us - entry.at_us) / 1_000_000,
                "forward_reached": body.forward_reached,
            }
        case ev.WorkflowStarted():
            for hidden in ("random_seed", "workflow_id", "run_id"):
                shown_fields.pop(hidden, None)
        case _:
            pass
    return shown_fields


def _plain(found: object) -> Any:
    match found:
        case Payload():
            return value(found)
        case Failure():
            return failure(found)
        case RetryRule() | TimeSkipping() | ClockStart():
            return {field.name: _plain(getattr(found, field.name)) for field in dataclasses.fields(found)}
        case bytes():
            return text_of(found)
        case tuple() | list():
            return [_plain(item) for item in cast("list[object]", found)]
        case dict():
            return {str(key): _plain(item) for key, item in cast("dict[object, object]", found).items()}
        case _:
            return found


def value(payload: Payload) -> Any:
    """A payload as plain JSON, or a description of what cannot be read here (it may be sealed, or kept elsewhere)."""
    if is_reference(payload):
        return f"<{sum(payload.external_bytes)} bytes, kept elsewhere: {payload.data.decode('utf-8', 'replace')[:200]}>"
    try:
        (found,) = PayloadConverter.default.from_payloads([payload])
        json.dumps(found, allow_nan=False)
    except Exception:  # whatever is stored must be shown somehow
        return f"<{len(payload.data)} bytes, {payload.encoding or 'no encoding'}>"
    return found


def failure(found: Failure) -> Json:
    """A failure with its causes."""
    name = found.attributes.get("type") or found.attributes.get("timeout_type") or found.kind
    message, stack = _encoded(found) or (found.message, found.stack_trace)
    shown_failure: Json = {"message": message, "type": name}
    if stack:
        shown_failure["stack"] = stack
    if found.cause is not None:
        shown_failure["cause"] = failure(found.cause)
    return shown_failure


def _encoded(found: Failure) -> tuple[str, str] | None:
    """Message and stack trace of a failure that has them in a payload, for a codec to cover."""
    if found.attributes.get(ENCODED_ATTRIBUTES) is not True or not found.details:
        return None
    common = value(found.details[0])
    if not isinstance(common, dict):
        return None
    texts = cast("dict[str, object]", common)
    return str(texts.get("message", "")), str(texts.get("stack_trace", ""))


def text_of(body: bytes) -> str:
    """Bytes for a reader: text where it is text, escaped where it is not, never more than a screenful."""
    return body[:_BODY_PREVIEW_BYTES].decode("utf-8", "backslashreplace")


# -- the rest ----------------------------------------------------------------------------------------


def batch_job(job: BatchJob) -> Json:
    """A batch job, and how far it has come."""
    return {
        "id": job.id,
        "operation": job.operation.kind,
        "query": job.query,
        "reason": job.reason,
        "by": job.identity,
        "state": job.state,
        "started_at": instant(job.started_at_us),
        "closed_at": _instant_or_none(job.closed_at_us),
        "total": job.total,
        "completed": job.completed,
        "failed": job.failed,
        "failures": [
            {"workflow_id": each.workflow_id, "run_id": each.run_id, "message": each.message}
            for each in job.failures
        ],
        "per_second": job.per_second,
        "stopped_by": job.stopped_by,
        "stop_reason": job.stop_reason,
    }


def misfit(found: Misfit) -> Json:
    """An execution that does not fit the code: both sides of the first difference, as far as there are two."""
    error = found.error
    row: dict[str, Any] = {
        "workflow_id": found.workflow_id,
        "run_id": found.run_id,
        "type": found.workflow_type,
        "verdict": found.verdict,
    }
    if not isinstance(error, HistoryDiverged):
        return row | {"problem": found.problem, "where": found.where}
    recorded = error.recorded
    return row | {
        "activation": error.activation,
        "event": error.event,
        "agreed": error.agreed_text,
        "agreed_at": error.agreed_at,
        "recorded": error.recorded_text,
        "recorded_at": "" if recorded is None else instant(recorded.at_us),
        "replayed": error.replayed_text,
        "replayed_at": error.replayed_at,
        "problem": error.remedy,
    }


def replay_check(found: CheckReport) -> Json:
    """How open executions fit the code of the workers of a task queue."""
    return {
        "task_queue": found.task_queue,
        "began_at": instant(found.began_us),
        "took_s": found.took_s,
        "checked": found.checked,
        "fits": found.fits,
        "needs_patch": found.needs_patch,
        "blocked": found.blocked,
        "not_checked": found.not_checked,
        "misfits": [misfit(each) for each in found.misfits],
    }


def parked(message: ParkedMessage) -> Json:
    """A message in quarantine."""
    return {
        "id": message.id,
        "received_at": instant(message.received_at_us),
        "topic": message.topic,
        "reason": message.reason,
        "detail": message.detail,
        "payload": text_of(message.body),
        "bytes": len(message.body),
    }


def journal(found: Journal) -> Json:
    """Where a journal is and how large."""
    if not isinstance(found, SqliteJournal):
        return {"path": None, "bytes": 0, "wal_bytes": 0}
    size, wal = found.sizes()
    return {"path": str(found.path), "bytes": size, "wal_bytes": wal}


def disk(found: SqliteJournal, wear: Wear) -> Json:
    """What a journal does to its disk, and what room that has."""
    work = found.work()
    return {
        "free_bytes": shutil.disk_usage(found.path.parent).free,
        "commits": work.commits,
        "syncs": work.syncs,
        "checkpoints": work.checkpoints,
        "pages_returned": work.pages_returned,
        "bytes_written": work.bytes_written,
        "bytes_per_day": wear.bytes_per_day,
        "flash_life_days": wear.life_days,
    }


def retention(found: Retention) -> Json:
    """What has left a journal, and what its archive has."""
    policy, counters = found.policy, found.counters
    return {
        "closed_for_s": policy.closed_for_s,
        "journal_bytes_max": policy.journal_bytes_max,
        "archive": None if policy.archive is None else str(policy.archive),
        "archive_bytes_max": policy.archive_bytes_max,
        "archive_bytes": 0 if policy.archive is None else archive.size(policy.archive),
        "archived": counters.archived,
        "dropped": counters.dropped,
        "kept_back": counters.kept_back,
        "archive_files_removed": counters.archive_files_removed,
        "rounds": counters.rounds,
        "failures": counters.failures,
        "last_round_at": _instant_or_none(counters.last_round_us),
    }
