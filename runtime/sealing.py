"""Payloads on their way between a worker's code and the journal.

Code has payloads as the payload converter writes them; the journal has them *sealed*: gone through the codec, and the large
ones put into external storage. Sealing and opening may wait. Where nothing has to be waited for, the answer is there at
once, so that an execution goes on in the same turn of the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from .converter import DataConverter
from .core import commands as cmd
from .core import events as ev
from .core.commands import Command
from .core.events import Body, WorkflowStarted
from .core.payload import Payload
from .core.payload_groups import Group, changed, groups_of
from .core.records import dataclass
from .core.standalone import is_activity, unprefixed
from .external_storage.drivers import StorageDriverActivityInfo, StorageDriverWorkflowInfo
from .external_storage.storage import together
from .serialization_context import (
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
    activity_context,
)

B = TypeVar("B", bound=Body)

STORAGE_CONCURRENCY: Final = 3
"""Operations of external storage at a time, for each activation of a workflow."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The execution that payloads belong to."""

    start: WorkflowStarted
    asked: Callable[[int], Command | None] = lambda _id: None
    """What the execution asked for under this id: an activity or a child, whose payloads have a context of their own."""


class Sealing:
    """Seals what executions ask for, and opens what happened to them, by the data converter of their worker."""

    def __init__(
        self,
        converter: DataConverter,
        *,
        storage_concurrency: int = STORAGE_CONCURRENCY,
        headers: bool = False,
        namespace: str = "default",
    ) -> None:
        self.converter = converter
        self._namespace = namespace
        self._concurrency = storage_concurrency
        self._headers = headers
        asks = isinstance(converter.payload_codec, WithSerializationContext)
        self._alike = converter.external_storage is None and not asks

    @classmethod
    def of(cls, converter: DataConverter, **options: Any) -> Sealing | None:
        """None when payloads are stored as they are."""
        return cls(converter, **options) if converter.seals else None

    def inline(self) -> Sealing:
        """The same without external storage, for what is not stored anywhere."""
        if self.converter.external_storage is None:
            return self
        return Sealing(self.converter.without_storage(), headers=self._headers, namespace=self._namespace)

    def concerns(self, body: Body) -> bool:
        """Whether an event or a command has anything to open or to seal."""
        return bool(groups_of([body], headers=self._headers))

    # -- in place ------------------------------------------------------------------------------------

    def opened_now(self, bodies: Sequence[B], scope: Scope) -> list[B] | None:
        """What `opened` gives, or None when that has to be waited for."""
        return self._now(bodies, scope, DataConverter.open_now)

    def sealed_now(self, bodies: Sequence[B], scope: Scope) -> list[B] | None:
        """What `sealed` gives, or None when that has to be waited for."""
        return self._now(bodies, scope, DataConverter.seal_now)

    def _now(
        self,
        bodies: Sequence[B],
        scope: Scope,
        convert: Callable[[DataConverter, Group], Sequence[Payload] | None],
    ) -> list[B] | None:
        done: list[B] = []
        for body in bodies:
            results: list[Group] = []
            for group in groups_of([body], headers=self._headers):
                result = convert(self._for(body, scope), group)
                if result is None:
                    return None
                results.append(tuple(result))
            done.append(self._with(body, results))
        return done

    # -- waiting -------------------------------------------------------------------------------------

    async def opened(self, bodies: Sequence[B], scope: Scope) -> list[B]:
        """What was recorded, as the code is handed it; raises as `DataConverter.open`."""
        return await self._later(bodies, scope, DataConverter.open)

    async def sealed(self, bodies: Sequence[B], scope: Scope) -> list[B]:
        """What the code asked for, as it is recorded; raises as `DataConverter.seal`."""
        return await self._later(bodies, scope, DataConverter.seal)

    async def _later(
        self,
        bodies: Sequence[B],
        scope: Scope,
        convert: Callable[[DataConverter, Group], Coroutine[Any, Any, Sequence[Payload]]],
    ) -> list[B]:
        room = asyncio.Semaphore(self._concurrency)

        async def one(converter: DataConverter, group: Group) -> Group:
            async with room:
                return tuple(await convert(converter, group))

        grouped = [groups_of([body], headers=self._headers) for body in bodies]
        pairs = [
            (self._for(body, scope), group)
            for body, groups in zip(bodies, grouped, strict=True)
            for group in groups
        ]
        if self.converter.external_storage is None:  # A codec sees its payloads in their order.
            results = iter([await one(converter, group) for converter, group in pairs])
        else:
            results = iter(await together([one(converter, group) for converter, group in pairs]))
        return [
            self._with(body, [next(results) for _ in groups])
            for body, groups in zip(bodies, grouped, strict=True)
        ]

    def _with(self, body: B, results: Sequence[Group]) -> B:
        left = iter(results)
        return changed(body, lambda _group: next(left), headers=self._headers) if results else body

    def _for(self, body: Body, scope: Scope) -> DataConverter:
        """The converter, told for whom the payloads of this event or command are."""
        if self._alike:
            return self.converter
        converter = self.converter.with_context(self._context(body, scope))
        return converter.for_target(self._target(body, scope.start))

    def _context(self, body: Body, scope: Scope) -> SerializationContext:
        start, namespace = scope.start, self._namespace
        match body:
            case cmd.ScheduleActivity():
                return activity_context(
                    namespace, start, body.activity_id, body.activity_type, body.task_queue, local=body.local
                )
            case cmd.StartChild() | cmd.SignalExternal() | cmd.SignalWithStart():
                return WorkflowSerializationContext(namespace, body.workflow_id)
            case ev.ActivityCompleted() | ev.ActivityFailed() | ev.ChildClosed():
                asked = scope.asked(body.id)
                if asked is not None:
                    return self._context(asked, scope)
            case _:
                pass
        return WorkflowSerializationContext(namespace, start.workflow_id)

    def _target(
        self, body: Body, start: WorkflowStarted
    ) -> StorageDriverWorkflowInfo | StorageDriverActivityInfo:
        """Who keeps a payload: whoever replays with it, or an activity that no workflow asked for."""
        if is_activity(start.workflow_id):
            return StorageDriverActivityInfo(
                namespace=self._namespace,
                id=unprefixed(start.workflow_id),
                run_id=start.run_id,
                type=unprefixed(start.workflow_type),
            )
        of = partial(StorageDriverWorkflowInfo, namespace=self._namespace)
        match body:
            case cmd.StartChild() | cmd.SignalWithStart():
                return of(id=body.workflow_id, type=body.workflow_type)
            case cmd.SignalExternal():
                return of(id=body.workflow_id)
            case cmd.CompleteWorkflow() if start.parent_workflow_id and not start.continued_run_id:
                return of(id=start.parent_workflow_id, run_id=start.parent_run_id)
            case _:
                return of(id=start.workflow_id, run_id=start.run_id, type=start.workflow_type)
