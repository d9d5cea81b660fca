"""Executions that sleep: found in the journal shortly before they are due, however many there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .ports import Clock, ExecutionRecord, Journal
from .timers import Alarms

_PAGE = 5000


class Wakeups:
    """Alarms for the timers of executions, only for those due within a window that moves with the clock.

    A gateway may hold a million sleeping executions; what is in memory is bounded by what wakes soon.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        alarms: Alarms,
        wake: Callable[[ExecutionRecord], None],
        window_s: float,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._alarms = alarms
        self._wake = wake
        self._window_us = round(window_s * 1_000_000)
        self._margin_us = self._window_us // 10
        self._known_until_us = 0

    def expect(self, record: ExecutionRecord, due_us: int) -> bool:
        """Wake this execution when its timer is due; False when that is later than the window: the journal remembers it."""
        if due_us > self._known_until_us:
            return False
        self._alarms.at(due_us, lambda: self._wake(record))
        return True

    async def look_ahead(self) -> None:
        """Move the window when its end comes near."""
        now = self._clock.now_us()
        page = _PAGE
        while self._known_until_us < now + self._window_us - self._margin_us:
            after, until = self._known_until_us, now + self._window_us
            # Before the read: a timer that is committed while it runs is then expected by `expect`.
            self._known_until_us = until
            found = await self._journal.due(after, until, page)
            is_last = len(found) < page
            # Several may be due at the very instant where the page ends: the next one begins with all of them.
            known = until if is_last else found[-1][0] - 1
            for due_us, record in found:
                if due_us <= known:
                    self._alarms.at(due_us, partial(self._wake, record))
            if is_last:
                return
            self._known_until_us = known
            # More than a page in one instant are read together.
            page = page * 2 if known == after else _PAGE
