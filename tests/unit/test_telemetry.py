"""Where the measurements of workflows and activities go."""

from __future__ import annotations

import contextlib
import gc
import logging
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.common import MetricMeter, RetryPolicy
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.exceptions import ApplicationError, ApplicationErrorCategory
from overwinter.runtime.runtime import (
    BUFFERED_METRIC_KIND_COUNTER,
    BUFFERED_METRIC_KIND_GAUGE,
    BUFFERED_METRIC_KIND_HISTOGRAM,
    LogForwardingConfig,
    LoggingConfig,
    LoggingFormat,
    MetricBuffer,
    MetricBufferDurationFormat,
    OpenTelemetryConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from overwinter.runtime.testing import ActivityEnvironment
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on, until

PREFIX = "temporal_"
LITRES = timedelta(seconds=2, milliseconds=5)


@activity.defn
async def pour(litres: int) -> None:
    counter = activity.metric_meter().create_counter("poured", "water", "l")
    counter.add(litres)
    counter.add(1, {"bed": "north"})


@activity.defn
def pour_in_a_thread() -> None:
    activity.metric_meter().create_gauge("level").set(7)


@workflow.defn
class Irrigate:
    def __init__(self) -> None:
        self.go_on = False

    @workflow.run
    async def run(self) -> None:
        meter = workflow.metric_meter()
        meter.create_histogram("beds").record(3)
        await workflow.execute_activity(pour, 5, start_to_close_timeout=timedelta(seconds=5))
        await workflow.execute_activity(pour_in_a_thread, start_to_close_timeout=timedelta(seconds=5))
        await workflow.wait_condition(lambda: self.go_on)
        meter.create_histogram_timedelta("took").record(LITRES)

    @workflow.signal
    def go(self) -> None:
        self.go_on = True

    @workflow.query
    def asked(self) -> None:
        workflow.metric_meter().create_counter("asked").add(1)


@asynccontextmanager
async def measured(gateway: Gateway, runtime: Runtime) -> AsyncIterator[Client]:
    async with engine_on(gateway.journal, gateway.clock, EngineLimits(cached_executions_max=0)) as client:
        client.service_client.config.runtime = runtime
        worker = Worker(client, task_queue=QUEUE, workflows=[Irrigate], activities=[pour, pour_in_a_thread])
        async with worker:
            yield client


Update = tuple[str, Any, dict[str, Any]]


def buffered(buffer: MetricBuffer) -> list[Update]:
    """What authors have measured, without what the worker has of its own accord."""
    found = [(u.metric.name, u.value, dict(u.attributes)) for u in buffer.retrieve_updates()]
    return [update for update in found if not update[0].startswith(PREFIX)]


def of_buffer(buffer: MetricBuffer, **options: Any) -> Runtime:
    return Runtime(telemetry=TelemetryConfig(metrics=buffer, attach_service_name=False, **options))


async def test_a_buffer_gets_what_workflows_and_activities_measure_once(gateway: Gateway) -> None:
    buffer = MetricBuffer(100)
    runtime = of_buffer(buffer, global_tags={"farm": "home"})
    async with measured(gateway, runtime) as client:
        handle = await client.start_workflow(Irrigate.run, id="w", task_queue=QUEUE)
        await until(
            lambda: client.engine.cache.open_run("w") is None,
            what="it has left memory, and is replayed from here on",
        )
        await handle.query(Irrigate.asked)
        await handle.signal(Irrigate.go)
        await handle.result()
    common = {"farm": "home", "namespace": "default", "task_queue": QUEUE}
    of_workflow = common | {"workflow_type": "Irrigate"}
    of_pour = common | {"activity_type": "pour"}
    assert buffered(buffer) == [
        ("beds", 3, of_workflow),
        ("poured", 5, of_pour),
        ("poured", 1, of_pour | {"bed": "north"}),
        ("level", 7, common | {"activity_type": "pour_in_a_thread"}),
        ("asked", 1, of_workflow),
        ("took", 2005, of_workflow),
    ]


def test_an_update_says_what_it_is_of() -> None:
    buffer = MetricBuffer(10)
    meter = Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter
    counter = meter.create_counter("c", "what", "l")
    labelled = counter.with_additional_attributes({"bed": 1})
    for instrument in (counter, labelled, counter, labelled):
        instrument.add(1)
    meter.create_counter("c", "another description").add(1)
    meter.create_gauge_float("g").set(0.5)
    meter.create_histogram_float("h").record(0.25)
    updates = buffer.retrieve_updates()
    metric = updates[0].metric
    assert (metric.name, metric.description, metric.unit) == ("c", "what", "l")
    assert all(update.metric is metric for update in updates[:5])
    assert updates[0].attributes is updates[2].attributes
    assert updates[1].attributes is updates[3].attributes
    assert updates[1].attributes == {"service_name": "temporal-core-sdk", "bed": 1}
    assert [update.metric.kind for update in updates[4:]] == [
        BUFFERED_METRIC_KIND_COUNTER,
        BUFFERED_METRIC_KIND_GAUGE,
        BUFFERED_METRIC_KIND_HISTOGRAM,
    ]
    assert not buffer.retrieve_updates()


@pytest.mark.parametrize(
    ("form", "value"),
    [(MetricBufferDurationFormat.MILLISECONDS, 2005), (MetricBufferDurationFormat.SECONDS, 2.005)],
)
def test_a_duration_has_the_form_of_the_buffer(form: MetricBufferDurationFormat, value: float) -> None:
    buffer = MetricBuffer(10, form)
    of_buffer(buffer).metric_meter.create_histogram_timedelta("took").record(LITRES)
    assert buffered(buffer) == [("took", value, {})]


def test_a_full_buffer_drops_what_is_new_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    buffer = MetricBuffer(2)
    counter = of_buffer(buffer).metric_meter.create_counter("c")
    for value in range(4):
        counter.add(value)
    assert [value for _, value, _ in buffered(buffer)] == [0, 1]
    counter.add(9)
    assert [value for _, value, _ in buffered(buffer)] == [9]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_what_cannot_be_measured_is_refused() -> None:
    meter = of_buffer(MetricBuffer(2)).metric_meter
    with pytest.raises(ValueError, match="cannot be negative"):
        meter.create_counter("c").add(-1)
    with pytest.raises(ValueError, match="cannot be negative"):
        meter.create_histogram_timedelta("h").record(timedelta(seconds=-1))
    bad: Any = {"some": None}
    with pytest.raises(TypeError, match="Invalid value type for key 'some'"):
        meter.with_additional_attributes(bad)
    with pytest.raises(RuntimeError, match="before runtime created"):
        MetricBuffer(1).retrieve_updates()


# -- what workers measure of their own accord --------------------------------------------------------------------------


@activity.defn
async def fail_once(benign: bool) -> None:
    if activity.info().attempt == 1:
        category = ApplicationErrorCategory.BENIGN if benign else ApplicationErrorCategory.UNSPECIFIED
        raise ApplicationError("not yet", category=category)


@workflow.defn
class Ends:
    @workflow.run
    async def run(self, how: str) -> None:
        soon = RetryPolicy(initial_interval=timedelta(milliseconds=1))
        call: Any = workflow.execute_local_activity if how == "again" else workflow.execute_activity
        await call(fail_once, how == "bad", start_to_close_timeout=timedelta(seconds=9), retry_policy=soon)
        if how == "again":
            workflow.continue_as_new("well")
        if how == "bad":
            raise ApplicationError("bad")
        if how == "cancel":
            await workflow.wait_condition(lambda: False)


@pytest.mark.parametrize("prefix", [None, "farm_"])
async def test_a_worker_measures_how_workflows_and_activities_end(
    gateway: Gateway, prefix: str | None
) -> None:
    buffer = MetricBuffer(1000)
    runtime = of_buffer(buffer, metric_prefix=prefix)
    limits = EngineLimits(cached_executions_max=0)  # Everything is replayed, and nothing counted again.
    async with engine_on(gateway.journal, SystemClock(), limits) as client:
        client.service_client.config.runtime = runtime
        async with Worker(client, task_queue=QUEUE, workflows=[Ends], activities=[fail_once]):
            for how in ("well", "again", "bad", "cancel"):
                handle = await client.start_workflow(Ends.run, how, id=how, task_queue=QUEUE)
                if how == "cancel":
                    await until(lambda: client.engine.cache.open_run("cancel") is None, what="it waits")
                    await handle.cancel()
                with contextlib.suppress(WorkflowFailureError):
                    await handle.result()
    found = [(u.metric.name, u.value, dict(u.attributes)) for u in buffer.retrieve_updates()]
    of_workflow = {"namespace": "default", "task_queue": QUEUE, "workflow_type": "Ends"}
    counted: Counter[str] = Counter()
    for name, value, labels in found:
        of_activity = {"activity_type": "fail_once"} if "activity" in name else {}
        assert labels == of_workflow | of_activity
        counted[name.removeprefix(prefix or PREFIX)] += 1
        assert value == 1 or name.endswith("_latency")
    assert counted == {
        "workflow_completed": 2,
        "workflow_continue_as_new": 1,
        "workflow_failed": 1,
        "workflow_canceled": 1,
        "workflow_endtoend_latency": 5,
        "activity_schedule_to_start_latency": 8,
        "activity_execution_latency": 8,
        "activity_execution_failed": 3,  # One of them is benign.
        "local_activity_execution_latency": 2,
        "local_activity_execution_failed": 1,
    }


# -- the page -------------------------------------------------------------------------------------------------------


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def address() -> Iterator[str]:
    before = set(threading.enumerate())  # Some of them may end meanwhile.
    yield free_address()
    gc.collect()
    assert not set(threading.enumerate()) - before, "the page is still served"


def page(address: str, path: str = "/metrics") -> str:
    with urlopen(f"http://{address}{path}") as answer:
        text: str = answer.read().decode()
    return text


def test_the_page_shows_what_was_measured(address: str) -> None:
    config = PrometheusConfig(bind_address=address, histogram_bucket_overrides={"beds": [1, 2.5]})
    runtime = Runtime(telemetry=TelemetryConfig(metrics=config))
    meter = runtime.metric_meter.with_additional_attributes({"wet-land": True, "bed": 'no"rth'})
    counter = meter.create_counter("poured-water", "two\nlines")
    counter.add(2)
    counter.add(3)
    runtime.metric_meter.create_gauge("level").set(4)
    runtime.metric_meter.create_gauge("level").set(3)
    for value in (1, 2, 3):
        runtime.metric_meter.create_histogram("beds").record(value)
    runtime.metric_meter.create_histogram_timedelta("took").record(LITRES)
    runtime.metric_meter.create_counter("never")
    assert page(address).splitlines() == [
        "# TYPE beds histogram",
        'beds_bucket{service_name="temporal-core-sdk",le="1"} 1',
        'beds_bucket{service_name="temporal-core-sdk",le="2.5"} 2',
        'beds_bucket{service_name="temporal-core-sdk",le="+Inf"} 3',
        'beds_sum{service_name="temporal-core-sdk"} 6',
        'beds_count{service_name="temporal-core-sdk"} 3',
        "# TYPE level gauge",
        'level{service_name="temporal-core-sdk"} 3',
        "# HELP poured_water two\\nlines",
        "# TYPE poured_water counter",
        'poured_water{bed="no\\"rth",service_name="temporal-core-sdk",wet_land="true"} 5',
        "# TYPE took histogram",
        *[
            f'took_bucket{{service_name="temporal-core-sdk",le="{bound}"}} {count}'
            for bound, count in (
                ("50.0", 0),
                ("100.0", 0),
                ("500.0", 0),
                ("1000.0", 0),
                ("2500.0", 1),
                ("10000.0", 1),
            )
        ],
        'took_bucket{service_name="temporal-core-sdk",le="+Inf"} 1',
        'took_sum{service_name="temporal-core-sdk"} 2005',
        'took_count{service_name="temporal-core-sdk"} 1',
    ]
    with pytest.raises(HTTPError, match="404"):
        page(address, "/")


def test_names_and_durations_are_as_the_config_says(address: str) -> None:
    config = PrometheusConfig(
        address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    runtime = Runtime(telemetry=TelemetryConfig(metrics=config, attach_service_name=False))
    runtime.metric_meter.create_counter("poured", unit="litres").add(1)
    runtime.metric_meter.create_histogram_timedelta("took").record(LITRES)
    shown = page(address)
    assert "poured_litres_total 1\n" in shown
    assert 'took_bucket{le="2.5"} 1\ntook_bucket{le="10.0"} 1' in shown
    assert "took_sum 2.005\n" in shown


def test_the_page_goes_with_its_runtime(address: str) -> None:
    runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(address)))
    assert page(address) == ""
    del runtime
    gc.collect()
    with pytest.raises(URLError):
        page(address)


