"""What programs that measure import: ``from overwinter.runtime.runtime import Runtime, TelemetryConfig``.

Of Temporal's runtime this is what an author sees of it: where the measurements of workflows, activities and workers go. They go
into a `MetricBuffer`, or onto a page for Prometheus. There is no core that logs or exports by itself.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from enum import Enum
from typing import ClassVar, Final, Protocol

from .core.records import dataclass
from .measuring import COUNTER, GAUGE, HISTOGRAM, BufferedMetricKind, Metric, RecordingMeter, Sink
from .metrics import MetricAttributes, MetricMeter

__all__ = [
    "BUFFERED_METRIC_KIND_COUNTER",
    "BUFFERED_METRIC_KIND_GAUGE",
    "BUFFERED_METRIC_KIND_HISTOGRAM",
    "BufferedMetric",
    "BufferedMetricKind",
    "BufferedMetricUpdate",
    "LogForwardingConfig",
    "LoggingConfig",
    "LoggingFormat",
    "MetricBuffer",
    "MetricBufferDurationFormat",
    "OpenTelemetryConfig",
    "OpenTelemetryMetricTemporality",
    "PrometheusConfig",
    "Runtime",
    "TelemetryConfig",
    "TelemetryFilter",
]

BUFFERED_METRIC_KIND_COUNTER: Final = COUNTER
"""The value of an update is what was added."""
BUFFERED_METRIC_KIND_GAUGE: Final = GAUGE
BUFFERED_METRIC_KIND_HISTOGRAM: Final = HISTOGRAM

_log = logging.getLogger(__name__)
_SERVICE: Final = "temporal-core-sdk"
"""The label that dashboards of Temporal's SDK look for."""


# -- logging, which there is none of -------------------------------------------------------------------------


@dataclass
class TelemetryFilter:
    """Accepted; what this package logs is chosen by the logger ``overwinter`` of Python."""

    core_level: str
    other_level: str

    def formatted(self) -> str:
        """The filter as one text."""
        return f"{self.other_level},overwinter={self.core_level}"


class LoggingFormat(Enum):
    """Accepted; see `TelemetryFilter`."""

    COMPACT = "compact"
    PRETTY = "pretty"
    JSON = "json"


@dataclass
class LogForwardingConfig:
    """Accepted; see `TelemetryFilter`."""

    logger: logging.Logger
    append_target_to_name: bool = True
    prepend_target_on_message: bool = True
    overwrite_log_record_time: bool = True
    append_log_fields_to_message: bool = True


@dataclass(frozen=True)
class LoggingConfig:
    """Accepted; see `TelemetryFilter`."""

    filter: TelemetryFilter | str
    forwarding: LogForwardingConfig | None = None
    format: LoggingFormat | None = None

    default: ClassVar[LoggingConfig]


LoggingConfig.default = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"))


# -- where measurements go -------------------------------------------------------------------------------------


class OpenTelemetryMetricTemporality(Enum):
    """See `OpenTelemetryConfig`."""

    CUMULATIVE = 1
    DELTA = 2


@dataclass(frozen=True)
class OpenTelemetryConfig:
    """Accepted, and said to be without effect: nothing is exported; let a collector read the page of Prometheus."""

    url: str
    headers: Mapping[str, str] | None = None
    metric_periodicity: timedelta | None = None
    metric_temporality: OpenTelemetryMetricTemporality = OpenTelemetryMetricTemporality.CUMULATIVE
    durations_as_seconds: bool = False
    http: bool = False
    histogram_bucket_overrides: Mapping[str, Sequence[float]] | None = None


@dataclass(frozen=True)
class PrometheusConfig:
    """A page at ``http://<bind_address>/metrics`` for as long as its `Runtime` exists.

    Durations are milliseconds, or seconds when `durations_as_seconds`.
    """

    bind_address: str
    counters_total_suffix: bool = False
    unit_suffix: bool = False
    durations_as_seconds: bool = False
    histogram_bucket_overrides: Mapping[str, Sequence[float]] | None = None


class MetricBufferDurationFormat(Enum):
    """What a buffer has for a duration: whole milliseconds, or seconds."""

    MILLISECONDS = 1
    SECONDS = 2


class BufferedMetric(Protocol):
    """What an update is of; the same object for each name of a runtime."""

    @property
    def name(self) -> str:
        """The metric's name."""
        ...

    @property
    def description(self) -> str | None:
        """What it measures."""
        ...

    @property
    def unit(self) -> str | None:
        """Its unit."""
        ...

    @property
    def kind(self) -> BufferedMetricKind:
        """One of the ``BUFFERED_METRIC_KIND_`` constants."""
        ...


class BufferedMetricUpdate(Protocol):
    """One measurement."""

    @property
    def metric(self) -> BufferedMetric:
        """What it is of."""
        ...

    @property
    def value(self) -> int | float:
        """What was measured; of a counter, what was added."""
        ...

    @property
    def attributes(self) -> MetricAttributes:
        """Its labels; the same object for each measurement of the same instrument."""
        ...


@dataclass(frozen=True, slots=True)
class _Update:
    metric: Metric
    value: int | float
    attributes: MetricAttributes


