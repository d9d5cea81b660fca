"""The workflow of `test_durability` as its author has changed it: it says nothing of its class any more."""

from __future__ import annotations

from datetime import timedelta

from overwinter import workflow


@workflow.defn
class Telemetry:
    def __init__(self) -> None:
        self.readings: list[int] = []

    @workflow.run
    async def run(self, wanted: int) -> list[int]:
        await workflow.execute_activity("usual", "first", start_to_close_timeout=timedelta(seconds=60))
        await workflow.wait_condition(lambda: len(self.readings) >= wanted)
        return self.readings

    @workflow.signal
    async def read(self, value: int) -> None:
        self.readings.append(value)
