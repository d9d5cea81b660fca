"""What a test that hangs waits for.

Whoever awaits a result may be about to send the signal that leads to it, in a way that nobody sees. So nothing is raised: when
nothing has happened for a while, and the engine knows of nothing to come, the log says what waits where. pytest shows it with
the test that ran out of time.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final

from ..core.instance import Instance
from ..display import views
from ..lines import awaited
from ..live import LiveExecution, is_foreign

if TYPE_CHECKING:
    from ._engine import EngineUnderTest

_log = logging.getLogger(__name__)

_AFTER_S: Final = 3.0
"""Seconds of real time in which nothing has happened."""


class Standstill:
    """Says what executions wait for when a result is awaited and nothing is to come."""

    def __init__(self, engine: EngineUnderTest) -> None:
        self._engine = engine
        self._timer: asyncio.TimerHandle | None = None
        self._told = ""

    async def look(self) -> None:
        """The engine has nothing to do at the moment."""
        self.look_away()
        if self._nothing_to_come():
            self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._tell)

    def look_away(self) -> None:
        """Say nothing, unless the engine stands still again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _nothing_to_come(self) -> bool:
        """Code that is blocked counts as if it was not tried again: it will not be mended within a test."""
        engine = self._engine
        somebody_waits = engine.awaited or engine.updates.under_way
        return bool(
            somebody_waits
            and not engine.busy
            and not engine.working
            and engine.timekeeper.next_alarm_us() is None
        )

    def _tell(self) -> None:
        self._timer = None
        waiting = [live for live in self._engine.cache if live.state.open]
        if not (waiting and self._nothing_to_come()):
            return
        text = "\n".join(_waiting(live) for live in waiting)
        if text != self._told:
            self._told = text
            _log.warning("nothing has happened for %g s, and nothing is to come:\n%s", _AFTER_S, text)


def _waiting(live: LiveExecution) -> str:
    """Which execution it is, what it waits for, and at which lines."""
    record = live.record
    what = views.waiting_for(record, live.state, live.attempts.values()) or "nothing"
    code = live.instance
    places = list(dict.fromkeys(_places(code))) if isinstance(code, Instance) else []
    return "".join(
        [
            f"  workflow {record.workflow_id!r} ({record.workflow_type}) waits for {what}",
            *(f"\n    at {place}" for place in places),
        ]
    )


def _places(instance: Instance) -> Iterator[str]:
    """The innermost line of its author's code in each task that has not ended."""
    for task in instance.loop.unfinished_tasks():
        frame = _innermost(awaited(task.get_coro()))
        if frame is not None:
            code, line = frame.f_code, frame.f_lineno
            text = linecache.getline(code.co_filename, line).strip()
            yield f"{code.co_filename}:{line} in {code.co_name}" + (f": {text}" if text else "")


def _innermost(frames: Iterator[FrameType]) -> FrameType | None:
    found = [frame for frame in frames if is_foreign(frame.f_code.co_filename)]
    return found[-1] if found else None
