"""Sockets in memory: bytes arrive late, in order, or not at all when a connection breaks."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from .loop import Process, SeededLoop

_OUTSIDE = contextvars.Context()

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Network:
    """Who listens, and the connections that there are. `loss` is how often bytes break their connection instead of arriving."""

    def __init__(self, loop: SeededLoop, seed: str) -> None:
        self.loss = 0.0
        self.delay_s_max = 0.002
        self._loop = loop
        self.random = random.Random(seed)
        self._listeners: dict[str, tuple[Process, Accept]] = {}
        self._open: list[_Connection] = []

    def listen(self, path: str, process: Process, accept: Accept) -> None:
        """Connections to this path are the process's from now on."""
        self._listeners[path] = (process, accept)

    def refuse(self, path: str) -> None:
        """Nobody listens there any more."""
        self._listeners.pop(path, None)

    def killed(self, process: Process) -> None:
        """The sockets of a process are closed when it ends."""
        self._listeners = {p: entry for p, entry in self._listeners.items() if entry[0] is not process}
        for connection in list(self._open):
            if connection.server is process:
                connection.break_off()

    async def connect(self, factory: Callable[[], Any], path: str) -> tuple[Any, Any]:
        """See `loop.create_unix_connection`."""
        await asyncio.sleep(self.delay_s())
        if path not in self._listeners:
            raise ConnectionRefusedError(111, "Connection refused")
        process, accept = self._listeners[path]
        connection = _Connection(self, self._loop, process)
        self._open.append(connection)
        client, server = connection.ends
        client.protocol = factory()
        client.protocol.connection_made(client)
        self._loop.call_soon(connection.accept, accept, context=process.context.copy())
        return client, client.protocol

    def delay_s(self) -> float:
        """How long the next bytes are on their way."""
        return self.random.random() * self.delay_s_max

    def closed(self, connection: _Connection) -> None:
        """It is gone."""
        if connection in self._open:
            self._open.remove(connection)


class _Connection:
    def __init__(self, network: Network, loop: SeededLoop, server: Process) -> None:
        self.network = network
        self.loop = loop
        self.server = server
        client_end, server_end = _End(self), _End(self)
        client_end.peer, server_end.peer = server_end, client_end
        self.ends = (client_end, server_end)

    def accept(self, accept: Accept) -> None:
        """The server's end, in the server's context."""
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, accept, loop=self.loop)
        end = self.ends[1]
        end.protocol = protocol
        protocol.connection_made(end)
        end.go_on()

    def break_off(self) -> None:
        """What is on its way is lost, and both ends learn that it is broken."""
        for end in self.ends:
            end.pipe.clear()
            end.lose(ConnectionResetError(104, "Connection reset by peer"))
        self.network.closed(self)


class _End(asyncio.Transport):
    """One end: what is written comes out at the other."""

    peer: _End

    def __init__(self, connection: _Connection) -> None:
        super().__init__()
        self._connection = connection
        self.protocol: Any = None
        self.pipe: deque[bytes | None] = deque()
        """What is on its way to this end; None is the end of it."""
        self._arrived = 0
        self._due_s = 0.0
        self._closing = False
        self._lost = False

    # -- of the peer -----------------------------------------------------------------------------------

    def send(self, data: bytes | None) -> None:
        """Put this on its way to this end, behind what is on its way already."""
        loop, network = self._connection.loop, self._connection.network
        self.pipe.append(data)
        self._due_s = max(self._due_s, loop.time() + network.delay_s())
        loop.call_at(self._due_s, self._arrives, context=self._context())

    def _context(self) -> Any:
        if self is self._connection.ends[1]:
            return self._connection.server.context.copy()
        return _OUTSIDE.copy()

    def _arrives(self) -> None:
        self._arrived += 1
        self.go_on()

    def go_on(self) -> None:
        """Hand over what has arrived."""
        while self._arrived and self.pipe and self.protocol is not None and not self._lost:
            self._arrived -= 1
            self._deliver(self.pipe.popleft())

    def _deliver(self, data: bytes | None) -> None:
        network = self._connection.network
        if data is None:
            self.lose(None)
        elif network.loss and network.random.random() < network.loss:
            self._connection.break_off()
        else:
            self.protocol.data_received(data)

    def lose(self, error: Exception | None) -> None:
        """This end learns that the connection is gone."""
        if self._lost:
            return
        self._lost = self._closing = True
        if self.protocol is not None:
            loop = self._connection.loop
            loop.call_soon(self.protocol.connection_lost, error, context=self._context())

    # -- what asyncio calls ----------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if not self._closing:
            self.peer.send(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.peer.send(None)
            self.lose(None)

    def abort(self) -> None:
        self._connection.break_off()

    def can_write_eof(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass  # Requests are small: a reader is never so far behind that it matters here.

    def resume_reading(self) -> None:
        pass
