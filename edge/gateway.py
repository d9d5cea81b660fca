"""The gateway: everything wired together, in one process.

`edge` is the only place that knows both the engine and the world around it. What starts here ends here, in the reverse
order: the world is let go first, then the engine, then the journal.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio

from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.contrib.key_ring import KeyRingError
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.crash_watch import CrashWatch
from overwinter.runtime.display import views
from overwinter.runtime.engine import Engine, EngineLimits
from overwinter.runtime.external_storage import FolderOfAnotherJournal
from overwinter.runtime.external_storage.collecting import collecting
from overwinter.runtime.journal import JournalError, SqliteJournal, StorageFailed
from overwinter.runtime.ports import Batch
from overwinter.runtime.remote import RemoteService, SocketUnusable
from overwinter.runtime.remote import serve as serve_clients
from overwinter.runtime.retention import Retention
from overwinter.runtime.values import ConvertedValues
from overwinter.runtime.wear import wear
from overwinter.runtime.worker import Worker

from . import catalog, control
from .intake import Intake
from .log_lines import LogLines
from .mqtt import MqttSession
from .operations import Operations
from .outbox import Outbox
from .payloads import data_converter, key_ring
from .ports import Json
from .settings import GatewaySettings
from .topics import TopicFilter
from .triggers import Triggers

_log = logging.getLogger(__name__)

OK: Final = 0
FAILED: Final = 1
STORAGE_FAILED: Final = 74
"""The exit status after a failed disk: a supervisor should restart the gateway, which then reads everything again."""


class Gateway:
    """The parts of a running gateway."""

    def __init__(
        self,
        settings: GatewaySettings,
        found: catalog.Catalog,
        engine: Engine,
        broker: tuple[str, int] | None,
        converter: DataConverter,
    ) -> None:
        values = ConvertedValues(converter)
        self.settings = settings
        self.engine = engine
        self.broker = broker
        self._began_s = time.monotonic()
        self.began_us = engine.now_us()
        self.page_address: str | None = None
        self._service: RemoteService | None = None
        self.client = Client(engine, data_converter=converter)
        self.triggers = Triggers(settings.triggers)
        self.answers = TopicFilter(settings.devices.answers) if settings.devices.answers else None
        self.intake = Intake(
            engine,
            self.triggers,
            found.definitions(),
            values,
            answers=self.answers,
            task_queue=settings.gateway.task_queue,
            # The embedded broker does not set the flag, others do.
            flags_redelivery=settings.mqtt.broker != "embedded",
        )
        self.outbox = Outbox(engine, clock_speed=settings.clock.speed)
        self.session = None if broker is None else self._session(*broker)
        self.operations = Operations(
            engine,
            values,
            task_queue=settings.gateway.task_queue,
            status=self.status,
            key_ring=lambda: key_ring(settings),
        )
        self.retention = Retention(engine, settings.retention.policy(settings.gateway.state_dir))
        engine.committed = self._committed

    def _session(self, host: str, port: int) -> MqttSession:
        filters = list(self.triggers.filters)
        if self.answers is not None:
            filters += self.answers.filters
        session = MqttSession(
            self.settings.mqtt.session(
                host, port, default_client_id=f"overwinter-{self.settings.gateway.name}"
            ),
            subscriptions=list(dict.fromkeys(filters)),
            on_message=self.intake.on_message,
            on_connected=self._connected,
            on_disconnected=lambda _reason: None,
            on_published=self.outbox.on_published,
        )
        self.intake.connect(session)
        self.outbox.connect(session)
        return session

    def _connected(self, session_present: bool, _generation: int) -> None:
        self.intake.on_connected(session_present)
        self.outbox.on_connected()

    def _committed(self, batch: Batch) -> None:
        self.outbox.on_committed(batch)

    def status(self) -> Json:
        """What `Operations.status` answers, but for what the journal counts."""
        engine, session, intake = self.engine, self.session, self.intake
        counters = engine.counters
        return {
            "gateway": self.settings.gateway.name,
            "pid": os.getpid(),
            "version": importlib.metadata.version("overwinter"),
            "started_at": views.instant(self.began_us),
            "now": views.instant(engine.now_us()),
            "clock_speed": self.settings.clock.speed,
            "page": self.page_address,
            "journal": views.journal(engine.journal),
            "disk": self._disk(),
            "limits": {
                "open_executions": engine.intake.open_executions,
                "open_executions_max": engine.intake.limits.open_executions_max,
                "disk_free_bytes_min": engine.intake.limits.disk_free_bytes_min,
                "journal_bytes_max": self.settings.limits.journal_bytes_max,
                "refused": dict(engine.intake.refused),
            },
            "retention": views.retention(self.retention) if self.settings.retention.enabled else None,
            "mqtt": {
                "connected": session is not None and session.connected,
                "subscribed": session is not None and session.subscribed,
                "broker": None if self.broker is None else f"{self.broker[0]}:{self.broker[1]}",
                "embedded": self.settings.mqtt.broker == "embedded",
                "session_present": None if session is None else session.session_present,
                "received": 0 if session is None else session.counters.received,
                "acknowledged": 0 if session is None else session.counters.acknowledged,
                "quarantined": sum(intake.refused.values()),
                "refused": dict(intake.refused),
                **intake.counters,
            },
            "clients": None if self._service is None else self._service.status(),
            "outbox": dict(self.outbox.counters),
            "engine": {
                "cached": len(engine.cache),
                "cached_bytes": engine.cache.bytes,
                "evictions": counters.evictions,
                "replays": counters.replays,
                "interruptions": counters.interruptions,
                "activations": counters.activations,
                "steps": counters.steps,
                "commits": counters.commits,
                "commit_failures": counters.commit_failures,
                "activities_running": engine.activities_running(),
            },
        }

    def _disk(self) -> Json:
        journal = self.engine.journal
        if not isinstance(journal, SqliteJournal):
            return {}
        elapsed_s = time.monotonic() - self._began_s
        endurance = self.settings.journal.flash_endurance * 1e12
        lazy = self.engine.flushing.lazy_commits
        return views.disk(journal, wear(journal.work(), elapsed_s, endurance)) | {"lazy_commits": lazy}

    async def serve(self, stop: asyncio.Event) -> None:
        """Connect to the world, until `stop` is set or the engine fails."""
        self.intake.recall(await self.engine.journal.received())
        async with self._clients(), anyio.create_task_group() as group:
            socket = self.settings.gateway.state_dir / "control.sock"
            await group.start(control.serve, socket, self.operations)
            if self.session is not None:
                group.start_soon(self.outbox.run, name="outbox")
                group.start_soon(self.session.run, name="mqtt")
            if self.settings.page.enabled:
                await self._serve_page(group)
            group.start_soon(self._watch_engine, stop, name="engine watch")
            _log.info(
                "gateway %s runs (pid %d), state in %s",
                self.settings.gateway.name,
                os.getpid(),
                self.settings.gateway.state_dir,
            )
            await stop.wait()
            group.cancel_scope.cancel()
        await self.intake.close()

    @asynccontextmanager
    async def _clients(self) -> AsyncGenerator[None]:
        """Within this block programs in other processes can connect, when the settings say so."""
        clients = self.settings.clients
        if not clients.enabled:
            yield
            return
        path = clients.socket or self.settings.gateway.state_dir / "client.sock"
        async with serve_clients(self.engine, path, clients.limits(), group=clients.group) as self._service:
            yield

    async def _serve_page(self, group: anyio.abc.TaskGroup) -> None:
        try:
            from .page.app import serve_page  # its packages are an extra
        except ImportError as error:
            _log.warning("the page is off, %s is not installed: pip install 'overwinter[web]'", error.name)
            return
        page = self.settings.page
        token = page.token_file.read_text("utf-8").strip() if page.token_file is not None else None
        try:
            port = await group.start(serve_page, self.operations, page.host, page.port, token)
        except OSError as error:
            _log.error(
                "the page is off, %s port %d cannot be opened: %s; set [page] port",
                page.host,
                page.port,
                error,
            )
            return
        self.page_address = f"http://{page.host}:{port}/"
        _log.info("the page is at %s", self.page_address)

    async def _watch_engine(self, stop: asyncio.Event) -> None:
        await self.engine.failed.wait()
        stop.set()


@asynccontextmanager
async def _broker_of(settings: GatewaySettings) -> AsyncGenerator[tuple[str, int] | None]:
    """Where the MQTT broker is: an external one, or one that is started here and ends with the gateway."""
    if settings.mqtt.broker == "none":
        yield None
    elif settings.mqtt.broker == "embedded":
        from .broker import EmbeddedBroker  # an extra

        async with EmbeddedBroker(settings.gateway.state_dir, port=settings.mqtt.embedded_port) as broker:
            yield broker.host, broker.port
    else:
        yield settings.mqtt.address()


async def run(settings: GatewaySettings) -> int:
    """Run a gateway until SIGTERM or SIGINT; returns the process's exit status."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LogLines())
    logging.basicConfig(level=os.environ.get("OVERWINTER_LOG", "INFO").upper(), handlers=[lines])
    stop = asyncio.Event()
    with _signals(stop.set):
        try:
            return await _run(settings, stop)
        except (
            JournalError,
            catalog.CatalogError,
            FolderOfAnotherJournal,
            KeyRingError,
            SocketUnusable,
        ) as error:
            print(f"overwinter: {error}", file=sys.stderr)
            return STORAGE_FAILED if isinstance(error, StorageFailed) else FAILED


