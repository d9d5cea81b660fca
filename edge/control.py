"""The control socket: JSON lines over a unix socket that only its owner can open.

A request is one line ``{"id": 1, "op": "list", "args": {...}}``; its answer is one line with the same id,
``{"id": 1, "ok": true, "result": ...}`` or ``{"id": 1, "ok": false, "error": {"type", "message", "hint"}}``.
``tail`` turns the connection into a stream: after its answer come lines ``{"id": 1, "event": {...}}`` until
the client closes, or falls too far behind and is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from overwinter.runtime.remote import sockets

from .ports import BadRequest, GatewayOperations, Json, OperationRefused

log = logging.getLogger(__name__)

REQUEST_BYTES_MAX: Final = 1 << 20
ANSWER_BYTES_MAX: Final = 256 << 20
CONNECTIONS_MAX: Final = 32
TAIL_EVENTS_MAX: Final = 1000
"""Events that may wait for one slow reader of ``tail`` before it is dropped."""
WRITE_BUFFER_BYTES: Final = 256 << 10
FAREWELL_S: Final = 5.0

_TEXT: Final = (str,)
_OPTIONAL_TEXT: Final = (str, type(None))

OPERATIONS: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "list": {"status": _OPTIONAL_TEXT, "type": _OPTIONAL_TEXT, "limit": (int,)},
    "show": {"workflow_id": _TEXT, "run_id": _OPTIONAL_TEXT},
    "signal": {"workflow_id": _TEXT, "run_id": _OPTIONAL_TEXT, "name": _TEXT, "args": (list,)},
    "cancel": {"workflow_id": _TEXT, "run_id": _OPTIONAL_TEXT, "reason": _OPTIONAL_TEXT},
    "terminate": {"workflow_id": _TEXT, "run_id": _OPTIONAL_TEXT, "reason": _OPTIONAL_TEXT},
    "reset": {
        "workflow_id": _TEXT,
        "run_id": _OPTIONAL_TEXT,
        "event": (int, type(None)),
        "to": _OPTIONAL_TEXT,
        "activity": _OPTIONAL_TEXT,
        "signals": _OPTIONAL_TEXT,
        "updates": _OPTIONAL_TEXT,
        "reason": _OPTIONAL_TEXT,
        "by": _OPTIONAL_TEXT,
    },
    "pause": {"workflow_id": _TEXT, "run_id": _OPTIONAL_TEXT, "reason": _OPTIONAL_TEXT, "by": _OPTIONAL_TEXT},
    "resume": {
        "workflow_id": _TEXT,
        "run_id": _OPTIONAL_TEXT,
        "reason": _OPTIONAL_TEXT,
        "by": _OPTIONAL_TEXT,
    },
    "pause_all": {"scope": _TEXT, "name": _OPTIONAL_TEXT, "reason": _OPTIONAL_TEXT, "by": _OPTIONAL_TEXT},
    "resume_all": {"scope": _TEXT, "name": _OPTIONAL_TEXT},
    "delete": {"workflow_id": _TEXT, "run_id": _OPTIONAL_TEXT},
    "batch_preview": {"operation": (dict,), "query": _TEXT},
    "batch_start": {
        "operation": (dict,),
        "query": _TEXT,
        "reason": _OPTIONAL_TEXT,
        "by": _OPTIONAL_TEXT,
        "per_second": (int, float, type(None)),
    },
    "batch_show": {"job_id": _TEXT},
    "batch_list": {},
    "batch_stop": {"job_id": _TEXT, "reason": _OPTIONAL_TEXT, "by": _OPTIONAL_TEXT},
    "start": {"type": _TEXT, "workflow_id": _TEXT, "args": (list,), "task_queue": _OPTIONAL_TEXT},
    "quarantine": {"limit": (int,)},
    "reload_keys": {},
    "status": {},
    "tail": {"after_lsn": (int, type(None))},
}
"""Every operation with its arguments and what each may be."""

_REQUIRED: Final = {
    "show": ("workflow_id",),
    "signal": ("workflow_id", "name"),
    "cancel": ("workflow_id",),
    "terminate": ("workflow_id",),
    "start": ("type", "workflow_id"),
    "reset": ("workflow_id",),
    "pause": ("workflow_id",),
    "resume": ("workflow_id",),
    "pause_all": ("scope",),
    "resume_all": ("scope",),
    "delete": ("workflow_id",),
    "batch_preview": ("operation", "query"),
    "batch_start": ("operation", "query"),
    "batch_show": ("job_id",),
    "batch_stop": ("job_id",),
}
_TYPE_WORDS: Final[Mapping[type, str]] = {
    type(None): "null",
    list: "a list",
    dict: "an object",
    float: "a number",
    str: "a string",
    int: "an integer",
}
LIMIT_MAX: Final = 10_000
ID_CHARACTERS_MAX: Final = 1000


class GatewayNotRunning(Exception):
    """Nobody answers on the control socket; start the gateway with `overwinter run`."""


class SlowReader(OperationRefused):
    """A reader of ``tail`` fell too far behind and was dropped."""


class OperationFailed(Exception):
    """The gateway answered that the operation failed: `kind` is the error's type, `hint` what to do."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint


