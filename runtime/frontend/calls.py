"""What the parts of an engine's frontend have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..engine import Engine
from ..ports import ExecutionRecord
from ..requests import NoSuchExecution, Once

T = TypeVar("T")


class EngineCalls:
    """Calls that an engine answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way: set[asyncio.Task[Any]] = set()

    async def _effect(self, once: Once | None) -> int | None:
        """The key of the execution that has the effect of a request which was made before; 0 when it is on none."""
        return await self._engine.journal.request(once.id) if once is not None and once.again else None

    async def _execution(self, key: int) -> ExecutionRecord:
        """The execution that has the effect of a request.

        Raises:
            NoSuchExecution: it was deleted since.
        """
        found = await self._engine.journal.executions(before_key=key + 1, limit=1)
        if not found or found[0].key != key:
            raise NoSuchExecution("the execution that this request led to was deleted since")
        return found[0]

    async def _to_the_end(self, change: Coroutine[Any, Any, T]) -> T:
        """Make a change of several steps, which goes on when its caller waits no longer."""
        task = asyncio.get_running_loop().create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # Its caller has it, or has gone.
