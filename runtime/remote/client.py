"""A client's end: the frontend of an engine in another process.

It comes back by itself after its gateway was away. A call that was sent and not answered is then made again; a change
carries an id by which the gateway knows whether it had its effect.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from ..frontend import Frontend
from ..requests import Once
from ..service import RPCError, RPCStatusCode
from .calls import CALLS, Call
from .connection import Connection, ConnectionLost
from .frames import FrameRefused, FrameTooLarge
from .records import Misfit
from .server import REQUEST_ID_BYTES

PATIENCE_S: Final = 10.0
"""How long a call waits for a gateway that is away. One that does nothing but wait has as long as its caller."""
_PAUSE_S_MIN: Final = 0.02
_PAUSE_S_MAX: Final = 1.0


class RemoteEngine:
    """An engine in another process, as far as a client can reach it: through the socket that its gateway serves."""

    def __init__(self, path: Path, *, patience_s: float = PATIENCE_S) -> None:
        self.path = path
        self._patience_s = patience_s
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._pause_s = 0.0
        self._closed = False
        self.frontend = cast("Frontend", _RemoteFrontend(self))

    async def connect(self) -> None:
        """The gateway answers.

        Raises:
            RPCError: UNAVAILABLE when there is none, or what it says when it refuses.
        """
        try:
            await self._connect()
        except (OSError, FrameRefused) as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        """Hang up; calls that are under way, and later ones, fail."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # -- calls -----------------------------------------------------------------------------------------

    async def call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the gateway answers, now or when it is there again.

        Raises:
            RPCError: UNAVAILABLE when it was away too long; the message says whether the call may have had its effect.
            Exception: what `Frontend` says of the call.
        """
        encoded = call.encode_arguments(args, kwargs)
        once = Once(secrets.token_bytes(REQUEST_ID_BYTES)) if call.changes else None
        away = _Absence(None if call.waits else self._patience_s)
        while True:
            connection = await self._connected(away, once)
            try:
                answer = await connection.ask(call.name, encoded, once, takes_time=call.takes_time)
                return call.answer.decode(answer, 0)
            except ConnectionLost as error:
                away.began(error)
            except FrameTooLarge as error:
                raise RPCError(f"{call.name}: {error}", RPCStatusCode.RESOURCE_EXHAUSTED) from error
            except Misfit as error:
                text = f"the gateway's answer to {call.name} is none: {error}"
                raise RPCError(text, RPCStatusCode.INTERNAL) from error
            except RPCError as error:
                if error.status != RPCStatusCode.UNAVAILABLE:
                    raise
                away.began(error)  # Its engine stops, and may have carried out what was asked.
            if once is not None:
                once = Once(once.id, again=True)

    async def _connected(self, away: _Absence, once: Once | None) -> Connection:
        while True:
            if self._closed:
                raise RPCError("this client was closed", RPCStatusCode.CANCELLED)
            try:
                async with asyncio.timeout(away.left_s()):
                    return await self._connect()
            except (OSError, FrameRefused, RPCError) as error:  # A TimeoutError is an OSError.
                away.began(error)
            if away.is_over():
                raise self._unavailable(away.cause, once) from away.cause

    async def _connect(self) -> Connection:
        """The connection, made when there is none; those who want one try it one after the other, with a pause."""
        if self._connection is not None and not self._connection.lost:
            return self._connection
        async with self._connecting:
            if self._connection is not None and not self._connection.lost:
                return self._connection
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(max(2 * self._pause_s, _PAUSE_S_MIN), _PAUSE_S_MAX)
            self._connection = await Connection.open(self.path)
            self._pause_s = 0.0
            return self._connection

    def _unavailable(self, cause: BaseException | None, once: Once | None = None) -> RPCError:
        doubt = ""
        if once is not None and once.again:
            doubt = "; whether this call had its effect is not known"
        return RPCError(
            f"no gateway answers at {self.path} ({cause or 'it has gone'}){doubt}: "
            "start it, or give the path of the socket that it serves",
            RPCStatusCode.UNAVAILABLE,
        )


class _Absence:
    """How long a gateway was away, for one call, and how much longer it may be."""

    def __init__(self, patience_s: float | None) -> None:
        self._patience_s = patience_s
        self._give_up_at: float | None = None
        self.cause: BaseException | None = None

    def began(self, cause: BaseException) -> None:
        """It is away, or still away, and this is why."""
        if self.cause is None or not isinstance(cause, TimeoutError):
            self.cause = cause
        if self._give_up_at is None and self._patience_s is not None:
            self._give_up_at = asyncio.get_running_loop().time() + self._patience_s

    def left_s(self) -> float | None:
        """How much longer it may be; None without a limit."""
        if self._give_up_at is None:
            return self._patience_s
        return max(self._give_up_at - asyncio.get_running_loop().time(), 0.0)

    def is_over(self) -> bool:
        """Whether the patience is at its end."""
        return self._give_up_at is not None and self.left_s() == 0.0


class _RemoteFrontend:
    """The `Frontend` of a remote engine: each of its calls travels."""

    def __init__(self, engine: RemoteEngine) -> None:
        self._engine = engine


def _stub(call: Call) -> Callable[..., Any]:
    async def stub(self: _RemoteFrontend, *args: Any, **kwargs: Any) -> Any:
        return await self._engine.call(call, args, kwargs)

    stub.__name__ = call.name
    return stub


for _each in CALLS.values():
    setattr(_RemoteFrontend, _each.name, _stub(_each))