async def _run(settings: GatewaySettings, stop: asyncio.Event) -> int:
    began = time.monotonic()
    # An engine makes many small objects that live for one step. Looking for cycles among all that the process holds, at
    # Python's default pace, costs a third of its throughput.
    gc.set_threshold(50_000, 20, 50)
    found = catalog.load(settings.gateway.modules, settings.gateway.python_path)
    converter = data_converter(settings)
    if converter.payload_codec is not None:
        # A crash would write keys, and values in clear, to the disk.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    state_dir = settings.gateway.state_dir
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine: Engine | None = None
    try:
        async with AsyncExitStack() as stack:
            journal = await SqliteJournal.open(
                state_dir / "journal.db",
                parked_max=settings.journal.parked_max,
                bytes_max=settings.limits.journal_bytes_max,
            )
            stack.push_async_callback(journal.close)
            clock = await _clock(journal, settings.clock.speed)
            engine = Engine(journal, clock, SystemEntropy(), _limits(settings))
            engine.crash_watch = crash_watch = CrashWatch(state_dir / "running.json")
            crash_watch.begin()
            await stack.enter_async_context(engine)
            broker = await stack.enter_async_context(_broker_of(settings))
            # Before the worker, which would do it at its own pace.
            await stack.enter_async_context(collecting(converter, engine, settings.payloads.collect_interval))
            gateway = Gateway(settings, found, engine, broker, converter)
            if found.workflows or found.activities:
                await stack.enter_async_context(
                    Worker(
                        gateway.client,
                        task_queue=settings.gateway.task_queue,
                        workflows=found.workflows,
                        activities=found.activities,
                        max_cached_workflows=settings.engine.cached_executions_max,
                    )
                )
            if settings.retention.enabled:
                await stack.enter_async_context(gateway.retention.running())
            gc.freeze()
            _log.info(
                "started in %.2f s, %d executions in memory", time.monotonic() - began, len(engine.cache)
            )
            await gateway.serve(stop)
            if engine.failure is None:
                crash_watch.end()
    except RuntimeError as error:
        # The worker says that the engine has failed; the status says how.
        if engine is None or engine.failure is None or error.__cause__ is not engine.failure:
            raise
    if engine.failure is None:
        return OK
    return STORAGE_FAILED if isinstance(engine.failure, StorageFailed) else FAILED


async def _clock(journal: SqliteJournal, speed: float) -> SystemClock:
    if speed == 1.0:
        return SystemClock()
    # Kept, so that a fast clock goes on where it was after a restart.
    return SystemClock(speed, int(await journal.setting("fast_clock_origin_us", str(SystemClock().now_us()))))


def _limits(settings: GatewaySettings) -> EngineLimits:
    engine = settings.engine
    return EngineLimits(
        cached_executions_max=engine.cached_executions_max,
        cached_bytes_max=engine.cache_bytes,
        activities_max=engine.activities_max,
        batch_per_second=engine.batch_per_second,
        intake=settings.limits.intake(),
        commit_delay_s=engine.commit_delay,
        lazy_window_s=engine.lazy_window,
        heartbeat_interval_s=engine.heartbeat_interval,
        yield_within_s=engine.yield_within,
        replay_check_after_s=1.0 if engine.replay_check else None,
    )


class _signals:  # noqa: N801 - used as a statement
    """SIGTERM and SIGINT call a function within this block."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def __exit__(self, *_exc: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
