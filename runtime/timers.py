"""What is due when: a queue of instants on the gateway's clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from .ports import Clock


class Alarm:
    """Something to do at an instant, unless it is cancelled first."""

    __slots__ = ("action", "at_us")

    def __init__(self, at_us: int, action: Callable[[], None]) -> None:
        self.at_us = at_us
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """It will not be done; the queue forgets it when its instant comes."""
        self.action = None


class Alarms:
    """Alarms in the order of their instants; those of the same instant in the order of asking."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._heap: list[tuple[int, int, Alarm]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, at_us: int, action: Callable[[], None]) -> Alarm:
        """Do this at that instant, or as soon as it is noticed after it; never before."""
        alarm = Alarm(at_us, action)
        self._count += 1
        heapq.heappush(self._heap, (at_us, self._count, alarm))
        if self._heap[0][2] is alarm:
            self._changed()
        return alarm

    def after(self, seconds: float, action: Callable[[], None]) -> Alarm:
        """Do this so many seconds from now, by the gateway's clock."""
        return self.at(self._clock.now_us() + round(seconds * 1_000_000), action)

    def seconds_to_next(self) -> float | None:
        """How long to wait for the next alarm, in seconds of this machine; None when there is none."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._clock.seconds_until(self._heap[0][0]) if self._heap else None

    def next_us(self) -> int | None:
        """When the next alarm is; None when there is none."""
        self.seconds_to_next()
        return self._heap[0][0] if self._heap else None

    def run_due(self, limit: int) -> int:
        """Do what is due, at most `limit` of it so that other work gets its turn; returns how many were done."""
        now = self._clock.now_us()
        done = 0
        while done < limit and self._heap and self._heap[0][0] <= now:
            alarm = heapq.heappop(self._heap)[2]
            action, alarm.action = alarm.action, None
            if action is not None:
                action()
                done += 1
        return done
