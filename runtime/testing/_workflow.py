"""An engine for a test: on real time, or on time that skips what nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..api.common.v1 import TimeSkippingInfo
from ..api.enums.v1 import IndexedValueType
from ..client import Client, Interceptor, Plugin, WorkflowHandle
from ..client._connecting import address_of, limit_namespaces
from ..clock import SystemClock
from ..common import QueryRejectCondition, SearchAttributeKey
from ..converter import DataConverter
from ..journal import MemoryJournal, SqliteJournal
from ..nexus import NexusNotOffered
from ..ports import Clock, Journal
from ..runtime import Runtime
from ..service import ConnectConfig, RetryConfig, ServiceClient, TLSConfig
from ._assertions import AssertionsFail
from ._engine import EngineUnderTest
from ._skipping import Skipper, SkippingClock
from ._timeskipping import TimeSkipper, TimeSkippingConfig

_SKIPPING = TimeSkippingConfig()


class WorkflowEnvironment:
    """An engine, and a client of it. Use it as an asynchronous context manager, or call `shutdown`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._engine: EngineUnderTest | None = None

    @classmethod
    def from_client(cls, client: Client) -> WorkflowEnvironment:
        """An environment around a client that exists; it runs on real time, and ends nothing."""
        return WorkflowEnvironment(_with_assertions(client))

    @classmethod
    async def start_local(
        cls,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        retry_config: RetryConfig | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        identity: str | None = None,
        tls: bool | TLSConfig = False,
        ip: str = "127.0.0.1",
        port: int | None = None,
        download_dest_dir: str | None = None,
        ui: bool = False,
        runtime: Runtime | None = None,
        search_attributes: Sequence[SearchAttributeKey[Any]] = (),
        dev_server_existing_path: str | None = None,
        dev_server_database_filename: str | None = None,
        dev_server_log_format: str = "pretty",
        dev_server_log_level: str | None = "warn",
        dev_server_download_version: str = "default",
        dev_server_extra_args: Sequence[str] = (),
        dev_server_download_ttl: timedelta | None = None,
        dev_server_startup_timeout: timedelta | None = None,
        ui_port: int | None = None,
    ) -> WorkflowEnvironment:
        """An engine on real time, in memory or on a journal in a file.

        `ip` and `port` are a name by which `Client.connect` finds it, nothing listens there. The other options of a server
        have no effect.

        Raises:
            JournalHeld: another engine has the file.
        """
        del download_dest_dir, ui, ui_port, dev_server_existing_path, dev_server_extra_args
        del dev_server_log_format, dev_server_log_level, dev_server_download_version, dev_server_download_ttl
        del dev_server_startup_timeout
        engine = await _started(SystemClock(), dev_server_database_filename)
        limit_namespaces(engine, {"default", namespace})
        if search_attributes:
            from ..service._calls import add_search_attributes  # here: few give them

            add_search_attributes(
                engine, {key.name: IndexedValueType(int(key.indexed_value_type)) for key in search_attributes}
            )
        config = ConnectConfig(
            target_host=address_of(engine, ip, port),
            tls=tls,
            retry_config=retry_config,
            rpc_metadata=rpc_metadata,
            identity=identity or "",
            runtime=runtime,
        )
        return WorkflowEnvironment._of(
            engine,
            config,
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
        retry_config: RetryConfig | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        identity: str | None = None,
        port: int | None = None,
        download_dest_dir: str | None = None,
        runtime: Runtime | None = None,
        test_server_existing_path: str | None = None,
        test_server_download_version: str = "default",
        test_server_extra_args: Sequence[str] = (),
        test_server_download_ttl: timedelta | None = None,
        test_server_startup_timeout: timedelta | None = None,
        journal: str | Path | None = None,
    ) -> WorkflowEnvironment:
        """An engine whose time skips to the next timer while a result is awaited and no activity runs.

        It is in memory, or on a journal in a file: then the clock begins where real time is all the same. Options of a
        server have no effect; see `start_local`.

        Raises:
            JournalHeld: another engine has the file.
        """
        del download_dest_dir, test_server_existing_path, test_server_download_version, test_server_extra_args
        del test_server_download_ttl, test_server_startup_timeout
        clock = SkippingClock()
        engine = await _started(clock, journal)
        limit_namespaces(engine, {"default"})
        config = ConnectConfig(
            target_host=address_of(engine, port=port),
            retry_config=retry_config,
            rpc_metadata=rpc_metadata,
            identity=identity or "",
            runtime=runtime,
        )
        return _SkippingEnvironment._of(  # noqa: SLF001 - of this module
            engine,
            config,
            Skipper(engine, clock),
            data_converter=data_converter,
            interceptors=interceptors,
            plugins=plugins,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
        )

    @classmethod
    async def start_time_skipping_v2(
        cls, *, ts_config: TimeSkippingConfig = _SKIPPING, **options: Any
    ) -> WorkflowEnvironment:
        """An engine in memory, where each workflow has a clock of its own that skips while nothing of it is under way.

        `ts_config` is what workflows are started with; the other options are those of `start_local`.
        """
        local = await WorkflowEnvironment.start_local(**options)
        environment = _OwnClocksEnvironment(TimeSkipper(local.client, config=ts_config))
        environment._engine = local._engine  # noqa: SLF001 - of this module
        return environment

    @classmethod
    def _of(
        cls, engine: EngineUnderTest, config: ConnectConfig, *args: Any, **client_options: Any
    ) -> WorkflowEnvironment:
        environment = cls(_with_assertions(Client(ServiceClient(config, engine), **client_options)), *args)
        environment._engine = engine
        return environment

    async def __aenter__(self) -> WorkflowEnvironment:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.shutdown()

    @property
    def client(self) -> Client:
        """A client of this environment's engine."""
        return self._client

    async def connect_client(self, **options: Any) -> Client:
        """Another client of this environment's engine, with the options of `Client.connect`.

        It has the namespace and the connection's options of this environment's client where others are not given, and
        none of its interceptors: a failed assertion in workflow code of its workers blocks.
        """
        config = self._client.service_client.config
        inherited: dict[str, Any] = {
            "namespace": self._client.namespace,
            "api_key": config.api_key,
            "tls": config.tls,
            "rpc_metadata": config.rpc_metadata,
            "runtime": config.runtime or Runtime.default(),
        }
        return await Client.connect(config.target_host, **inherited | options)

    async def create_nexus_endpoint(self, endpoint_name: str, task_queue: str) -> Any:
        """Never returns.

        Raises:
            NexusNotOffered: always.
        """
        del endpoint_name, task_queue
        raise NexusNotOffered

    async def delete_nexus_endpoint(self, endpoint: Any) -> None:
        """Never returns; raises as `create_nexus_endpoint`."""
        del endpoint
        raise NexusNotOffered

    async def shutdown(self) -> None:
        """End the engine, where this environment has started one."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.__aexit__()
            await engine.journal.close()

    async def restart(self) -> None:
        """Drop all that is in memory, as when the process is killed, and go on from the journal; workers serve again.

        Running activities are cancelled, and nobody hears how they end: they are attempted again. Who waits for a
        workflow's result goes on waiting; other calls that are under way fail with an `RPCError`.

        Raises:
            RuntimeError: the engine is not this environment's own.
        """
        if self._engine is None:
            raise RuntimeError(
                "restart needs an environment that has started its engine: use start_local or start_time_skipping"
            )
        await self._engine.restart(self._reopened)

    async def _reopened(self) -> Journal:
        assert self._engine is not None
        journal = self._engine.journal
        if not isinstance(journal, SqliteJournal):
            return journal  # What is in memory is there as it would be on a disk.
        await journal.close()
        return await SqliteJournal.open(journal.path)

    # -- time ------------------------------------------------------------------------------------------------

    @property
    def supports_time_skipping_v1(self) -> bool:
        """Whether there is one clock for all workflows, and it skips."""
        return False

    @property
    def supports_time_skipping_v2(self) -> bool:
        """Whether each workflow has a clock of its own that skips."""
        return False

    @property
    def supports_time_skipping(self) -> bool:
        """Whether time skips here."""
        return self.supports_time_skipping_v1 or self.supports_time_skipping_v2

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait so long; where time skips, so long passes for the workflows at once."""
        await asyncio.sleep(_seconds(duration))

    async def get_current_time(self, handle: WorkflowHandle[Any, Any] | None = None) -> datetime:
        """What time it is for the workflows here; `handle` says for which one, where each has a clock of its own."""
        del handle
        return datetime.fromtimestamp(self._client.engine.now_us() / 1_000_000, UTC)

    @contextmanager
    def auto_time_skipping_disabled(self) -> Generator[None]:
        """Within this block awaiting a result skips no time; `sleep` still does."""
        yield

    @contextmanager
    def with_time_skipping_disabled(self) -> Generator[None]:
        """Within this block `client` starts workflows whose own clocks do not skip; no difference where there are none."""
        yield

    async def fast_forward(
        self,
        handle: WorkflowHandle[Any, Any],
        duration: timedelta | float | None = None,
        /,
    ) -> bool:
        """Let so much time pass on the clock of one workflow.

        Raises:
            RuntimeError: the workflows here have no clocks of their own.
        """
        del handle, duration
        raise RuntimeError(
            "fast_forward requires a time-skipping environment; use WorkflowEnvironment.start_time_skipping_v2()."
        )

    async def get_time_skipping_info(self, handle: WorkflowHandle[Any, Any]) -> TimeSkippingInfo | None:
        """What the clock of one workflow has skipped, and whether it goes on to.

        Raises:
            RuntimeError: the workflows here have no clocks of their own.
        """
        del handle
        raise RuntimeError(
            "get_time_skipping_info requires a V2 time-skipping environment; use WorkflowEnvironment.start_time_skipping_v2()."
        )


