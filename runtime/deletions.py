"""Deletion of closed executions, with their histories.

Nothing else in a journal is ever taken away from a history. What is still to be replicated elsewhere is not deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .ports import OPEN, Batch, ExecutionRecord, Receipt

if TYPE_CHECKING:
    from .engine import Engine


class CannotDelete(Exception):
    """The execution is still open, or is not replicated yet; the message says which."""


class Deletions:
    """The part of an engine that deletes executions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.kept_from_lsn: Callable[[], int | None] = lambda: None
        """Says which event is the first that somebody else still has to get; None when nobody has."""

    async def delete(
        self,
        record: ExecutionRecord,
        *,
        alongside: Callable[[Batch], None] | None = None,
        received: Receipt | None = None,
    ) -> None:
        """The execution and its history are gone. `alongside` adds to the commit in which they go.

        Raises:
            CannotDelete: nothing has changed.
            StorageFull, EngineClosed: nothing has changed.
        """
        which = f"workflow {record.workflow_id!r} (run {record.run_id})"
        if record.status == OPEN:
            raise CannotDelete(f"{which} is open: terminate it, or wait until it has ended")
        first = self.kept_from_lsn()
        if first is not None and await self._engine.journal.last_lsn(record.key) >= first:
            raise CannotDelete(f"{which} is not replicated yet: delete it when it is")

        def write(batch: Batch) -> None:
            batch.deleted.append(record.key)
            if alongside is not None:
                alongside(batch)

        await self._engine.keep(write, received)