def check_arguments(op: str, args: Mapping[str, Any]) -> None:
    """Nothing is missing, unknown, of a wrong type or out of bounds.

    Raises:
        BadRequest: something is; the message names the argument and what is allowed.
    """
    known = OPERATIONS.get(op)
    if known is None:
        raise BadRequest(f"unknown operation {op[:100]!r}", hint="known operations: " + ", ".join(OPERATIONS))
    for name in _REQUIRED.get(op, ()):
        if name not in args:
            raise BadRequest(f"{op} needs the argument {name!r}")
    for name, value in args.items():
        if name not in known:
            allowed = ", ".join(known) or "no arguments"
            raise BadRequest(f"{op} has no argument {name[:100]!r}", hint=f"{op} takes: {allowed}")
        _check_value(op, name, value, known[name])


def _check_value(op: str, name: str, value: object, allowed: tuple[type, ...]) -> None:
    if not isinstance(value, allowed) or isinstance(value, bool):
        words = " or ".join(_TYPE_WORDS[choice] for choice in allowed)
        raise BadRequest(f"{op}: {name} is of type {type(value).__name__}, expected {words}")
    if name == "limit" and not 1 <= cast("int", value) <= LIMIT_MAX:
        raise BadRequest(f"{op}: limit is {value}, expected 1 to {LIMIT_MAX}")
    if (
        isinstance(value, str)
        and name not in ("reason", "query")
        and not 1 <= len(value) <= ID_CHARACTERS_MAX
    ):
        raise BadRequest(f"{op}: {name} has {len(value)} characters, expected 1 to {ID_CHARACTERS_MAX}")


def describe_error(error: Exception) -> Json:
    """The error as it is sent to a client."""
    return {"type": type(error).__name__, "message": str(error), "hint": str(getattr(error, "hint", ""))}


async def serve(
    path: Path,
    operations: GatewayOperations,
    *,
    connections_max: int = CONNECTIONS_MAX,
    tail_events_max: int = TAIL_EVENTS_MAX,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Answer on the unix socket `path` until cancelled; ``task_status.started()`` is called once it is open.

    The socket file has mode 0600 before anyone can connect. A file that a dead process left is replaced.

    Raises:
        SocketUnusable: another process answers there, or it cannot be made.
    """
    listener = sockets.listen(path)
    inode = path.stat().st_ino
    control = _ControlServer(operations, connections_max, tail_events_max)
    server = await asyncio.start_unix_server(control.accept, sock=listener, limit=REQUEST_BYTES_MAX)
    try:
        task_status.started()
        await anyio.sleep_forever()
    finally:
        server.close()
        with contextlib.suppress(OSError):
            if path.stat().st_ino == inode:
                path.unlink()
        with anyio.CancelScope(shield=True):
            await control.close()


class _ControlServer:
    """The open connections of one control socket."""

    def __init__(self, operations: GatewayOperations, connections_max: int, tail_events_max: int) -> None:
        self._operations = operations
        self._connections_max = connections_max
        self._tail_events_max = tail_events_max
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._open) >= self._connections_max:
                self._refuse(writer)
                return
            self._open[task] = writer
            writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the gateway stops: both end this connection only
        finally:
            self._open.pop(task, None)
            await _close(writer)

    def _refuse(self, writer: asyncio.StreamWriter) -> None:
        message = f"{self._connections_max} connections are open, which is the most that are allowed"
        error = {"type": "TooManyConnections", "message": message, "hint": "close one and try again"}
        writer.write(_line({"id": None, "ok": False, "error": error}))

    async def close(self) -> None:
        for task in tuple(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=FAREWELL_S)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                error = BadRequest(f"the request is longer than {REQUEST_BYTES_MAX} bytes")
                writer.write(_line({"id": None, "ok": False, "error": describe_error(error)}))
                return
            request_id: Any = None
            try:
                request_id, op, args = _parse(line)
                check_arguments(op, args)
            except BadRequest as error:
                if request_id is None:
                    request_id = _id_of(line)
                writer.write(_line({"id": request_id, "ok": False, "error": describe_error(error)}))
                await writer.drain()
                continue
            if op == "tail":
                writer.write(_line({"id": request_id, "ok": True, "result": {}}))
                await self._stream(request_id, args, reader, writer)
                return
            writer.write(_line(await self._answer(request_id, op, args)))
            await writer.drain()

    async def _answer(self, request_id: Any, op: str, args: Json) -> Json:
        try:
            result = await getattr(self._operations, op)(**args)
        except Exception as error:
            if not isinstance(error, OperationRefused):
                log.exception("control operation %s failed", op)
            return {"id": request_id, "ok": False, "error": describe_error(error)}
        return {"id": request_id, "ok": True, "result": result}

    async def _stream(
        self, request_id: Any, args: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send events until the client closes, the stream fails, or too many wait for the client."""
        waiting: asyncio.Queue[Json] = asyncio.Queue(self._tail_events_max)
        pump = asyncio.create_task(self._fill(waiting, args))
        hangup = asyncio.create_task(reader.read(1))
        sender = asyncio.create_task(_send_events(request_id, waiting, writer))
        tasks = (pump, hangup, sender)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                error = pump.exception()
                assert isinstance(error, Exception)
                writer.write(_line({"id": request_id, "ok": False, "error": describe_error(error)}))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _fill(self, waiting: asyncio.Queue[Json], args: Json) -> None:
        async for event in self._operations.tail(**args):
            try:
                waiting.put_nowait(event)
            except asyncio.QueueFull:
                raise SlowReader(
                    f"{self._tail_events_max} events were waiting for this reader",
                    hint="read faster, or ask again with after_lsn set to the last event that arrived",
                ) from None
        raise OperationRefused("the stream of events ended", hint="the gateway is stopping")


async def _send_events(request_id: Any, waiting: asyncio.Queue[Json], writer: asyncio.StreamWriter) -> None:
    while True:
        event = await waiting.get()
        writer.write(_line({"id": request_id, "event": event}))
        await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Give the client a moment to read what was written, then hang up."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), FAREWELL_S)
    except (TimeoutError, ConnectionError, asyncio.CancelledError):
        writer.transport.abort()


def _line(answer: Json) -> bytes:
    return json.dumps(answer, ensure_ascii=True, separators=(",", ":"), default=str).encode("ascii") + b"\n"


def _parse(line: bytes) -> tuple[Any, str, Json]:
    try:
        request: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            f"the request is not JSON: {error}", hint='send one line: {"id":1,"op":"status","args":{}}'
        ) from None
    if not isinstance(request, dict):
        raise BadRequest(f"the request is of type {type(request).__name__}, expected an object")
    fields = cast("Json", request)
    op, args = fields.get("op"), fields.get("args", {})
    if not isinstance(op, str):
        raise BadRequest("the request names no operation", hint="known operations: " + ", ".join(OPERATIONS))
    if not isinstance(args, dict):
        raise BadRequest(f"args is of type {type(args).__name__}, expected an object")
    return fields.get("id"), op, cast("Json", args)