def test_an_address_that_is_taken_or_none_is_refused(address: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for wrong in (f"127.0.0.1:{taken.getsockname()[1]}", "nowhere", "127.0.0.1:99999"):
            with pytest.raises(RuntimeError, match="metrics cannot be served at"):
                Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(wrong)))


def test_labels_without_end_do_not_fill_the_memory() -> None:
    from overwinter.runtime import prometheus

    figures = prometheus.Figures()
    meter = prometheus.Metric("c", None, None, BUFFERED_METRIC_KIND_COUNTER)
    for number in range(prometheus._SERIES_MAX + 10):
        figures.take(meter, 1, {"id": number})
    figures.take(meter, 1, {"id": 0})
    assert figures.dropped == 10


# -- the default, and what is accepted ------------------------------------------------------------------------------------


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from overwinter.runtime import runtime

    monkeypatch.setattr(runtime._Default, "runtime", None)
    monkeypatch.setattr(runtime._Default, "is_prevented", False)


@pytest.mark.usefixtures("no_default")
def test_the_default_measures_nothing_until_one_is_set() -> None:
    assert Runtime.default().metric_meter is MetricMeter.noop
    assert Runtime.default() is Runtime.default()
    other = of_buffer(MetricBuffer(1))
    with pytest.raises(RuntimeError, match="already set"):
        Runtime.set_default(other)
    Runtime.set_default(other, error_if_already_set=False)
    assert Runtime.default() is other
    with pytest.raises(RuntimeError, match="after default runtime has been created"):
        Runtime.prevent_default()


