"""An engine for a test: on real time, or on time that skips what nobody waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from ..attempts import Cancellable
from ..client import Client, Interceptor, Plugin
from ..clock import SystemClock, SystemEntropy
from ..common import QueryRejectCondition, SearchAttributeKey
from ..converter import DataConverter
from ..engine import Engine
from ..exceptions import ApplicationError
from ..interceptors import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)
from ..interceptors import Interceptor as WorkerInterceptor
from ..journal import MemoryJournal
from ..ports import Clock

_LOOK_S = 0.0005
_QUIET_TURNS = 3
"""Time is skipped when nothing has happened for so many turns of the event loop."""


class SkippingClock:
    """Real time, plus what was skipped."""

    def __init__(self) -> None:
        self.skipped_us = 0

    def now_us(self) -> int:
        """See `Clock.now_us`."""
        return time.time_ns() // 1000 + self.skipped_us

    def seconds_until(self, at_us: int) -> float:
        """See `Clock.seconds_until`."""
        return (at_us - self.now_us()) / 1_000_000

    def skip_to(self, at_us: int) -> None:
        """It is this late now."""
        self.skipped_us += max(0, at_us - self.now_us())


class _ClockTimeouts:
    """The timeouts of attempts by the engine's clock, so that they are skipped to as timers are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def time(self) -> float:
        return self._engine.now_us() / 1_000_000

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Cancellable:
        due_us = self._engine.now_us() + round(delay * 1_000_000)
        return self._engine.alarm(due_us, lambda: callback(*args))


class _AssertionsFail(WorkerInterceptor):
    """In a test a failed assertion in workflow code fails the workflow; else it would block, and the test hang."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        del input
        return _AssertionInbound


class _AssertionInbound(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        with _assertions_fail():
            return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        with _assertions_fail():
            await super().handle_signal(input)


@contextmanager
def _assertions_fail() -> Generator[None]:
    try:
        yield
    except AssertionError as error:
        raise ApplicationError(str(error), type="AssertionError", non_retryable=True) from None


class _AsClientInterceptor(Interceptor, _AssertionsFail):
    """A client's interceptor, so that the workers of the client have it."""


class WorkflowEnvironment:
    """An engine, and a client of it. Use it as an asynchronous context manager, or call `shutdown`."""

    def __init__(self, client: Client) -> None:
        config: dict[str, Any] = dict(client.config())
        config["interceptors"] = [*config.get("interceptors", ()), _AsClientInterceptor()]
        self._client = Client(**config)
        self._engine: Engine | None = None
        self._clock: SkippingClock | None = None
        self._skipper: asyncio.Task[None] | None = None
        self._wanted = 0
        """How many wait for what is to come; only then is time skipped."""
        self._held = 0
        self._asleep = 0
        """How many sleep by `sleep`: time skips for them also while activities run, for these may be the sleepers."""

    @staticmethod
    def from_client(client: Client) -> WorkflowEnvironment:
        """An environment around a client that exists; it runs on real time."""
        return WorkflowEnvironment(client)

    @classmethod
    async def start_local(
        cls,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        identity: str | None = None,
        search_attributes: Sequence[SearchAttributeKey[Any]] = (),
        **server_options: Any,
    ) -> Self:
        """An engine in memory, on real time. Options that choose and tune a server have no meaning here.

        Raises:
            TypeError: an option that `temporalio` does not have either.
        """
        del rpc_metadata, identity, search_attributes
        _check(server_options, _SERVER_OPTIONS)
        return await cls._start(
            SystemClock(),
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
            plugins=plugins,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
        )

    @classmethod
    async def start_time_skipping(
        cls,
        *,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        identity: str | None = None,
        **server_options: Any,
    ) -> Self:
        """An engine in memory, whose time skips to the next timer while a result is awaited and no activity runs."""
        del rpc_metadata, identity
        _check(server_options, _SERVER_OPTIONS)
        clock = SkippingClock()
        environment = await cls._start(
            clock,
            data_converter=data_converter,
            interceptors=interceptors,
            plugins=plugins,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
        )
        environment._clock = clock  # noqa: SLF001 - of this class
        environment.client.engine.timeouts = _ClockTimeouts(environment.client.engine)
        environment._skip_while_wanted()  # noqa: SLF001 - of this class
        return environment

    def _skip_while_wanted(self) -> None:
        self._client.waiting_for_result = self._while_wanted
        self._skipper = asyncio.get_running_loop().create_task(self._skip())

    @classmethod
    async def _start(cls, clock: Clock, **options: Any) -> Self:
        engine = Engine(MemoryJournal(), clock, SystemEntropy())
        await engine.__aenter__()
        environment = cls(Client(engine, **options))
        environment._engine = engine
        return environment

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.shutdown()

    @property
    def client(self) -> Client:
        """A client of this environment's engine."""
        return self._client

    async def shutdown(self) -> None:
        """End the engine, where this environment has started one."""
        if self._skipper is not None:
            self._skipper.cancel()
            await asyncio.gather(self._skipper, return_exceptions=True)
            self._skipper = None
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.__aexit__()

    @property
    def supports_time_skipping(self) -> bool:
        """Whether time skips here."""
        return self._clock is not None

    async def get_current_time(self) -> datetime:
        """What time it is for the workflows here."""
        return datetime.fromtimestamp(self._client.engine.now_us() / 1_000_000, UTC)

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait so long; where time skips, so long passes for the workflows at once."""
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        if self._clock is None:
            await asyncio.sleep(seconds)
            return
        due_us = self._clock.now_us() + round(seconds * 1_000_000)
        arrived = asyncio.Event()
        self._client.engine.alarm(due_us, arrived.set)
        self._asleep += 1
        try:
            async with self._while_wanted():
                await arrived.wait()
        finally:
            self._asleep -= 1

    @contextmanager
    def auto_time_skipping_disabled(self) -> Generator[None]:
        """Within this block awaiting a result skips no time; `sleep` still does."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @asynccontextmanager
    async def _while_wanted(self, *, result: bool = False) -> AsyncGenerator[None]:
        if result and self._held:
            yield
            return
        self._wanted += 1
        try:
            yield
        finally:
            self._wanted -= 1

    async def _skip(self) -> None:
        """Move the clock to the next alarm whenever someone waits and nothing else goes on."""
        clock, engine = self._clock, self._client.engine
        assert clock is not None
        quiet = 0
        while True:
            await asyncio.sleep(0 if quiet else _LOOK_S)
            works = engine.working and not self._asleep
            if not self._wanted or engine.busy or works:
                quiet = 0
                continue
            quiet += 1
            if quiet < _QUIET_TURNS:
                continue
            quiet = 0
            due_us = await engine.next_due_us()
            if due_us is not None and not engine.busy:
                clock.skip_to(due_us)
                engine.look_at_clock()


_SERVER_OPTIONS = frozenset(
    {
        "retry_config", "tls", "ip", "port", "download_dest_dir", "ui", "runtime", "dev_server_existing_path",
        "dev_server_database_filename", "dev_server_log_format", "dev_server_log_level", "dev_server_download_version",
        "dev_server_extra_args", "dev_server_download_ttl", "dev_server_startup_timeout", "ui_port",
        "test_server_existing_path", "test_server_download_version", "test_server_extra_args",
        "test_server_download_ttl", "test_server_startup_timeout",
    }
)  # fmt: skip


def _check(given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}")
