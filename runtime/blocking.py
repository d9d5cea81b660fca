"""Executions that cannot go on: their code has a bug or does not fit their history, or the history is damaged.

What happens to them is recorded, and handed over once the code is mended; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from .core import events as ev
from .core.running import PotentialDeadlock
from .journal.errors import HistoryDamaged
from .live import Incoming, LiveExecution, blocked_by
from .ports import ExecutionChange

if TYPE_CHECKING:
    from .engine import Engine

_log = logging.getLogger(__name__)

_WAIT_S = 1.0
"""Before the first trial of an execution that is blocked; twice as long each time."""
_WAIT_S_STOPPING = 10.0
"""The same for one whose code does not yield: the others wait for each trial too."""
_WAIT_S_MAX = 60.0


class Blocking:
    """The part of an engine that deals with executions that cannot go on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def block(
        self, live: LiveExecution, error: BaseException, incoming: Sequence[Incoming], at_us: int
    ) -> None:
        """The code has a bug: nothing that it asked for counts, what reached it is kept for the code that is mended."""
        engine = self._engine
        live.held += [item for item in incoming if isinstance(item.body, ev.UpdateAccepted)]
        others = [item for item in incoming if not isinstance(item.body, ev.UpdateAccepted)]
        engine.touch(live, others)
        if others:
            live.accept(engine.batch, at_us, [item.body for item in others])
        live.drop_instance()
        live.history = None
        previous = live.blocked
        live.blocked = blocked_by(error, previous, at_us)
        live.failures += 1
        stops_others = isinstance(error.__cause__, PotentialDeadlock)
        engine.counters.interruptions += stops_others
        is_new = previous is None or previous.cause != live.blocked.cause
        if is_new:
            _log.error(
                "Failed activation on workflow %s with ID %s and run ID %s, it is blocked by its code at %s: %s",
                live.record.workflow_type,
                live.record.workflow_id,
                live.record.run_id,
                live.blocked.where,
                live.blocked.cause,
                # as Temporal's SDK marks it for filters
                extra={**live.record.log_details, "__temporal_error_identifier": "WorkflowTaskFailure"},
            )
        engine.record_change(live, force=is_new)
        first_s = _WAIT_S_STOPPING if stops_others else _WAIT_S
        wait_s = min(first_s * 2.0 ** min(live.failures - 1, 10), _WAIT_S_MAX)
        engine.after_commit(partial(self._try_later, live, wait_s))

    def _try_later(self, live: LiveExecution, wait_s: float) -> None:
        engine = self._engine

        def again() -> None:
            here = engine.cache.get(live.record.key) is live
            if here and live.blocked is not None and not engine.closing:
                engine.spawn(self.reload(live))

        asyncio.get_running_loop().call_later(wait_s, again)

    async def reload(self, live: LiveExecution) -> None:
        """Read the history again, so that the code can be rebuilt from it."""
        engine = self._engine
        while engine.cache.get(live.record.key) is live:
            committed = engine.next_commit()  # Asked for before the look, or one between is missed.
            try:
                history = await engine.journal.history(live.record)
            except HistoryDamaged as error:
                self.set_aside(live, error)
                return
            if live.rebuildable or history.state.sequence == live.state.sequence:
                if not live.rebuildable:
                    live.history = history.events
                engine.make_ready(live)
                return
            await committed  # What was read lacks events that are being written now.

    def set_aside(self, live: LiveExecution, error: HistoryDamaged) -> None:
        """Its history cannot be read: it stays as it is."""
        engine, record = self._engine, live.record
        _log.error("%s: it is stopped, the others go on", error)
        live.blocked = blocked_by(error, live.blocked, engine.now_us())
        engine.batch.changes[record.key] = ExecutionChange(
            record.key, record.status, None, None, live.blocked, record.concurrency_rank, record.paused
        )
        engine.wake()