class _SkippingEnvironment(WorkflowEnvironment):
    """One clock for all workflows, which skips."""

    def __init__(self, client: Client, skipper: Skipper) -> None:
        super().__init__(client)
        self._skipper = skipper

    @property
    def supports_time_skipping_v1(self) -> bool:
        return True

    async def sleep(self, duration: timedelta | float) -> None:
        await self._skipper.sleep(_seconds(duration))

    @contextmanager
    def auto_time_skipping_disabled(self) -> Generator[None]:
        with self._skipper.held():
            yield


class _OwnClocksEnvironment(WorkflowEnvironment):
    """A clock for each workflow."""

    def __init__(self, skipper: TimeSkipper) -> None:
        super().__init__(skipper.client)
        self._skipper = skipper

    @property
    def supports_time_skipping_v2(self) -> bool:
        return True

    async def sleep(self, duration: timedelta | float) -> None:
        del duration
        raise RuntimeError(
            "env.sleep is not supported in time-skipping V2 environments; use env.fast_forward(handle, duration) on a specific workflow."
        )

    async def get_current_time(self, handle: WorkflowHandle[Any, Any] | None = None) -> datetime:
        if handle is None:
            raise RuntimeError(
                "env.get_current_time requires a workflow handle in time-skipping V2 environments; each workflow has its own virtual clock."
            )
        return await self._skipper.get_current_time(handle)

    @contextmanager
    def auto_time_skipping_disabled(self) -> Generator[None]:
        raise RuntimeError(
            "env.auto_time_skipping_disabled is not supported in time-skipping V2 environments; use env.with_time_skipping_disabled() to suspend time-skipping config stamping on newly-started workflows."
        )
        yield

    @contextmanager
    def with_time_skipping_disabled(self) -> Generator[None]:
        with self._skipper.with_time_skipping_disabled():
            yield

    async def fast_forward(
        self, handle: WorkflowHandle[Any, Any], duration: timedelta | float | None = None, /
    ) -> bool:
        return await self._skipper.fast_forward(handle, duration)

    async def get_time_skipping_info(self, handle: WorkflowHandle[Any, Any]) -> TimeSkippingInfo | None:
        return await self._skipper.get_time_skipping_info(handle)


async def _started(clock: Clock, file: str | Path | None) -> EngineUnderTest:
    journal = MemoryJournal() if file is None else await SqliteJournal.open(Path(file))
    engine = EngineUnderTest(journal, clock)
    await engine.__aenter__()
    return engine


def _with_assertions(client: Client) -> Client:
    config: dict[str, Any] = dict(client.config())
    config["interceptors"] = [*config.get("interceptors", ()), AssertionsFail()]
    return Client(**config)


def _seconds(duration: timedelta | float) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
