"""The page's web server: JSON over the gateway's operations, an event stream, and the static files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import anyio
import uvicorn
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .. import figures
from ..control import check_arguments, describe_error
from ..ports import BadRequest, GatewayOperations, Json, OperationRefused, UnknownExecution
from .guard import METRICS, Guard, is_loopback

log = logging.getLogger(__name__)

STATIC: Final = Path(__file__).parent / "static"
EVENTS_PER_PAGE_MAX: Final = 2000
STREAMS_MAX: Final = 16
STREAM_EVENTS_MAX: Final = 1000
KEEPALIVE_S: Final = 15.0
CONNECTIONS_MAX: Final = 64
SHUTDOWN_S: Final = 2


class Streams:
    """The open event streams: each has a bounded queue, and all of them end together."""

    def __init__(self, operations: GatewayOperations) -> None:
        self._operations = operations
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._is_closed = False

    def close(self) -> None:
        """Every stream ends with what it has sent so far."""
        self._is_closed = True
        for queue in self._queues:
            _end(queue)

    async def follow(self, after_lsn: int | None) -> AsyncIterator[bytes]:
        """Events as server-sent events, until the reader leaves or falls too far behind, or `close`."""
        if len(self._queues) >= STREAMS_MAX or self._is_closed:
            yield _sse({"error": f"{STREAMS_MAX} pages are open, which is the most"}, "refused")
            return
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(STREAM_EVENTS_MAX)
        self._queues.add(queue)
        pump = asyncio.create_task(self._pump(queue, after_lsn))
        try:
            yield b"retry: 2000\n\n"
            while True:
                try:
                    block = await asyncio.wait_for(queue.get(), KEEPALIVE_S)
                except TimeoutError:
                    block = b": still here\n\n"
                if block is None:
                    return
                yield block
        finally:
            self._queues.discard(queue)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self, queue: asyncio.Queue[bytes | None], after_lsn: int | None) -> None:
        try:
            async for event in self._operations.tail(after_lsn=after_lsn):
                queue.put_nowait(_sse(event))
        except asyncio.QueueFull:
            pass  # the page asks again, from the last event that it has seen
        except Exception:
            log.exception("the stream of events for a page failed")
        _end(queue)


def _end(queue: asyncio.Queue[bytes | None]) -> None:
    while True:
        try:
            return queue.put_nowait(None)
        except asyncio.QueueFull:
            queue.get_nowait()


def _sse(value: Json, event: str = "message") -> bytes:
    return f"event: {event}\ndata: {json.dumps(value, default=str)}\n\n".encode()


class _PlainJSON(JSONResponse):
    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), default=str).encode()


class Page:
    """The handlers of the page's addresses."""

    def __init__(self, operations: GatewayOperations) -> None:
        self._operations = operations
        self.streams = Streams(operations)

    async def list(self, request: Request) -> Response:
        args = _given(request, "status", "type") | {"limit": _number(request, "limit", 200)}
        return await self._answer("list", args)

    async def show(self, request: Request) -> Response:
        """One execution; its events after sequence ``after``, at most ``events`` of them."""
        args = _given(request, "run_id") | {"workflow_id": request.path_params["workflow_id"]}
        after = _number(request, "after", 0, low=0)
        count = _number(request, "events", EVENTS_PER_PAGE_MAX, high=EVENTS_PER_PAGE_MAX)
        check_arguments("show", args)
        answer = await self._operations.show(**args)
        events = [event for event in answer["events"] if event["sequence"] > after]
        more = len(events) > count
        return _PlainJSON(
            {**answer, "events": events[:count], "more": more}, headers={"cache-control": "no-store"}
        )

    async def status(self, request: Request) -> Response:
        return await self._answer("status", {})

    async def metrics(self, request: Request) -> Response:
        """The numbers of the status, for Prometheus."""
        del request
        text = figures.page(await self._operations.status())
        return Response(text, media_type=figures.CONTENT_TYPE, headers={"cache-control": "no-store"})

    async def quarantine(self, request: Request) -> Response:
        return await self._answer("quarantine", {"limit": _number(request, "limit", 100)})

    async def change(self, request: Request) -> Response:
        try:
            body: object = await request.json()
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise BadRequest(f"the body is of type {type(body).__name__}, expected an object")
        args = cast("Json", body) | {"workflow_id": request.path_params["workflow_id"]}
        return await self._answer(str(request.path_params["op"]), args)

    async def events(self, request: Request) -> Response:
        after = (
            _number(request, "after_lsn", 0, low=0, high=2**63)
            if "after_lsn" in request.query_params
            else None
        )
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self.streams.follow(after), media_type="text/event-stream", headers=headers)

    async def _answer(self, op: str, args: Json) -> Response:
        check_arguments(op, args)
        result = await getattr(self._operations, op)(**args)
        return _PlainJSON(result, headers={"cache-control": "no-store"})


def _given(request: Request, *names: str) -> Json:
    return {name: request.query_params[name] for name in names if request.query_params.get(name)}


def _number(request: Request, name: str, default: int, *, low: int = 1, high: int = 10_000_000) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > 19 or not low <= int(text) <= high:
        raise BadRequest(f"{name} is {text[:40]!r}, expected a number from {low} to {high}")
    return int(text)


async def _on_refusal(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, UnknownExecution) else 400 if isinstance(error, BadRequest) else 409
    return _PlainJSON({"error": describe_error(error)}, status)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {"type": "BadRequest", "message": error.detail, "hint": ""}
    return _PlainJSON({"error": body}, error.status_code)


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error("a request of the page failed", exc_info=error)
    return _PlainJSON({"error": describe_error(error)}, 500)


def create_app(operations: GatewayOperations, token: str | None = None) -> Starlette:
    """The page over these operations. With a token, every request for data must carry it."""
    page = Page(operations)
    one = "/api/executions/{workflow_id:path}"
    routes = [
        Route("/api/executions", page.list),
        *(
            Route(f"{one}/{op}", _with_op(page.change, op), methods=["POST"])
            for op in ("signal", "cancel", "terminate", "pause", "resume", "reset")
        ),
        Route(one, page.show),
        Route("/api/status", page.status),
        Route(METRICS, page.metrics),
        Route("/api/quarantine", page.quarantine),
        Route("/api/events", page.events),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]
    handlers: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        OperationRefused: _on_refusal,
        HTTPException: _on_http_error,
        Exception: _on_bug,
    }
    app = Starlette(routes=routes, middleware=[Middleware(Guard, token=token)], exception_handlers=handlers)
    app.state.streams = page.streams
    return app


def _with_op(
    handler: Callable[[Request], Awaitable[Response]], op: str
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        request.path_params["op"] = op
        return await handler(request)

    return handle


class _EmbeddedServer(uvicorn.Server):
    """A uvicorn that leaves the process's signal handlers to the gateway."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve_page(
    operations: GatewayOperations,
    host: str = "127.0.0.1",
    port: int = 8021,
    token: str | None = None,
    *,
    task_status: TaskStatus[int] = TASK_STATUS_IGNORED,
) -> None:
    """Serve the page until cancelled; ``task_status.started(port)`` tells the port that was bound.

    `port` 0 takes a free one.

    Raises:
        ValueError: `host` is not a loopback address and there is no token.
        OSError: the address cannot be bound.
    """
    if not is_loopback(host) and not token:
        raise ValueError(f"the page would be open to everyone on {host}: set a token, or use 127.0.0.1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    app = create_app(operations, token)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = _EmbeddedServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        task_status.started(int(listener.getsockname()[1]))
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        cast("Streams", app.state.streams).close()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([serving], timeout=SHUTDOWN_S + 1)
        listener.close()
