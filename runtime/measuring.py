"""Instruments whose measurements go somewhere: a buffer, or the figures that a page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NewType, Protocol, Self

from .core.records import dataclass
from .metrics import (
    MetricAttributes,
    MetricCommon,
    MetricCounter,
    MetricGauge,
    MetricGaugeFloat,
    MetricHistogram,
    MetricHistogramFloat,
    MetricHistogramTimedelta,
    MetricMeter,
)

BufferedMetricKind = NewType("BufferedMetricKind", int)
"""Of what kind a metric is."""

COUNTER: Final = BufferedMetricKind(0)
GAUGE: Final = BufferedMetricKind(1)
HISTOGRAM: Final = BufferedMetricKind(2)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured; one object for each name of a sink."""

    name: str
    description: str | None
    unit: str | None
    kind: BufferedMetricKind


class Sink(Protocol):
    """Takes measurements, from any thread."""

    def metric(self, metric: Metric) -> Metric:
        """The metric of this name, as it was when it was first asked for."""
        ...

    def take(self, metric: Metric, value: float | timedelta, attributes: MetricAttributes) -> None:
        """A counter has grown by this, a gauge is this, a histogram has this too."""
        ...


def _always() -> bool:
    return True


def _merged(attributes: MetricAttributes, more: Mapping[str, Any]) -> MetricAttributes:
    for name, value in more.items():
        if not isinstance(value, str | int | float | bool):
            raise TypeError(
                f"Invalid value type for key {name!r}: {type(value).__name__}, expected str, int, float or bool"
            )
    return {**attributes, **more}


class _Instrument(MetricCommon):
    def __init__(
        self, sink: Sink, metric: Metric, attributes: MetricAttributes, speaks: Callable[[], bool]
    ) -> None:
        self._sink = sink
        self._metric = metric
        self._attributes = attributes
        self._speaks = speaks

    @property
    def name(self) -> str:
        return self._metric.name

    @property
    def description(self) -> str | None:
        return self._metric.description

    @property
    def unit(self) -> str | None:
        return self._metric.unit

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> Self:
        merged = _merged(self._attributes, additional_attributes)
        return type(self)(self._sink, self._metric, merged, self._speaks)

    def _take(self, value: float | timedelta, more: MetricAttributes | None) -> None:
        if (value.days if isinstance(value, timedelta) else value) < 0:
            raise ValueError("Metric value cannot be negative")
        if self._speaks():
            attributes = self._attributes if more is None else _merged(self._attributes, more)
            self._sink.take(self._metric, value, attributes)


class _Counter(_Instrument, MetricCounter):
    def add(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _Histogram(_Instrument, MetricHistogram):
    def record(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _HistogramFloat(_Instrument, MetricHistogramFloat):
    def record(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _HistogramTimedelta(_Instrument, MetricHistogramTimedelta):
    def record(self, value: timedelta, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _Gauge(_Instrument, MetricGauge):
    def set(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _GaugeFloat(_Instrument, MetricGaugeFloat):
    def set(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class RecordingMeter(MetricMeter):
    """Makes instruments that tell a sink. While `speaks` is false they are silent, as in the replay of a workflow."""

    def __init__(
        self, sink: Sink, attributes: MetricAttributes, speaks: Callable[[], bool] = _always
    ) -> None:
        self._sink = sink
        self._attributes = attributes
        self._speaks = speaks

    def create_counter(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricCounter:
        """See `MetricMeter`."""
        return _Counter(self._sink, self._metric(name, description, unit, COUNTER), *self._rest)

    def create_histogram(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogram:
        """See `MetricMeter`."""
        return _Histogram(self._sink, self._metric(name, description, unit, HISTOGRAM), *self._rest)

    def create_histogram_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramFloat:
        """See `MetricMeter`."""
        return _HistogramFloat(self._sink, self._metric(name, description, unit, HISTOGRAM), *self._rest)

    def create_histogram_timedelta(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramTimedelta:
        """See `MetricMeter`."""
        return _HistogramTimedelta(self._sink, self._metric(name, description, unit, HISTOGRAM), *self._rest)

    def create_gauge(self, name: str, description: str | None = None, unit: str | None = None) -> MetricGauge:
        """See `MetricMeter`."""
        return _Gauge(self._sink, self._metric(name, description, unit, GAUGE), *self._rest)

    def create_gauge_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGaugeFloat:
        """See `MetricMeter`."""
        return _GaugeFloat(self._sink, self._metric(name, description, unit, GAUGE), *self._rest)

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> RecordingMeter:
        """A meter whose instruments carry these labels too."""
        return RecordingMeter(self._sink, _merged(self._attributes, additional_attributes), self._speaks)

    def speaking(self, speaks: Callable[[], bool]) -> RecordingMeter:
        """The same, silent while this is false."""
        return RecordingMeter(self._sink, self._attributes, speaks)

    @property
    def _rest(self) -> tuple[MetricAttributes, Callable[[], bool]]:
        return self._attributes, self._speaks

    def _metric(
        self, name: str, description: str | None, unit: str | None, kind: BufferedMetricKind
    ) -> Metric:
        return self._sink.metric(Metric(name, description, unit, kind))
