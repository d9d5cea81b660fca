"""The activities of a simulated gateway: they take time, fail, beat, and do not listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from overwinter import activity
from overwinter.runtime.exceptions import ApplicationError

from .observer import Observer


def steps_of(observer: Observer) -> Callable[[dict[str, Any]], Any]:
    """The activity ``step``, which tells the observer of what it does."""

    @activity.defn(name="step")
    async def step(spec: dict[str, Any]) -> str:
        info = activity.info()
        observer.attempt_began(info, spec)
        await _work(spec, info.attempt, list(info.heartbeat_details))
        return observer.attempt_ended(info)

    return step


async def _work(spec: dict[str, Any], attempt: int, beaten: list[Any]) -> None:
    early = attempt <= spec["failures"]
    match spec["kind"]:
        case "flaky":
            await asyncio.sleep(spec["takes_s"])
            if early:
                raise ApplicationError(f"attempt {attempt} of a flaky step")
        case "doomed":
            await asyncio.sleep(spec["takes_s"])
            raise ApplicationError("a doomed step", non_retryable=True)
        case "late" | "stubborn" if early:
            await _whatever_comes(5.0, listens=spec["kind"] == "late")
        case "beats":
            for number in range(beaten[0] if beaten else 0, 4):
                activity.heartbeat(number + 1)
                await asyncio.sleep(5.0 if early and number == 2 else 0.5)
        case "stubborn":
            await _whatever_comes(spec["takes_s"] / 10, listens=False)
        case _:
            await asyncio.sleep(spec["takes_s"])


async def _whatever_comes(seconds: float, *, listens: bool) -> None:
    """Take that long, also when it is asked to stop."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            if listens:
                raise
