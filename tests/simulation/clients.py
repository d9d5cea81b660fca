"""Programs beside the gateway that start executions, talk to them, and wait for them, through its socket."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from overwinter.runtime.client import (
    Client,
    ResetPoint,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from overwinter.runtime.common import RetryPolicy, WorkflowIDConflictPolicy
from overwinter.runtime.exceptions import WorkflowAlreadyStartedError
from overwinter.runtime.remote import RemoteEngine
from overwinter.runtime.service import RPCError, RPCStatusCode

from .broker import Broker
from .observer import Observer
from .programs import QUEUE, SECONDS, Program, draw_order

SOCKET = Path("/simulated/client.sock")
_KINDS = (
    ["start"] * 4
    + ["signal"] * 6
    + ["update"] * 4
    + ["query"] * 2
    + ["message"] * 3
    + ["order", "result", "cancel", "terminate", "describe", "list", "pause"]
)
_REFUSALS = {RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.RESOURCE_EXHAUSTED}


class Caller:
    """One client, with a list of things to do that a seed has drawn."""

    def __init__(
        self,
        number: int,
        seed: str,
        observer: Observer,
        workflow_ids: list[str],
        broker: Broker,
        *,
        resets: bool,
    ) -> None:
        self.number = number
        self._kinds = [*_KINDS, *(["reset"] * 4 if resets else [])]
        self.remote = RemoteEngine(SOCKET)
        self.client = Client(self.remote)
        self._random = random.Random(seed)
        self._observer = observer
        self._ids = workflow_ids
        self._broker = broker
        self._names = 0
        self.paused: set[str] = set()
        self.waiting: list[asyncio.Task[Any]] = []

    async def work(self, count: int) -> None:
        """Do so many things, some of them at once."""
        draw = self._random
        beside: list[asyncio.Task[Any]] = []
        for _ in range(count):
            await asyncio.sleep(draw.choice([0.0, 0.0, 0.01, 0.5, 2.0]))
            kind = draw.choice(self._kinds)
            action = self._one(kind, draw.choice(self._ids))
            if kind == "pause" or draw.random() < 0.3:
                beside.append(asyncio.ensure_future(action))
            else:
                await action
        for task in beside:
            await task

    async def unpause_all(self) -> None:
        """A pause whose answer was lost may have come late."""
        for workflow_id in sorted(self.paused):
            await self._unpause(workflow_id)

    async def _one(self, kind: str, workflow_id: str) -> None:
        try:
            await getattr(self, f"_{kind}")(workflow_id)
        except RPCError as error:
            if error.status not in {*_REFUSALS, RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED}:
                self._observer.fail(
                    f"client {self.number}, {kind} of {workflow_id}: {error.status.name} {error}"
                )

    async def _change(self, kind: str, workflow_id: str, name: str, call: Any) -> Any:
        """Ask for a change; whatever comes of it is told to the observer."""
        request = self._observer.asks(kind, workflow_id, name, self.number)
        try:
            answer = await call
        except RPCError as error:
            self._observer.told(
                request, "refused" if error.status in _REFUSALS else "nothing", error.status.name
            )
            raise
        except WorkflowAlreadyStartedError:
            self._observer.told(request, "refused", "running")
        except WorkflowUpdateFailedError as error:
            self._observer.told(request, "failed", str(error.cause))
        else:
            self._observer.told(request, "acked", answer)
            return answer
        return None

    def _name(self) -> str:
        self._names += 1
        return f"{self.number}-{self._names}"

    def _handle(self, workflow_id: str) -> Any:
        return self.client.get_workflow_handle(workflow_id)

    # -- what it can do --------------------------------------------------------------------------------

    async def _start(self, workflow_id: str) -> None:
        order = draw_order(self._random, self._ids)
        policy = self._random.choice([WorkflowIDConflictPolicy.FAIL, WorkflowIDConflictPolicy.USE_EXISTING])

        async def start() -> str:
            handle = await self.client.start_workflow(
                Program.run,
                order,
                id=workflow_id,
                task_queue=QUEUE,
                id_conflict_policy=policy,
                run_timeout=timedelta(seconds=30) if order["hurries"] else None,
                retry_policy=RetryPolicy(maximum_attempts=2) if order["is retried"] else None,
            )
            return str(handle.result_run_id)

        await self._change("start", workflow_id, workflow_id, start())

    async def _signal(self, workflow_id: str) -> None:
        name = self._name()
        kind = self._random.choice([Program.note, Program.work])
        await self._change("signal", workflow_id, name, self._handle(workflow_id).signal(kind, name))

    async def _message(self, workflow_id: str) -> None:
        await self._broker.tell(workflow_id, self._name())

    async def _order(self, workflow_id: str) -> None:
        await self._broker.begin(workflow_id, self._name(), draw_order(self._random, self._ids))

    async def _update(self, workflow_id: str) -> None:
        name = self._name() + self._random.choice(["", "", "", "!"])
        kind = self._random.choice([Program.change, Program.change_slowly])
        seconds = self._random.choice(SECONDS[:3])

        async def update() -> Any:
            handle = await self._handle(workflow_id).start_update(
                kind, args=[name, seconds], id=name, wait_for_stage=WorkflowUpdateStage.ACCEPTED
            )
            return await handle.result()

        await self._change("update", workflow_id, name, update())

    async def _query(self, workflow_id: str) -> None:
        try:
            self._observer.read(await self._handle(workflow_id).query(Program.read))
        except WorkflowQueryFailedError as error:
            self._observer.fail(f"a query of {workflow_id} failed: {error}")

    async def _result(self, workflow_id: str) -> None:
        async def wait() -> None:
            try:
                await self._handle(workflow_id).result()
                self._observer.trace(f"client {self.number} has the result of {workflow_id}")
            except (RPCError, WorkflowFailureError) as error:
                self._observer.trace(
                    f"client {self.number} has no result of {workflow_id}: {type(error).__name__}"
                )

        self.waiting.append(asyncio.ensure_future(wait()))

    async def _cancel(self, workflow_id: str) -> None:
        await self._change("cancel", workflow_id, workflow_id, self._handle(workflow_id).cancel())

    async def _terminate(self, workflow_id: str) -> None:
        if self._random.random() < 0.3:
            await self._change("terminate", workflow_id, workflow_id, self._handle(workflow_id).terminate())

    async def _pause(self, workflow_id: str) -> None:
        self.paused.add(workflow_id)
        try:
            await self._change("pause", workflow_id, workflow_id, self._handle(workflow_id).pause())
        finally:
            await asyncio.sleep(self._random.choice(SECONDS[:4]))
            await self._unpause(workflow_id)

    async def _unpause(self, workflow_id: str) -> None:
        while True:
            try:
                await self._change("unpause", workflow_id, workflow_id, self._handle(workflow_id).unpause())
            except RPCError as error:
                if error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.RESOURCE_EXHAUSTED):
                    await asyncio.sleep(1.0)
                    continue
            return

    async def _reset(self, workflow_id: str) -> None:
        point = self._random.choice([ResetPoint.first_workflow_task(), ResetPoint.last_workflow_task()])
        self._observer.resets.add(workflow_id)

        async def reset() -> str:
            return str((await self._handle(workflow_id).reset(point, request_id=name)).run_id)

        name = self._name()
        await self._change("reset", workflow_id, name, reset())

    async def _describe(self, workflow_id: str) -> None:
        found = await self._handle(workflow_id).describe()
        self._observer.described(found.run_id, found.status.name)

    async def _list(self, _workflow_id: str) -> None:
        async for _ in self.client.list_workflows():
            pass
