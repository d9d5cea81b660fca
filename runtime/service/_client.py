"""What a client talks through: an engine of this process, or one behind a gateway's socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from ._errors import RPCError, RPCStatusCode
from ._options import ConnectConfig

if TYPE_CHECKING:
    from ..engine import Engine
    from ..remote import RemoteEngine

_HEALTHY = "temporal.api.workflowservice.v1.WorkflowService"
Metadata = Mapping[str, str | bytes]
_NO_METADATA: Metadata = MappingProxyType({})


class _Service:
    """Calls of gRPC by their names. Those that nobody answers, for there is no server, say so where they are made."""

    _name: ClassVar[str]

    def __init__(self, client: ServiceClient) -> None:
        self.client = client

    def __getattr__(self, call: str) -> Callable[..., Awaitable[Any]]:
        if call.startswith("_"):
            raise AttributeError(call)
        answer: Callable[..., Awaitable[Any]] | None = getattr(self._answering(), call, None)
        if answer is not None:
            return answer

        async def refused(*_request: Any, **_options: Any) -> Any:
            raise RPCError(
                f"{self._name}.{call}: there is no server here that answers calls of gRPC; use the methods of Client, of "
                "its handles and of WorkflowEnvironment",
                RPCStatusCode.UNIMPLEMENTED,
            )

        return refused

    def _answering(self) -> object:
        """What has methods for the calls that are answered."""
        return None


class WorkflowService(_Service):
    """Some calls are answered (`_calls.WorkflowCalls`), the others are refused; `Client` and its handles have methods."""

    _name = "workflow_service"

    def _answering(self) -> object:
        from ._calls import WorkflowCalls  # It needs the engine, which needs the errors of this package.

        return WorkflowCalls(self.client)


class OperatorService(_Service):
    """Those for search attributes are answered (`_calls.OperatorCalls`), the others are refused."""

    _name = "operator_service"

    def _answering(self) -> object:
        from ._calls import OperatorCalls  # as above

        return OperatorCalls(self.client)


class CloudService(_Service):
    """Every call is refused; there is no cloud."""

    _name = "cloud_service"


class TestService(_Service):
    """Every call is refused; `WorkflowEnvironment` has methods."""

    __test__ = False  # It is no test, whatever collects names may think.
    _name = "test_service"


class HealthService(_Service):
    """Every call is refused; `ServiceClient.check_health` asks."""

    _name = "health_service"


class ServiceClient:
    """A connection to an engine, which clients may share. `Client.connect` makes it."""

    def __init__(self, config: ConnectConfig, engine: Engine | RemoteEngine) -> None:
        self.config = config
        self.engine = engine
        self.workflow_service = WorkflowService(self)
        self.operator_service = OperatorService(self)
        self.cloud_service = CloudService(self)
        self.test_service = TestService(self)
        self.health_service = HealthService(self)

    @staticmethod
    async def connect(config: ConnectConfig) -> ServiceClient:
        """A connection to the engine that the address names; see `Client.connect`.

        Raises:
            RPCError: no gateway answers at the socket, or it refuses.
            ValueError: the options contradict each other.
        """
        from ..client._connecting import (
            engine_at,  # It needs the engine, which needs the errors of this package.
        )

        return ServiceClient(config, await engine_at(config))

    async def check_health(
        self,
        *,
        service: str = _HEALTHY,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> bool:
        """Whether the engine works; False when it has stopped.

        Raises:
            RPCError: no gateway answers, or there is no such service.
        """
        from ..client._connecting import is_healthy

        del retry, metadata
        if service != _HEALTHY:
            raise RPCError(f"there is no service {service!r}: leave it out", RPCStatusCode.NOT_FOUND)
        return await is_healthy(self.engine, timeout)

    @property
    def worker_service_client(self) -> ServiceClient:
        """The same."""
        return self

    def update_rpc_metadata(self, metadata: Metadata) -> None:
        """Change what goes with every call; it has no effect, there is no server that reads it.

        Raises:
            TypeError: binary metadata whose name does not end in ``-bin``, or text whose name does.
        """
        for name, value in metadata.items():
            if name.endswith("-bin") != isinstance(value, bytes):
                raise TypeError(
                    f"the metadata {name!r} is {type(value).__name__}: names that end in '-bin' have bytes, others have str"
                )
        self.config.rpc_metadata = metadata

    def update_api_key(self, api_key: str | None) -> None:
        """Change the key; it has no effect, there is no server that asks for it."""
        self.config.api_key = api_key