class MetricBuffer:
    """Keeps the last `buffer_size` measurements until they are retrieved; more are dropped, which is logged."""

    def __init__(
        self,
        buffer_size: int,
        duration_format: MetricBufferDurationFormat = MetricBufferDurationFormat.MILLISECONDS,
    ) -> None:
        self._size = buffer_size
        self._in_seconds = duration_format == MetricBufferDurationFormat.SECONDS
        self._metrics: dict[str, Metric] = {}
        self._updates: list[_Update] = []
        self._is_full = False
        self._lock = threading.Lock()
        self.runtime: weakref.ref[Runtime] | None = None

    def retrieve_updates(self) -> Sequence[BufferedMetricUpdate]:
        """What was measured since the last call, in order.

        Raises:
            RuntimeError: no runtime was made with this buffer.
        """
        if self.runtime is None:
            raise RuntimeError("Attempting to retrieve updates before runtime created")
        with self._lock:
            updates, self._updates, self._is_full = self._updates, [], False
        return updates

    def metric(self, metric: Metric) -> Metric:
        """See `measuring.Sink`."""
        with self._lock:
            return self._metrics.setdefault(metric.name, metric)

    def take(self, metric: Metric, value: float | timedelta, attributes: MetricAttributes) -> None:
        """See `measuring.Sink`."""
        if isinstance(value, timedelta):
            value = value.total_seconds() if self._in_seconds else value // timedelta(milliseconds=1)
        with self._lock:
            if len(self._updates) < self._size:
                self._updates.append(_Update(metric, value, attributes))
                return
            was_full, self._is_full = self._is_full, True
        if not was_full:
            _log.error(
                "a metric buffer of %d updates is full, and drops more: retrieve them more often", self._size
            )


@dataclass(frozen=True)
class TelemetryConfig:
    """Where measurements go, and the labels that all of them get. `metric_prefix` is for metrics of a worker's own."""

    logging: LoggingConfig | None = LoggingConfig.default
    metrics: OpenTelemetryConfig | PrometheusConfig | MetricBuffer | None = None
    global_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    attach_service_name: bool = True
    metric_prefix: str | None = None


# -- the runtime -------------------------------------------------------------------------------------------------


class _Default:
    runtime: Runtime | None = None
    is_prevented = False


class Runtime:
    """What the measurements of clients and workers go through; given to `Client.connect`, or the default for all.

    Raises:
        RuntimeError: the page for Prometheus cannot be served at its address.
        ValueError: `worker_heartbeat_interval` is not positive.
    """

    def __init__(
        self,
        *,
        telemetry: TelemetryConfig,
        worker_heartbeat_interval: timedelta | None = timedelta(seconds=60),
        disable_environment_info: bool = False,
    ) -> None:
        del disable_environment_info
        if worker_heartbeat_interval is not None and worker_heartbeat_interval <= timedelta():
            raise ValueError("worker_heartbeat_interval must be positive")
        labels: dict[str, str] = dict(telemetry.global_tags)
        if telemetry.attach_service_name:
            labels["service_name"] = _SERVICE
        self.metric_prefix = "temporal_" if telemetry.metric_prefix is None else telemetry.metric_prefix
        """What the names of a worker's own metrics begin with."""
        sink = self._sink_of(telemetry.metrics)
        self._meter = MetricMeter.noop if sink is None else RecordingMeter(sink, labels)

    def _sink_of(self, metrics: OpenTelemetryConfig | PrometheusConfig | MetricBuffer | None) -> Sink | None:
        match metrics:
            case MetricBuffer():
                metrics.runtime = weakref.ref(self)
                return metrics
            case PrometheusConfig():
                return self._served(metrics)
            case OpenTelemetryConfig():
                _log.warning(
                    "OpenTelemetryConfig has no effect, metrics are not exported to %s: use PrometheusConfig or MetricBuffer",
                    metrics.url,
                )
                return None
            case None:
                return None

    def _served(self, config: PrometheusConfig) -> Sink:
        from .prometheus import Figures, PageServer  # it brings a server, which few programs need

        figures = Figures(
            counters_total_suffix=config.counters_total_suffix,
            unit_suffix=config.unit_suffix,
            durations_as_seconds=config.durations_as_seconds,
            bounds=config.histogram_bucket_overrides or {},
        )
        weakref.finalize(self, PageServer(figures, config.bind_address).close)
        return figures

    @property
    def metric_meter(self) -> MetricMeter:
        """Instruments with the labels of this runtime."""
        return self._meter

    @classmethod
    def default(cls) -> Runtime:
        """The runtime of every client that was given none; one that measures nothing unless it was set.

        Raises:
            RuntimeError: `prevent_default` was called, and none was set.
        """
        if _Default.runtime is None:
            if _Default.is_prevented:
                raise RuntimeError(
                    "Cannot create default Runtime after Runtime.prevent_default has been called"
                )
            _Default.runtime = cls(telemetry=TelemetryConfig())
        return _Default.runtime

    @classmethod
    def prevent_default(cls) -> None:
        """From here on `default` gives only what was set.

        Raises:
            RuntimeError: there is a default.
        """
        if _Default.runtime is not None:
            raise RuntimeError("Runtime.prevent_default called after default runtime has been created or set")
        _Default.is_prevented = True

    @staticmethod
    def set_default(runtime: Runtime, *, error_if_already_set: bool = True) -> None:
        """From here on this is the runtime of every client that is given none.

        Raises:
            RuntimeError: there is a default, and it may not be replaced.
        """
        if _Default.runtime is not None and error_if_already_set:
            raise RuntimeError("Runtime default already set")
        _Default.runtime = runtime
