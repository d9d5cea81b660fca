"""What happens on a field: weather, soil and a valve, as arithmetic.

Nothing here reads a clock, draws an unseeded random number or knows MQTT: the same seed and the same
calls give the same farm, on any machine. Time is counted in hours since the farm began, and the farm
begins at `local_hour` of its first day, so that a short demo can begin shortly before a frost.

The beds are shallow sand under drip irrigation: the root zone is 80 mm deep, so a summer day's 5 mm of
evaporation is seen at once. Soil moisture is water volume over soil volume (0.05 is dust, 0.45 is mud).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

BED_M2 = 100.0
ROOT_ZONE_MM = 80.0
BED_LITRES = BED_M2 * ROOT_ZONE_MM  # volume of the root zone: 1 mm on 1 m2 is 1 litre
MOISTURE_MIN, MOISTURE_MAX = 0.05, 0.45
VALVE_LITRES_PER_MINUTE = 6.0

COLDEST_HOUR, WARMEST_HOUR = 5.0, 15.0
RAIN_MM_PER_HOUR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """The weather at one moment."""

    temperature_c: float
    sun: float  # 0 at night, 1 at a clear noon
    rain_mm_per_hour: float
    rain_chance: float  # for the next twelve hours, from 0 to 1, as the station foretells it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """What one day brings, drawn once from the seed."""

    night_c: float  # at the coldest hour
    noon_c: float  # at the warmest hour
    rain_from: float  # hour of the day
    rain_hours: float  # 0 when it stays dry
    foretold: float  # error of the forecast, added to the chance of rain

    @classmethod
    def draw(cls, seed: int, number: int) -> _Day:
        draws = Random(f"weather {seed} {number}")
        frosty = draws.random() < 0.5
        night_c = draws.uniform(-5.0, -2.0) if frosty else draws.uniform(2.0, 8.0)
        return cls(
            night_c=night_c,
            noon_c=night_c + draws.uniform(12.0, 18.0),
            rain_from=draws.uniform(0.0, 20.0),
            rain_hours=0.0 if frosty or draws.random() < 0.6 else draws.uniform(1.0, 4.0),
            foretold=draws.uniform(-0.15, 0.15),
        )

    def rains_at(self, hour: float) -> bool:
        return self.rain_from <= hour < self.rain_from + self.rain_hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """The weather of one farm for all time, fixed by its seed."""

    seed: int
    local_hour: float = 1.5  # hour of the day at which the farm begins

    def at(self, hours: float) -> Weather:
        """The weather `hours` after the farm began."""
        number, hour = divmod(hours + self.local_hour, 24.0)
        day = _Day.draw(self.seed, int(number))
        return Weather(
            temperature_c=round(self._temperature(int(number), hour), 2),
            sun=max(0.0, math.sin((hour - 6.0) / 12.0 * math.pi)),
            rain_mm_per_hour=RAIN_MM_PER_HOUR if day.rains_at(hour) else 0.0,
            rain_chance=self._rain_chance(int(number), hour),
        )

    def _temperature(self, number: int, hour: float) -> float:
        """Between the extremes before and after `hour` the temperature follows half a cosine wave."""
        today = _Day.draw(self.seed, number)
        if hour < COLDEST_HOUR:
            before, after = _Day.draw(self.seed, number - 1).noon_c, today.night_c
            begin, length = WARMEST_HOUR - 24.0, COLDEST_HOUR + 24.0 - WARMEST_HOUR
        elif hour < WARMEST_HOUR:
            before, after = today.night_c, today.noon_c
            begin, length = COLDEST_HOUR, WARMEST_HOUR - COLDEST_HOUR
        else:
            before, after = today.noon_c, _Day.draw(self.seed, number + 1).night_c
            begin, length = WARMEST_HOUR, COLDEST_HOUR + 24.0 - WARMEST_HOUR
        share = (1.0 - math.cos(math.pi * (hour - begin) / length)) / 2.0
        return before + (after - before) * share

    def _rain_chance(self, number: int, hour: float) -> float:
        days = (_Day.draw(self.seed, number), _Day.draw(self.seed, number + 1))
        moments = (hour + ahead / 2.0 for ahead in range(24))
        rain = any(days[int(moment // 24.0)].rains_at(moment % 24.0) for moment in moments)
        return round(min(1.0, max(0.0, (0.8 if rain else 0.15) + days[0].foretold)), 2)


@dataclass(slots=True, kw_only=True)
class Soil:
    """The root zone of one field's bed."""

    moisture: float

    def pass_time(self, hours: float, weather: Weather) -> None:
        """Let `hours` of `weather` act on the bed: evaporation down, rain up."""
        evaporation_mm = (0.08 + 0.5 * weather.sun * max(0.2, weather.temperature_c / 20.0)) * hours
        self._add_mm(weather.rain_mm_per_hour * hours - evaporation_mm)

    def soak(self, litres: float) -> None:
        """Add what the flow meter says has reached the bed."""
        self._add_mm(litres / BED_M2)

    def _add_mm(self, water_mm: float) -> None:
        self.moisture = min(MOISTURE_MAX, max(MOISTURE_MIN, self.moisture + water_mm / ROOT_ZONE_MM))


@dataclass(slots=True, kw_only=True)
class Valve:
    """An irrigation valve with a flow meter.

    With a probability of `fault_rate` an opening sticks: the valve says that it is open, and no water flows.
    Closing frees it, and the next opening is drawn anew.
    """

    name: str
    seed: int
    fault_rate: float
    total_litres: float = 0.0
    openings: int = 0
    is_open: bool = field(default=False)
    is_stuck: bool = field(default=False)

    @property
    def litres_per_minute(self) -> float:
        """What the flow meter shows now."""
        return VALVE_LITRES_PER_MINUTE if self.is_open and not self.is_stuck else 0.0

    def open(self) -> None:
        """The valve reports open from here on; opening an open valve changes nothing."""
        if self.is_open:
            return
        self.openings += 1
        self.is_open = True
        self.is_stuck = Random(f"valve {self.seed} {self.name} {self.openings}").random() < self.fault_rate

    def close(self) -> None:
        """No water flows from here on."""
        self.is_open = self.is_stuck = False

    def pass_time(self, minutes: float) -> None:
        """Let water run through the flow meter for `minutes`."""
        self.total_litres += self.litres_per_minute * minutes


def first_moisture(seed: int, name: str, number: int) -> float:
    """How wet a field's bed is when the farm begins: each next field lasts two hours longer at night."""
    return 0.2512 + 0.002 * number + Random(f"soil {seed} {name}").uniform(0.0, 0.001)
