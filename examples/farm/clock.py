"""The farm's clock: hours that pass in seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmClock:
    """A clock that runs `speed` times as fast as the wall since `origin`, where both show the same time.

    Every device of one farm is given the same origin and speed, hence they all agree.
    """

    origin: float  # seconds since 1970, wall clock
    speed: float  # farm seconds in one wall second

    def elapsed_s(self) -> float:
        """Farm seconds since the origin."""
        return (time.time() - self.origin) * self.speed

    def now(self) -> datetime:
        """The farm's time, in UTC."""
        return datetime.fromtimestamp(self.origin + self.elapsed_s(), UTC)

    def wall_s(self, farm_s: float) -> float:
        """How long `farm_s` farm seconds last on the wall clock, in seconds."""
        return farm_s / self.speed
