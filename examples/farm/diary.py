"""The diary of a field: one execution that lives for years and knows what the field's devices said last."""

from __future__ import annotations

from dataclasses import dataclass

from overwinter import workflow

from .readings import SoilReading, WeatherReading

READINGS_PER_RUN = 500


@dataclass
class Page:
    """The latest of everything; None where nothing has been reported yet."""

    soil: SoilReading | None = None
    weather: WeatherReading | None = None
    readings: int = 0


@workflow.defn
class FieldDiary:
    """Notes every reading of one field. It has no end: after 500 readings it goes on with a fresh history."""

    @workflow.init
    def __init__(self, page: Page | None = None) -> None:
        # Signals may come before the first step of `run`, hence the page handed on is taken here.
        self._page = page or Page()
        self._full_at = self._page.readings + READINGS_PER_RUN

    @workflow.run
    async def run(self, page: Page | None = None) -> None:
        """Keep the diary until the field is given up and the execution cancelled."""
        await workflow.wait_condition(lambda: self._page.readings >= self._full_at)
        workflow.continue_as_new(self._page)

    @workflow.signal
    def soil(self, reading: SoilReading) -> None:
        """The soil probe has reported."""
        self._page.soil = reading
        self._page.readings += 1

    @workflow.signal
    def weather(self, reading: WeatherReading) -> None:
        """The weather station has reported."""
        self._page.weather = reading
        self._page.readings += 1

    @workflow.query
    def page(self) -> Page:
        """Everything that is known of the field."""
        return self._page
