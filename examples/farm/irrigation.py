"""Irrigation: when the soil is dry, give it water, and make sure by the flow meter that it was given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from overwinter import activity, messages, workflow
from overwinter.devices import commands
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import ApplicationError

from .diary import FieldDiary
from .readings import FlowReading, SoilReading

MOISTURE_WANTED = 0.31
LITRES_PER_MOISTURE = 8000.0  # of one bed: what raises it from bone dry to water alone
LITRES_WORTH_OPENING = 50.0

FLOW_EXPECTED_WITHIN = timedelta(minutes=30)
WATERING_AT_MOST = timedelta(hours=2)
VALVE_ANSWERS_WITHIN = timedelta(minutes=30)
REST_BEFORE_RETRY = timedelta(minutes=20)
OPENINGS_MAX = 2
CLOSINGS_MAX = 48


@dataclass
class Irrigation:
    """What came of it."""

    field: str
    litres_wanted: float
    litres_given: float
    openings: int


@workflow.defn
class Irrigate:
    """Waters one field once. The execution may wait for hours, and a power cut loses none of it."""

    def __init__(self) -> None:
        self._stage = "deciding"
        self._litres_wanted = 0.0
        self._total_at_opening: float | None = None
        self._litres_given = 0.0

    @workflow.run
    async def run(self, reading: SoilReading) -> Irrigation:
        """Water the field of this reading.

        Raises:
            ApplicationError: "NoFlow", the valve let no water through in two openings; it is closed.
        """
        field = reading.field
        rain_chance = await workflow.execute_activity(
            rain_chance_at,
            field,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=5),
        )
        self._litres_wanted = litres_needed(reading.moisture, rain_chance)
        if self._litres_wanted < LITRES_WORTH_OPENING:
            return Irrigation(field, self._litres_wanted, 0.0, openings=0)

        for opening in range(1, OPENINGS_MAX + 1):
            given = await self._water(field)
            if given > 0:
                messages.publish(f"farm/{field}/watered", {"litres": round(given), "opening": opening})
                return Irrigation(field, self._litres_wanted, given, opening)
            messages.publish(f"farm/{field}/notice", {"text": f"no water flowed at opening {opening}"})
            self._stage = "resting after a failed opening"
            await workflow.sleep(REST_BEFORE_RETRY)

        messages.publish(
            "farm/alarm", {"field": field, "text": "the valve opens, and no water flows"}, retain=True
        )
        raise ApplicationError(f"no water flowed on {field} in {OPENINGS_MAX} openings", type="NoFlow")

    async def _water(self, field: str) -> float:
        """Open the valve, wait for the water, close the valve; litres given, by the flow meter."""
        self._stage = "opening the valve"
        valve = f"valve-{field}"
        try:
            opened = await commands.command(valve, "open", {"minutes_max": 240}, timeout=VALVE_ANSWERS_WITHIN)
            self._total_at_opening = opened["total_litres"]
            self._litres_given = 0.0
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
            await self._close(valve)
        return self._litres_given

    async def _close(self, valve: str) -> None:
        self._stage = "closing the valve"
        for closing in range(1, CLOSINGS_MAX + 1):
            try:
                closed = await commands.command(valve, "close", {}, timeout=VALVE_ANSWERS_WITHIN)
            except TimeoutError:
                text = f"{valve} has not answered {closing} times: close it by hand"
                messages.publish("farm/alarm", {"device": valve, "text": text}, retain=True)
            else:
                self._note_total(closed["total_litres"])
                return

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
async def rain_chance_at(field: str) -> float:
    """The chance of rain in the next twelve hours, from the field's diary."""
    diary = activity.client().get_workflow_handle_for(FieldDiary.run, f"diary-{field}")
    return await diary.query(FieldDiary.rain_chance)
