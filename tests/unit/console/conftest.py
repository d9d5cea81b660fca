"""A gateway of made-up but realistic executions, for everything that shows one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from overwinter.edge.ports import OperationRefused, UnknownExecution

Json = dict[str, Any]
BEGIN = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
NOW = BEGIN + timedelta(hours=2, minutes=30)
HOSTILE_ID = "evil/\x1b[2J<img src=x onerror=alert(1)>"


def at(seconds: float) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


class History:
    """Events with running sequence numbers."""

    def __init__(self) -> None:
        self.events: list[Json] = []

    def add(self, after_s: float, type: str, activation: int = 0, **attributes: Any) -> History:
        self.events.append(
            {
                "sequence": len(self.events) + 1,
                "activation": activation,
                "at": at(after_s),
                "type": type,
                "attributes": attributes,
            }
        )
        return self


FLOW_FAILURE: Json = {
    "message": "Activity task failed",
    "type": "ActivityError",
    "cause": {
        "message": "no flow after 30 s although the valve reports open",
        "type": "ApplicationError",
        "stack": 'Traceback (most recent call last):\n  File "/srv/farm/valves.py", line 58, in verify_flow\n'
        "    raise ApplicationError(text)\n",
        "cause": {"message": "timed out", "type": "TimeoutError"},
    },
}


def irrigation() -> History:
    history = History()
    history.add(0, "WorkflowStarted", 1, workflow_type="Irrigate", input=["north-3"], by="farm/north-3/soil")
    history.add(0.002, "ActivityScheduled", 1, id=1, name="read_moisture", input=["north-3"])
    history.add(4.5, "ActivityCompleted", 2, id=1, name="read_moisture", result=0.18, attempt=3)
    history.add(
        4.502, "MessagePublished", 2, id=2, topic="farm/valve-3/command", body='{"open": true}', qos=1
    )
    history.add(4.502, "ActivityScheduled", 2, id=3, name="verify_flow", input=["valve-3", 2.5])
    history.add(
        10.25, "ActivityCompleted", 3, id=3, name="verify_flow", result={"litres_per_min": 11.2}, attempt=1
    )
    history.add(10.252, "TimerStarted", 3, id=4, seconds=7200, summary="water for two hours")
    history.add(3600, "Signaled", 4, name="rain_forecast", input=[{"mm": 4, "confidence": 0.7}])
    history.add(7210.26, "TimerFired", 5, id=4)
    history.add(7210.27, "ActivityScheduled", 5, id=5, name="close_valve", input=["valve-3"])
    history.add(7214.1, "ActivityFailed", 6, id=5, name="close_valve", attempt=2, failure=FLOW_FAILURE)
    history.add(7214.11, "TimerStarted", 6, id=6, seconds=3600, summary="try again")
    return history


def camera() -> History:
    history = History()
    history.add(
        60, "WorkflowStarted", 1, workflow_type="InspectFrame", input=[{"camera": "gate", "bytes": 48211}]
    )
    history.add(60.01, "ActivityScheduled", 1, id=1, name="encode_frame", input=["gate/0193.jpg"])
    history.add(60.05, "ActivityCompleted", 2, id=1, name="encode_frame", result={"bytes": 20480}, attempt=1)
    history.add(60.06, "ActivityScheduled", 2, id=2, name="classify", input=["gate/0193.png"])
    history.add(60.21, "ActivityCompleted", 3, id=2, name="classify", result={"label": "deer", "score": 0.93})
    history.add(60.22, "WorkflowCompleted", 3, result={"label": "deer", "score": 0.93})
    return history


def failed() -> History:
    history = History()
    history.add(120, "WorkflowStarted", 1, workflow_type="OpenValve", input=["valve-9"])
    history.add(120.01, "ActivityScheduled", 1, id=1, name="verify_flow", input=["valve-9"])
    history.add(150.2, "ActivityFailed", 2, id=1, name="verify_flow", attempt=5, failure=FLOW_FAILURE)
    history.add(150.21, "WorkflowFailed", 2, failure=FLOW_FAILURE)
    return history


def hostile() -> History:
    history = History()
    history.add(
        200, "WorkflowStarted", 1, workflow_type="Evil\x1b]0;owned\x07", input=["</script><script>alert(1)"]
    )
    history.add(201, "Signaled", 2, name="\x1b[31mred", input=["\u202eright to left", "\r\nforged line"])
    return history


def long_history() -> History:
    history = History().add(300, "WorkflowStarted", 1, workflow_type="Poll", input=[])
    for turn in range(2500):
        second = 300 + turn * 2
        history.add(second, "ActivityScheduled", turn + 1, id=2 * turn + 1, name="poll", input=[turn])
        history.add(second + 0.4, "ActivityCompleted", turn + 2, id=2 * turn + 1, name="poll", result=turn)
        history.add(second + 0.4, "TimerStarted", turn + 2, id=2 * turn + 2, seconds=1.6)
        history.add(second + 2, "TimerFired", turn + 2, id=2 * turn + 2)
    return history.add(5300.01, "ActivityScheduled", 2501, id=5001, name="poll", input=[2500])


def execution(workflow_id: str, type: str, status: str, history: History, **more: Any) -> Json:
    is_closed = status not in ("running", "blocked")
    return {
        "workflow_id": workflow_id,
        "run_id": "0193a4c2-7d1e-7b6a-9c00-1f2e3d4c5b6a",
        "type": type,
        "status": status,
        "task_queue": "farm",
        "started_at": history.events[0]["at"],
        "closed_at": history.events[-1]["at"] if is_closed else None,
        "history_length": len(history.events),
        "waiting_for": None,
        "blocked": None,
    } | more


def shown(record: Json, history: History, **more: Any) -> Json:
    answer = {
        "execution": record,
        "events": history.events,
        "pending_activities": [],
        "pending_timers": [],
        "result": None,
        "failure": None,
    }
    return answer | more


def batch_job(**more: Any) -> Json:
    job = {
        "id": "j1",
        "operation": "cancel",
        "query": "WorkflowType = 'Irrigate'",
        "reason": "frost",
        "by": "maria",
        "state": "running",
        "started_at": at(0),
        "closed_at": None,
        "total": 100,
        "completed": 0,
        "failed": 0,
        "failures": [],
        "per_second": 50.0,
        "stopped_by": "",
        "stop_reason": "",
    }
    return job | more


class SampleGateway:
    """The operations of a gateway with six executions; it keeps what it was asked to change."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []
        self.looks = self.failing = 0
        self.feed: asyncio.Queue[Json] = asyncio.Queue()
        self.executions = {answer["execution"]["workflow_id"]: answer for answer in sample_executions()}

    async def list(self, *, status: str | None = None, type: str | None = None, limit: int = 50) -> Json:
        every = [answer["execution"] for answer in self.executions.values()]
        names = ("running", "completed", "failed", "canceled", "terminated", "continued_as_new", "blocked")
        counts = {name: sum(one["status"] == name for one in every) for name in names}
        chosen = [one for one in every if status in (None, one["status"]) and type in (None, one["type"])]
        return {"executions": chosen[:limit], "counts": counts}

    async def show(self, *, workflow_id: str, run_id: str | None = None) -> Json:
        answer = self.executions.get(workflow_id)
        if answer is None or run_id not in (None, answer["execution"]["run_id"]):
            raise UnknownExecution(f"there is no execution {workflow_id!r}")
        return answer

    async def _change(self, op: str, workflow_id: str, args: Json) -> Json:
        if (await self.show(workflow_id=workflow_id))["execution"]["closed_at"]:
            raise OperationRefused(f"{workflow_id} has ended", hint="start it again under another id")
        self.calls.append((op, {"workflow_id": workflow_id} | args))
        return {}

    async def signal(
        self, *, workflow_id: str, name: str, args: Sequence[Any] = (), run_id: str | None = None
    ) -> Json:
        return await self._change("signal", workflow_id, {"name": name, "args": [*args]})

    async def cancel(self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None) -> Json:
        return await self._change("cancel", workflow_id, {"reason": reason})

    async def pause(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        return await self._change("pause", workflow_id, {"run_id": run_id, "reason": reason, "by": by})

    async def resume(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        return await self._change("resume", workflow_id, {"run_id": run_id, "reason": reason, "by": by})

    async def reset(self, *, workflow_id: str, **args: Any) -> Json:
        return await self._change("reset", workflow_id, args) | {"run_id": "0193a4c2-eeee"}

    async def delete(self, *, workflow_id: str, run_id: str | None = None) -> Json:
        return await self._change("delete", workflow_id, {"run_id": run_id})

    async def batch_preview(self, *, operation: Json, query: str) -> Json:
        self.calls.append(("batch_preview", {"operation": operation, "query": query}))
        rows = [row["execution"] for row in self.executions.values()] if "nothing" not in query else []
        return {"count": 100 if rows else 0, "sample": rows[:2]}

    async def batch_start(self, **args: Any) -> Json:
        self.calls.append(("batch_start", args))
        self.looks = 0
        return batch_job()

    async def batch_show(self, *, job_id: str) -> Json:
        self.looks += 1
        if self.looks < 2:
            return batch_job(completed=40)
        failures = [{"workflow_id": HOSTILE_ID, "run_id": "r", "message": "stuck"}]
        return batch_job(state="completed", completed=99, failed=self.failing, failures=failures)

    async def batch_list(self) -> Json:
        return {"jobs": [batch_job(), batch_job(state="stopped", stopped_by="maria", stop_reason="enough")]}

    async def batch_stop(self, *, job_id: str, reason: str | None = None, by: str | None = None) -> Json:
        self.calls.append(("batch_stop", {"job_id": job_id, "reason": reason, "by": by}))
        return batch_job(state="stopped", stopped_by=by or "", stop_reason=reason or "")

    async def pause_all(
        self, *, scope: str, name: str | None = None, reason: str | None = None, by: str | None = None
    ) -> Json:
        self.calls.append(("pause_all", {"scope": scope, "name": name, "reason": reason, "by": by}))
        return {}

    async def resume_all(self, *, scope: str, name: str | None = None) -> Json:
        self.calls.append(("resume_all", {"scope": scope, "name": name}))
        return {}

    async def terminate(
        self, *, workflow_id: str, run_id: str | None = None, reason: str | None = None
    ) -> Json:
        return await self._change("terminate", workflow_id, {"reason": reason})

    async def start(
        self, *, type: str, workflow_id: str, args: Sequence[Any] = (), task_queue: str | None = None
    ) -> Json:
        self.calls.append(("start", {"type": type, "workflow_id": workflow_id, "args": [*args]}))
        return {"run_id": "0193a4c2-ffff-7b6a-9c00-1f2e3d4c5b6a"}

    async def quarantine(self, *, limit: int = 50) -> Json:
        entries = [
            {
                "id": 2,
                "received_at": at(95),
                "topic": "farm/\x1b[2Jnorth/soil",
                "reason": "invalid_json",
                "detail": "Expecting ',' delimiter: line 1 column 17",
                "payload": '{"moisture": 0.2',
                "bytes": 16,
            },
            {
                "id": 1,
                "received_at": at(31),
                "topic": "farm/old/telemetry",
                "reason": "no_trigger",
                "detail": "no trigger fits this topic",
                "payload": "hello",
                "bytes": 5,
            },
        ]
        return {"entries": entries[:limit], "counts": {"invalid_json": 1, "no_trigger": 1}}

    async def status(self) -> Json:
        return {
            "gateway": "farm-gate-1",
            "pid": 4242,
            "version": "0.1.0",
            "started_at": at(-60),
            "now": NOW.isoformat().replace("+00:00", "Z"),
            "clock_speed": 1.0,
            "journal": {"path": "/var/lib/overwinter/journal.db", "bytes": 4_800_512, "wal_bytes": 262_144},
            "retention": {
                "closed_for_s": 2_592_000.0,
                "archive": "/var/lib/overwinter/archive",
                "archive_bytes": 300_000,
                "archived": 1_000,
                "dropped": 0,
                "kept_back": 2,
                "failures": 0,
                "last_round_at": at(-100),
            },
            "disk": {
                "free_bytes": 12_000_000_000,
                "commits": 2_040,
                "syncs": 2_048,
                "checkpoints": 4,
                "bytes_written": 9_000_000,
                "bytes_per_day": 43_200_000.0,
                "flash_life_days": 115_740.0,
            },
            "mqtt": {
                "connected": True,
                "broker": "127.0.0.1:1883",
                "embedded": True,
                "session_present": True,
                "received": 18_204,
                "acknowledged": 18_202,
                "quarantined": 2,
                "refused": {"invalid_json": 1, "no_trigger": 1},
            },
            "outbox": {"waiting": 1, "sent": 311},
            "engine": {
                "open": 4,
                "cached": 4,
                "activations": 10_111,
                "steps": 5_021,
                "commits": 2_040,
                "activities_running": 1,
                "blocked": 1,
            },
        }

    async def tail(self, *, after_lsn: int | None = None) -> AsyncIterator[Json]:
        while True:
            yield await self.feed.get()


def sample_executions() -> list[Json]:
    water, photo, valve, evil, poll = irrigation(), camera(), failed(), hostile(), long_history()
    frost = History().add(10, "WorkflowStarted", 1, workflow_type="FrostAlarm", input=["greenhouse-2"])
    frost.add(12, "Signaled", 0, name="reading", input=[{"celsius": -1.5}])
    blocked = {
        "cause": "KeyError: 'celcius'",
        "where": "frost.py:41 in run",
        "since": at(12),
        "attempts": 17,
    }
    timer = [{"id": 6, "due_at": at(10814.11), "summary": "try again"}]
    waits = "timer 6 until 2026-11-24T06:00:14Z"
    activity = {
        "id": 5001,
        "name": "poll",
        "attempt": 4,
        "state": "backing_off",
        "next_attempt_at": at(9030),
        "last_failure": {"message": "connection refused", "type": "OSError"},
        "heartbeat": {"page": 12},
    }
    return [
        shown(
            execution("irrigation/north-3", "Irrigate", "running", water, waiting_for=waits),
            water,
            pending_timers=timer,
        ),
        shown(execution("frost/greenhouse-2", "FrostAlarm", "blocked", frost, blocked=blocked), frost),
        shown(
            execution("camera/gate/0193", "InspectFrame", "completed", photo),
            photo,
            result={"label": "deer", "score": 0.93},
        ),
        shown(execution("valve/9", "OpenValve", "failed", valve), valve, failure=FLOW_FAILURE),
        shown(execution(HOSTILE_ID, "Evil\x1b]0;owned\x07", "running", evil), evil),
        shown(
            execution("poll/weather", "Poll", "running", poll, waiting_for="activity poll (attempt 4)"),
            poll,
            pending_activities=[activity],
        ),
    ]


@pytest.fixture
def gateway() -> SampleGateway:
    return SampleGateway()
