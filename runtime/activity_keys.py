"""Concurrency keys of activities: of the attempts with one key, over all task queues, so many run at a time.

An attempt holds its key from when it may take a slot until its function has returned and its outcome is known, also one that
timed out and does not stop. Nothing of this is recorded: attempts end with their process, and their keys are free again.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from .attempts import AttemptRequest, Place
from .fairness import Claim


class _Line:
    """The attempts of one key."""

    __slots__ = ("holding", "order")

    def __init__(self) -> None:
        self.holding: dict[int, AttemptRequest] = {}
        """By identity: a retry is another attempt than the one before, which may still run."""
        self.order: list[tuple[int, int, Place]] = []
        """A heap of those that wait; what was withdrawn is passed over."""


class ActivityKeys:
    """Who holds a key, and who waits for one. `admit` is called with each that has waited and now holds it."""

    def __init__(self, admit: Callable[[AttemptRequest], None]) -> None:
        self._admit = admit
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[Place, AttemptRequest] = {}
        self._number = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, place: Place) -> bool:
        return place in self._waiting

    def enter(self, request: AttemptRequest) -> bool:
        """Whether the attempt holds its key now; otherwise it waits for it, by priority, then first come first served."""
        command = request.command
        if not command.concurrency_key:
            return True
        line = self._lines.setdefault(command.concurrency_key, _Line())
        if not line.order and len(line.holding) < command.concurrency_limit:
            line.holding[id(request)] = request
            return True
        self._waiting[request.place] = request
        level = Claim(command.priority_key).level
        heapq.heappush(line.order, (level, next(self._number), request.place))
        return False

    def leave(self, request: AttemptRequest) -> None:
        """The attempt holds its key no more; one that never did changes nothing."""
        line = self._lines.get(request.command.concurrency_key)
        if line is not None and line.holding.pop(id(request), None) is not None:
            self._let_in(request.command.concurrency_key, line)

    def withdraw(self, place: Place) -> bool:
        """Take back an attempt that waits; False when it does not."""
        request = self._waiting.pop(place, None)
        if request is None:
            return False
        key = request.command.concurrency_key
        self._let_in(key, self._lines[key])  # It may have been in the way of others with a higher limit.
        return True

    def _let_in(self, key: str, line: _Line) -> None:
        while line.order:
            request = self._waiting.get(line.order[0][2])
            if request is None:
                heapq.heappop(line.order)
                continue
            if len(line.holding) >= request.command.concurrency_limit:
                return
            heapq.heappop(line.order)
            del self._waiting[request.place]
            line.holding[id(request)] = request
            self._admit(request)
        if not line.holding:
            self._lines.pop(key, None)
