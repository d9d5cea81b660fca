"""Plugins: what changes how clients are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from ..common import HeaderCodecBehavior, QueryRejectCondition
from ..converter import DataConverter

if TYPE_CHECKING:
    from ..engine import Engine
    from ..remote import RemoteEngine
    from ._interceptors import Interceptor


class ClientConfig(TypedDict, total=False):
    """The options of a client, as plugins see and change them."""

    engine: Engine | RemoteEngine
    namespace: str
    data_converter: DataConverter
    plugins: Sequence[Plugin]
    interceptors: Sequence[Interceptor]
    default_workflow_query_reject_condition: QueryRejectCondition | None
    header_codec_behavior: HeaderCodecBehavior


class Plugin(ABC):
    """Changes how clients are made."""

    def name(self) -> str:
        """The plugin's name."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @abstractmethod
    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """The options that the client shall have."""

    async def connect_service_client(self, config: Any, next: Callable[[Any], Awaitable[Any]]) -> Any:
        """Connect, by calling `next`."""
        return await next(config)
