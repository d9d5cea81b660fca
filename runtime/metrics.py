"""Instruments that an author's code counts with; without a backend they measure nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, TypeAlias

MetricAttributes: TypeAlias = Mapping[str, str | int | float | bool]
"""Labels of a measurement."""


class MetricMeter(ABC):
    """Makes instruments; workflows and activities get theirs with labels already set."""

    noop: ClassVar[MetricMeter]
    """A meter whose instruments measure nothing."""

    @abstractmethod
    def create_counter(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricCounter:
        """An instrument that only grows."""

    @abstractmethod
    def create_histogram(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogram:
        """A distribution of whole numbers."""

    @abstractmethod
    def create_histogram_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramFloat:
        """A distribution of floating point numbers."""

    @abstractmethod
    def create_histogram_timedelta(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramTimedelta:
        """A distribution of durations."""

    @abstractmethod
    def create_gauge(self, name: str, description: str | None = None, unit: str | None = None) -> MetricGauge:
        """A whole number that goes up and down."""

    @abstractmethod
    def create_gauge_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGaugeFloat:
        """A floating point number that goes up and down."""

    @abstractmethod
    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricMeter:
        """A meter whose instruments carry these labels too."""


class MetricCommon(ABC):
    """What every instrument has."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The metric's name."""

    @property
    @abstractmethod
    def description(self) -> str | None:
        """What it measures."""

    @property
    @abstractmethod
    def unit(self) -> str | None:
        """Its unit."""

    @abstractmethod
    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricCommon:
        """The same instrument with these labels too."""


class MetricCounter(MetricCommon):
    """An instrument that only grows."""

    @abstractmethod
    def add(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Add a value.

        Raises:
            ValueError: the value is negative.
        """


class MetricHistogram(MetricCommon):
    """A distribution of whole numbers."""

    @abstractmethod
    def record(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Record a value.

        Raises:
            ValueError: the value is negative.
        """


class MetricHistogramFloat(MetricCommon):
    """A distribution of floating point numbers."""

    @abstractmethod
    def record(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        """Record a value.

        Raises:
            ValueError: the value is negative.
        """


class MetricHistogramTimedelta(MetricCommon):
    """A distribution of durations."""

    @abstractmethod
    def record(self, value: timedelta, additional_attributes: MetricAttributes | None = None) -> None:
        """Record a value.

        Raises:
            ValueError: the value is negative.
        """


class MetricGauge(MetricCommon):
    """A whole number that goes up and down."""

    @abstractmethod
    def set(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        """Set the value.

        Raises:
            ValueError: the value is negative.
        """


class MetricGaugeFloat(MetricCommon):
    """A floating point number that goes up and down."""

    @abstractmethod
    def set(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        """Set the value.

        Raises:
            ValueError: the value is negative.
        """


class _NoopInstrument(MetricCommon):
    def __init__(self, name: str, description: str | None, unit: str | None) -> None:
        self._name = name
        self._description = description
        self._unit = unit

    @property
    def name(self) -> str:
        return self._name

    @property
    def description(self) -> str | None:
        return self._description

    @property
    def unit(self) -> str | None:
        return self._unit


class _NoopCounter(_NoopInstrument, MetricCounter):
    def add(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        pass

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricCounter:
        return self


class _NoopHistogram(_NoopInstrument, MetricHistogram):
    def record(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        pass

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricHistogram:
        return self


class _NoopHistogramFloat(_NoopInstrument, MetricHistogramFloat):
    def record(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        pass

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricHistogramFloat:
        return self


class _NoopHistogramTimedelta(_NoopInstrument, MetricHistogramTimedelta):
    def record(self, value: timedelta, additional_attributes: MetricAttributes | None = None) -> None:
        pass

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricHistogramTimedelta:
        return self


class _NoopGauge(_NoopInstrument, MetricGauge):
    def set(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        pass

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricGauge:
        return self


class _NoopGaugeFloat(_NoopInstrument, MetricGaugeFloat):
    def set(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        pass

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricGaugeFloat:
        return self


class _NoopMeter(MetricMeter):
    def create_counter(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricCounter:
        return _NoopCounter(name, description, unit)

    def create_histogram(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogram:
        return _NoopHistogram(name, description, unit)

    def create_histogram_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramFloat:
        return _NoopHistogramFloat(name, description, unit)

    def create_histogram_timedelta(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramTimedelta:
        return _NoopHistogramTimedelta(name, description, unit)

    def create_gauge(self, name: str, description: str | None = None, unit: str | None = None) -> MetricGauge:
        return _NoopGauge(name, description, unit)

    def create_gauge_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGaugeFloat:
        return _NoopGaugeFloat(name, description, unit)

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricMeter:
        return self


MetricMeter.noop = _NoopMeter()
