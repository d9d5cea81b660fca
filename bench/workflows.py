"""Workflows of the measurements that only Overwinter takes part in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from overwinter import activity, workflow

LIMIT = timedelta(seconds=60)


@activity.defn
async def nothing(number: int) -> int:
    """An activity that costs nothing: what is measured is the engine."""
    return number


@workflow.defn
class OneStep:
    """What a message starts: one activity."""

    @workflow.run
    async def run(self, reading: dict[str, Any]) -> int:
        return await workflow.execute_activity(nothing, 1, start_to_close_timeout=LIMIT)


@workflow.defn
class Collector:
    """Takes signals until it has enough: a message costs one event, and no execution of its own."""

    def __init__(self) -> None:
        self.count = 0

    @workflow.run
    async def run(self, wanted: int) -> int:
        await workflow.wait_condition(lambda: self.count >= wanted)
        return self.count

    @workflow.signal
    def reading(self, value: dict[str, Any]) -> None:
        """One more."""
        self.count += 1


@workflow.defn
class Keeper:
    """Keeps what it is sent: memory that its code holds."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def keep(self, text: str) -> None:
        """One more."""
        self.kept.append(text)
