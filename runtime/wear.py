"""What a journal's writes mean for the flash that it is on."""

from __future__ import annotations

from typing import Final

from .core.records import record
from .journal.upkeep import Work

DAY_S: Final = 86_400.0


@record
class Wear:
    """How fast a disk is written, and how long flash of an endurance would bear that."""

    bytes_per_day: float | None
    life_days: float | None
    """Of a new one; None when nothing was written, or is not counted."""


def wear(work: Work, elapsed_s: float, endurance_bytes: float) -> Wear:
    """The wear at the pace of what was done in this time."""
    if work.bytes_written is None or elapsed_s <= 0:
        return Wear(None, None)
    per_day = work.bytes_written / elapsed_s * DAY_S
    return Wear(per_day, endurance_bytes / per_day if per_day else None)
