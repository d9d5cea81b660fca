"""Concurrency keys: of the executions with one key so many run at a time as their limits say, the others wait.

Who runs and who waits is what the journal says about open executions, and nothing is counted beside it: a place cannot be
lost by a crash. A start that begins is checked by the commit that holds it, as workflow ids are; one that finds its key
taken is begun again as one that waits. Whenever an execution of a key has closed or begun to wait, the line of that key
is read and the first of those that wait are let in, each by an event of its own history.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .core import events as ev
from .fairness import Claim
from .journal.errors import StorageFull
from .live import Incoming, LiveExecution
from .requests import EngineClosed, StartRequest

if TYPE_CHECKING:
    from .engine import Engine
    from .ports import ConcurrencyLine, ExecutionRecord

_log = logging.getLogger(__name__)

WAIT, JOIN, REPLACE, REFUSE = 1, 2, 3, 4
_LOOK_MAX = 100
"""Executions of a line that are looked at together."""
_CROWDED_MAX = 10_000
"""Keys that are remembered as taken; a start for another one finds out."""
_ROOM_WAIT_S = 1.0


def rank_of(request: StartRequest) -> int:
    """Where a start stands in the line of its key: 0 it begins, then those that replace others, then by priority."""
    if request.admitted or not request.concurrency_key:
        return 0
    return 1 if request.concurrency_policy == REPLACE else 1 + Claim(request.priority_key).level


class Admission:
    """The concurrency keys of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._crowded: dict[str, None] = {}
        self._looking: set[str] = set()
        self._again: set[str] = set()

    async def recover(self) -> None:
        """Let in whoever may begin; before a crash there may have been no time for it."""
        for key in await self._engine.journal.concurrency_waiting():
            self._crowd(key)
            self.look(key)

    def has_to_wait(self, request: StartRequest) -> bool:
        """Whether it is known, without asking the journal, that a start would find its key taken and wait."""
        return request.concurrency_key in self._crowded and request.concurrency_policy in (WAIT, REPLACE)

    def taken(self, key: str) -> None:
        """A start has found this key taken."""
        self._crowd(key)

    def _crowd(self, key: str) -> None:
        while len(self._crowded) >= _CROWDED_MAX:
            del self._crowded[next(iter(self._crowded))]
        self._crowded[key] = None

    def look(self, key: str) -> None:
        """An execution of this key has closed, or waits now: let in whoever may begin."""
        if key in self._looking:
            self._again.add(key)
        elif key:
            self._looking.add(key)
            self._engine.spawn(self._look(key))

    async def _look(self, key: str) -> None:
        try:
            changed = True
            while changed or key in self._again:
                self._again.discard(key)
                changed = await self._let_some_in(key)
        except EngineClosed:
            pass
        finally:
            self._looking.discard(key)

    async def _let_some_in(self, key: str) -> bool:
        """Do what can be done now; returns whether the line is another one then."""
        line = await self._engine.journal.concurrency_line(key, _LOOK_MAX)
        if not line.waiting:
            self._crowded.pop(key, None)
            return False
        replaced = _replaced(line)
        if replaced is not None:
            by, others = replaced
            reason = f"replaced by workflow {by.workflow_id!r} (run {by.run_id}), concurrency key {key!r}"
            for other in others:
                await self._tell(other, ev.WorkflowWithdrawn(reason))
            return True
        for waiting in line.waiting:
            if line.running < waiting.concurrency_limit:
                if await self._tell(waiting, ev.WorkflowAdmitted()):
                    return True
                continue  # It has closed meanwhile, or its history is damaged: others are not held up by it.
            return waiting.concurrency_rank == 1 and await self._make_room(line, waiting)
        return False

    async def _tell(self, record: ExecutionRecord, body: ev.WorkflowAdmitted | ev.WorkflowWithdrawn) -> bool:
        """Put this into the history of an execution that waits; returns whether it is there."""
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settle(error: BaseException | None) -> None:
            if told.done():
                return
            if error is None or isinstance(error, LookupError):
                told.set_result(error is None)
            else:
                told.set_exception(error)

        def tell(live: LiveExecution | None) -> None:
            if live is None or live.record.run_id != record.run_id or live.state.admitted:
                told.set_result(False)
            else:
                self._engine.give(live, Incoming(body, settle))

        while True:
            self._engine.with_live(record.workflow_id, tell)
            try:
                return await told
            except StorageFull as error:
                _log.warning("workflow %s waits for room in the journal: %s", record.workflow_id, error)
            await asyncio.sleep(_ROOM_WAIT_S)
            told = asyncio.get_running_loop().create_future()

    async def _make_room(self, line: ConcurrencyLine, first: ExecutionRecord) -> bool:
        """Ask as many to end as the first in line needs, those that began first; returns whether to look again at once."""
        surplus = line.running - first.concurrency_limit + 1
        reason = f"replaced by workflow {first.workflow_id!r} (run {first.run_id}), concurrency key {first.concurrency_key!r}"
        for record in line.oldest[:surplus]:
            try:
                await self._engine.cancel(record.workflow_id, record.run_id, reason)
            except LookupError:
                return True  # It has closed meanwhile.
            except StorageFull as error:
                _log.warning("workflow %s cannot be asked to end yet: %s", record.workflow_id, error)
                await asyncio.sleep(_ROOM_WAIT_S)
                return True
        return False


def _replaced(line: ConcurrencyLine) -> tuple[ExecutionRecord, list[ExecutionRecord]] | None:
    """The newest of those that wait to replace others, and who waits and is older; None when nobody does."""
    replacing = [record for record in line.waiting if record.concurrency_rank == 1]
    if not replacing:
        return None
    older = [record for record in line.waiting if record.key < replacing[-1].key]
    return (replacing[-1], older) if older else None
