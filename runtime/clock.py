"""Clocks and entropy: the adapters that read them, and one that tests set by hand."""

from __future__ import annotations

import secrets
from time import (
    time_ns,
)  # by name: the guard's wrapper is for workflow code, and this is asked for at every event

from .identifiers import uuid7


class SystemClock:
    """The machine's wall clock, or one that runs `speed` times as fast from `origin_us` on.

    A fast clock lets hours pass in seconds in a demonstration. It continues over restarts, since it is a
    function of the machine's clock and of an origin that the journal keeps.
    """

    def __init__(self, speed: float = 1.0, origin_us: int = 0) -> None:
        self.speed = speed
        self._origin_us = origin_us

    def now_us(self) -> int:
        """See `Clock.now_us`."""
        now = time_ns() // 1000
        if self.speed == 1.0:
            return now
        return self._origin_us + round((now - self._origin_us) * self.speed)

    def seconds_until(self, at_us: int) -> float:
        """See `Clock.seconds_until`."""
        return (at_us - self.now_us()) / 1_000_000 / self.speed


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self.current_us = now_us

    def now_us(self) -> int:
        """See `Clock.now_us`."""
        return self.current_us

    def seconds_until(self, at_us: int) -> float:
        """See `Clock.seconds_until`; whoever moves the clock tells the engine to look again."""
        return float("inf") if at_us > self.current_us else 0.0

    def advance(self, seconds: float) -> None:
        """Move the clock; negative moves it back, as a correction by a time server may."""
        self.current_us += round(seconds * 1_000_000)


class SystemEntropy:
    """Identifiers from the operating system."""

    def run_id(self) -> str:
        """See `Entropy.run_id`."""
        return str(uuid7(time_ns() // 1000, secrets.randbits))
