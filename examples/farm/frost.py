"""Frost: tell the farmer, then the neighbour, then start the sprinklers; stop when it is warm again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from overwinter import messages, workflow
from overwinter.devices import commands

from . import valves
from .readings import WeatherReading

WARM_AGAIN_C = 2.0
PATIENCE = timedelta(hours=1)
SPRINKLER_MINUTES_MAX = 12 * 60


@dataclass
class FrostNight:
    """How the night went; `coldest_c` is what the weather station has measured."""

    field: str
    coldest_c: float
    acknowledged_by: str | None
    sprinklers_ran: bool


@workflow.defn
class FrostWatch:
    """Watches over one field in one cold night. Every weather report of the field is a signal."""

    def __init__(self) -> None:
        self._reports: list[WeatherReading] = []
        self._acknowledged_by: str | None = None
        self._stage = "waking up"

    @workflow.run
    async def run(self) -> FrostNight:
        """Escalate hour by hour until somebody answers or it is warm again."""
        await workflow.wait_condition(lambda: bool(self._reports))
        field = self._reports[0].field
        sprinklers_ran = False

        self._say(field, "the farmer", "frost: please look after the field")
        if await self._stays_unanswered():
            self._say(field, "the neighbour", "frost, and the farmer does not answer")
            if await self._stays_unanswered():
                await self._sprinkle(field)
                sprinklers_ran = True

        self._stage = "waiting for warmth"
        await workflow.wait_condition(self._is_warm)
        coldest_c = min(report.temperature_c for report in self._reports)
        return FrostNight(field, coldest_c, self._acknowledged_by, sprinklers_ran)

    def _say(self, field: str, who: str, text: str) -> None:
        self._stage = f"waiting for {who}"
        call = {"to": who, "text": text, "temperature_c": self._reports[-1].temperature_c}
        messages.publish(f"farm/{field}/call", call)

    async def _stays_unanswered(self) -> bool:
        """Wait one hour for an answer or for warmth; true when neither has come."""
        try:
            await workflow.wait_condition(
                lambda: self._acknowledged_by is not None or self._is_warm(), timeout=PATIENCE
            )
        except TimeoutError:
            return True
        return False

    async def _sprinkle(self, field: str) -> None:
        """Ice that forms on the buds keeps them at zero degrees, as long as water keeps coming."""
        self._stage = "sprinkling"
        sprinkler = f"farm/sprinkler-{field}"
        try:
            await commands.command(
                sprinkler, "open", {"minutes_max": SPRINKLER_MINUTES_MAX}, timeout=valves.ANSWERS_WITHIN
            )
            await workflow.wait_condition(self._is_warm)
        except TimeoutError:
            alarm = {"field": field, "text": "frost, and the sprinkler does not answer"}
            messages.publish("farm/alarm", alarm, retain=True)
        finally:
            self._stage = "stopping the sprinklers"
            await valves.close(sprinkler)

    def _is_warm(self) -> bool:
        return self._reports[-1].temperature_c >= WARM_AGAIN_C

    @workflow.signal
    def weather(self, reading: WeatherReading) -> None:
        """The weather station has reported."""
        self._reports.append(reading)

    @workflow.signal
    def acknowledged(self, by: str = "somebody") -> None:
        """A person has taken over: no further calls, no sprinklers."""
        self._acknowledged_by = by

    @workflow.query
    def progress(self) -> str:
        """Where the watch is, for people."""
        now = f"{self._reports[-1].temperature_c:.1f} C" if self._reports else "no report yet"
        return f"{self._stage}, {now}"
