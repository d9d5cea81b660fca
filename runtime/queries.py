"""Queries: answered from the code of an execution, open or closed, without changing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .core.payload import Payload
from .core.running import PotentialDeadlock
from .live import LiveExecution
from .ports import OPEN
from .requests import EngineClosed, NoWorker

if TYPE_CHECKING:
    from .engine import Engine
    from .task_queues import ServingWorker


class Queries:
    """The part of an engine that answers queries."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def answer(
        self,
        workflow_id: str,
        run_id: str | None,
        name: str,
        args: Sequence[Payload],
        headers: Mapping[str, Payload],
    ) -> Payload:
        """What the handler says of what is in the journal.

        Raises:
            EngineClosed: what it would tell of was not written.
            NoSuchExecution: there is no such execution.
            NoWorker: no worker knows its type, or it has not begun.
            PotentialDeadlock: the handler did not yield.
            Exception: what the handler raised, or why the code does not fit its history.
        """
        try:
            return await self._answer(workflow_id, run_id, name, args, headers)
        except PotentialDeadlock:
            self._engine.counters.interruptions += 1
            raise

    async def _answer(
        self,
        workflow_id: str,
        run_id: str | None,
        name: str,
        args: Sequence[Payload],
        headers: Mapping[str, Payload],
    ) -> Payload:
        engine = self._engine
        while True:
            failures = engine.counters.commit_failures
            live = await self._in_memory(workflow_id, run_id)
            if live is None or live.uncommitted or run_id not in (None, live.record.run_id):
                return await self._from_the_journal(workflow_id, run_id, name, args, headers)
            answer = await self._from_memory(live, name, args, headers)
            if answer is None:
                return await self._from_the_journal(workflow_id, run_id, name, args, headers)
            if engine.is_written(live):
                await engine.flushing.wait()
                return answer
            await engine.flushed()
            if engine.failure is not None:
                raise EngineClosed(f"the engine has stopped: {engine.failure}")
            if engine.counters.commit_failures == failures:
                await engine.flushing.wait()
                return answer  # Otherwise what it tells of has not come to be.

    async def _from_memory(
        self, live: LiveExecution, name: str, args: Sequence[Payload], headers: Mapping[str, Payload]
    ) -> Payload | None:
        """What the handler says in the code that is in memory; None when there is none."""
        engine = self._engine
        if not live.state.activation:
            return None
        entry = self._worker_of(live)
        transit = live.transit
        if transit is not None and (transit.under_way or live.queued) and live.blocked is None:
            raise NoWorker(
                f"what has happened to workflow {live.record.workflow_id!r} waits for its codec or storage"
            )
        try:
            if entry.sealing is not None and live.instance is not None:
                return await engine.transit.query(live, entry.sealing, name, args, headers)
            if live.instance is not None:
                return live.instance.query(name, args, headers)
            if live.history is not None and not live.incoming and entry.sealing is None:
                instance = engine.instance_of(live, entry)
                engine.cache.used(live)
                return instance.query(name, args, headers)
        except PotentialDeadlock:
            engine.cache.unload(live)  # Its code may be in the middle of something.
            raise
        return None

    async def _in_memory(self, workflow_id: str, run_id: str | None) -> LiveExecution | None:
        """The open run, read again if need be. Then it stays: who asks once asks again."""
        engine = self._engine
        live = engine.cache.open_run(workflow_id)
        if live is None:
            if run_id is not None and (await engine.find(workflow_id, run_id)).status != OPEN:
                return None
            live = await engine.loaded(workflow_id)
        if live is not None and not (live.rebuildable or live.uncommitted):
            await engine.blocking.reload(live)
        return engine.cache.open_run(workflow_id)

    async def _from_the_journal(
        self,
        workflow_id: str,
        run_id: str | None,
        name: str,
        args: Sequence[Payload],
        headers: Mapping[str, Payload],
    ) -> Payload:
        engine = self._engine
        record = await engine.find(workflow_id, run_id)
        read = LiveExecution(record)
        read.load(await engine.journal.history(record), ())
        if not read.state.activation:
            raise NoWorker(f"workflow {workflow_id!r} has not had its first activation")
        entry = self._worker_of(read)
        try:
            if entry.sealing is None:
                return engine.instance_of(read, entry).query(name, args, headers)
            await engine.transit.rebuild(read, entry)
            return await engine.transit.query(read, entry.sealing, name, args, headers)
        finally:
            read.drop_instance()

    def _worker_of(self, live: LiveExecution) -> ServingWorker:
        worker = None if live.is_activity else self._engine.worker_for(live.record)
        if worker is None:
            raise NoWorker(
                f"no worker of task queue {live.record.task_queue!r} has the workflow {live.record.workflow_type!r}"
            )
        return worker
