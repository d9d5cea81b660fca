"""Irrigation: when the soil is dry, give it water, and make sure by the flow meter that it was given."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from overwinter import activity, messages, workflow
from overwinter.devices import commands
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import ApplicationError

from . import valves
from .readings import FlowReading, SoilReading, WeatherReading

MOISTURE_WANTED = 0.31
LITRES_PER_MOISTURE = 8000.0  # of one bed: what raises it from bone dry to water alone
LITRES_WORTH_OPENING = 50.0

FORECAST_WITHIN = timedelta(hours=1)
FORECAST_UNKNOWN = 0.5
FLOW_EXPECTED_WITHIN = timedelta(minutes=30)
WATERING_AT_MOST = timedelta(hours=2)
REST_BEFORE_RETRY = timedelta(minutes=20)
OPENINGS_MAX = 2
BOOK_VARIABLE = "FARM_BOOK"


@dataclass
class Irrigation:
    """What came of it."""

    field: str
    dry_at: str
    litres_wanted: float
    litres_given: float
    openings: int


@workflow.defn
class Irrigate:
    """Waters one field once. The execution may wait for hours, and a power cut loses none of it."""

    def __init__(self) -> None:
        self._stage = "waiting for the forecast"
        self._rain_chance: float | None = None
        self._litres_wanted = 0.0
        self._total_at_opening: float | None = None
        self._litres_given = 0.0

    @workflow.run
    async def run(self, reading: SoilReading) -> Irrigation:
        """Water the field of this reading, and enter it in the farm's book.

        Raises:
            ApplicationError: "NoFlow", the valve let no water through in two openings; it is closed.
        """
        self._litres_wanted = litres_needed(reading.moisture, await self._forecast())
        if self._litres_wanted < LITRES_WORTH_OPENING:
            return Irrigation(reading.field, reading.at, self._litres_wanted, 0.0, openings=0)

        for opening in range(1, OPENINGS_MAX + 1):
            given = await self._water(f"farm/valve-{reading.field}")
            if given > 0:
                done = Irrigation(reading.field, reading.at, self._litres_wanted, given, opening)
                await self._enter(done)
                return done
            text = f"no water flowed at opening {opening} of {OPENINGS_MAX}"
            messages.publish(f"farm/{reading.field}/notice", {"text": text})
            self._stage = "resting after a failed opening"
            await workflow.sleep(REST_BEFORE_RETRY)

        alarm = {"field": reading.field, "text": "the valve opens, and no water flows"}
        messages.publish("farm/alarm", alarm, retain=True)
        raise ApplicationError(
            f"no water flowed on {reading.field} in {OPENINGS_MAX} openings", type="NoFlow"
        )

    async def _forecast(self) -> float:
        """The chance of rain, from the next weather report; an even chance when there is none for an hour."""
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._rain_chance is not None, timeout=FORECAST_WITHIN)
        return FORECAST_UNKNOWN if self._rain_chance is None else self._rain_chance

    async def _water(self, valve: str) -> float:
        """Open the valve, wait for the water, close the valve; litres given, by the flow meter."""
        self._stage, self._litres_given = "opening the valve", 0.0
        try:
            opened = await commands.command(
                valve, "open", {"minutes_max": 240}, timeout=valves.ANSWERS_WITHIN
            )
            self._total_at_opening = opened["total_litres"]
            self._stage = "waiting for the flow meter"
            await workflow.wait_condition(lambda: self._litres_given > 0, timeout=FLOW_EXPECTED_WITHIN)
            self._stage = "watering"
            await workflow.wait_condition(
                lambda: self._litres_given >= self._litres_wanted, timeout=WATERING_AT_MOST
            )
        except TimeoutError:
            pass  # not enough has flowed in time, or nothing at all: what was given is the answer
        finally:
            # Also when a step failed or the execution was cancelled: an open valve drains the well.
            self._stage = "closing the valve"
            self._note_total(await valves.close(valve))
        return self._litres_given

    async def _enter(self, done: Irrigation) -> None:
        self._stage = "entering it in the farm's book"
        await workflow.execute_activity(
            enter_in_book,
            done,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=5),
        )

    @workflow.signal
    def weather(self, reading: WeatherReading) -> None:
        """The weather station has reported."""
        self._rain_chance = reading.rain_chance

    @workflow.signal
    def flow(self, reading: FlowReading) -> None:
        """The flow meter has reported."""
        self._note_total(reading.total_litres)

    def _note_total(self, total_litres: float) -> None:
        # The meter counts for ever: a late report of an earlier opening is below this opening's start.
        if self._total_at_opening is not None:
            self._litres_given = max(self._litres_given, total_litres - self._total_at_opening)

    @workflow.query
    def progress(self) -> str:
        """Where the irrigation is, for people."""
        return f"{self._stage}: {self._litres_given:.0f} of {self._litres_wanted:.0f} litres"


def litres_needed(moisture: float, rain_chance: float) -> float:
    """Litres that bring a bed to the wanted moisture, less what the coming rain is likely to bring."""
    return max(0.0, MOISTURE_WANTED - moisture) * LITRES_PER_MOISTURE * (1.0 - rain_chance / 2.0)


@activity.defn
def enter_in_book(done: Irrigation) -> str:
    """The farm's book has a page for this irrigation, one however often this is attempted; its file name."""
    book = Path(os.environ.get(BOOK_VARIABLE, ".farm/book"))
    book.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(activity.info().idempotency_key.encode()).hexdigest()
    page = book / f"{done.field}-{digest[:16]}.json"
    part = page.with_suffix(".part")
    part.write_text(json.dumps(asdict(done)))
    os.replace(part, page)
    return page.name
