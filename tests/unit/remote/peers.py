"""A gateway behind a socket, and a peer that says what it likes to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack

from overwinter import workflow
from overwinter.runtime.client import Client
from overwinter.runtime.remote import RemoteLimits, RemoteService, serve
from overwinter.runtime.remote.frames import LENGTH, Kind
from overwinter.runtime.worker import Worker

QUEUE = "tests"


@workflow.defn
class Collect:
    """Ends with what it was sent, once that is enough."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        await workflow.wait_condition(lambda: len(self.found) >= wanted)
        return self.found

    @workflow.signal
    def put(self, one: str) -> None:
        self.found.append(one)

    @workflow.update
    def add(self, one: str) -> int:
        self.found.append(one)
        return len(self.found)

    @workflow.update
    async def add_slowly(self, one: str) -> int:
        await workflow.wait_condition(lambda: "go" in self.found)
        self.found.append(one)
        return len(self.found)

    @add.validator
    def _check(self, one: str) -> None:
        if not one:
            raise ValueError("nothing to add")

    @workflow.query
    def seen(self) -> list[str]:
        return self.found


@asynccontextmanager
async def serving(
    folder: Path, limits: RemoteLimits | None = None, **worker: Any
) -> AsyncIterator[tuple[RemoteService, Client]]:
    """The service, and a client in the process of the engine."""
    async with (
        Client.open(folder / "journal.db") as here,
        Worker(here, task_queue=QUEUE, workflows=[Collect], **worker),
        serve(here.engine, folder / "client.sock", limits) as service,
    ):
        try:
            yield service, here
        finally:
            while opened:
                opened.pop().close()


opened: list[Peer] = []


class Peer:
    """A connection on which a test writes bytes of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connected(cls, folder: Path) -> Peer:
        peer = cls(*await asyncio.open_unix_connection(folder / "client.sock", limit=1 << 24))
        opened.append(peer)
        return peer

    @classmethod
    async def greeted(cls, folder: Path) -> Peer:
        peer = await cls.connected(folder)
        peer.send(Kind.HELLO, 1, "test")
        kind, *_ = await peer.answer()
        assert kind == Kind.HELLO
        return peer

    def send(self, *fields: object) -> None:
        self.raw(msgpack.packb(fields))

    def raw(self, body: bytes) -> None:
        self.writer.write(LENGTH.pack(len(body)) + body)

    def call(
        self, number: int, name: str, *args: object, request: bytes | None = None, again: bool = False
    ) -> None:
        self.send(Kind.CALL, number, name, list(args), request, again)

    async def answer(self) -> list[Any]:
        async with asyncio.timeout(5):
            (length,) = LENGTH.unpack(await self.reader.readexactly(4))
            found: list[Any] = msgpack.unpackb(await self.reader.readexactly(length))
            return found

    async def is_hung_up(self) -> bool:
        """Whether the gateway hangs up, after whatever it still has to say."""
        try:
            async with asyncio.timeout(5):
                while await self.reader.read(1 << 16):
                    pass
            return True
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()
