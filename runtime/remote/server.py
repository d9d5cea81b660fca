"""The gateway's end: clients in other processes call the frontend of an engine over a unix socket.

What can go wrong with a client ends at its own connection. A frame that is none ends it with a reason; a call that does
not fit is answered with an error; a client that reads too slowly, or stops in the middle of a frame, is dropped. A change
that was begun goes on when its client has gone, since the client may come back and ask for it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..frontend import EngineFrontend, Frontend
from ..requests import Once
from ..service import RPCError, RPCStatusCode, __version__
from . import frames, sockets
from .calls import CALLS, Call, encode_error
from .frames import FrameRefused, FrameTooLarge, Kind
from .records import Misfit

if TYPE_CHECKING:
    from ..engine import Engine

_log = logging.getLogger(__name__)

REQUEST_ID_BYTES: Final = 16
_PAGE_BYTES_MAX: Final = 4 << 20
_WRITE_BUFFER_BYTES: Final = 256 << 10
_FAREWELL_S: Final = 5.0
_GREETING_S: Final = 10.0
_READS_MAX: Final = 8
"""Reads of one connection that run, and wait to be written, at a time: each may have a page in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteLimits:
    """Bounds of what clients in other processes may use of a gateway."""

    connections_max: int = 32
    """Connections at a time; one more is refused."""
    calls_max: int = 64
    """Calls of one connection that are under way at a time; a client waits until there is room."""
    waits_max: int = 1000
    """The same for calls that wait for what is to happen: results, updates, new events."""
    changes_max: int = 10_000
    """Changes under way over all connections, also of clients that have gone."""
    request_bytes_max: int = frames.REQUEST_BYTES_MAX
    """The size of one request: arguments of a workflow, for example."""
    answer_bytes_max: int = frames.ANSWER_BYTES_MAX
    """The size of one answer."""
    unsent_bytes_max: int = 64 << 20
    """Answers that may wait until a client reads them; with more it is hung up on."""
    patience_s: float = 30.0
    """How long a client may take to read an answer, or to complete a frame that it began."""


@asynccontextmanager
async def serve(
    engine: Engine, path: str | Path, limits: RemoteLimits | None = None, *, group: str | None = None
) -> AsyncGenerator[RemoteService]:
    """Within this block clients of other processes can connect to the engine by this socket.

    Only its owner can open it, or with `group` the members of that group of the system too.

    Raises:
        SocketUnusable: another process answers there, or it cannot be made.
    """
    path = Path(path)
    limits = limits or RemoteLimits()
    service = RemoteService(path, EngineFrontend(engine, page_bytes_max=_PAGE_BYTES_MAX), limits)
    listener = sockets.listen(path, group)
    inode = path.stat().st_ino
    server = await asyncio.start_unix_server(service.accept, sock=listener)
    try:
        yield service
    finally:
        server.close()
        with contextlib.suppress(OSError):
            if path.stat().st_ino == inode:
                path.unlink()
        await service.close()


