"""The simulated farm is arithmetic: its seed decides everything, and it behaves like a field."""

from __future__ import annotations

import pytest

from examples.farm.field import (
    MOISTURE_MAX,
    MOISTURE_MIN,
    VALVE_LITRES_PER_MINUTE,
    Climate,
    Soil,
    Valve,
    Weather,
    first_moisture,
)

SEEDS = range(20)
DRY_NOON = Weather(temperature_c=20.0, sun=1.0, rain_mm_per_hour=0.0, rain_chance=0.0)
RAIN = Weather(temperature_c=10.0, sun=0.0, rain_mm_per_hour=2.0, rain_chance=1.0)


def weather_of_three_days(seed: int) -> list[Weather]:
    climate = Climate(seed=seed)
    return [climate.at(quarter / 4.0) for quarter in range(3 * 24 * 4)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_weather(seed: int) -> None:
    assert weather_of_three_days(seed) == weather_of_three_days(seed)


def test_different_seeds_give_different_weather() -> None:
    assert len({weather.temperature_c for seed in SEEDS for weather in weather_of_three_days(seed)[:1]}) > 10


def test_weather_does_not_depend_on_what_was_asked_before() -> None:
    climate = Climate(seed=3)
    forwards = [climate.at(hour) for hour in range(48)]
    assert [climate.at(hour) for hour in reversed(range(48))] == forwards[::-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_temperature_never_jumps_between_quarter_hours(seed: int) -> None:
    readings = [weather.temperature_c for weather in weather_of_three_days(seed)]
    assert max(abs(after - before) for before, after in zip(readings, readings[1:], strict=False)) < 1.5


def test_some_nights_have_frost_and_some_have_none() -> None:
    coldest = [min(weather.temperature_c for weather in weather_of_three_days(seed)[:32]) for seed in SEEDS]
    assert any(night < 0.0 for night in coldest)
    assert any(night > 0.0 for night in coldest)


def test_the_default_farm_has_a_frost_in_its_first_night() -> None:
    climate = Climate(seed=315)
    assert climate.at(0.0).temperature_c > 0.0 > climate.at(3.0).temperature_c
    assert climate.at(9.0).temperature_c > 2.0


def test_a_coming_rain_raises_the_foretold_chance() -> None:
    for seed in SEEDS:
        climate = Climate(seed=seed)
        wet = [hour for hour in range(1, 200) if climate.at(hour).rain_mm_per_hour > 0]
        assert all(climate.at(hour - 0.5).rain_chance >= 0.65 for hour in wet)


def test_soil_dries_in_the_sun_and_faster_than_at_night() -> None:
    night = Weather(temperature_c=5.0, sun=0.0, rain_mm_per_hour=0.0, rain_chance=0.0)
    noon_soil, night_soil = Soil(moisture=0.3), Soil(moisture=0.3)
    noon_soil.pass_time(1.0, DRY_NOON)
    night_soil.pass_time(1.0, night)
    assert noon_soil.moisture < night_soil.moisture < 0.3


def test_rain_makes_the_soil_wetter() -> None:
    soil = Soil(moisture=0.2)
    soil.pass_time(2.0, RAIN)
    assert soil.moisture > 0.2


def test_eight_hundred_litres_raise_the_bed_by_a_tenth() -> None:
    soil = Soil(moisture=0.2)
    soil.soak(800.0)
    assert soil.moisture == pytest.approx(0.3)


def test_soil_stays_between_dust_and_mud() -> None:
    soil = Soil(moisture=0.2)
    soil.soak(1e6)
    assert soil.moisture == MOISTURE_MAX
    soil.pass_time(1e6, DRY_NOON)
    assert soil.moisture == MOISTURE_MIN


def test_fields_do_not_all_dry_out_at_once() -> None:
    first = [first_moisture(7, name, number) for number, name in enumerate(("north", "south", "orchard"))]
    assert first == sorted(first)
    assert len(set(first)) == 3


def test_water_flows_only_while_the_valve_is_open() -> None:
    valve = Valve(name="valve-north", seed=1, fault_rate=0.0)
    valve.pass_time(10.0)
    assert valve.total_litres == 0.0
    valve.open()
    valve.pass_time(10.0)
    valve.close()
    valve.pass_time(10.0)
    assert valve.total_litres == pytest.approx(10.0 * VALVE_LITRES_PER_MINUTE)


def test_opening_an_open_valve_is_not_a_new_opening() -> None:
    valve = Valve(name="valve-north", seed=1, fault_rate=0.5)
    valve.open()
    stuck = valve.is_stuck
    for _ in range(20):
        valve.open()
    assert (valve.openings, valve.is_stuck) == (1, stuck)


def test_a_stuck_valve_says_open_and_lets_no_water_through() -> None:
    valve = Valve(name="valve-north", seed=1, fault_rate=1.0)
    valve.open()
    valve.pass_time(60.0)
    assert valve.is_open
    assert valve.total_litres == 0.0


def test_the_seed_decides_which_openings_stick_at_about_the_stated_rate() -> None:
    def sticking(seed: int) -> list[bool]:
        valve, seen = Valve(name="valve-north", seed=seed, fault_rate=0.3), list[bool]()
        for _ in range(400):
            valve.open()
            seen.append(valve.is_stuck)
            valve.close()
        return seen

    assert sticking(5) == sticking(5)
    assert sticking(5) != sticking(6)
    assert 80 < sum(sticking(5)) < 160
