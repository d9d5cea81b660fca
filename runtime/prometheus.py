"""Measurements as a page for Prometheus, and the server that shows it (text format 0.0.4)."""

from __future__ import annotations

import bisect
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from .measuring import COUNTER, HISTOGRAM, Metric
from .metrics import MetricAttributes

_BUCKETS_MS: Final = (50.0, 100.0, 500.0, 1000.0, 2500.0, 10_000.0)
_BUCKETS_S: Final = (0.05, 0.1, 0.5, 1.0, 2.5, 10.0)
_SERIES_MAX: Final = 10_000
"""More combinations of a metric and its labels are not kept: an id among labels would fill the memory."""

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Distribution:
    bounds: Sequence[float]
    counts: list[int]
    """How many values are in each bucket; the last one has no bound."""
    sum: float = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(slots=True)
class Figures:
    """What was measured so far. A `measuring.Sink`."""

    counters_total_suffix: bool = False
    unit_suffix: bool = False
    durations_as_seconds: bool = False
    bounds: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    """Of the buckets of histograms, by the metric's name."""
    dropped: int = 0
    _metrics: dict[str, Metric] = field(default_factory=dict[str, Metric])
    _values: dict[tuple[str, Labels], float | _Distribution] = field(
        default_factory=dict[tuple[str, Labels], float | _Distribution]
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def metric(self, metric: Metric) -> Metric:
        """See `measuring.Sink`."""
        with self._lock:
            return self._metrics.setdefault(metric.name, metric)

    def take(self, metric: Metric, value: float | timedelta, attributes: MetricAttributes) -> None:
        """See `measuring.Sink`."""
        if isinstance(value, timedelta):
            value = value.total_seconds() * (1 if self.durations_as_seconds else 1000)
        labels: Labels = tuple(sorted((_name(key), _text(each)) for key, each in attributes.items()))
        place = (metric.name, labels)
        with self._lock:
            if place not in self._values and len(self._values) >= _SERIES_MAX:
                self.dropped += 1
                return
            if metric.kind == HISTOGRAM:
                found = self._values.setdefault(place, self._distribution(metric))
                assert isinstance(found, _Distribution)
                found.add(value)
            elif metric.kind == COUNTER:
                before = self._values.get(place, 0)
                assert not isinstance(before, _Distribution)
                self._values[place] = before + value
            else:
                self._values[place] = value

    def _distribution(self, metric: Metric) -> _Distribution:
        usual = _BUCKETS_S if self.durations_as_seconds else _BUCKETS_MS
        bounds = sorted(self.bounds.get(metric.name, usual))
        return _Distribution(bounds, [0] * (len(bounds) + 1))

    def page(self) -> str:
        """Everything, in the text format."""
        with self._lock:
            return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for metric in sorted(self._metrics.values(), key=lambda each: each.name):
            series = [
                (labels, value) for (name, labels), value in self._values.items() if name == metric.name
            ]
            if not series:
                continue
            name = self._shown_name(metric)
            if metric.description:
                yield f"# HELP {name} {_escaped(metric.description)}\n"
            kind = {COUNTER: "counter", HISTOGRAM: "histogram"}.get(metric.kind, "gauge")
            yield f"# TYPE {name} {kind}\n"
            for labels, value in sorted(series, key=lambda each: each[0]):
                yield from _series(name, labels, value)

    def _shown_name(self, metric: Metric) -> str:
        unit = f"_{_name(metric.unit)}" if self.unit_suffix and metric.unit else ""
        total = "_total" if self.counters_total_suffix and metric.kind == COUNTER else ""
        return f"{_name(metric.name)}{unit}{total}"


def _series(name: str, labels: Labels, value: float | _Distribution) -> Iterator[str]:
    if not isinstance(value, _Distribution):
        yield f"{name}{_braces(labels)} {value:g}\n"
        return
    below = 0
    for bound, count in zip([*value.bounds, "+Inf"], value.counts, strict=True):
        below += count
        yield f"{name}_bucket{_braces((*labels, ('le', str(bound))))} {below}\n"
    yield f"{name}_sum{_braces(labels)} {value.sum:g}\n"
    yield f"{name}_count{_braces(labels)} {below}\n"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels) + "}" if labels else ""


def _name(text: str) -> str:
    found = re.sub(r"[^a-zA-Z0-9_:]", "_", text)
    return f"_{found}" if found[:1].isdigit() else found


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


class _Page(BaseHTTPRequestHandler):
    def __init__(self, figures: Figures, *args: object) -> None:
        self._figures = figures
        super().__init__(*args)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - what the server gives

    def do_GET(self) -> None:
        """Answer ``/metrics``, and nothing else."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, explain="the page is /metrics")
            return
        body = self._figures.page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page that is asked for every few seconds is no news."""


class PageServer:
    """Shows figures under ``/metrics`` from a thread of its own, until it is closed.

    Raises:
        RuntimeError: the address is none, or is in use.
    """

    def __init__(self, figures: Figures, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), partial(_Page, figures))
        except (OSError, ValueError, OverflowError) as error:
            raise RuntimeError(
                f"metrics cannot be served at {address!r}, expected host:port: {error}"
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Nothing is shown any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
