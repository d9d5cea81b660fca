"""Workflows of the measurements that only Overwinter takes part in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from overwinter import activity, workflow

LIMIT = timedelta(seconds=60)


@activity.defn
async def nothing(number: int) -> int:
    """An activity that costs nothing: what is measured is the engine."""
    return number


@workflow.defn
class Marathon:
    """Rounds of activities, all of a round at once; then it waits."""

    def __init__(self) -> None:
        self.rounds = 0

    @workflow.run
    async def run(self, rounds: int, width: int) -> None:
        while self.rounds < rounds:
            if width == 1:
                await _step(self.rounds)
            else:
                await asyncio.gather(*[_step(number) for number in range(width)])
            self.rounds += 1
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def done(self) -> int:
        """Rounds that are over."""
        return self.rounds


def _step(number: int) -> Awaitable[int]:
    return workflow.execute_activity(nothing, number, start_to_close_timeout=LIMIT)


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
