"""What has closed leaves the journal: by its age, and when the journal is larger than it may be.

Nobody waits for it: it goes through the closed executions in pages, reads what is to be archived, and deletes a page in one commit.
What somebody still has to get stays: what is not replicated yet, and a child of whose end its parent has not heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import archive
from .core.events import Event
from .core.records import dataclass, record
from .journal.errors import HistoryDamaged, StorageFull
from .ports import OPEN, Batch, ExecutionRecord
from .requests import EngineClosed

if TYPE_CHECKING:
    from .engine import Engine

_log = logging.getLogger(__name__)

DAY_S: Final = 86_400.0
_PAGE: Final = 200
_PAGE_EVENTS_MAX: Final = 20_000
"""Events that are in memory at a time while they are archived; one larger history is alone."""
_YOUNGEST_S: Final = 60.0
"""What has closed since stays, however large the journal is."""
_ROOM_PART: Final = 0.9
"""A journal that was too large is brought down to this part of its bound, so that it is not too large again at once."""
_LOOK_S: Final = 60.0


@record(kw_only=True)
class RetentionPolicy:
    """How long closed executions stay in the journal, and where they go."""

    closed_for_s: float | None = 30 * DAY_S
    """None for as long as there is room."""
    journal_bytes_max: int | None = 2 << 30
    """More than this is not used in the journal while there is anything closed; None for no bound."""
    archive: Path | None = None
    """The folder of the files that they go to; None to drop them."""
    archive_bytes_max: int | None = 1 << 30
    """The oldest files go when there are more bytes; None for no bound."""
    interval_s: float = 3600.0
    """How often the age is looked at; the size is every minute."""


@dataclass(slots=True)
class RetentionCounters:
    """What retention has done since the engine began."""

    rounds: int = 0
    archived: int = 0
    dropped: int = 0
    events: int = 0
    kept_back: int = 0
    """Executions of the last round that were due and had to stay."""
    archive_files_removed: int = 0
    last_round_us: int | None = None
    failures: int = 0


class Retention:
    """Lets the closed executions of an engine go, as a policy says."""

    def __init__(self, engine: Engine, policy: RetentionPolicy) -> None:
        self._engine = engine
        self._journal = engine.journal
        self.policy = policy
        self.counters = RetentionCounters()
        self._too_large = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Retention]:
        """Within this block it is done by itself."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_round_s = loop.time() + min(_LOOK_S, self.policy.interval_s)
        while True:
            await asyncio.sleep(min(_LOOK_S, self.policy.interval_s))
            due = loop.time() >= next_round_s
            if not due and not await self._is_too_large():
                continue
            try:
                await self.once()
            except EngineClosed:
                return
            except (StorageFull, OSError) as error:
                self.counters.failures += 1
                _log.error("closed executions stay in the journal for now: %s", error)
            next_round_s = loop.time() + self.policy.interval_s

    async def once(self) -> int:
        """What is due has left the journal; returns how many executions that were.

        Raises:
            OSError: the archive cannot be written; what was not archived stays.
            StorageFull, EngineClosed: as above.
        """
        self.counters.rounds += 1
        self.counters.kept_back = 0
        now_us = self._engine.now_us()
        gone = 0
        if self.policy.closed_for_s is not None:
            gone += await self._let_go(now_us - round(self.policy.closed_for_s * 1_000_000), by_size=False)
        if await self._is_too_large():
            gone += await self._let_go(now_us - round(_YOUNGEST_S * 1_000_000), by_size=True)
            if await self._is_too_large() and not self._too_large:
                _log.warning(
                    "the journal is larger than the %d bytes of [retention] journal_bytes_max, and nothing in it may go",
                    self.policy.journal_bytes_max,
                )
        self._too_large = await self._is_too_large()
        if self.policy.archive is not None and self.policy.archive_bytes_max is not None:
            removed = await asyncio.to_thread(
                archive.trim, self.policy.archive, self.policy.archive_bytes_max
            )
            self.counters.archive_files_removed += removed
        self.counters.last_round_us = now_us
        return gone

    async def _is_too_large(self, part: float = 1.0) -> bool:
        bound = self.policy.journal_bytes_max
        return bound is not None and (await self._journal.room()).used > bound * part

    async def _let_go(self, closed_before_us: int, *, by_size: bool) -> int:
        gone = 0
        async for page in self._pages(closed_before_us):
            due = [record for record in page if not await self._is_wanted(record)]
            self.counters.kept_back += len(page) - len(due)
            async for part in self._parts(due):
                await self._take_out(part)
                gone += len(part)
            if by_size and not await self._is_too_large(_ROOM_PART):
                break
        return gone

    async def _pages(self, closed_before_us: int) -> AsyncIterator[list[ExecutionRecord]]:
        after_key = 0
        while True:
            page = await self._journal.closed(after_key, closed_before_us, _PAGE)
            if page:
                yield page
            if len(page) < _PAGE:
                return
            after_key = page[-1].key

    async def _is_wanted(self, record: ExecutionRecord) -> bool:
        """Whether somebody still has to get it."""
        first = self._engine.deletions.kept_from_lsn()
        if first is not None and await self._journal.last_lsn(record.key) >= first:
            return True
        if not record.parent_workflow_id:
            return False
        parent = await self._engine.loaded(record.parent_workflow_id)
        if parent is None:
            # It has closed, or cannot be read; then nobody knows what it has heard of.
            return bool(
                await self._journal.executions(workflow_id=record.parent_workflow_id, status=OPEN, limit=1)
            )
        return any(
            child.command.workflow_id == record.workflow_id for child in parent.state.children.values()
        )

    async def _parts(
        self, records: Sequence[ExecutionRecord]
    ) -> AsyncIterator[list[tuple[ExecutionRecord, Sequence[Event]]]]:
        """The executions with their histories, as many as may be in memory at a time."""
        part: list[tuple[ExecutionRecord, Sequence[Event]]] = []
        events = 0
        for execution in records:
            history: Sequence[Event] = ()
            if self.policy.archive is not None:
                try:
                    history = (await self._journal.history(execution)).events
                except HistoryDamaged as error:
                    _log.error("%s: it stays in the journal", error)
                    self.counters.kept_back += 1
                    continue
            if part and events + len(history) > _PAGE_EVENTS_MAX:
                yield part
                part, events = [], 0
            part.append((execution, history))
            events += len(history)
        if part:
            yield part

    async def _take_out(self, part: Sequence[tuple[ExecutionRecord, Sequence[Event]]]) -> None:
        if self.policy.archive is not None:
            await asyncio.to_thread(archive.write, self.policy.archive, part)

        def write(batch: Batch) -> None:
            batch.deleted += [record.key for record, _ in part]

        await self._engine.keep(write)
        self.counters.events += sum(len(events) for _, events in part)
        if self.policy.archive is not None:
            self.counters.archived += len(part)
        else:
            self.counters.dropped += len(part)
