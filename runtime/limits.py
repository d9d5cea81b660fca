"""What an engine takes from outside: so many executions, so much that waits for one, and only while the disk has room.

Work that was accepted goes on beyond every limit here; that is what the room is kept for. So nothing from inside is refused: no
child, no continued run, no outcome of an activity. What is refused can be asked for again, and an MQTT message is not
acknowledged, so that its broker keeps it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from .core import events as ev
from .core.events import Happening
from .core.records import record
from .journal.errors import LimitReached

if TYPE_CHECKING:
    from .engine import Engine
    from .live import LiveExecution
    from .requests import StartRequest

_LOOK_S: Final = 1.0
"""The disk is looked at no more often."""
_JOURNAL_PART: Final = 0.95
"""At this part of its largest size a journal takes nothing from outside any more."""


@record(kw_only=True)
class IntakeLimits:
    """Bounds of what an engine takes from outside."""

    open_executions_max: int = 1_000_000
    """Executions that are open at a time."""
    unhandled_max: int = 10_000
    """Signals and updates that wait for one execution's code."""
    history_events_max: int | None = None
    """Events in a history to which signals and updates still add; None for no bound."""
    disk_free_bytes_min: int = 0
    """What the journal's volume keeps free for what was accepted."""


DEFAULT_INTAKE: Final = IntakeLimits()


class Intake:
    """The part of an engine that refuses what would be too much."""

    def __init__(self, engine: Engine, limits: IntakeLimits) -> None:
        self._engine = engine
        self.limits = limits
        self.open_executions = 0
        """How many there are, with those that cannot be read."""
        self.refused: Counter[str] = Counter()
        """By limit."""
        self._looked_s = float("-inf")
        self._no_room: LimitReached | None = None

    async def recover(self) -> None:
        """Count what is open."""
        self.open_executions = (await self._engine.journal.counts())["running"]

    def refusal_of_start(self, request: StartRequest) -> LimitReached | None:
        """Why this cannot be started now; None when it can."""
        if request.parent is not None:
            return None
        what = f"workflow {request.workflow_id!r} was not started"
        limits = self.limits
        if self.open_executions >= limits.open_executions_max:
            return self._refuse(
                "open_executions_max",
                f"{what}: {self.open_executions} executions are open, at most {limits.open_executions_max} may be",
            )
        return self._refusal_for_room(what)

    def refusal_of_message(self, live: LiveExecution, body: Happening) -> LimitReached | None:
        """Why this signal or update cannot be handed to an execution now; None when it can, or is something else."""
        if not isinstance(body, ev.Signaled | ev.UpdateAccepted):
            return None
        kind = "signal" if isinstance(body, ev.Signaled) else "update"
        what = f"{kind} {body.name!r} was not handed to workflow {live.record.workflow_id!r}"
        limits = self.limits
        waiting = len(live.incoming) + len(live.waiting) + len(live.held)
        if waiting >= limits.unhandled_max:
            return self._refuse(
                "unhandled_max",
                f"{what}: {waiting} messages wait for its code, at most {limits.unhandled_max} may",
            )
        most = limits.history_events_max
        if most is not None and live.state.sequence >= most:
            return self._refuse(
                "history_events_max",
                f"{what}: its history has {live.state.sequence} events, at most {most} may be there; "
                "let the workflow continue as new",
            )
        return self._refusal_for_room(what)

    def _refusal_for_room(self, what: str) -> LimitReached | None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._no_room = self._look_at_disk()
        if self._no_room is None:
            return None
        return self._refuse(self._no_room.limit, f"{what}: {self._no_room.reason}")

    def _look_at_disk(self) -> LimitReached | None:
        disk = self._engine.journal.disk()
        if disk is None:
            return None
        least = self.limits.disk_free_bytes_min
        if disk.free_bytes < least:
            return LimitReached(
                "disk_free_bytes_min",
                f"the journal's volume has {disk.free_bytes} bytes free, {least} are kept for what was accepted",
            )
        most = disk.bytes_max
        if most is not None and disk.file_bytes - disk.reusable_bytes >= most * _JOURNAL_PART:
            return LimitReached(
                "journal_bytes_max", f"the journal has {disk.file_bytes} bytes, at most {most} are allowed"
            )
        return None

    def _refuse(self, limit: str, reason: str) -> LimitReached:
        self.refused[limit] += 1
        return LimitReached(limit, reason)
