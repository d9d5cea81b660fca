"""What the farm's devices report, as the workflows see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SoilReading:
    """`moisture` is water volume over soil volume; `at` is ISO 8601, the device's clock."""

    serial: int
    at: str
    field: str
    moisture: float


@dataclass(frozen=True)
class WeatherReading:
    """`sun` and `rain_chance` (for the next twelve hours) go from 0 to 1."""

    serial: int
    at: str
    field: str
    temperature_c: float
    sun: float
    rain_mm_per_hour: float
    rain_chance: float


@dataclass(frozen=True)
class FlowReading:
    """The flow meter of a valve; `total_litres` never goes back."""

    serial: int
    at: str
    field: str
    litres_per_minute: float
    total_litres: float
    command_id: str | None = None


@dataclass(frozen=True)
class Frame:
    """A picture in the spool folder; `shape` is height, width, channels."""

    name: str
    sha256: str
    shape: list[int]


@dataclass(frozen=True)
class FrameReport:
    """Some pictures that a camera has just taken."""

    serial: int
    at: str
    field: str
    frames: list[Frame]
