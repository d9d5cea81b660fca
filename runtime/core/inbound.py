"""What reaches workflow code, call by call: the place where interceptors stand."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .payload import Payload

if TYPE_CHECKING:
    from .instance import Instance

Headers = Mapping[str, Payload]


class Inbound(Protocol):
    """Hands calls to workflow code, perhaps through interceptors."""

    def run(self, args: Sequence[Any]) -> Awaitable[Any]:
        """Run the workflow."""
        ...

    async def signal(self, name: str, args: Sequence[Any], headers: Headers) -> None:
        """Call the handler of a signal."""
        ...

    async def query(self, name: str, args: Sequence[Any], headers: Headers) -> Any:
        """Call the handler of a query."""
        ...

    def validate(self, update_id: str, name: str, args: Sequence[Any], headers: Headers) -> None:
        """Call the validator of an update; what it raises rejects the update."""
        ...

    async def update(self, update_id: str, name: str, args: Sequence[Any], headers: Headers) -> Any:
        """Call the handler of an update."""
        ...


class Direct:
    """No interceptor: the code itself."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def run(self, args: Sequence[Any]) -> Awaitable[Any]:
        """See `Inbound`."""
        return self._instance.call_run(args)

    async def signal(self, name: str, args: Sequence[Any], headers: Headers) -> None:
        """See `Inbound`."""
        del headers
        await self._instance.call_signal(name, args)

    async def query(self, name: str, args: Sequence[Any], headers: Headers) -> Any:
        """See `Inbound`."""
        del headers
        return await self._instance.call_query(name, args)

    def validate(self, update_id: str, name: str, args: Sequence[Any], headers: Headers) -> None:
        """See `Inbound`."""
        del update_id, headers
        self._instance.call_validator(name, args)

    async def update(self, update_id: str, name: str, args: Sequence[Any], headers: Headers) -> Any:
        """See `Inbound`."""
        del update_id, headers
        return await self._instance.call_update(name, args)
