"""From the journal to the answer of the code, against the length of the history (activities in sequence)."""

from __future__ import annotations

from pathlib import Path

from ..workloads.replay import make, resume
from .measure import point, some

STEPS = (5, 50, 500, 5000, 50_000)


async def measure(folder: Path, *, quick: bool) -> None:
    for steps in some(STEPS, quick):
        place = folder / str(steps)
        place.mkdir()
        await make(place, steps)
        events, seconds, _cpu = await resume(place, steps)
        point(events, seconds=seconds)
