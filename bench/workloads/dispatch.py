"""What it costs to take one activity from those that wait, by how many wait and of how many fairness keys."""

from __future__ import annotations

import time

from overwinter.runtime.fairness import Claim, FairLine

from ..run import Turn

TITLE = "to take one of the activities that wait, and another one comes"
SECONDS = 60
ENGINES = ("overwinter",)


async def measure(turn: Turn) -> None:
    """Each taken one is replaced by a new one, so that as many wait all the time."""
    turn.durability = ""
    for keys in (1, 100, 10_000):
        for waiting in (1_000, 100_000):
            seconds = _seconds(waiting, keys, takes=int(turn.scaled(50_000, 5_000)))
            turn.add(f"take_of_{waiting}_of_{keys}_keys", seconds * 1e6, "us")


def _seconds(waiting: int, keys: int, takes: int) -> float:
    line: FairLine[int] = FairLine()
    claims = [Claim(3, f"key-{number}", 1.0 + number % 5) for number in range(keys)]
    for number in range(waiting):
        line.put(number, number, "activity", claims[number % keys])
    began = time.perf_counter()
    for number in range(waiting, waiting + takes):
        assert line.take(_any) is not None
        line.put(number, number, "activity", claims[number % keys])
    return (time.perf_counter() - began) / takes


def _any(_kind: object) -> bool:
    return True