class RemoteService:
    """The open connections of one socket, and the changes that their clients have asked for."""

    def __init__(self, path: Path, frontend: Frontend, limits: RemoteLimits) -> None:
        self.path = path
        self.limits = limits
        self.counters: Counter[str] = Counter()
        """``connections``, ``calls``, ``repeated``, ``refused_connections``, ``refused_frames``, ``refused_calls``,
        ``slow_readers``."""
        self._frontend = frontend
        self._open: dict[asyncio.Task[Any], _Conversation] = {}
        self.closing = False
        self._changes: dict[bytes, asyncio.Task[Any]] = {}
        """By request id: those under way."""

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    def status(self) -> dict[str, object]:
        """What a person wants to know of it."""
        return {"socket": str(self.path), "connected": self.connections, **self.counters}

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to a client until one of both hangs up. Never raises."""
        task = asyncio.current_task()
        assert task is not None
        conversation = _Conversation(self, reader, writer)
        try:
            if self.closing:
                return  # It was in the queue of the socket when that was closed.
            if len(self._open) >= self.limits.connections_max:
                self.counters["refused_connections"] += 1
                await conversation.refuse(
                    f"{self.limits.connections_max} connections are open, which is the most that are allowed: "
                    "share one client among the parts of a program",
                    RPCStatusCode.RESOURCE_EXHAUSTED,
                )
                return
            self.counters["connections"] += 1
            self._open[task] = conversation
            await conversation.run()
        except FrameRefused as error:
            self.counters["refused_frames"] += 1
            _log.warning("a client was hung up on: %s", error)
            await conversation.refuse(str(error), RPCStatusCode.INVALID_ARGUMENT)
        except (ConnectionError, asyncio.CancelledError):
            pass  # The client has gone, or the gateway stops: both end this connection only.
        except Exception:
            _log.exception("a connection of a client has ended")
        finally:
            self._open.pop(task, None)
            await conversation.hang_up()

    async def close(self) -> None:
        """Hang up on all clients; they try to come back."""
        self.closing = True
        tasks = [*self._open, *self._changes.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_FAREWELL_S)

    async def perform(self, call: Call, args: list[Any], once: Once | None) -> Any:
        """What the frontend answers; a change that is under way already is waited for and not begun again."""
        self.counters["calls"] += 1
        if once is None:
            return await self._ask(call, args)
        self.counters["repeated"] += once.again
        task = self._changes.get(once.id)
        if task is None:
            if len(self._changes) >= self.limits.changes_max:
                raise RPCError(
                    f"{self.limits.changes_max} changes are under way, which is the most that are allowed",
                    RPCStatusCode.RESOURCE_EXHAUSTED,
                )
            task = asyncio.create_task(self._ask(call, args, once=once))
            self._changes[once.id] = task
            task.add_done_callback(lambda done: self._changed(once.id, done))
        return await asyncio.shield(task)

    async def _ask(self, call: Call, args: list[Any], **once: Once) -> Any:
        answer: Awaitable[Any] = getattr(self._frontend, call.name)(*args, **once)
        return await answer

    def _changed(self, request_id: bytes, task: asyncio.Task[Any]) -> None:
        self._changes.pop(request_id, None)
        if not task.cancelled():
            task.exception()  # Its client has it, or has gone.


class _Conversation:
    """One connection."""

    def __init__(
        self, service: RemoteService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._service = service
        self._limits = service.limits
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._reads = asyncio.Semaphore(_READS_MAX)
        self._unsent_bytes = 0
        self._ended = False
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    async def run(self) -> None:
        """Answer calls until the client hangs up.

        Raises:
            FrameRefused, ConnectionError: why it ends before.
        """
        try:
            await self._greet()
            while (frame := await self._read()) is not None:
                kind, fields = frame
                if kind is Kind.CALL:
                    self._begin(fields)
                elif kind is Kind.CANCEL:
                    self._cancel(fields)
                else:
                    raise FrameRefused(f"a {kind.name} frame has no place here")
        finally:
            self._ended = True
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _read(self) -> tuple[Kind, list[Any]] | None:
        return await frames.read(
            self._reader, bytes_max=self._limits.request_bytes_max, within_s=self._limits.patience_s
        )

    async def _greet(self) -> None:
        """A connection that says nothing takes a place, so it is not kept."""
        try:
            async with asyncio.timeout(_GREETING_S):
                frame = await self._read()
        except TimeoutError:
            raise FrameRefused(f"no greeting came within {_GREETING_S:g} s") from None
        if frame is None:
            raise ConnectionResetError("the client has gone")
        kind, fields = frame
        if kind is not Kind.HELLO or not fields or fields[0] != frames.VERSION:
            raise FrameRefused(
                f"expected a greeting of protocol version {frames.VERSION}: "
                f"use a client of the same release as this gateway, {__version__}"
            )
        limits = self._limits
        await self._send(
            Kind.HELLO,
            frames.VERSION,
            {
                "release": __version__,
                "calls_max": limits.calls_max,
                "waits_max": limits.waits_max,
                "request_bytes_max": limits.request_bytes_max,
                "answer_bytes_max": limits.answer_bytes_max,
            },
        )

    # -- calls -----------------------------------------------------------------------------------------

    def _begin(self, fields: list[Any]) -> None:
        number, name, args, request_id, again = _call_fields(fields)
        if number in self._tasks:
            raise FrameRefused(f"call {number} is under way already")
        if len(self._tasks) >= self._limits.calls_max + self._limits.waits_max:
            raise FrameRefused(f"more than {len(self._tasks)} calls are under way")
        once = None if request_id is None else Once(request_id, again)
        task = asyncio.create_task(self._answer(number, name, args, once))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    def _cancel(self, fields: list[Any]) -> None:
        number = fields[0] if fields else None
        task = self._tasks.get(number) if type(number) is int else None
        if task is not None:
            task.cancel()

    async def _answer(self, number: int, name: str, args: object, once: Once | None) -> None:
        call = CALLS.get(name)
        reads = call is not None and not call.changes and not call.takes_time
        try:
            async with self._reads if reads else nullcontext():
                await self._write(await self._outcome(number, call, name, args, once))
        except asyncio.CancelledError:
            if self._ended or self._service.closing:
                raise
            error = RPCError("the caller waits no longer", RPCStatusCode.CANCELLED)
            await self._write(self._packed_error(number, error))

    async def _outcome(
        self, number: int, call: Call | None, name: str, args: object, once: Once | None
    ) -> bytes:
        try:
            call = _checked(call, name, once)
            values = call.decode_arguments(args)
            answer = await self._service.perform(call, values, once)
            return frames.pack(
                Kind.ANSWER,
                number,
                call.answer.encoded(answer),
                bytes_max=self._limits.answer_bytes_max,
            )
        except Misfit as error:
            self._service.counters["refused_calls"] += 1
            return self._packed_error(number, RPCError(str(error), RPCStatusCode.INVALID_ARGUMENT))
        except FrameTooLarge as error:
            return self._packed_error(
                number, RPCError(f"the answer is too large: {error}", RPCStatusCode.RESOURCE_EXHAUSTED)
            )
        except Exception as error:  # whatever a call raises is its outcome
            return self._packed_error(number, error)

    def _packed_error(self, number: int, error: Exception) -> bytes:
        try:
            return frames.pack(
                Kind.ERROR, number, encode_error(error), bytes_max=self._limits.answer_bytes_max
            )
        except ValueError as unsendable:
            told = RPCError(f"{type(error).__name__} cannot be told: {unsendable}", RPCStatusCode.INTERNAL)
            return frames.pack(
                Kind.ERROR, number, encode_error(told), bytes_max=self._limits.answer_bytes_max
            )

    # -- writing ---------------------------------------------------------------------------------------

    async def _send(self, kind: Kind, *fields: object) -> None:
        await self._write(frames.pack(kind, *fields, bytes_max=self._limits.answer_bytes_max))

    async def _write(self, frame: bytes) -> None:
        if self._unsent_bytes and self._unsent_bytes + len(frame) > self._limits.unsent_bytes_max:
            self._drop(f"more than {self._limits.unsent_bytes_max} bytes of answers wait for it")
            return
        self._unsent_bytes += len(frame)
        try:
            async with self._writing:
                if self._writer.is_closing():
                    return
                self._writer.write(frame)
                async with asyncio.timeout(self._limits.patience_s):
                    await self._writer.drain()
        except TimeoutError:
            self._drop(f"it read nothing for {self._limits.patience_s:g} s")
        except ConnectionError:
            pass  # Reading ends as well, and that ends the conversation.
        finally:
            self._unsent_bytes -= len(frame)

    def _drop(self, why: str) -> None:
        if not self._writer.is_closing():
            self._service.counters["slow_readers"] += 1
            _log.warning("a client was hung up on: %s", why)
            self._writer.transport.abort()

    async def refuse(self, why: str, status: RPCStatusCode) -> None:
        """Say why, before hanging up."""
        await self._send(Kind.REFUSED, encode_error(RPCError(why, status)))

    async def hang_up(self) -> None:
        """Give the client a moment to read what was written, then close."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), _FAREWELL_S)
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            self._writer.transport.abort()


def _call_fields(fields: list[Any]) -> tuple[int, str, object, bytes | None, bool]:
    if len(fields) != 5:
        raise FrameRefused(
            "a call has a number, a name, arguments, a request id, and whether it is made again"
        )
    number, name, args, request_id, again = fields
    if type(number) is not int or type(name) is not str or type(again) is not bool:
        raise FrameRefused("a call's number is a whole number, its name is text, `again` is true or false")
    if request_id is not None and (type(request_id) is not bytes or len(request_id) != REQUEST_ID_BYTES):
        raise FrameRefused(f"a request id has {REQUEST_ID_BYTES} bytes")
    return number, name, args, request_id, again


def _checked(call: Call | None, name: str, once: Once | None) -> Call:
    if call is None:
        raise RPCError(
            f"this gateway (release {__version__}) has no call {name[:100]!r}", RPCStatusCode.UNIMPLEMENTED
        )
    if call.changes != (once is not None):
        raise Misfit(f"{name} {'needs' if call.changes else 'takes no'} request id")
    return call