@pytest.mark.usefixtures("no_default")
def test_a_default_can_be_prevented() -> None:
    Runtime.prevent_default()
    with pytest.raises(RuntimeError, match="Cannot create default Runtime"):
        Runtime.default()
    Runtime.set_default(of_buffer(MetricBuffer(1)))
    Runtime.default()


@pytest.mark.usefixtures("no_default")
async def test_workers_of_a_client_without_a_runtime_use_the_default(gateway: Gateway) -> None:
    buffer = MetricBuffer(100)
    Runtime.set_default(of_buffer(buffer))
    async with gateway.on([Irrigate], [pour, pour_in_a_thread]) as client:
        handle = await client.start_workflow(Irrigate.run, id="w", task_queue=QUEUE, start_signal="go")
        await handle.result()
    assert [name for name, _, _ in buffered(buffer)] == ["beds", "poured", "poured", "level", "took"]


def test_what_configures_a_core_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    forwarding = LogForwardingConfig(logger=logging.getLogger("tests"))
    filtered = LoggingConfig(TelemetryFilter("INFO", "ERROR"), forwarding, LoggingFormat.JSON)
    config = TelemetryConfig(logging=filtered, metrics=OpenTelemetryConfig(url="http://collector:4317"))
    runtime = Runtime(telemetry=config, worker_heartbeat_interval=None, disable_environment_info=True)
    assert runtime.metric_meter is MetricMeter.noop
    assert "http://collector:4317" in caplog.text
    with pytest.raises(ValueError, match="must be positive"):
        Runtime(telemetry=config, worker_heartbeat_interval=timedelta())


async def test_an_activity_environment_gives_its_meter() -> None:
    buffer = MetricBuffer(10)
    environment = ActivityEnvironment()
    await environment.run(pour, 1)
    environment.metric_meter = of_buffer(buffer).metric_meter
    await environment.run(pour, 2)
    assert [value for _, value, _ in buffered(buffer)] == [2, 1]
