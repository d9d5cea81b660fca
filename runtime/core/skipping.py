"""An execution's own clock, which may go ahead of its engine's: it skips what the execution only waits for.

What was skipped is in the history, so that instants there are those of the execution's own clock, and replay needs to know
nothing of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .records import dataclass, record

SKIPS_MAX: Final = 10_000
"""Skips until it stops by itself, where nothing else is said: a loop that waits for ever does not skip for ever."""


@record
class TimeSkipping:
    """Whether an execution's clock skips, and how far. With `forward_us` only so far, then it stops."""

    enabled: bool = True
    disable_propagation: bool = False
    """Its children have its time, but do not skip by themselves."""
    skips_max: int = 0
    """0 for `SKIPS_MAX`."""
    forward_id: str = ""
    forward_us: int = 0


@record
class ClockStart:
    """The clock that a run begins with: its own, its parent's, or that of the run before it."""

    skipping: TimeSkipping | None = None
    skipped_us: int = 0
    """How far it is ahead already."""
    skips: int = 0
    forward_until_us: int = 0
    """Where the fast-forward of a run before it comes to its end."""


@dataclass(slots=True)
class OwnClock:
    """How an execution's clock skips."""

    skipping: TimeSkipping
    """As it was last set; `enabled` becomes false by itself when it stops."""
    skips: int = 0
    """Since it was last set."""
    forward_until_us: int | None = None
    forward_reached: bool = False

    @classmethod
    def set(cls, skipping: TimeSkipping, at_us: int, *, skips: int = 0, until_us: int = 0) -> OwnClock:
        """A clock that is set at this instant; `until_us` where its fast-forward began before."""
        forward = skipping.enabled and skipping.forward_us > 0
        return cls(skipping, skips, (until_us or at_us + skipping.forward_us) if forward else None)

    @classmethod
    def begin(cls, start: ClockStart, at_us: int) -> OwnClock:
        """The clock of a run that begins at this instant; one that nobody has set does not skip."""
        skipping = start.skipping or TimeSkipping(enabled=False)
        return cls.set(skipping, at_us, skips=start.skips, until_us=start.forward_until_us)

    @property
    def skips_max(self) -> int:
        """After how many skips it stops."""
        return self.skipping.skips_max or SKIPS_MAX

    @property
    def forward_due_us(self) -> int | None:
        """Where it stops, if it is on its way there."""
        return self.forward_until_us if self.skipping.enabled and not self.forward_reached else None

    def of_next_run(self, skipped_us: int) -> ClockStart:
        """What the run that follows in its chain begins with."""
        if not self.skipping.enabled:
            return ClockStart(skipped_us=skipped_us)
        return ClockStart(self.skipping, skipped_us, self.skips, self.forward_due_us or 0)

    def of_child(self, skipped_us: int) -> ClockStart:
        """What a child begins with: its parent's time, and whether to skip on by itself, but no fast-forward."""
        on = self.skipping.enabled and not self.skipping.disable_propagation
        return ClockStart(TimeSkipping(skips_max=self.skipping.skips_max) if on else None, skipped_us)

    def skipped(self, *, forward_reached: bool) -> None:
        """Take one skip into account."""
        self.skips += 1
        self.forward_reached |= forward_reached
        if forward_reached or self.skips >= self.skips_max:
            self.skipping = replace(self.skipping, enabled=False)
