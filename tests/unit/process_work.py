"""Activities for child processes, and the workflow that calls them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from overwinter import activity, workflow
from overwinter.runtime.common import RawValue, RetryPolicy
from overwinter.runtime.converter import DefaultPayloadConverter, PayloadCodec
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.exceptions import CancelledError


@dataclass
class Frame:
    name: str
    pixels: int


@activity.defn
def where(frame: Frame) -> dict[str, Any]:
    print("what an activity prints must not be taken for an answer")
    sys.stdout.flush()
    return {"pid": os.getpid(), "pixels": frame.pixels, "key": activity.info().idempotency_key}


@activity.defn
def fails() -> None:
    raise ValueError("the lens is dirty") from KeyError("cloth")


@activity.defn
def dies() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@activity.defn
def beats() -> Any:
    if activity.info().attempt > 1:
        return list(activity.info().heartbeat_details)
    for frame in range(3):
        activity.heartbeat(frame)
        time.sleep(0.01)
    raise RuntimeError("again")


@activity.defn
def listens() -> str:
    while True:
        time.sleep(0.01)


@activity.defn
def stubborn() -> None:
    while True:
        try:
            time.sleep(0.05)
        except BaseException:  # what a badly written activity does
            pass


@activity.defn
def too_large() -> str:
    return "x" * (3 * 1024 * 1024)


@activity.defn
def obeys() -> str:
    while not activity.is_cancelled():
        try:
            time.sleep(0.01)
        except CancelledError:
            pass
    return f"cancelled: {activity.cancellation_details()}"


@activity.defn
def packs_up() -> str:
    activity.heartbeat("runs")
    activity.wait_for_worker_shutdown_sync(10)
    return f"packed up: {activity.is_worker_shutdown()}"


@activity.defn(dynamic=True)
def anything(args: Sequence[RawValue]) -> str:
    values = [activity.payload_converter().from_payload(value.payload) for value in args]
    return f"{activity.info().activity_type} {values}"


@activity.defn
def converts(value: str) -> str:
    return f"{type(activity.payload_converter()).__name__} {value}"


class ShoutingConverter(DefaultPayloadConverter):
    """Its values are not read by another one: the first letter is not text."""

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        return [replace(payload, data=b"!" + payload.data) for payload in super().to_payloads(values)]

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        bare = [replace(payload, data=payload.data.removeprefix(b"!")) for payload in payloads]
        return super().from_payloads(bare, type_hints)


class Reversing(PayloadCodec):
    """Nothing is readable on the way."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [replace(payload, data=payload.data[::-1]) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return await self.encode(payloads)


@workflow.defn
class Call:
    """Calls one activity by name; cancels it after a while when asked to."""

    @workflow.run
    async def run(self, name: str, argument: Any, cancel_after_s: float) -> Any:
        handle = workflow.start_activity(
            name,
            args=[] if argument is None else [argument],
            start_to_close_timeout=timedelta(seconds=15),
            retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=timedelta(milliseconds=5)),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        if cancel_after_s:
            await asyncio.sleep(cancel_after_s)
            handle.cancel()
        return await handle


ALL = [where, fails, dies, beats, listens, stubborn, too_large, obeys, packs_up, anything, converts]
