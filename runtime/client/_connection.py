"""Where the engine of a client is."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .. import interceptors as worker_interceptors
from ..clock import SystemClock, SystemEntropy
from ..common import HeaderCodecBehavior, QueryRejectCondition
from ..converter import DataConverter
from ..engine import Engine, EngineLimits
from ..frontend import EngineFrontend, Frontend
from ..journal import SqliteJournal
from ..service import (
    ConnectConfig,
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    OperatorService,
    PayloadLimitsConfig,
    RetryConfig,
    ServiceClient,
    TestService,
    TLSConfig,
    WorkflowService,
)
from ..values import ConvertedValues
from ._connecting import address_of
from ._interceptors import NO_METADATA, Interceptor
from ._plugin import ClientConfig, Plugin

if TYPE_CHECKING:
    from ..remote import RemoteEngine
    from ..runtime import Runtime

Metadata = Mapping[str, str | bytes]

_LIMITS = PayloadLimitsConfig()


class Connected:
    """The part of a client that knows its engine, and how it came to it."""

    def __init__(
        self,
        service_client: ServiceClient | Engine | RemoteEngine,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        plugins: Sequence[Plugin] = (),
        interceptors: Sequence[Interceptor] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> None:
        if not isinstance(service_client, ServiceClient):
            service_client = ServiceClient(
                ConnectConfig(target_host=address_of(service_client)), service_client
            )
        config = ClientConfig(
            service_client=service_client,
            namespace=namespace,
            data_converter=data_converter,
            plugins=plugins,
            interceptors=interceptors,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            header_codec_behavior=header_codec_behavior,
        )
        self._initial_config = config.copy()
        for plugin in plugins:
            config = plugin.configure_client(config)
        self._config = config
        self._connection = config.get("service_client", service_client)
        engine = self._connection.engine
        self.frontend: Frontend = EngineFrontend(engine) if isinstance(engine, Engine) else engine.frontend
        """What its calls ask."""
        self.namespace = namespace = config.get("namespace", namespace)
        self.data_converter = config.get("data_converter", data_converter)
        self.header_codec_behavior = config.get("header_codec_behavior", header_codec_behavior)
        self.default_workflow_query_reject_condition = config.get("default_workflow_query_reject_condition")
        self.values = ConvertedValues(self.data_converter, namespace)
        found = list(config.get("interceptors", ()))
        self.worker_interceptors = [i for i in found if isinstance(i, worker_interceptors.Interceptor)]
        """Client interceptors that are worker interceptors too: each worker of this client has them."""
        self.worker_plugins: list[object] = [
            plugin for plugin in plugins if hasattr(plugin, "configure_worker")
        ]

    @property
    def service_client(self) -> ServiceClient:
        """The connection to the engine; another `Client` may be made of it."""
        return self._connection

    @property
    def workflow_service(self) -> WorkflowService:
        """Every call of it is refused: there is no server."""
        return self._connection.workflow_service

    @property
    def operator_service(self) -> OperatorService:
        """Every call of it is refused: there is no server."""
        return self._connection.operator_service

    @property
    def test_service(self) -> TestService:
        """Every call of it is refused: there is no server."""
        return self._connection.test_service

    @property
    def identity(self) -> str:
        """Who asks, as recorded with pauses, resets and batch operations."""
        return self._connection.config.identity

    @property
    def rpc_metadata(self) -> Metadata:
        """What goes with every call; it has no effect, there is no server that reads it."""
        return self._connection.config.rpc_metadata

    @rpc_metadata.setter
    def rpc_metadata(self, value: Metadata) -> None:
        self._connection.update_rpc_metadata(value)

    @property
    def api_key(self) -> str | None:
        """What a server would ask for; it has no effect."""
        return self._connection.config.api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        self._connection.update_api_key(value)

    @property
    def engine(self) -> Engine:
        """The engine of this process that the client is of.

        Raises:
            RuntimeError: it is in another process.
        """
        engine = self._connection.engine
        if isinstance(engine, Engine):
            return engine
        raise RuntimeError(
            f"this client talks to a gateway in another process ({engine.path}), and workflows and activities run "
            "there: name their modules in its settings ([gateway] modules), or run a worker where the engine is"
        )

    async def close(self) -> None:
        """Hang up, when the engine is in another process; an engine of this process goes on."""
        engine = self._connection.engine
        if not isinstance(engine, Engine):
            await engine.close()

    def config(self, *, active_config: bool = False) -> ClientConfig:
        """The options that this client was made with, or (`active_config`) what its plugins have made of them.

        Made again with `Client(**config)` of the former it is the same.
        """
        config = (self._config if active_config else self._initial_config).copy()
        config["interceptors"] = list(config.get("interceptors", ()))
        return config

    @classmethod
    async def connect(
        cls,
        target_host: str | os.PathLike[str] = "",
        *,
        namespace: str = "default",
        api_key: str | None = None,
        data_converter: DataConverter = DataConverter.default,
        plugins: Sequence[Plugin] = (),
        interceptors: Sequence[Interceptor] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        tls: bool | TLSConfig | None = None,
        retry_config: RetryConfig | None = None,
        keep_alive_config: KeepAliveConfig | None = KeepAliveConfig.default,
        connect_timeout: timedelta | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        identity: str | None = None,
        lazy: bool = False,
        runtime: Runtime | None = None,
        http_connect_proxy_config: HttpConnectProxyConfig | None = None,
        dns_load_balancing_config: DnsLoadBalancingConfig | None = None,
        grpc_compression: GrpcCompression = GrpcCompression.GZIP,
        payload_limits: PayloadLimitsConfig = _LIMITS,
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> Self:
        """A client of the gateway behind a socket, or with an engine in this process.

        `target_host` is the path of the socket that a gateway serves, such as ``unix:/var/lib/overwinter/client.sock``.
        With ``lazy=True`` it is opened by the first call. The client comes back by itself when the gateway was away.

        Any other address, as of a server elsewhere, is not used, for there is no server: the engine is this process's, on
        the journal named by ``OVERWINTER_JOURNAL`` (by default ``overwinter.db`` in the working directory), which it holds
        until the process ends. Every such `connect` of a process gives a client of the same engine. When another process
        holds the journal already, the client is one of its engine, over the socket beside the journal: start the program
        that runs the worker first. The address of a test environment's client gives a client of that environment's engine.

        `identity` is recorded with pauses, resets and batch operations, `runtime` takes the measurements of workers. The
        other options of a connection are for a network, and have no effect.

        Raises:
            RPCError: no gateway answers at the socket, or it refuses.
            JournalHeld: another process runs an engine on that journal, and does not answer.
            ValueError: `tls` has half of a client's certificate.
        """
        config = ConnectConfig(
            target_host=target_host if isinstance(target_host, str) else f"unix:{os.fspath(target_host)}",
            api_key=api_key,
            tls=tls,
            retry_config=retry_config,
            keep_alive_config=keep_alive_config,
            rpc_metadata=rpc_metadata,
            identity=identity or "",
            lazy=lazy,
            runtime=runtime,
            http_connect_proxy_config=http_connect_proxy_config,
            dns_load_balancing_config=dns_load_balancing_config,
            grpc_compression=grpc_compression,
            payload_limits=payload_limits,
            connect_timeout=connect_timeout,
        )
        connect: Callable[[ConnectConfig], Awaitable[ServiceClient]] = ServiceClient.connect
        for plugin in reversed(plugins):
            connect = partial(plugin.connect_service_client, next=connect)
        return cls(
            await connect(config),
            namespace=namespace,
            data_converter=data_converter,
            plugins=plugins,
            interceptors=interceptors,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            header_codec_behavior=header_codec_behavior,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        journal: str | Path,
        *,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        limits: EngineLimits | None = None,
    ) -> AsyncGenerator[Self]:
        """A client with an engine of its own in this process, on the journal at this path; it is made if need be.

        Raises:
            JournalHeld: another process runs an engine on it.
            JournalError: it cannot be used; the message says why and what to do.
        """
        opened = await SqliteJournal.open(Path(journal))
        try:
            async with Engine(opened, SystemClock(), SystemEntropy(), limits) as engine:
                yield cls(engine, data_converter=data_converter, interceptors=interceptors, plugins=plugins)
        finally:
            await opened.close()
