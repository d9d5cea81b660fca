"""A client's connection: frames out, answers back to who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from ..requests import Once
from ..service import __version__
from . import frames
from .calls import decode_error
from .frames import FrameRefused, Kind

_GREETING_S: Final = 10.0
_FRAME_S: Final = 60.0


class ConnectionLost(ConnectionError):
    """The gateway has gone; whether it has carried out what was asked is not known."""


@dataclass(slots=True)
class Terms:
    """What the gateway allows, as it said in its greeting."""

    calls_max: int = 1
    waits_max: int = 1
    request_bytes_max: int = frames.REQUEST_BYTES_MAX
    answer_bytes_max: int = frames.ANSWER_BYTES_MAX


@dataclass(slots=True)
class _Asked:
    """A call that was sent. Its place is given back when the gateway is done with it, not when its caller is."""

    answer: asyncio.Future[Any]
    place: asyncio.Semaphore


class Connection:
    """One connection to a gateway, until it is lost; make it with `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, terms: Terms) -> None:
        self._reader = reader
        self._writer = writer
        self.terms = terms
        self.lost = False
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._calls = asyncio.Semaphore(terms.calls_max)
        self._waits = asyncio.Semaphore(terms.waits_max)
        self._reading = asyncio.get_running_loop().create_task(self._read_answers())

    @classmethod
    async def open(cls, path: Path) -> Connection:
        """Connect and exchange greetings.

        Raises:
            RPCError: the gateway refuses, and says why.
            OSError, FrameRefused: there is none, or it is something else.
        """
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(frames.pack(Kind.HELLO, frames.VERSION, __version__, bytes_max=1024))
            async with asyncio.timeout(_GREETING_S):
                terms = await _greeting(reader)
        except BaseException:
            writer.transport.abort()
            raise
        return cls(reader, writer, terms)

    async def ask(self, name: str, args: list[Any], once: Once | None, *, takes_time: bool) -> Any:
        """The gateway's answer, as msgpack has it.

        Raises:
            ConnectionLost: the gateway has gone meanwhile.
            FrameTooLarge: the arguments are larger than the gateway takes.
            Exception: what the gateway told.
        """
        place = self._waits if takes_time else self._calls
        await place.acquire()
        self._number += 1
        number = self._number
        asked = _Asked(asyncio.get_running_loop().create_future(), place)
        try:
            again = once is not None and once.again
            call = (number, name, args, None if once is None else once.id, again)
            frame = frames.pack(Kind.CALL, *call, bytes_max=self.terms.request_bytes_max)
            if self.lost:
                raise ConnectionLost("the gateway has gone")
        except BaseException:
            place.release()
            raise
        self._asked[number] = asked
        self._writer.write(frame)
        try:
            with contextlib.suppress(ConnectionError):  # When the gateway has gone the answer tells it.
                await self._writer.drain()
            return await asked.answer
        except asyncio.CancelledError:
            if number in self._asked:
                self._writer.write(frames.pack(Kind.CANCEL, number, bytes_max=1024))
            raise

    async def _read_answers(self) -> None:
        error: Exception = ConnectionLost("the gateway has gone")
        try:
            while (frame := await self._read()) is not None:
                kind, fields = frame
                if kind is Kind.REFUSED:
                    error = decode_error(fields[0] if fields else None)
                    break
                self._take(kind, fields)
        except (OSError, FrameRefused) as broken:
            error = ConnectionLost(f"the connection to the gateway broke: {broken}")
        finally:
            self.lost = True
            self._writer.close()
            for asked in self._asked.values():
                asked.place.release()
                if not asked.answer.done():
                    asked.answer.set_exception(error)
                    asked.answer.exception()  # Whoever waited may have gone.
            self._asked.clear()

    async def _read(self) -> tuple[Kind, list[Any]] | None:
        return await frames.read(self._reader, bytes_max=self.terms.answer_bytes_max, within_s=_FRAME_S)

    def _take(self, kind: Kind, fields: list[Any]) -> None:
        if kind not in (Kind.ANSWER, Kind.ERROR) or len(fields) != 2:
            raise FrameRefused(f"a {kind.name} frame has no place here")
        number, value = fields
        asked = self._asked.pop(number, None) if type(number) is int else None
        if asked is None:
            raise FrameRefused(f"an answer to call {number!r:.20}, which was not asked")
        asked.place.release()
        if asked.answer.done():
            return
        if kind is Kind.ANSWER:
            asked.answer.set_result(value)
        else:
            asked.answer.set_exception(decode_error(value))

    async def close(self) -> None:
        """Hang up."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self.lost = True
        self._writer.close()  # Reading may not have begun, and then has closed nothing.
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def _greeting(reader: asyncio.StreamReader) -> Terms:
    frame = await frames.read(reader, bytes_max=1 << 20, within_s=_GREETING_S)
    if frame is None:
        raise ConnectionResetError("it hung up without a greeting")
    kind, fields = frame
    if kind is Kind.REFUSED:
        raise decode_error(fields[0] if fields else None)
    said = cast("dict[Any, Any]", fields[1]) if len(fields) > 1 and type(fields[1]) is dict else None
    if kind is not Kind.HELLO or said is None or fields[0] != frames.VERSION:
        raise FrameRefused(f"expected a greeting of protocol version {frames.VERSION}")
    names = ("calls_max", "waits_max", "request_bytes_max", "answer_bytes_max")
    terms = {name: said[name] for name in names if type(said.get(name)) is int and said[name] > 0}
    return Terms(**terms)
