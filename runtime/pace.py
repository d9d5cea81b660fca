"""A rate that is kept by waiting."""

from __future__ import annotations

import time
from typing import Final

_BURST_S: Final = 0.05
"""A rate is kept over this: what a late timer missed is made up for, and nothing older."""


class Pace:
    """At most so many a second; None for any number. It may be changed at any time."""

    def __init__(self, per_second: float | None = None) -> None:
        self.per_second = per_second
        self._next_s = 0.0

    def wait_s(self) -> float:
        """Seconds until the next one may go; zero or less when it may go now."""
        return 0.0 if self.per_second is None else self._next_s - time.monotonic()

    def took_one(self) -> None:
        """One has gone now."""
        if self.per_second is not None:
            self._next_s = max(self._next_s, time.monotonic() - _BURST_S) + 1 / self.per_second