def _id_of(line: bytes) -> Any:
    """The id of a request that was refused, so that its sender can match the answer, or None."""
    try:
        request: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("Json", request).get("id") if isinstance(request, dict) else None


class ControlClient:
    """Asks a running gateway through its control socket; each call opens its own connection."""

    def __init__(self, path: Path, *, timeout_s: float = 60.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._ids = itertools.count(1)

    async def call(self, op: str, **args: Any) -> Json:
        """The operation's result. Arguments that are None are left out.

        Raises:
            GatewayNotRunning: nobody answers on the socket, or the gateway stopped before it had answered.
            OperationFailed: the gateway refused, or the operation failed.
            TimeoutError: no answer came in `timeout_s` seconds; a change may or may not have been made.
        """
        async with self._connection() as (reader, writer):
            await self._request(writer, op, args)
            async with asyncio.timeout(self._timeout_s):
                return cast("Json", _result(await self._read(reader)))

    async def tail(self, after_lsn: int | None = None) -> AsyncIterator[Json]:
        """Events as they are committed, from `after_lsn` on. Raises what `call` raises."""
        async with self._connection() as (reader, writer):
            await self._request(writer, "tail", {"after_lsn": after_lsn})
            async with asyncio.timeout(self._timeout_s):
                _result(await self._read(reader))
            while True:
                answer = await self._read(reader)
                if "event" not in answer:
                    _result(answer)
                yield cast("Json", answer["event"])

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await asyncio.open_unix_connection(os.fspath(self._path), limit=ANSWER_BYTES_MAX)
        except (FileNotFoundError, ConnectionRefusedError):
            raise GatewayNotRunning(f"no gateway answers on {self._path}") from None
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _request(self, writer: asyncio.StreamWriter, op: str, args: Mapping[str, Any]) -> None:
        given = {name: value for name, value in args.items() if value is not None}
        writer.write(_line({"id": next(self._ids), "op": op, "args": given}))
        with contextlib.suppress(ConnectionError):  # a refusal may already be there to be read
            await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> Json:
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            raise GatewayNotRunning(f"the gateway on {self._path} closed the connection") from None
        return cast("Json", json.loads(line))


def _result(answer: Json) -> Any:
    if answer.get("ok") is True:
        return answer["result"]
    error = cast("Json", answer.get("error") or {})
    raise OperationFailed(
        str(error.get("type", "Error")),
        str(error.get("message", "no reason given")),
        str(error.get("hint", "")),
    )
