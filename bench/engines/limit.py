"""The limit: the least that a durable engine in one Python process can do, and nothing of what makes one useful.

Workflow code on a loop of its own, activities as tasks of the host's loop, two events a step packed with msgpack, one group
commit (WAL, FULL) in a thread at a time. No timeouts, retries, checksums, type hints, queues or replay.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from asyncio import events as asyncio_events
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

DURABILITY = "WAL, synchronous=FULL"
_STARTED, _SCHEDULED, _COMPLETED, _RETURNED = range(4)


class _WorkflowLoop(asyncio.AbstractEventLoop):
    def __init__(self) -> None:
        self.ready: deque[asyncio.Handle] = deque()

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def drain(self) -> None:
        host = asyncio_events._get_running_loop()
        asyncio_events._set_running_loop(self)
        try:
            while self.ready:
                self.ready.popleft()._run()
        finally:
            asyncio_events._set_running_loop(host)


@dataclass(slots=True, eq=False)
class _Workflow:
    number: int
    loop: _WorkflowLoop
    ended: Callable[[], None]
    pending: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    asked: list[tuple[int, Any]] = field(default_factory=list)
    task: asyncio.Task[Any] | None = None

    def activity(self, argument: Any) -> asyncio.Future[Any]:
        sequence = len(self.pending)
        future = self.pending[sequence] = self.loop.create_future()
        self.asked.append((sequence, argument))
        return future


class Limit:
    """Workflows of so many steps, on one journal."""

    def __init__(self, path: Path, steps: int) -> None:
        self.steps = steps
        self.commits = 0
        self._events: list[tuple[int, int, int, bytes]] = []
        self._effects: list[Callable[[], object]] = []
        self._wake = asyncio.Event()
        self._count = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE events (lsn INTEGER PRIMARY KEY, workflow INTEGER, sequence INTEGER, kind INTEGER, data BLOB)"
        )

    def begin(self, ended: Callable[[], None]) -> None:
        """Start a workflow; `ended` is called when its end is committed."""
        workflow = _Workflow(self._count, _WorkflowLoop(), ended)
        self._count += 1
        self._record(workflow, 0, _STARTED, {"workflow": "sequence", "arguments": [self.steps]})
        workflow.task = asyncio.Task(_sequence(workflow, self.steps), loop=workflow.loop)
        self._activate(workflow)

    async def commit_until(self, done: asyncio.Event) -> None:
        """Commit what there is, one commit at a time, and let its effects go."""
        loop = asyncio.get_running_loop()
        while not done.is_set():
            await self._wake.wait()
            self._wake.clear()
            events, self._events = self._events, []
            effects, self._effects = self._effects, []
            await loop.run_in_executor(None, self._commit, events)
            self.commits += 1
            for effect in effects:
                effect()

    def close(self) -> None:
        self._database.close()

    def _activate(self, workflow: _Workflow) -> None:
        workflow.loop.drain()
        for sequence, argument in workflow.asked:
            self._record(workflow, sequence, _SCHEDULED, {"activity": "noop", "arguments": [argument]})
            self._effects.append(lambda s=sequence, a=argument: self._run(self._attempt(workflow, s, a)))
        workflow.asked.clear()
        assert workflow.task is not None
        if workflow.task.done():
            self._record(workflow, self.steps, _RETURNED, {"result": workflow.task.result()})
            self._effects.append(workflow.ended)
        self._wake.set()

    async def _attempt(self, workflow: _Workflow, sequence: int, argument: Any) -> None:
        result = await _noop(argument)
        self._record(workflow, sequence, _COMPLETED, {"result": result})
        workflow.pending[sequence].set_result(result)
        self._activate(workflow)

    def _run(self, attempt: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(attempt)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record(self, workflow: _Workflow, sequence: int, kind: int, content: dict[str, Any]) -> None:
        content["at"] = time.time()
        self._events.append((workflow.number, sequence, kind, msgpack.packb(content)))

    def _commit(self, events: list[tuple[int, int, int, bytes]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO events (workflow, sequence, kind, data) VALUES (?, ?, ?, ?)", events
        )
        self._database.execute("COMMIT")


async def _sequence(workflow: _Workflow, steps: int) -> int:
    for step in range(steps):
        await workflow.activity({"number": workflow.number, "step": step})
    return workflow.number


async def _noop(value: Any) -> Any:
    return value


async def throughput(path: Path, *, seconds: float, concurrency: int, steps: int) -> tuple[int, float]:
    """Workflows that ended, and the seconds until the last of them had."""
    limit, done = Limit(path, steps), asyncio.Event()
    began = time.perf_counter()
    running = ended = 0

    def one_ended() -> None:
        nonlocal running, ended
        running -= 1
        ended += 1
        if time.perf_counter() - began < seconds:
            begin()
        elif not running:
            done.set()

    def begin() -> None:
        nonlocal running
        running += 1
        limit.begin(one_ended)

    for _ in range(concurrency):
        begin()
    await limit.commit_until(done)
    taken = time.perf_counter() - began
    limit.close()
    return ended, taken


async def latency(path: Path, *, seconds: float) -> list[float]:
    """Seconds from start to result of workflows of one step, one at a time."""
    limit, done = Limit(path, 1), asyncio.Event()
    times: list[float] = []
    first = began = time.perf_counter()

    def one_ended() -> None:
        nonlocal began
        now = time.perf_counter()
        times.append(now - began)
        if now - first > seconds:
            done.set()
            return
        began = now
        limit.begin(one_ended)

    limit.begin(one_ended)
    await limit.commit_until(done)
    limit.close()
    return times
